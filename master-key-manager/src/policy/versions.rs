//! Former versions of the policy: entries of the registry's log that changed lines or groups.
//!
//! Each entry names the one before it by number and tag, and the newest one is named by the verified state. So a version
//! that was altered, left out or put in is noticed, however many entries of other kinds lie between.

use std::sync::Arc;

use manager_api::id::{AssignmentId, GroupId, PermissionId};
use manager_api::name::Reason;
use manager_api::policy_questions::LineDetails;
use manager_api::policy_versions::{
    FormerGroup, FormerPolicy, GroupChange, MAX_SHOWN_CHANGES, MAX_SHOWN_PRINCIPALS, PolicyVersion, PolicyVersionList,
    VersionAuthor, VersionChange,
};
use manager_policy::{ManagePolicy, ReadAudit, Scope};
use manager_registry::{Anchor, Author, Change, Entry, Group, PolicyState, Record, RecordName, WrittenEntry};
use manager_store::POLICY_BYTES_AT_ONCE;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;

use super::describe::group_details;
use super::groups::limit_reached;
use super::{PolicyKeeper, basis_of};
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;

/// The most versions between the newest one and one that is shown or restored.
const MOST_BACK: usize = 10_000;
/// Versions that are read at once.
const AT_ONCE: usize = 64;

impl PolicyKeeper {
    /// A page of versions, newest first, of those before a number.
    ///
    /// # Errors
    /// The caller may not see them, there is no such version, or the log was altered.
    pub async fn versions(
        &self,
        (after, limit): (Option<u64>, usize),
        (caller, origin): (&Caller, &Origin),
    ) -> Result<PolicyVersionList, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let permit = caller.permit_one_of::<ManagePolicy, ReadAudit>(&Scope::Installation)?;
        let first = match after {
            None => view.state.policy_version(),
            Some(number) => self.version_before(&view, number).await?,
        };
        let mut entries = match first {
            Some(first) => self.entries(first, limit).await?,
            None => Vec::new(),
        };
        entries.truncate(limit);
        let next = entries.last().filter(|last| last.policy.is_some()).map(|last| last.number);
        let versions = entries.iter().map(|entry| self.version(entry)).collect();
        self.give_out(basis_of(&permit)?, origin, (RegistryAct::PolicyVersionList, None)).await?;
        Ok(PolicyVersionList { versions, next })
    }

    /// A page of the groups and lines as they were after a version.
    ///
    /// # Errors
    /// The caller may not see them, there is no such version, it is too long ago, or the log was altered.
    pub async fn former_policy(
        &self,
        (number, after, limit): (u64, Option<String>, usize),
        (caller, origin): (&Caller, &Origin),
    ) -> Result<FormerPolicy, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let permit = caller.permit_one_of::<ManagePolicy, ReadAudit>(&Scope::Installation)?;
        let after = after.map(|text| cursor(&text)).transpose()?;
        let state = self.state_at(&view, number).await?;
        let rest = state.records().filter(|record| after.as_ref().is_none_or(|after| record.name() > *after));
        let mut page = FormerPolicy { number, groups: Vec::new(), lines: Vec::new(), next: None };
        let mut last = None;
        for record in rest.take(limit + 1) {
            if page.groups.len() + page.lines.len() == limit {
                page.next = last;
                break;
            }
            last = Some(record.name().id);
            if let Record::Group(group) = record {
                let members = group.members.iter().copied().take(MAX_SHOWN_PRINCIPALS).collect();
                page.groups.push(FormerGroup { group: group_details(group), members });
            }
            page.lines.extend(self.line_of(record));
        }
        self.give_out(basis_of(&permit)?, origin, (RegistryAct::PolicyVersionShow, Some(number.to_string()))).await?;
        Ok(page)
    }

    /// The groups and lines as they were after a version.
    pub(super) async fn state_at(&self, view: &Arc<View>, number: u64) -> Result<PolicyState, Refusal> {
        let unknown = || Refusal::new(ErrorCode::PolicyVersionNotFound);
        let newest = view.state.policy_version().filter(|newest| number <= newest.number).ok_or_else(unknown)?;
        let now = Arc::clone(view);
        let mut state = self.aside(move || Ok(PolicyState::of(&now.state))).await?;
        let (mut next, mut walked) = (newest, 0);
        while next.number != number {
            if next.number < number {
                return Err(unknown());
            }
            if walked >= MOST_BACK {
                return Err(limit_reached("More than 10,000 versions have followed that one."));
            }
            let entries = self.entries(next, AT_ONCE).await?;
            walked += entries.len();
            let undone = self.aside(move || {
                let mut before = Some(next);
                for entry in entries.iter().filter(|entry| entry.number > number) {
                    state.undo(entry);
                    before = entry.policy;
                }
                Ok((state, before))
            });
            let before;
            (state, before) = undone.await?;
            next = before.ok_or_else(unknown)?;
        }
        Ok(state)
    }

    /// The version before the one with a number.
    async fn version_before(&self, view: &View, number: u64) -> Result<Option<Anchor>, Refusal> {
        let unknown = || Refusal::new(ErrorCode::PolicyVersionNotFound);
        if view.state.policy_version().is_none_or(|newest| newest.number < number) {
            return Err(unknown());
        }
        let found = self.store.policy_entries(number, 1).await?.pop().ok_or_else(unknown)?;
        let entry = found.read(&self.keys.now().credentials.registry()).map_err(|_| altered())?;
        if entry.is_policy_version() { Ok(entry.policy) } else { Err(unknown()) }
    }

    /// The versions from one on, newest first, each verified to be the one that the version after it names.
    async fn entries(&self, first: Anchor, limit: usize) -> Result<Vec<Entry>, Refusal> {
        let written = self.store.policy_entries(first.number, limit).await?;
        let keys = self.keys.now();
        self.aside(move || {
            let key = keys.credentials.registry();
            let (mut entries, mut expected) = (Vec::with_capacity(written.len()), Some(first));
            for one in &written {
                if expected != Some(Anchor::from(one)) {
                    return Err(altered());
                }
                let entry = WrittenEntry::read(one, &key).map_err(|_| altered())?;
                expected = entry.policy;
                entries.push(entry);
            }
            // A page ends before its limit where there are no more, or where it is large enough.
            let bytes: usize = written.iter().map(|one| one.text.len()).sum();
            let is_whole = expected.is_none() || written.len() >= limit || bytes >= POLICY_BYTES_AT_ONCE;
            if is_whole { Ok(entries) } else { Err(altered()) }
        })
        .await
    }

    fn version(&self, entry: &Entry) -> PolicyVersion {
        let changes: Vec<&Change> = entry.changes.iter().filter(|change| change.name.kind.is_versioned()).collect();
        let before = |name: &RecordName| entry.replaced.iter().find(|record| record.name() == *name);
        let shown = changes.iter().take(MAX_SHOWN_CHANGES);
        PolicyVersion {
            number: entry.number,
            made_at: entry.made_at,
            author: match entry.author {
                Author::Caller { principal, credential } => VersionAuthor::Caller { principal, client_id: credential },
                Author::Operator => VersionAuthor::Operator,
                Author::Service => VersionAuthor::Service,
            },
            reason: Reason::parse(entry.reason.clone()).ok(),
            changes: shown
                .flat_map(|change| self.version_change(before(&change.name), change.after.as_ref()))
                .collect(),
            change_count: changes.len(),
        }
    }

    fn version_change(&self, before: Option<&Record>, after: Option<&Record>) -> Vec<VersionChange> {
        if let Some(Record::Group(_)) = before.or(after) {
            let group = |record: Option<&Record>| match record {
                Some(Record::Group(group)) => Some(group.clone()),
                Some(_) | None => None,
            };
            return vec![VersionChange::Group(group_change(group(before).as_ref(), group(after).as_ref()))];
        }
        let deleted = before.and_then(|line| self.line_of(line)).map(|line| VersionChange::LineDeleted { line });
        let made = after.and_then(|line| self.line_of(line)).map(|line| VersionChange::LineMade { line });
        deleted.into_iter().chain(made).collect()
    }

    fn line_of(&self, record: &Record) -> Option<LineDetails> {
        match record {
            Record::RoleAssignment(line) => Some(LineDetails::RoleAssignment(self.assignment_details(line, true))),
            Record::Permission(line) => Some(LineDetails::Permission(self.permission_details(line, true))),
            Record::Group(_)
            | Record::Service(_)
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
            | Record::Renewal(_) => None,
        }
    }
}

fn group_change(before: Option<&Group>, after: Option<&Group>) -> GroupChange {
    let of = |group: Option<&Group>| group.map(|group| group.members.clone()).unwrap_or_default();
    let (old, new) = (of(before), of(after));
    // Members are in order.
    let others = |some: &[Subject], all: &[Subject]| {
        let missing = some.iter().filter(|one| all.binary_search(one).is_err());
        missing.copied().take(MAX_SHOWN_PRINCIPALS).collect()
    };
    GroupChange {
        before: before.map(group_details),
        after: after.map(group_details),
        joined: others(&new, &old),
        left: others(&old, &new),
    }
}

/// The record that the last page ended with.
fn cursor(text: &str) -> Result<RecordName, Refusal> {
    let group = text.parse::<GroupId>().map(RecordName::from);
    let assignment = || text.parse::<AssignmentId>().map(RecordName::from);
    let permission = || text.parse::<PermissionId>().map(RecordName::from);
    let found = group.or_else(|_| assignment()).or_else(|_| permission());
    found.map_err(|_| Refusal::parameter("after is next of the page before."))
}

fn altered() -> Refusal {
    tracing::error!("former versions of the policy are not what this manager wrote");
    Refusal::unavailable("the log of the registry was altered")
}
