//! Deleting, taking back and destroying.

use clap::Args;
use client::manager_api::deletion::ErasureStatus;
use client::manager_api::name::Reason;
use client::manager_api::search::StateFilter;
use client::manager_api::secrets::SecretStatus;
use client::manager_api::wire::{DestructionStatus, RevocationStatus};
use client::shared_proto::id::Version;

use crate::access::Access;
use crate::commands::Ending;
use crate::context::Context;
use crate::failure::Failure;
use crate::secret_name::SecretAddress;
use crate::{prompt, times};

/// Delete a secret. It can be taken back for a while; its tokens are revoked.
#[derive(Args)]
pub(crate) struct Delete {
    /// The secret.
    secret: String,
    /// The reason, for the record.
    #[arg(long, value_parser = |text: &str| Reason::parse(text))]
    reason: Option<Reason>,
}

/// Take the deletion of a secret back.
#[derive(Args)]
pub(crate) struct Undelete {
    /// The secret.
    secret: String,
    /// The reason, for the record.
    #[arg(long, value_parser = |text: &str| Reason::parse(text))]
    reason: Option<Reason>,
}

/// Destroy a deleted secret, or versions of a secret. Nobody can take that back.
#[derive(Args)]
pub(crate) struct Destroy {
    /// The secret.
    secret: String,
    /// The reason, for the record and for whoever approves it.
    #[arg(long, value_parser = |text: &str| Reason::parse(text), required_unless_present = "versions")]
    reason: Option<Reason>,
    /// Destroy this version, and not the secret. May be given several times.
    #[arg(long = "only-version", value_name = "NUMBER", conflicts_with = "reason")]
    versions: Vec<u64>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Delete {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let deleted = access.client.delete_secret(id, self.reason.as_ref()).await?;
        let until = times::full(deleted.recoverable_until, times::now());
        let mut said = format!("Deleted {place}. It can be taken back until {until}: splitvault undelete {place}");
        if deleted.status == RevocationStatus::Pending {
            said.push_str("\nIts tokens may count for some seconds.");
        }
        if context.output.is_json() {
            context.output.json(&deleted)?;
        } else {
            for line in said.lines() {
                context.output.line(line)?;
            }
        }
        Ok(Ending::Done)
    }
}

impl Undelete {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = of_state(&access, &place, SecretStatus::Deleted).await?;
        let answer = access.client.undelete_secret(id, self.reason.as_ref()).await?;
        context.output.told(&format!("Took {place} back."), &answer)?;
        Ok(Ending::Done)
    }
}

impl Destroy {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        match self.reason {
            Some(reason) => destroy_secret(context, &access, &place, reason, self.yes).await?,
            None => destroy_versions(context, &access, &place, &self.versions, self.yes).await?,
        }
        Ok(Ending::Done)
    }
}

async fn destroy_secret(
    context: &mut Context,
    access: &Access,
    place: &SecretAddress,
    reason: Reason,
    yes: bool,
) -> Result<(), Failure> {
    let id = of_state(access, place, SecretStatus::Deleted).await;
    let id =
        id.map_err(|failure| failure.or_next(format!("Only what is deleted is destroyed: splitvault delete {place}")))?;
    confirm(&format!("This destroys {place} with all its versions, for ever."), place, yes)?;
    let answer = access.client.destroy_secret(id, reason).await?;
    let said = match (answer.status, answer.approval_id) {
        (ErasureStatus::Destroyed, _) => format!("Destroyed {place}."),
        (ErasureStatus::Pending, _) => format!("{place} is being destroyed; the vault has not confirmed it yet."),
        (ErasureStatus::AwaitsApproval, Some(approval)) => format!("Somebody else has to approve that: {approval}"),
        (ErasureStatus::AwaitsApproval, None) => "Somebody else has to approve that.".to_owned(),
    };
    context.output.told(&said, &answer)
}

async fn destroy_versions(
    context: &mut Context,
    access: &Access,
    place: &SecretAddress,
    versions: &[u64],
    yes: bool,
) -> Result<(), Failure> {
    let numbers = versions.iter().map(|number| Version::new(*number)).collect::<Result<Vec<_>, _>>();
    let numbers = numbers?;
    let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let id = access.id_of(place, StateFilter::All).await?;
    confirm(&format!("This destroys version {list} of {place}, for ever."), place, yes)?;
    let answer = access.client.destroy(id, numbers).await?;
    let kept = answer.kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut said = match answer.status {
        DestructionStatus::Pending => {
            format!("Version {list} of {place} is being destroyed; the vault has not confirmed it yet.")
        }
        DestructionStatus::AwaitsApproval => "Somebody else has to approve that.".to_owned(),
        DestructionStatus::Destroyed | DestructionStatus::Kept => format!("Destroyed version {list} of {place}."),
    };
    if !kept.is_empty() {
        said = format!("{said} The value of {kept} stays, because another version has it.");
    }
    context.output.told(&said, &answer)
}

/// The id of a secret in a state; another state is told as that.
async fn of_state(
    access: &Access,
    place: &SecretAddress,
    state: SecretStatus,
) -> Result<client::shared_proto::id::SecretId, Failure> {
    if let SecretAddress::Id(id) = place {
        return Ok(*id);
    }
    if let Some(secret) = access.find(place, StateFilter::Only(state)).await? {
        return Ok(secret.key_id);
    }
    // Not there, or in another state.
    access.active(place).await?;
    Err(Failure::failed(format!("{place} is not deleted.")))
}

/// Goes on only if somebody means it.
fn confirm(what: &str, place: &SecretAddress, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !prompt::is_person() {
        return Err(
            Failure::wrong_use(format!("{what} Nobody is there to be asked.")).next("Add --yes if it is meant.")
        );
    }
    if prompt::confirmed(what, &place.to_string())? { Ok(()) } else { Err(Failure::failed("Nothing was destroyed.")) }
}
