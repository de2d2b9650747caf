//! Questions: why somebody may do something, and who may.

use std::sync::Arc;

use manager_api::policy::Action;
use manager_api::policy_questions::{
    AccessDetails, AccessList, Because, ConsideredLine, Explain, Explanation, LineDetails, MAX_SHOWN_LINES, MissedBy,
    NearMiss, PolicyTarget, Through, WhoCan,
};
use manager_policy::{
    Access, ActionType, Actor, AnyAction, Considered, Holder, Line, LineId, List, ManagePolicy, Miss, Permit,
    ReadAudit, Ruling, Scope, SecretFacts, Target, Why, explain, who_can,
};
use manager_registry::Snapshot;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;

use super::lists::Sight;
use super::{PolicyKeeper, basis_of};
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;

/// The secret or the part of the installation that a question is about.
#[derive(Clone, Debug)]
pub(super) enum About {
    Secret(SecretFacts),
    Scope(Scope),
}

impl About {
    pub(super) fn target(&self) -> Target<'_> {
        match self {
            Self::Secret(facts) => facts.into(),
            Self::Scope(scope) => scope.into(),
        }
    }

    fn permit<A: ActionType>(&self, caller: &Caller) -> Result<Permit<AnyAction>, Refusal> {
        let permit: Permit<A> = match self {
            Self::Secret(facts) => caller.permit_on(Some(facts))?,
            Self::Scope(scope) => caller.permit(scope)?,
        };
        Ok(permit.to_look())
    }

    /// The permit of one who may ask about others: he manages the policy here, or reads what happened.
    pub(super) fn permit_to_ask(&self, caller: &Caller) -> Result<Permit<AnyAction>, Refusal> {
        self.permit::<ManagePolicy>(caller).or_else(|_| self.permit::<ReadAudit>(caller))
    }

    /// The permit of one who asks about himself: anybody, about a secret that he may list.
    fn permit_for_own(&self, caller: &Caller) -> Result<Permit<AnyAction>, Refusal> {
        let is_one_secret = matches!(self, Self::Secret(_) | Self::Scope(Scope::Path(..)));
        let asked = self.permit_to_ask(caller);
        if is_one_secret { asked.or_else(|_| self.permit::<List>(caller)) } else { asked }
    }
}

impl PolicyKeeper {
    /// Explains a decision.
    ///
    /// # Errors
    /// The caller may not ask, or there is no such secret, which looks the same.
    pub async fn explain(&self, asked: Explain, (caller, origin): (&Caller, &Origin)) -> Result<Explanation, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let about = self.about(&caller, asked.target).await?;
        let own = asked.principal.is_none_or(|principal| caller.subject() == Some(principal));
        let (permit, actor) = match asked.principal {
            Some(principal) if !own => (about.permit_to_ask(&caller)?, somebody(&caller, Holder::Principal(principal))),
            Some(_) | None => (about.permit_for_own(&caller)?, caller.actor().clone()),
        };
        let target = match actor.holder {
            Holder::Principal(subject) => Some(subject.to_string()),
            Holder::Stranger => None,
        };
        let (sight, basis) = (Sight::of(&caller), basis_of(&permit)?);
        // In memory and of the lines of one principal only.
        let explained = self.explained(&view, (&actor, asked.action, &about), &sight, caller.now());
        self.give_out(basis, origin, (RegistryAct::PermissionExplain, target)).await?;
        Ok(explained)
    }

    /// Names those who may do an action, in pages.
    ///
    /// # Errors
    /// The caller may not ask, or there is no such secret, which looks the same.
    pub async fn who_can(&self, asked: WhoCan, (caller, origin): (&Caller, &Origin)) -> Result<AccessList, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let limit = asked.limit.unwrap_or(100);
        if !(1..=500).contains(&limit) {
            return Err(Refusal::parameter("limit is 1 to 500."));
        }
        let about = self.about(&caller, asked.target).await?;
        let permit = about.permit_to_ask(&caller)?;
        let (action, now) = (asked.action.unwrap_or(Action::Read), caller.now());
        let after = asked.after.map(Holder::Principal);
        let page = self.aside(move || {
            let all = who_can(&view.facts, action, about.target(), after, now);
            Ok(all.take(limit + 1).map(|access| access_details(&access)).collect::<Vec<_>>())
        });
        let mut principals = page.await?;
        let is_last = principals.len() <= limit;
        principals.truncate(limit);
        let next = principals.last().and_then(|last| last.principal).filter(|_| !is_last);
        self.give_out(basis_of(&permit)?, origin, (RegistryAct::PermissionWhoCan, None)).await?;
        Ok(AccessList { principals, next })
    }

    /// The first principals who may read a secret, up to a number.
    pub(crate) async fn readers(
        &self,
        view: &Arc<View>,
        secret: SecretFacts,
        now: u64,
        most: usize,
    ) -> Result<Vec<AccessDetails>, Refusal> {
        let view = Arc::clone(view);
        self.aside(move || {
            let all = who_can(&view.facts, Action::Read, Target::from(&secret), None, now);
            Ok(all.take(most).map(|access| access_details(&access)).collect())
        })
        .await
    }

    /// The target of a question. A secret that does not exist is a place.
    pub(super) async fn about(&self, caller: &Caller, asked: PolicyTarget) -> Result<About, Refusal> {
        let PolicyTarget { key_id, environment, path, under } = asked;
        if let Some(id) = key_id {
            if environment.is_some() || path.is_some() || under.is_some() {
                return Err(Refusal::parameter("A secret is named by its key_id, or by its environment and path."));
            }
            let mut facts = self.store.secret_facts(vec![id]).await?;
            let found = facts.pop().flatten().map(About::Secret);
            return found.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound));
        }
        let environment = self.environment_of(caller, environment)?;
        match (environment, path, under) {
            (Some(environment), Some(path), None) => {
                let mut facts = self.store.facts_at(vec![(environment, path.clone())]).await?;
                Ok(facts.pop().flatten().map_or(About::Scope(Scope::Path(environment, path)), About::Secret))
            }
            (Some(environment), None, Some(under)) => Ok(About::Scope(Scope::Folder(environment, under))),
            (Some(environment), None, None) => Ok(About::Scope(Scope::Environment(environment))),
            (None, None, None) => Ok(About::Scope(Scope::Installation)),
            (Some(_), Some(_), Some(_)) | (None, _, _) => {
                Err(Refusal::parameter("A path or a folder stands with its environment, and not with the other."))
            }
        }
    }

    fn explained(
        &self,
        view: &Arc<View>,
        (actor, action, about): (&Actor, Action, &About),
        sight: &Sight,
        now: u64,
    ) -> Explanation {
        let found = explain(&view.facts, actor, action, about.target(), now);
        let shown = |line: &Line| self.line_details(&view.state, line, sight.sees(line.reach()));
        let (allowed, because, decided_by) = match found.ruling {
            Ruling::Allowed(line) => (true, Because::Allowed, Some(line)),
            Ruling::Denied(Why::Line(line)) => (false, Because::Denied, Some(line)),
            Ruling::Denied(Why::NoLine) => (false, Because::NoLine, None),
            Ruling::Denied(Why::Unknown) => (false, Because::UnknownPrincipal, None),
            Ruling::Denied(Why::Disabled) => (false, Because::DisabledPrincipal, None),
            Ruling::Denied(Why::ServiceOnly) => (false, Because::ServiceOnly, None),
            Ruling::Denied(Why::Limits) => (false, Because::Limits, None),
        };
        let considered = |one: &Considered<'_>| Some(ConsideredLine { line: shown(one.line)?, group_id: one.group });
        let holding: Vec<_> = found.holding.iter().filter_map(considered).take(MAX_SHOWN_LINES).collect();
        // A line about another place tells of that place.
        let may_see = |line: &Line, miss: Miss| is_about_the_place(miss) || sight.sees(line.reach());
        let near = found.near_misses.iter().filter(|(one, miss)| may_see(one.line, *miss)).filter_map(|(one, miss)| {
            Some(NearMiss { line: shown(one.line)?, group_id: one.group, missed_by: missed_by(*miss) })
        });
        Explanation {
            allowed,
            because,
            decided_by: decided_by.and_then(shown),
            more: found.holding.len() > holding.len() || found.more_near_misses && sight.sees_all(),
            holding,
            near_misses: near.collect(),
        }
    }

    /// A line as its record says it. The line of callers without a credential has none.
    fn line_details(&self, state: &Snapshot, line: &Line, with_origin: bool) -> Option<LineDetails> {
        match line.id() {
            LineId::Permission(id) => {
                let found = state.permission(id)?;
                Some(LineDetails::Permission(self.permission_details(found, with_origin)))
            }
            LineId::Assignment(id) => {
                let found = state.assignment(id)?;
                Some(LineDetails::RoleAssignment(self.assignment_details(found, with_origin)))
            }
        }
    }
}

/// A principal whose credential is not looked at.
fn somebody(caller: &Caller, holder: Holder) -> Actor {
    Actor { holder, credential: caller.credential(), limits: None, ends_at: None }
}

/// A principal and the lines that let him.
fn access_details(access: &Access<'_>) -> AccessDetails {
    let more = access.through.len() > MAX_SHOWN_LINES;
    let through = access.through.iter().take(MAX_SHOWN_LINES).map(|one| {
        let (permission_id, assignment_id) = match one.line.id() {
            LineId::Permission(id) => (Some(id), None),
            LineId::Assignment(id) => (None, Some(id)),
        };
        Through { permission_id, assignment_id, group_id: one.group }
    });
    let principal = match access.holder {
        Holder::Principal(subject) => Some(subject),
        Holder::Stranger => None,
    };
    AccessDetails { principal, through: through.collect(), more }
}

/// Tells whether a line that fails for this reason is about the place that was asked about.
fn is_about_the_place(miss: Miss) -> bool {
    match miss {
        Miss::Action | Miss::Tags | Miss::NotYet(_) | Miss::Ended(_) => true,
        Miss::Environment | Miss::Path | Miss::OnlyPart => false,
    }
}

fn missed_by(miss: Miss) -> MissedBy {
    match miss {
        Miss::Action => MissedBy::Action,
        Miss::Environment => MissedBy::Environment,
        Miss::Path => MissedBy::Path,
        Miss::OnlyPart => MissedBy::OnlyPart,
        Miss::Tags => MissedBy::Tags,
        Miss::NotYet(_) => MissedBy::NotYet,
        Miss::Ended(_) => MissedBy::Ended,
    }
}
