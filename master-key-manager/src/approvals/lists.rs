//! Acts as they are shown: to the one who asked, and to those who may decide or have decided.

use manager_api::approvals::ApprovalState;
use manager_api::id::ApprovalId;
use manager_policy::{Action, Visible};
use manager_registry::Approval;
use service_runtime::Refusal;
use service_runtime::audit::Origin;

use super::{Approvals, is_own, not_found};
use crate::access::Caller;
use crate::audit_event::{Act, RegistryAct};

/// A page that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Only acts in this state.
    pub state: Option<ApprovalState>,
    /// The last act of the page before.
    pub after: Option<ApprovalId>,
    /// The most acts.
    pub limit: usize,
}

/// Acts whose secrets are looked up at once.
const AT_ONCE: usize = 256;

impl Approvals {
    /// A page of acts, ordered by id, with the time at which their states are.
    ///
    /// # Errors
    /// Nothing can be given out.
    pub async fn list(&self, asked: Asked, caller: &Caller, origin: &Origin) -> Result<(Vec<Approval>, u64), Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let (now, after) = (caller.now(), asked.after.map(|id| id.to_string()).unwrap_or_default());
        let is_asked = |approval: &&Approval| {
            approval.approval_id.to_string() > after && asked.state.is_none_or(|state| approval.state_at(now) == state)
        };
        let all: Vec<&Approval> = view.state.approvals().filter(is_asked).collect();
        let decides = caller.may(Action::Approve);
        let mut page = Vec::new();
        for some in all.chunks(AT_ONCE) {
            let shown = self.shown(&caller, &decides, some).await?;
            page.extend(shown.into_iter().cloned());
            if page.len() >= asked.limit {
                break;
            }
        }
        page.truncate(asked.limit);
        self.store.look_again_at(decides.basis()).await?;
        self.audit.record(Act::Registry(RegistryAct::ApprovalList, None), origin).await?;
        Ok((page, now))
    }

    /// One act, with the time at which its state is.
    ///
    /// # Errors
    /// `ApprovalNotFound`: it is unknown, or not the caller's to see.
    pub async fn show(&self, id: ApprovalId, caller: &Caller, origin: &Origin) -> Result<(Approval, u64), Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let approval = view.state.approval(id).ok_or_else(not_found)?;
        let decides = caller.may(Action::Approve);
        let shown = self.shown(&caller, &decides, &[approval]).await?;
        let approval = shown.first().copied().ok_or_else(not_found)?.clone();
        self.store.look_again_at(decides.basis()).await?;
        self.audit.record(Act::Registry(RegistryAct::ApprovalShow, Some(id.to_string())), origin).await?;
        Ok((approval, caller.now()))
    }

    /// Those of some acts that a caller may see.
    async fn shown<'a>(
        &self,
        caller: &Caller,
        decides: &Visible,
        some: &[&'a Approval],
    ) -> Result<Vec<&'a Approval>, Refusal> {
        let secrets = some.iter().map(|approval| approval.act.secret()).collect();
        let facts = self.store.secret_facts(secrets).await?;
        let has_decided = |approval: &Approval| caller.subject().is_some() && approval.decided_by == caller.subject();
        let sees = some.iter().zip(&facts).filter(|(approval, facts)| {
            is_own(caller, approval)
                || has_decided(approval)
                || facts.as_ref().is_some_and(|facts| decides.shows(facts))
        });
        Ok(sees.map(|(approval, _)| *approval).collect())
    }
}
