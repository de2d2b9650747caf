//! Role assignments and permissions: making and deleting them. A line is never changed: a new one takes its place.

use manager_api::id::{AssignmentId, PermissionId};
use manager_api::lines::{
    AssignRole, AssignmentDetails, CreatePermission, MAX_CONDITION_BYTES, MAX_LINES, MAX_SECOND, PermissionDetails,
};
use manager_api::name::{EnvironmentName, IdempotencyKey, Reason};
use manager_api::policy::{Effect, PartyId, PatternText};
use manager_policy::{AnyAction, Line, ManagePolicy, PathPattern, Permit, Reach, Scope};
use manager_registry::{Permission, RecordName, RoleAssignment, Terms};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;

use super::groups::{is_known, limit_reached, mismatch};
use super::{PolicyKeeper, Told};
use crate::access::{Caller, View};
use crate::audit_event::{RegistryAct, RegistryOutcome, action};
use crate::revocation::Sequences;

impl PolicyKeeper {
    /// Assigns a role. A repeat under the same key finds what the first request made.
    ///
    /// # Errors
    /// The caller may not, or lacks a right of the role; the line breaks a rule, or names what does not exist; there are
    /// too many, or the key was used for another one.
    pub async fn assign_role(
        &self,
        asked: AssignRole,
        key: Option<IdempotencyKey>,
        by: (&Caller, &Origin),
    ) -> Result<(AssignmentDetails, Sequences), Refusal> {
        let id = self.keys.now().credentials.new_id(by.0, action::ROLE_ASSIGN, key.as_ref());
        let made = self.assignment(asked, AssignmentId::from_bytes(id), by.0)?;
        let told = (Told::Before(RegistryAct::RoleAssign), made.assignment_id.to_string());
        let line = made.line().map_err(out_of_range)?;
        let done = self
            .change(by, made.terms.reason.as_ref(), told, |caller, view| {
                let permit = may_make(caller, view, &line, made.party)?;
                if let Some(known) = view.state.assignment(made.assignment_id) {
                    let terms = Terms { created_at: known.terms.created_at, ..made.terms.clone() };
                    let is_same = RoleAssignment { terms, ..made.clone() } == *known;
                    return if is_same { Ok((permit, Vec::new())) } else { Err(mismatch()) };
                }
                check_room(view, 1, Effect::Allow)?;
                Ok((permit, vec![made.clone().into()]))
            })
            .await?;
        Ok((self.assignment_details(&made, true), done))
    }

    /// Makes a permission. A repeat under the same key finds what the first request made.
    ///
    /// # Errors
    /// Those of [`Self::assign_role`].
    pub async fn create_permission(
        &self,
        asked: CreatePermission,
        key: Option<IdempotencyKey>,
        by: (&Caller, &Origin),
    ) -> Result<(PermissionDetails, Sequences), Refusal> {
        let id = self.keys.now().credentials.new_id(by.0, action::PERMISSION_CREATE, key.as_ref());
        let made = self.permission(asked, PermissionId::from_bytes(id), by.0)?;
        let told = match made.effect {
            Effect::Allow => Told::Before(RegistryAct::PermissionCreate),
            Effect::Deny => Told::After(RegistryOutcome::DenialCreate),
        };
        let told = (told, made.permission_id.to_string());
        let line = made.line().map_err(out_of_range)?;
        let done = self
            .change(by, made.terms.reason.as_ref(), told, |caller, view| {
                let permit = may_make(caller, view, &line, made.party)?;
                if let Some(known) = view.state.permission(made.permission_id) {
                    let terms = Terms { created_at: known.terms.created_at, ..made.terms.clone() };
                    let is_same = Permission { terms, ..made.clone() } == *known;
                    return if is_same { Ok((permit, Vec::new())) } else { Err(mismatch()) };
                }
                check_room(view, 1, made.effect)?;
                Ok((permit, vec![made.clone().into()]))
            })
            .await?;
        Ok((self.permission_details(&made, true), done))
    }

    /// Deletes a role assignment, and revokes what it gave.
    ///
    /// # Errors
    /// There is no such assignment, or it is not the caller's to change.
    pub async fn unassign_role(
        &self,
        id: AssignmentId,
        reason: Option<Reason>,
        by: (&Caller, &Origin),
    ) -> Result<Sequences, Refusal> {
        let told = Told::After(RegistryOutcome::RoleUnassign);
        self.remove(id.into(), told, reason, by).await
    }

    /// Deletes a permission, and revokes what it gave.
    ///
    /// # Errors
    /// There is no such permission, or it is not the caller's to change; or it denies something that he lacks.
    pub async fn delete_permission(
        &self,
        id: PermissionId,
        reason: Option<Reason>,
        by: (&Caller, &Origin),
    ) -> Result<Sequences, Refusal> {
        let view = self.registry.now().await?;
        let told = match view.state.permission(id).map(|known| known.effect) {
            // What denied gives something when it is gone.
            Some(Effect::Deny) => Told::Before(RegistryAct::DenialDelete),
            Some(Effect::Allow) | None => Told::After(RegistryOutcome::PermissionDelete),
        };
        self.remove(id.into(), told, reason, by).await
    }

    async fn remove(
        &self,
        name: RecordName,
        told: Told,
        reason: Option<Reason>,
        by: (&Caller, &Origin),
    ) -> Result<Sequences, Refusal> {
        self.change(by, reason.as_ref(), (told, name.id.clone()), |caller, view| {
            let permit = removable(caller, view, &name)?;
            Ok((permit, vec![name.clone().into()]))
        })
        .await
    }

    /// The record of a role assignment that a caller asks for.
    pub(super) fn assignment(
        &self,
        asked: AssignRole,
        assignment_id: AssignmentId,
        caller: &Caller,
    ) -> Result<RoleAssignment, Refusal> {
        let AssignRole { role, party, environment, pattern, starts_at, ends_at, reason } = asked;
        let environment = self.environment_of(caller, environment)?;
        check_pattern(&pattern)?;
        let terms = terms(caller, (starts_at, ends_at), reason)?;
        Ok(RoleAssignment { assignment_id, party, role, environment, pattern, terms })
    }

    /// The record of a permission that a caller asks for.
    pub(super) fn permission(
        &self,
        asked: CreatePermission,
        permission_id: PermissionId,
        caller: &Caller,
    ) -> Result<Permission, Refusal> {
        let CreatePermission { party, effect, actions, environment, pattern, tags, starts_at, ends_at, reason } = asked;
        let environment = self.environment_of(caller, environment)?;
        check_pattern(&pattern)?;
        if tags.iter().map(|(key, value)| key.as_str().len() + value.as_str().len()).sum::<usize>()
            > MAX_CONDITION_BYTES
        {
            return Err(Refusal::parameter("The tags of a condition have 2048 bytes at most."));
        }
        let terms = terms(caller, (starts_at, ends_at), reason)?;
        Ok(Permission { permission_id, party, effect, actions, environment, pattern, tags, terms })
    }

    /// The id of an environment that a caller names. One that he may not know of looks like an unknown one.
    pub(super) fn environment_of(
        &self,
        caller: &Caller,
        name: Option<EnvironmentName>,
    ) -> Result<Option<EnvironmentId>, Refusal> {
        let Some(name) = name else { return Ok(None) };
        let unknown = || Refusal::new(ErrorCode::NameInvalid).detail("There is no such environment.");
        self.environments.known(caller, &name).map(|known| Some(known.id)).ok_or_else(unknown)
    }
}

/// The permit for a new line, whose party exists.
pub(super) fn may_make(
    caller: &Caller,
    view: &View,
    line: &Line,
    party: PartyId,
) -> Result<Permit<AnyAction>, Refusal> {
    let permit = caller.permit::<ManagePolicy>(&scope_of(line.reach()))?.to_look();
    if is_known(view, party) { Ok(permit) } else { Err(Refusal::new(ErrorCode::PartyNotFound)) }
}

/// The permit for removing a line. One that is not the caller's to change looks like an unknown one.
pub(super) fn removable(caller: &Caller, view: &View, name: &RecordName) -> Result<Permit<AnyAction>, Refusal> {
    let unknown = || Refusal::new(ErrorCode::LineNotFound);
    let scope = scope_of(view.state.line(name).ok_or_else(unknown)?.reach());
    caller.permit::<ManagePolicy>(&scope).map(|permit| permit.to_look()).map_err(|_not_permitted| unknown())
}

/// All that a line is about.
pub(super) fn scope_of(reach: &Reach) -> Scope {
    Scope::Reach(reach.clone())
}

/// The lines that only denials may take.
const FOR_DENIALS: usize = 1_000;

/// Refuses more lines than there may be. The last of them are for denials, so that what is too much can be taken away.
pub fn check_room(view: &View, more: usize, effect: Effect) -> Result<(), Refusal> {
    let most = match effect {
        Effect::Allow => MAX_LINES - FOR_DENIALS,
        Effect::Deny => MAX_LINES,
    };
    if view.facts.state().lines.len().saturating_add(more) <= most {
        return Ok(());
    }
    Err(limit_reached(
        "There are 100,000 role assignments and permissions (99,000 before denials), and no more are made.",
    ))
}

fn check_pattern(pattern: &PatternText) -> Result<(), Refusal> {
    let read = pattern.as_str().parse::<PathPattern>();
    read.map(|_| ()).map_err(|Malformed(rule)| Refusal::new(ErrorCode::NameInvalid).detail(rule))
}

fn terms(caller: &Caller, (starts_at, ends_at): (Option<u64>, Option<u64>), reason: Reason) -> Result<Terms, Refusal> {
    if [starts_at, ends_at].into_iter().flatten().any(|second| second > MAX_SECOND) {
        return Err(Refusal::parameter("A time is after the year 9999."));
    }
    if ends_at.is_some_and(|end| end <= caller.now()) {
        return Err(Refusal::parameter("It has ended already."));
    }
    let (reason, author) = (Some(reason), caller.subject());
    Ok(Terms { starts_at, ends_at, reason, author, created_at: caller.now() })
}

fn out_of_range(Malformed(rule): Malformed) -> Refusal {
    Refusal::parameter(rule)
}
