//! Lists and searches of secrets.

use clap::Args;
use client::Finding;
use client::manager_api::kind::SecretKind;
use client::manager_api::policy::PartyId;
use client::manager_api::search::{FolderEntry, SecretSort, SecretSummary, StateFilter};
use serde::Serialize;

use crate::access::Access;
use crate::commands::Ending;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, remark};
use crate::secret_name::{no_environment, parse_folder};
use crate::{pairs, times};

/// List secrets: those of a folder and of the folders below it.
#[derive(Args)]
pub(crate) struct List {
    /// The folder: path, environment:path, or environment: for all of an environment. By default that of .splitvault.toml, or
    /// everything that you may see.
    folder: Option<String>,
    /// Show one level: the secrets in the folder, and the folders with the number of secrets below them.
    #[arg(long)]
    folders: bool,
    /// The most secrets to show.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
}

/// Search for secrets. All conditions must fit.
#[derive(Args)]
pub(crate) struct Search {
    /// A part of the path, of 2 characters or more.
    text: Option<String>,
    /// The folder to search below: path, environment:path, or environment: for all of an environment.
    #[arg(long, value_name = "FOLDER")]
    under: Option<String>,
    /// A tag, key=value or key. May be given up to 8 times.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// The kind.
    #[arg(long)]
    kind: Option<SecretKind>,
    /// The id of the owner.
    #[arg(long, value_name = "ID")]
    owner: Option<PartyId>,
    /// The state: active, deleted, destroyed or all.
    #[arg(long, default_value = "active")]
    state: StateFilter,
    /// To be rotated or ending within so many days.
    #[arg(long, value_name = "DAYS")]
    due_within: Option<u32>,
    /// The order: path, created_at, updated_at or due_at; with - before it the other way round.
    #[arg(long, allow_hyphen_values = true)]
    sort: Option<SecretSort>,
    /// The most secrets to show.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

#[derive(Serialize)]
struct Listed {
    secrets: Vec<SecretSummary>,
    /// True if there are more than were asked for.
    more: bool,
}

#[derive(Serialize)]
struct Entries {
    entries: Vec<FolderEntry>,
}

impl List {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let (environment, path) = match &self.folder {
            Some(folder) => parse_folder(folder)?,
            None => (None, context.folder()?.and_then(|folder| folder.says.path)),
        };
        let environment = match environment {
            Some(environment) => Some(environment),
            None => context.environment(&access)?,
        };
        if environment.is_none() && path.is_some() {
            return Err(no_environment());
        }
        if self.folders {
            let environment = environment.ok_or_else(no_environment)?;
            let mut entries = Vec::new();
            let mut after = None;
            loop {
                let page = access.client.folders(&environment, path.as_ref(), after.as_deref()).await?;
                entries.extend(page.entries);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            show_entries(&mut context.output, entries)?;
        } else {
            let finding = Finding { environment, under: path, ..Finding::default() };
            let listed = found(&access, finding, self.limit).await?;
            show(&mut context.output, listed)?;
        }
        Ok(Ending::Done)
    }
}

impl Search {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let (environment, under) = self.under.as_deref().map(parse_folder).transpose()?.unwrap_or_default();
        let finding = Finding {
            environment: environment.or_else(|| context.named_environment().cloned()),
            under,
            text: self.text,
            tags: self.tag,
            kind: self.kind,
            owner: self.owner,
            state: Some(self.state),
            due_within: self.due_within,
            sort: self.sort,
            ..Finding::default()
        };
        let listed = found(&access, finding, self.limit).await?;
        show(&mut context.output, listed)?;
        Ok(Ending::Done)
    }
}

async fn found(access: &Access, mut finding: Finding, most: usize) -> Result<Listed, Failure> {
    let mut secrets: Vec<SecretSummary> = Vec::new();
    // One more than is shown, so that it is known whether there are more.
    while secrets.len() <= most {
        finding.limit = Some(u16::try_from(most + 1 - secrets.len()).unwrap_or(PAGE).min(PAGE));
        let page = access.client.find_secrets(&finding).await?;
        secrets.extend(page.secrets);
        finding.after = page.next;
        if finding.after.is_none() {
            break;
        }
    }
    let more = secrets.len() > most;
    secrets.truncate(most);
    Ok(Listed { secrets, more })
}

fn show(output: &mut Output, listed: Listed) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&listed);
    }
    if listed.secrets.is_empty() {
        remark("There is no such secret, or none that you may see.");
        return Ok(());
    }
    let now = times::now();
    let row = |secret: SecretSummary| {
        let due = [secret.expires_at, secret.rotation_due_at].into_iter().flatten().min();
        [
            secret.environment.to_string(),
            secret.path.to_string(),
            secret.kind.map_or("-", SecretKind::as_str).to_owned(),
            secret.stages.current.map_or("-".to_owned(), |version| version.to_string()),
            times::relative(secret.updated_at, now),
            due.map_or("-".to_owned(), |at| times::relative(at, now)),
            pairs::shown(&secret.tags),
        ]
    };
    output.table(
        ["ENVIRONMENT", "PATH", "KIND", "VERSION", "CHANGED", "DUE", "TAGS"],
        listed.secrets.into_iter().map(row).collect(),
    )?;
    if listed.more {
        remark("There are more; --limit shows them.");
    }
    Ok(())
}

fn show_entries(output: &mut Output, entries: Vec<FolderEntry>) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&Entries { entries });
    }
    if entries.is_empty() {
        remark("There is no such folder, or nothing in it that you may see.");
        return Ok(());
    }
    for entry in entries {
        match entry.count {
            None => output.line(entry.path.as_str())?,
            Some(count) => {
                let more = if entry.at_least { " or more" } else { "" };
                output.line(&format!("{}/  {count}{more}", entry.path))?;
            }
        }
    }
    Ok(())
}

const PAGE: u16 = 500;
