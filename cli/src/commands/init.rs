//! The file of a folder.

use clap::Args;

use crate::commands::Ending;
use crate::context::Context;
use crate::failure::Failure;
use crate::folder::{self, Folder, check_variable};
use crate::risky_name::is_risky;
use crate::secret_name::{SecretName, parse_folder};
use crate::variables;

/// Say which secrets belong to this folder.
///
/// Makes the file .splitvault.toml. Commands in this folder and below take environment and path from it. Nothing in it is
/// secret, so it can be committed.
#[derive(Args)]
pub(crate) struct Init {
    /// The folder of the secrets: path, environment:path, or environment: for all of an environment.
    folder: Option<String>,
    /// A variable for run and export, and its secret. May be given several times.
    #[arg(long, value_name = "NAME=SECRET")]
    set: Vec<String>,
    /// Put it in the place of the file that is there.
    #[arg(long)]
    replace: bool,
}

impl Init {
    #[expect(clippy::unused_async, reason = "every command is run alike")]
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let (environment, path) = self.folder.as_deref().map(parse_folder).transpose()?.unwrap_or_default();
        let environment = environment.or_else(|| context.named_environment().cloned());
        let mut made = Folder { environment, path, ..Folder::default() };
        for pair in self.set {
            let (name, secret) =
                pair.split_once('=').ok_or_else(|| Failure::wrong_use("A variable has the form NAME=SECRET."))?;
            check_variable(name)?;
            if is_risky(name) {
                return Err(variables::risky(name));
            }
            SecretName::parse(secret, made.environment.as_ref())?;
            made.variables.insert(name.to_owned(), secret.to_owned());
        }
        if made.environment.is_none() && made.path.is_none() && made.variables.is_empty() {
            return Err(Failure::wrong_use("There is nothing to write down.")
                .next("Name a folder: splitvault init dev:shop, or splitvault -e dev init"));
        }
        let file = folder::write(&made, self.replace)?;
        context.output.told(&format!("Made {}.", file.display()), &made)?;
        Ok(Ending::Done)
    }
}
