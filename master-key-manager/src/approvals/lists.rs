//! Acts as they are shown: to the one who asked, and to those who may decide or have decided.

use manager_api::approvals::ApprovalState;
use manager_api::id::ApprovalId;
use manager_api::name::SecretPath;
use manager_policy::{Action, Visible};
use manager_registry::Approval;
use service_runtime::Refusal;
use service_runtime::audit::Origin;

use super::{Approvals, NO_SECRET, is_own, not_found};
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

/// Acts whose secrets are looked up for one page. A caller who sees few of them goes on with the next page.
const MOST_LOOKED_AT: usize = 256;

/// A page of acts, as a caller sees them.
#[derive(Debug)]
pub struct ApprovalPage {
    /// The acts, ordered by id.
    pub approvals: Vec<SeenApproval>,
    /// The last act that was looked at, if there are more.
    pub next: Option<ApprovalId>,
    /// The time at which their states are (Unix seconds).
    pub now: u64,
}

/// An act, as a caller sees it.
#[derive(Debug)]
pub struct SeenApproval {
    /// The act.
    pub approval: Approval,
    /// The path of its secret: the present one for those who may approve there, and the one of then for the one who asked.
    pub path: Option<SecretPath>,
}

impl SeenApproval {
    /// An act as the one who asked for it sees it.
    pub(super) fn of_asker(approval: Approval) -> Self {
        Self { path: Some(approval.path.clone()), approval }
    }
}

impl Approvals {
    /// A page of acts.
    ///
    /// # Errors
    /// Nothing can be given out.
    pub async fn list(&self, asked: Asked, caller: &Caller, origin: &Origin) -> Result<ApprovalPage, Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        // In the order of the texts, as records are.
        let (now, after) = (caller.now(), asked.after.map(|id| id.to_string()).unwrap_or_default());
        let is_asked = |approval: &&Approval| {
            approval.approval_id.to_string() > after && asked.state.is_none_or(|state| approval.state_at(now) == state)
        };
        let mut some: Vec<&Approval> = view.state.approvals().filter(is_asked).take(MOST_LOOKED_AT + 1).collect();
        let mut has_more = some.len() > MOST_LOOKED_AT;
        some.truncate(MOST_LOOKED_AT);
        let decides = caller.may(Action::Approve);
        let mut next = some.last().map(|last| last.approval_id);
        let mut approvals = self.shown(&caller, &decides, &some).await?;
        if approvals.len() > asked.limit {
            approvals.truncate(asked.limit);
            (next, has_more) = (approvals.last().map(|last| last.approval.approval_id), true);
        }
        self.store.look_again_at(decides.basis()).await?;
        self.audit.record(Act::Registry(RegistryAct::ApprovalList, None), origin).await?;
        Ok(ApprovalPage { approvals, next: next.filter(|_| has_more), now })
    }

    /// One act, with the time at which its state is.
    ///
    /// # Errors
    /// `ApprovalNotFound`: it is unknown, or not the caller's to see.
    pub async fn show(&self, id: ApprovalId, caller: &Caller, origin: &Origin) -> Result<(SeenApproval, u64), Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let decides = caller.may(Action::Approve);
        let seen = if let Some(approval) = view.state.approval(id) {
            self.shown(&caller, &decides, &[approval]).await?.pop()
        } else {
            // As for one that he may not see.
            self.store.secret_facts(vec![NO_SECRET]).await?;
            None
        };
        let seen = seen.ok_or_else(not_found)?;
        self.store.look_again_at(decides.basis()).await?;
        self.audit.record(Act::Registry(RegistryAct::ApprovalShow, Some(id.to_string())), origin).await?;
        Ok((seen, caller.now()))
    }

    /// Those of some acts that a caller may see.
    async fn shown(
        &self,
        caller: &Caller,
        decides: &Visible,
        some: &[&Approval],
    ) -> Result<Vec<SeenApproval>, Refusal> {
        let secrets = some.iter().map(|approval| approval.act.secret()).collect();
        let facts = self.store.secret_facts(secrets).await?;
        let has_decided = |approval: &Approval| caller.subject().is_some() && approval.decided_by == caller.subject();
        let seen = some.iter().zip(facts).filter_map(|(approval, facts)| {
            let present = facts.filter(|facts| decides.shows(facts)).map(|facts| facts.path);
            let path = present.or_else(|| is_own(caller, approval).then(|| approval.path.clone()));
            let is_seen = path.is_some() || has_decided(approval);
            is_seen.then(|| SeenApproval { approval: (*approval).clone(), path })
        });
        Ok(seen.collect())
    }
}
