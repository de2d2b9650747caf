//! Lists of role assignments and permissions, as far as they are the caller's to see.

use manager_api::id::PermissionId;
use manager_api::lines::{AssignmentDetails, PermissionDetails};
use manager_api::name::EnvironmentName;
use manager_api::policy::{Action, PartyId};
use manager_policy::{Basis, Reach, Visible};
use manager_registry::RecordName;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;

use super::PolicyKeeper;
use super::lines::scope_of;
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;

/// A page that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Only lines about this principal or group.
    pub party: Option<PartyId>,
    /// Only lines that hold in this environment.
    pub environment: Option<EnvironmentName>,
    /// The id of the last line of the page before.
    pub after: Option<String>,
    /// The most lines.
    pub limit: usize,
}

/// The lines that a caller may see: where he manages the policy or reads what happened.
pub(super) struct Sight {
    policy: Visible,
    audit: Visible,
}

/// The conditions of a page, in the terms of the registry.
#[derive(Clone, Debug)]
struct Filter {
    party: Option<PartyId>,
    environment: Option<EnvironmentId>,
    after: Option<String>,
}

impl PolicyKeeper {
    /// A page of role assignments, ordered by id.
    ///
    /// # Errors
    /// There is no such environment, or nothing can be given out.
    pub async fn assignments(
        &self,
        asked: Asked,
        (caller, origin): (&Caller, &Origin),
    ) -> Result<Vec<AssignmentDetails>, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let (sight, limit) = (Sight::of(&caller), asked.limit);
        let (basis, filter) = (sight.basis(), self.filter(&caller, asked)?);
        let page = self.aside(move || {
            let shown = view.state.assignments().filter(|line| {
                filter.lets(&line.assignment_id.into(), line.party, line.environment)
                    && sight.sees_record(&view, &line.assignment_id.into())
            });
            Ok(shown.take(limit).cloned().collect::<Vec<_>>())
        });
        let page = page.await?;
        self.give_out(basis, origin, (RegistryAct::RoleList, None)).await?;
        Ok(page.iter().map(|line| self.assignment_details(line, true)).collect())
    }

    /// A page of permissions, ordered by id.
    ///
    /// # Errors
    /// Those of [`Self::assignments`].
    pub async fn permissions(
        &self,
        asked: Asked,
        (caller, origin): (&Caller, &Origin),
    ) -> Result<Vec<PermissionDetails>, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let (sight, limit) = (Sight::of(&caller), asked.limit);
        let (basis, filter) = (sight.basis(), self.filter(&caller, asked)?);
        let page = self.aside(move || {
            let shown = view.state.permissions().filter(|line| {
                filter.lets(&line.permission_id.into(), line.party, line.environment)
                    && sight.sees_record(&view, &line.permission_id.into())
            });
            Ok(shown.take(limit).cloned().collect::<Vec<_>>())
        });
        let page = page.await?;
        self.give_out(basis, origin, (RegistryAct::PermissionList, None)).await?;
        Ok(page.iter().map(|line| self.permission_details(line, true)).collect())
    }

    /// A permission.
    ///
    /// # Errors
    /// There is no such permission, or it is not the caller's to see.
    pub async fn shown_permission(
        &self,
        id: PermissionId,
        (caller, origin): (&Caller, &Origin),
    ) -> Result<PermissionDetails, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let sight = Sight::of(&caller);
        let found = view.state.permission(id).filter(|_| sight.sees_record(&view, &id.into()));
        let found = found.ok_or_else(|| Refusal::new(ErrorCode::LineNotFound))?;
        self.give_out(sight.basis(), origin, (RegistryAct::PermissionShow, Some(id.to_string()))).await?;
        Ok(self.permission_details(found, true))
    }

    fn filter(&self, caller: &Caller, asked: Asked) -> Result<Filter, Refusal> {
        let Asked { party, environment, after, limit: _ } = asked;
        Ok(Filter { party, environment: self.environment_of(caller, environment)?, after })
    }
}

impl Sight {
    pub(super) fn of(caller: &Caller) -> Self {
        Self { policy: caller.may(Action::ManagePolicy), audit: caller.may(Action::ReadAudit) }
    }

    /// The basis of what was seen.
    pub(super) fn basis(&self) -> Basis {
        let both = self.policy.basis().and(self.audit.basis());
        both.unwrap_or_else(|| self.policy.basis())
    }

    pub(super) fn sees(&self, reach: &Reach) -> bool {
        let scope = scope_of(reach);
        self.policy.shows(&scope) || self.audit.shows(&scope)
    }

    /// Tells whether every line is the caller's to see.
    pub(super) fn sees_all(&self) -> bool {
        self.sees(&Reach::everything())
    }

    pub(super) fn sees_record(&self, view: &View, name: &RecordName) -> bool {
        view.state.line(name).is_some_and(|line| self.sees(line.reach()))
    }
}

impl Filter {
    fn lets(&self, name: &RecordName, party: PartyId, environment: Option<EnvironmentId>) -> bool {
        self.after.as_ref().is_none_or(|after| name.id > *after)
            && self.party.is_none_or(|own| own == party)
            && self.environment.is_none_or(|own| environment.is_none_or(|of_line| of_line == own))
    }
}
