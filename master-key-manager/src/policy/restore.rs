//! Putting a former version of the policy in force again.

use std::collections::{BTreeMap, BTreeSet};

use manager_api::groups::MAX_GROUPS;
use manager_api::id::GroupId;
use manager_api::name::Reason;
use manager_api::policy::PartyId;
use manager_api::policy_versions::{MAX_SHOWN_PRINCIPALS, RestoreAnswer};
use manager_api::wire::RevocationStatus;
use manager_policy::{ManageIdentities, ManagePolicy, Scope};
use manager_registry::{Change, Group, PolicyState, Record, RecordName};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::id::Subject;

use super::groups::{check_name, is_known, limit_reached};
use super::{PolicyKeeper, Told};
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;

/// The most records that one restore changes.
const MOST_CHANGES: usize = 10_000;

/// The changes of a restore, and the principals that it leaves out.
#[derive(Default)]
struct Restoring {
    changes: Vec<Change>,
    left_out: BTreeSet<Subject>,
}

impl PolicyKeeper {
    /// Makes lines and memberships what they were after a version, in one change. Groups keep their names; those that were
    /// made since have no members, and those that were deleted come back.
    ///
    /// # Errors
    /// The caller may not, or lacks a right that somebody gets back; there is no such version, it is too long ago or too
    /// much has changed since; or a group that comes back has the name of another one.
    pub async fn restore(&self, number: u64, reason: Reason, by: (&Caller, &Origin)) -> Result<RestoreAnswer, Refusal> {
        let (caller, view) = self.now(by.0).await?;
        let permits = |caller: &Caller| {
            caller.permit::<ManageIdentities>(&Scope::Installation)?;
            caller.permit::<ManagePolicy>(&Scope::Installation)
        };
        permits(&caller)?;
        let former = self.state_at(&view, number).await?;
        let shown = restoring(&view, &former)?;
        let told = (Told::Before(RegistryAct::PolicyVersionRestore), number.to_string());
        let decide = |caller: &Caller, view: &View| {
            let permit = permits(caller)?;
            Ok((permit.to_look(), restoring(view, &former)?.changes))
        };
        let done = self.change(by, Some(&reason), told, decide).await?;
        Ok(RestoreAnswer {
            status: if done.applied { RevocationStatus::Revoked } else { RevocationStatus::Pending },
            sequences: done.numbers,
            changes: shown.changes.len(),
            left_out: shown.left_out.into_iter().take(MAX_SHOWN_PRINCIPALS).collect(),
        })
    }
}

/// The changes that make lines and memberships what they were.
fn restoring(view: &View, former: &PolicyState) -> Result<Restoring, Refusal> {
    let (mut all, mut groups) = (Restoring::default(), BTreeMap::<GroupId, &Group>::new());
    for record in former.records() {
        match record {
            Record::Group(group) => {
                groups.insert(group.group_id, group);
            }
            Record::RoleAssignment(line) => {
                let is_there = view.state.assignment(line.assignment_id) == Some(line);
                all.put_line(view, line.party, is_there, record);
            }
            Record::Permission(line) => {
                let is_there = view.state.permission(line.permission_id) == Some(line);
                all.put_line(view, line.party, is_there, record);
            }
            Record::Service(_)
            | Record::Person(_)
            | Record::Credential(_)
            | Record::Uses(_)
            | Record::Settings(_)
            | Record::TaggedRows(_)
            | Record::SignOn(_)
            | Record::Enrolment(_)
            | Record::EnvironmentRules(_)
            | Record::Place(_)
            | Record::Approval(_)
            | Record::Incident(_)
            | Record::Renewal(_) => {}
        }
    }
    for known in view.state.groups() {
        let members = groups.remove(&known.group_id).map(|group| group.members.as_slice()).unwrap_or_default();
        all.put_group(view, known.clone(), members, Some(known));
    }
    let back = groups.len();
    for group in groups.into_values() {
        check_name(view, &group.name)?;
        all.put_group(view, group.clone(), &group.members, None);
    }
    if back > 0 && view.state.groups().count() + back > MAX_GROUPS {
        return Err(limit_reached("There would be more than 10,000 groups."));
    }
    let assignments = view.state.assignments().map(|line| RecordName::from(line.assignment_id));
    let permissions = view.state.permissions().map(|line| RecordName::from(line.permission_id));
    let gone = assignments.chain(permissions).filter(|name| former.get(name).is_none());
    all.changes.extend(gone.map(Change::from));
    if all.changes.len() > MOST_CHANGES {
        return Err(limit_reached("More than 10,000 lines and groups have changed since."));
    }
    Ok(all)
}

impl Restoring {
    fn put_line(&mut self, view: &View, party: PartyId, is_there: bool, record: &Record) {
        match party {
            PartyId::Principal(subject) if !is_known(view, party) => {
                self.left_out.insert(subject);
            }
            // A group that a line of then names comes back with it.
            PartyId::Principal(_) | PartyId::Group(_) if is_there => {}
            PartyId::Principal(_) | PartyId::Group(_) => self.changes.push(record.clone().into()),
        }
    }

    fn put_group(&mut self, view: &View, mut group: Group, members: &[Subject], known: Option<&Group>) {
        let (kept, gone): (Vec<Subject>, Vec<Subject>) =
            members.iter().partition(|member| is_known(view, PartyId::Principal(**member)));
        self.left_out.extend(gone);
        group.members = kept;
        if known != Some(&group) {
            self.changes.push(group.into());
        }
    }
}
