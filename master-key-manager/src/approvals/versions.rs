//! The destruction of single versions, where somebody else approves it.

use manager_api::id::ApprovalId;
use manager_api::name::Reason;
use manager_api::wire::CatalogueState;
use manager_policy::{Destroy, Permit};
use manager_registry::AskedAct;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::Approvals;
use crate::access::Caller;
use crate::catalogue::{Known, destroy};
use crate::revocation::Sequences;

/// The outcome of a command to destroy a version.
#[derive(Debug)]
pub enum VersionDestruction {
    /// It is destroyed, and its envelope unless the version is in the list.
    Decided(Sequences, Vec<Version>),
    /// Somebody else decides.
    Awaits(ApprovalId),
}

impl Approvals {
    /// Destroys a version, or asks for it where its environment wants an approval.
    ///
    /// # Errors
    /// Those of [`destroy`]. `ParameterInvalid`: somebody else decides, and the caller says no reason. `SecretDeleted`: the whole
    /// secret is deleted. `LimitReached`: too many acts await approval.
    pub async fn destroy_version(
        &self,
        (secret, version): (SecretId, Version),
        reason: Option<Reason>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<VersionDestruction, Refusal> {
        let permit: Permit<Destroy> = caller.permit_on_id(self.store.as_ref(), secret).await?;
        let (store, settler) = (self.store.as_ref(), &self.keeper.settler);
        let asked = (permit, secret, vec![version]);
        match destroy(store, settler, &self.revocations, &self.audit, asked, origin).await {
            Ok((done, kept)) => return Ok(VersionDestruction::Decided(done, kept)),
            Err(refusal) if refusal.code() == ErrorCode::ApprovalRequired => {}
            Err(refusal) => return Err(refusal),
        }
        let (known, permit) = self.keeper.known_to::<Destroy>(secret, caller).await?;
        let (held, row) = self.keeper.destroyable(&permit, secret, version).await?;
        drop(held);
        match row.state {
            // What its row says has no tag: without an event of its envelope, or another version that keeps that, somebody is asked.
            CatalogueState::Destroyed => {
                let done = self.revocations.progress_of(Event::Destroy(row.environment, secret, row.envelope)).await?;
                if !done.numbers.is_empty() {
                    return Ok(VersionDestruction::Decided(done, Vec::new()));
                }
                if self.store.is_kept_by_another(&permit.to_look(), row).await? {
                    return Ok(VersionDestruction::Decided(done, vec![version]));
                }
            }
            CatalogueState::Committed | CatalogueState::Pending | CatalogueState::Abandoned => {}
        }
        let reason = reason
            .ok_or_else(|| Refusal::parameter("Here somebody else approves it, and is shown a reason: say one."))?;
        let may = |caller: &Caller, known: &Known| {
            caller.permit_on::<Destroy>(Some(&known.placed.facts))?;
            if known.placed.rules.deletion.is_some() {
                return Err(Refusal::new(ErrorCode::SecretDeleted));
            }
            Ok(())
        };
        let act = AskedAct::DestroyVersion { secret_id: secret, version };
        let approval = self.ask(act, &known, reason, (caller, origin), may).await?;
        Ok(VersionDestruction::Awaits(approval.approval_id))
    }
}
