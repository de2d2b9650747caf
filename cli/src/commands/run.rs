//! Running a program with secrets in its environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use client::manager_api::reference::SCHEME;

use crate::access::Access;
use crate::commands::Ending;
use crate::context::Context;
use crate::env_file;
use crate::failure::Failure;
use crate::output::remark;
use crate::prompt;
use crate::secret_name::no_environment;
use crate::variables::{self, Variable, Wish};

/// Run a program with secrets in its environment.
///
/// The secrets are those of a folder (--folder), of a file with references (--env-file: DB_PASSWORD=sv://dev/db/password), and
/// those named one by one (--set). Without any of these they are what .splitvault.toml says. Of one variable the one that is
/// named last in this order counts. The program takes the place of this one: terminal, signals and exit code are its own.
#[derive(Args)]
pub(crate) struct Run {
    /// The folder: path, environment:path, or environment: for all of an environment. May be given several times.
    #[arg(long, value_name = "FOLDER")]
    folder: Vec<String>,
    /// A file with lines NAME=value, of which those that begin with sv:// are read. May be given several times.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// A variable and its secret. May be given several times.
    #[arg(long, value_name = "NAME=SECRET")]
    set: Vec<String>,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let (wishes, mut set) = self.wishes(context, &access).await?;
        if !wishes.is_empty() {
            set.extend(variables::read(&access.client, wishes).await?);
        }
        let mut words = self.command.into_iter();
        let program = words.next().ok_or_else(|| Failure::wrong_use("There is no program to run."))?;
        let mut command = Command::new(program);
        command.args(words);
        for Variable { name, value } in &set {
            if value.contains(&0) {
                return Err(Failure::failed(format!(
                    "The value for {name} has a zero byte, which a variable cannot hold."
                ))
                .next("Let the program read it itself: splitvault get"));
            }
            command.env(name, OsStr::from_bytes(value));
        }
        Ok(Ending::Become(command))
    }

    /// The variables that are to be read, and those of files that have their values already.
    async fn wishes(&self, context: &Context, access: &Access) -> Result<(Vec<Wish>, Vec<Variable>), Failure> {
        let environment = context.environment(access)?;
        let mut wishes = Vec::new();
        let mut plain = Vec::new();
        if self.folder.is_empty() && self.env_file.is_empty() && self.set.is_empty() {
            wishes.extend(of_working_folder(context, access).await?);
        }
        for folder in &self.folder {
            wishes.extend(variables::of_folder(access, &context.scope(access, Some(folder))?).await?);
        }
        for file in &self.env_file {
            let what = file.display().to_string();
            let opened = std::fs::File::open(file);
            let opened = opened.map_err(|error| Failure::of_system(&format!("{what} cannot be read"), &error))?;
            let bytes = prompt::bounded(opened, env_file::MAX_BYTES, &what)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| Failure::failed(format!("{what} is not text.")))?;
            for line in env_file::read(text)? {
                if line.value.starts_with(SCHEME) {
                    wishes.extend(variables::of_names([(line.name.as_str(), line.value.as_str())], None)?);
                } else {
                    wishes.retain(|wish| wish.name != line.name);
                    plain.push(Variable { name: line.name, value: line.value.as_bytes().to_vec().into() });
                }
            }
        }
        for pair in &self.set {
            let (name, secret) =
                pair.split_once('=').ok_or_else(|| Failure::wrong_use("A variable has the form NAME=SECRET."))?;
            wishes.extend(variables::of_names([(name, secret)], environment.as_ref())?);
        }
        Ok((variables::merged(wishes), plain))
    }
}

/// What the file of the working folder says: the secrets of its path, and its own variables.
pub(super) async fn of_working_folder(context: &Context, access: &Access) -> Result<Vec<Wish>, Failure> {
    let environment = context.environment(access)?;
    let Some(folder) = context.folder()? else {
        return Err(Failure::wrong_use("It is not said which secrets are meant.")
            .next("Add --folder, --env-file or --set, or write it down for this folder: splitvault init"));
    };
    if folder.is_above {
        remark(&format!("The secrets are those of {}.", folder.file.display()));
    }
    let folder = folder.says;
    let mut wishes = Vec::new();
    if folder.path.is_some() || folder.variables.is_empty() {
        let environment = environment.clone().ok_or_else(no_environment)?;
        wishes.extend(variables::of_folder(access, &crate::context::Scope { environment, path: folder.path }).await?);
    }
    let named = folder.variables.iter().map(|(name, secret)| (name.as_str(), secret.as_str()));
    wishes.extend(variables::of_file(named, environment.as_ref())?);
    Ok(variables::merged(wishes))
}
