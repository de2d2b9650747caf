//! Groups and their members.

use manager_api::groups::{AddMembers, ChangeGroup, CreateGroup, GroupDetails, MAX_GROUPS, MAX_JOINING, MAX_MEMBERS};
use manager_api::id::GroupId;
use manager_api::name::{AccountName, IdempotencyKey, Reason};
use manager_api::policy::PartyId;
use manager_policy::{ManageIdentities, Permit, ReadAudit, Scope};
use manager_registry::{Group, Kind, Record, RecordName};
use service_runtime::audit::Origin;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;

use super::describe::group_details;
use super::{PolicyKeeper, Told, basis_of};
use crate::access::{Caller, View};
use crate::audit_event::{RegistryAct, RegistryOutcome, action};
use crate::revocation::Sequences;

impl PolicyKeeper {
    /// Makes a group without members. A repeat under the same key finds what the first request made.
    ///
    /// # Errors
    /// The caller may not, the name is taken, there are too many, or the key was used for another one.
    pub async fn create_group(
        &self,
        asked: CreateGroup,
        key: Option<IdempotencyKey>,
        by: (&Caller, &Origin),
    ) -> Result<GroupDetails, Refusal> {
        let CreateGroup { name, description, reason } = asked;
        let id = self.keys.now().credentials.new_id(by.0, action::GROUP_CREATE, key.as_ref());
        let created_at = by.0.now();
        let made = Group { group_id: GroupId::from_bytes(id), name, description, members: Vec::new(), created_at };
        let told = (Told::Before(RegistryAct::GroupCreate), made.group_id.to_string());
        self.change(by, reason.as_ref(), told, |caller, view| {
            let permit = caller.permit::<ManageIdentities>(&Scope::Installation)?.to_look();
            if let Some(known) = view.state.group(made.group_id) {
                let is_same = (&known.name, &known.description) == (&made.name, &made.description);
                return if is_same { Ok((permit, Vec::new())) } else { Err(mismatch()) };
            }
            check_name(view, &made.name)?;
            if view.state.groups().count() >= MAX_GROUPS {
                return Err(limit_reached("There are 10,000 groups, and no more are made."));
            }
            Ok((permit, vec![made.clone().into()]))
        })
        .await?;
        let known = self.registry.now().await?;
        known.state.group(made.group_id).map(group_details).ok_or_else(no_group)
    }

    /// Gives a group another name or description.
    ///
    /// # Errors
    /// The caller may not, there is no such group, or the name is taken.
    pub async fn change_group(
        &self,
        id: GroupId,
        asked: ChangeGroup,
        by: (&Caller, &Origin),
    ) -> Result<GroupDetails, Refusal> {
        let ChangeGroup { name, description, reason } = asked;
        if name.is_none() && description.is_none() {
            return Err(Refusal::parameter("A change names a name or a description."));
        }
        let told = (Told::Before(RegistryAct::GroupUpdate), id.to_string());
        self.change(by, reason.as_ref(), told, |caller, view| {
            let (permit, known) = managed(caller, view, id)?;
            let mut changed = known.clone();
            if let Some(name) = name.clone().filter(|name| *name != known.name) {
                check_name(view, &name)?;
                changed.name = name;
            }
            changed.description = description.clone().or(changed.description);
            let changes = if changed == *known { Vec::new() } else { vec![changed.into()] };
            Ok((permit.to_look(), changes))
        })
        .await?;
        let known = self.registry.now().await?;
        known.state.group(id).map(group_details).ok_or_else(no_group)
    }

    /// Deletes a group.
    ///
    /// # Errors
    /// The caller may not, there is no such group, or a line of the policy or an owner names it.
    pub async fn delete_group(
        &self,
        id: GroupId,
        reason: Option<Reason>,
        by: (&Caller, &Origin),
    ) -> Result<Sequences, Refusal> {
        let told = (Told::Before(RegistryAct::GroupDelete), id.to_string());
        self.change(by, reason.as_ref(), told, |caller, view| {
            let (permit, _) = managed(caller, view, id)?;
            if is_in_use(view, id) {
                return Err(Refusal::new(ErrorCode::GroupInUse));
            }
            Ok((permit.to_look(), vec![RecordName::from(id).into()]))
        })
        .await
    }

    /// Adds members to a group.
    ///
    /// # Errors
    /// The caller may not, or lacks a right that the group has; there is no such group or principal, or there are too
    /// many members.
    pub async fn add_members(
        &self,
        id: GroupId,
        asked: AddMembers,
        by: (&Caller, &Origin),
    ) -> Result<Sequences, Refusal> {
        let AddMembers { principals, reason } = asked;
        if !(1..=MAX_JOINING).contains(&principals.len()) {
            return Err(Refusal::parameter("principals are 1 to 500."));
        }
        let told = (Told::Before(RegistryAct::MemberAdd), id.to_string());
        self.change(by, reason.as_ref(), told, |caller, view| {
            let (permit, known) = managed(caller, view, id)?;
            if !principals.iter().all(|principal| is_known(view, PartyId::Principal(*principal))) {
                return Err(Refusal::new(ErrorCode::PartyNotFound));
            }
            let mut changed = known.clone();
            changed.members.extend(&principals);
            changed.members.sort_unstable();
            changed.members.dedup();
            if changed.members.len() > MAX_MEMBERS {
                return Err(limit_reached("A group has 10,000 members at most."));
            }
            let changes = if changed == *known { Vec::new() } else { vec![changed.into()] };
            Ok((permit.to_look(), changes))
        })
        .await
    }

    /// Removes a member from a group.
    ///
    /// # Errors
    /// The caller may not, there is no such group or member, or the group is denied something that the caller lacks.
    pub async fn remove_member(
        &self,
        (id, principal): (GroupId, Subject),
        reason: Option<Reason>,
        by: (&Caller, &Origin),
    ) -> Result<Sequences, Refusal> {
        let told = (Told::After(RegistryOutcome::MemberRemove), id.to_string());
        self.change(by, reason.as_ref(), told, |caller, view| {
            let (permit, known) = managed(caller, view, id)?;
            let mut changed = known.clone();
            changed.members.retain(|member| *member != principal);
            if changed == *known {
                return Err(Refusal::new(ErrorCode::PartyNotFound));
            }
            Ok((permit.to_look(), vec![changed.into()]))
        })
        .await
    }

    /// A page of groups, ordered by id.
    ///
    /// # Errors
    /// The caller may not see groups.
    pub async fn groups(
        &self,
        (after, limit): (Option<GroupId>, usize),
        (caller, origin): (&Caller, &Origin),
    ) -> Result<Vec<GroupDetails>, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let permit = caller.permit_one_of::<ManageIdentities, ReadAudit>(&Scope::Installation)?;
        let after = after.map(|id| id.to_string());
        let rest =
            view.state.groups().filter(|group| after.as_ref().is_none_or(|one| group.group_id.to_string() > *one));
        let page = rest.take(limit).map(group_details).collect();
        self.give_out(basis_of(&permit)?, origin, (RegistryAct::GroupList, None)).await?;
        Ok(page)
    }

    /// A group.
    ///
    /// # Errors
    /// The caller may not see groups, or there is no such group.
    pub async fn group(&self, id: GroupId, by: (&Caller, &Origin)) -> Result<GroupDetails, Refusal> {
        self.shown(id, RegistryAct::GroupShow, by, group_details).await
    }

    /// A page of the members of a group, in their order.
    ///
    /// # Errors
    /// Those of [`Self::group`].
    pub async fn members(
        &self,
        (id, after, limit): (GroupId, Option<Subject>, usize),
        by: (&Caller, &Origin),
    ) -> Result<Vec<Subject>, Refusal> {
        let page = |group: &Group| {
            let rest = group.members.iter().filter(|member| after.is_none_or(|after| **member > after));
            rest.take(limit).copied().collect()
        };
        self.shown(id, RegistryAct::MemberList, by, page).await
    }

    async fn shown<T>(
        &self,
        id: GroupId,
        act: RegistryAct,
        (caller, origin): (&Caller, &Origin),
        what: impl FnOnce(&Group) -> T,
    ) -> Result<T, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let permit = caller.permit_one_of::<ManageIdentities, ReadAudit>(&Scope::Installation)?;
        let found = what(view.state.group(id).ok_or_else(no_group)?);
        self.give_out(basis_of(&permit)?, origin, (act, Some(id.to_string()))).await?;
        Ok(found)
    }
}

/// A group that the caller may change.
fn managed<'a>(caller: &Caller, view: &'a View, id: GroupId) -> Result<(Permit<ManageIdentities>, &'a Group), Refusal> {
    let permit = caller.permit(&Scope::Installation)?;
    Ok((permit, view.state.group(id).ok_or_else(no_group)?))
}

/// Refuses a name that another group has.
pub(super) fn check_name(view: &View, name: &AccountName) -> Result<(), Refusal> {
    match view.state.named(Kind::Group, name) {
        Some(Record::Group(other)) => {
            Err(Refusal::new(ErrorCode::AlreadyExists).fact(Fact::Id(other.group_id.to_string())))
        }
        Some(_) | None => Ok(()),
    }
}

/// Tells whether a line of the policy is about a group, or a service is owned by it.
fn is_in_use(view: &View, id: GroupId) -> bool {
    let party = PartyId::Group(id);
    view.state.assignments().any(|line| line.party == party)
        || view.state.permissions().any(|line| line.party == party)
        || view.state.services().any(|service| service.owner == Some(party))
}

/// Tells whether there is such a principal or group.
pub(super) fn is_known(view: &View, party: PartyId) -> bool {
    match party {
        PartyId::Principal(Subject::Service(id)) => view.state.service(id).is_some(),
        PartyId::Principal(Subject::Person(id)) => view.state.person(id).is_some(),
        PartyId::Group(id) => view.state.group(id).is_some(),
    }
}

pub(super) fn mismatch() -> Refusal {
    Refusal::new(ErrorCode::IdempotencyMismatch)
}

pub(super) fn limit_reached(detail: &'static str) -> Refusal {
    Refusal::new(ErrorCode::LimitReached).detail(detail)
}

fn no_group() -> Refusal {
    Refusal::new(ErrorCode::GroupNotFound)
}
