//! Profiles.

use clap::{Args, Subcommand};

use crate::commands::Ending;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::profile::{Profile, ProfileName};
use crate::times;

/// Show and remove profiles. A profile is made by a login: splitvault -p NAME login URL.
#[derive(Args)]
pub(crate) struct Profiles {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the profiles.
    List,
    /// Remove a profile. A session that it holds is not ended: log out first.
    Remove {
        /// Its name.
        #[arg(value_parser = ProfileName::parse)]
        name: ProfileName,
    },
}

impl Profiles {
    #[expect(clippy::unused_async, reason = "every command is run alike")]
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        match self.command {
            Verb::List => list(context)?,
            Verb::Remove { name } => {
                if !Profile::remove(&name)? {
                    return Err(Failure::new(Exit::NotFound, format!("There is no profile {}.", name.as_str()))
                        .next("See which there are: splitvault profile list"));
                }
                let document = serde_json::json!({ "profile": name.as_str() });
                context.output.told(&format!("Removed the profile {}.", name.as_str()), &document)?;
            }
        }
        Ok(Ending::Done)
    }
}

fn list(context: &mut Context) -> Result<(), Failure> {
    let (now, usual) = (times::now(), context.profile());
    let (mut rows, mut documents) = (Vec::new(), Vec::new());
    for name in Profile::names()? {
        let Some(profile) = Profile::read(&name)? else { continue };
        let login = profile.login.as_ref();
        let environment = profile.environment.as_ref().map(ToString::to_string);
        documents.push(serde_json::json!({
            "profile": name.as_str(), "url": profile.url, "vault_url": profile.vault_url, "environment": environment,
            "principal": login.map(|login| login.principal), "name": login.map(|login| &login.name),
            "expires_at": login.and_then(|login| login.expires_at),
        }));
        let ends = login.and_then(|login| login.expires_at).map(|at| times::relative(at, now));
        rows.push([
            format!("{}{}", name.as_str(), if name == usual { " *" } else { "" }),
            profile.url,
            profile.vault_url.unwrap_or_else(|| "-".to_owned()),
            environment.unwrap_or_else(|| "-".to_owned()),
            profile.login.map_or("-".to_owned(), |login| login.name.to_string()),
            ends.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    if context.output.is_json() {
        return context.output.json(&serde_json::json!({ "profiles": documents }));
    }
    if rows.is_empty() {
        return context.output.line("There is no profile. Make one: splitvault login https://manager.example:8000");
    }
    context.output.table(["PROFILE", "MANAGER", "VAULT", "ENVIRONMENT", "LOGIN", "ENDS"], rows)
}
