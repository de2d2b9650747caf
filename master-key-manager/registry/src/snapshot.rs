//! The records in memory, and changes of them.

use std::sync::Arc;

use manager_api::id::ApprovalId;
use manager_api::name::AccountName;
use manager_policy::{Limit, Line};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use shared_proto::Rejected;
use shared_proto::encoding::Bytes;
use shared_proto::id::{CredentialId, Subject};

use crate::approval::ApprovedRead;
use crate::digest::Tree;
use crate::entry::NO_ENTRY;
use crate::record::Record;
use crate::{
    Anchor, Approval, Author, Change, Credential, Entry, Kind, RecordName, RegistryKey, Tag, WrittenEntry,
    WrittenRecord,
};

/// All records, as they were after one entry. Clones share what they have in common.
#[derive(Clone)]
pub struct Snapshot {
    number: u64,
    tag: Tag,
    /// The newest entry that changed lines or groups.
    policy: Option<Anchor>,
    tree: Tree,
    records: RedBlackTreeMapSync<RecordName, Arc<Record>>,
    by_hmac: RedBlackTreeMapSync<[u8; 32], CredentialId>,
    by_subject: RedBlackTreeSetSync<(Subject, CredentialId)>,
    trusts: RedBlackTreeSetSync<CredentialId>,
    /// Approvals by the principal who asked for them.
    by_asker: RedBlackTreeSetSync<(Subject, ApprovalId)>,
    by_name: RedBlackTreeMapSync<(Kind, String), RecordName>,
    /// Lines of the policy and limits of credentials, as their records say them.
    lines: RedBlackTreeMapSync<RecordName, Arc<Line>>,
    limits: RedBlackTreeMapSync<CredentialId, Arc<[Limit]>>,
}

/// The rows of a change, which the database writes in one transaction.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The number of the newest entry that the database must have; 0 for an empty log.
    pub expected: u64,
    /// The next entry.
    pub entry: WrittenEntry,
    /// Records that are made or replaced.
    pub written: Vec<WrittenRecord>,
    /// Records that are removed.
    pub removed: Vec<RecordName>,
    /// Sessions whose living tokens are revoked with it, one by one: an event about a credential would stay in the feed for
    /// ever, and sessions end every day.
    pub ended_sessions: Vec<CredentialId>,
}

/// A change that was not made yet.
#[derive(Clone)]
pub struct Proposal {
    /// Its rows.
    pub rows: Rows,
    /// The state after it.
    pub after: Snapshot,
}

/// The records are not those that the newest entry was written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records of registry do not fit the newest entry of their log")]
pub struct Broken;

impl Snapshot {
    /// No records, before the first entry.
    pub fn empty() -> Self {
        Self {
            number: 0,
            tag: NO_ENTRY,
            policy: None,
            tree: Tree::of(std::iter::empty()),
            records: RedBlackTreeMapSync::new_sync(),
            by_hmac: RedBlackTreeMapSync::new_sync(),
            by_subject: RedBlackTreeSetSync::new_sync(),
            trusts: RedBlackTreeSetSync::new_sync(),
            by_asker: RedBlackTreeSetSync::new_sync(),
            by_name: RedBlackTreeMapSync::new_sync(),
            lines: RedBlackTreeMapSync::new_sync(),
            limits: RedBlackTreeMapSync::new_sync(),
        }
    }

    /// The records of a database, verified with its newest entry.
    ///
    /// # Errors
    /// The entry was not written with this key, or over other records.
    pub fn load(records: &[WrittenRecord], newest: &WrittenEntry, key: &RegistryKey) -> Result<Self, Broken> {
        let entry = newest.read(key).map_err(|Rejected| Broken)?;
        let tree = Tree::of(records.iter().map(|record| (&record.name, record.body.as_str())));
        if tree.root() != entry.root.0 {
            return Err(Broken);
        }
        let policy = entry.policy_version(newest.tag);
        let mut state = Self { number: entry.number, tag: newest.tag, policy, tree, ..Self::empty() };
        for record in records {
            let read = record.read().and_then(|read| state.put(record.name.clone(), Some(read)));
            read.map_err(|Rejected| Broken)?;
        }
        Ok(state)
    }

    /// The number of the newest entry; 0 before the first.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The same records as those of no entry.
    #[must_use]
    pub fn unnumbered(self) -> Self {
        Self { number: 0, ..self }
    }

    /// The anchor of this state.
    pub fn anchor(&self) -> Anchor {
        Anchor { number: self.number, tag: self.tag }
    }

    /// The newest entry that changed lines or groups; `None` if none did.
    pub fn policy_version(&self) -> Option<Anchor> {
        self.policy
    }

    /// A change of this state, with its entry. Its number is above `used`, too: numbers that an anchor knows and that
    /// the database has forgotten.
    ///
    /// # Errors
    /// It cannot be written as JSON, a line or a limit breaks a rule, or a name is given twice.
    pub fn propose(
        &self,
        mut changes: Vec<Change>,
        (author, reason, made_at): (Author, &str, u64),
        used: u64,
        key: &RegistryKey,
    ) -> Result<Proposal, Rejected> {
        let number = self.number.max(used).checked_add(1).ok_or(Rejected)?;
        for change in &mut changes {
            match &mut change.after {
                Some(Record::Place(place)) => place.number = number,
                Some(Record::Renewal(renewal)) => renewal.number = number,
                Some(_) | None => {}
            }
        }
        let mut after = self.clone();
        let (mut written, mut removed) = (Vec::new(), Vec::new());
        let versioned = changes.iter().filter(|change| change.name.kind.is_versioned());
        let replaced: Vec<Record> = versioned.filter_map(|change| self.record(&change.name)).cloned().collect();
        // Names that one of them gives up are free for the others.
        for change in &changes {
            after.put(change.name.clone(), None)?;
        }
        for Change { name, after: record } in &changes {
            let body = record.as_ref().map(Record::write).transpose()?;
            if body.as_ref().is_some_and(|body| body.name != *name) {
                return Err(Rejected);
            }
            after.tree.set(name, body.as_ref().map(|written| written.body.as_str()));
            after.put(name.clone(), record.clone())?;
            match body {
                Some(body) => written.push(body),
                None => removed.push(name.clone()),
            }
        }
        let root = Bytes(after.tree.root());
        let (before, reason, policy) = (self.tag, reason.to_owned(), self.policy);
        let entry = Entry { number, before, root, made_at, author, reason, changes, policy, replaced };
        let written_entry = entry.write(key)?;
        (after.number, after.tag) = (number, written_entry.tag);
        after.policy = entry.policy_version(written_entry.tag);
        let (expected, ended_sessions) = (self.number, Vec::new());
        Ok(Proposal { rows: Rows { expected, entry: written_entry, written, removed, ended_sessions }, after })
    }

    /// The credential with this keyed hash.
    pub fn credential_by_hmac(&self, hmac: &[u8; 32]) -> Option<&Credential> {
        self.credential(*self.by_hmac.get(hmac)?)
    }

    /// The record of a kind with a name that only one has.
    pub fn named(&self, kind: Kind, name: &AccountName) -> Option<&Record> {
        self.record(self.by_name.get(&(kind, name.as_str().to_owned()))?)
    }

    /// Every credential of a principal, ordered by id.
    pub fn all_credentials_of(&self, subject: Subject) -> impl Iterator<Item = &Credential> {
        let [first, last] = [[0; 16], [u8::MAX; 16]].map(|id| (subject, CredentialId::from_bytes(id)));
        self.by_subject.range(first..=last).filter_map(|(_, id)| self.credential(*id))
    }

    /// Every approval that a principal has asked for, ordered by id.
    pub fn approvals_of(&self, subject: Subject) -> impl Iterator<Item = &Approval> {
        let [first, last] = [[0; 16], [u8::MAX; 16]].map(|id| (subject, ApprovalId::from_bytes(id)));
        self.by_asker.range(first..=last).filter_map(|(_, id)| self.approval(*id))
    }

    /// The secrets that a principal may read by approvals in force at a time.
    pub fn approved_reads(&self, subject: Subject, now: u64) -> Vec<ApprovedRead> {
        self.approvals_of(subject).filter_map(|approval| approval.read_in_force(now)).collect()
    }

    /// The record with a name.
    pub fn record(&self, name: &RecordName) -> Option<&Record> {
        self.records.get(name).map(Arc::as_ref)
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        let first = RecordName { kind, id: String::new() };
        let of_kind = self.records.range(first..).map(|(_, record)| record.as_ref());
        of_kind.take_while(move |record| record.name().kind == kind)
    }

    /// The line of the policy that a record says.
    pub fn line(&self, name: &RecordName) -> Option<&Arc<Line>> {
        self.lines.get(name)
    }

    /// The ids of the credentials that are trusts.
    pub(crate) fn trust_ids(&self) -> impl Iterator<Item = CredentialId> {
        self.trusts.iter().copied()
    }

    /// All lines of the policy.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.lines.values()
    }

    /// The limits of a credential; `None` if it has all rights of its principal.
    pub(crate) fn limits_of(&self, id: CredentialId) -> Option<&Arc<[Limit]>> {
        self.limits.get(&id)
    }

    /// Sets or removes a record, with what is found by it.
    ///
    /// # Errors
    /// A line or a limit breaks a rule, or another record has its name or its keyed hash.
    fn put(&mut self, name: RecordName, record: Option<Record>) -> Result<(), Rejected> {
        if let Some(before) = self.records.get(&name).cloned() {
            self.take_out(&name, &before);
        }
        let Some(record) = record else { return Ok(()) };
        if let Some(unique) = record.unique_name() {
            let key = (name.kind, unique.to_owned());
            if self.by_name.contains_key(&key) {
                return Err(Rejected);
            }
            self.by_name.insert_mut(key, name.clone());
        }
        let line = match &record {
            Record::Credential(credential) => {
                self.put_credential(credential)?;
                None
            }
            Record::RoleAssignment(assignment) => Some(assignment.line()),
            Record::Permission(permission) => Some(permission.line()),
            Record::Service(_)
            | Record::Person(_)
            | Record::Group(_)
            | Record::Uses(_)
            | Record::Settings(_)
            | Record::TaggedRows(_)
            | Record::SignOn(_)
            | Record::Enrolment(_)
            | Record::EnvironmentRules(_)
            | Record::Place(_)
            | Record::Incident(_)
            | Record::Renewal(_) => None,
            Record::Approval(approval) => {
                self.by_asker.insert_mut((approval.asked_by, approval.approval_id));
                None
            }
        };
        if let Some(line) = line {
            self.lines.insert_mut(name.clone(), Arc::new(line.map_err(|_| Rejected)?));
        }
        self.records.insert_mut(name, Arc::new(record));
        Ok(())
    }

    fn put_credential(&mut self, credential: &Credential) -> Result<(), Rejected> {
        let id = credential.credential_id;
        if credential.proof.trust().is_some() {
            self.trusts.insert_mut(id);
        }
        if let Some(hmac) = credential.proof.hmac() {
            if self.by_hmac.contains_key(hmac) {
                return Err(Rejected);
            }
            self.by_hmac.insert_mut(*hmac, id);
        }
        self.by_subject.insert_mut((credential.subject, id));
        if let Some(limits) = &credential.limits {
            let limits: Result<Vec<Limit>, _> = limits.iter().map(crate::CredentialLimit::limit).collect();
            self.limits.insert_mut(id, limits.map_err(|_| Rejected)?.into());
        }
        Ok(())
    }

    fn take_out(&mut self, name: &RecordName, record: &Record) {
        self.records.remove_mut(name);
        self.lines.remove_mut(name);
        if let Some(unique) = record.unique_name() {
            self.by_name.remove_mut(&(name.kind, unique.to_owned()));
        }
        if let Record::Approval(approval) = record {
            self.by_asker.remove_mut(&(approval.asked_by, approval.approval_id));
        }
        if let Record::Credential(credential) = record {
            let id = credential.credential_id;
            self.limits.remove_mut(&id);
            self.by_subject.remove_mut(&(credential.subject, id));
            self.trusts.remove_mut(&id);
            if let Some(hmac) = credential.proof.hmac() {
                self.by_hmac.remove_mut(hmac);
            }
        }
    }
}
