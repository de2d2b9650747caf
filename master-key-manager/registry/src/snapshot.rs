//! The records in memory, and changes of them.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use shared_proto::Rejected;
use shared_proto::encoding::Bytes;
use shared_proto::id::CredentialId;

use crate::digest::Tree;
use crate::entry::NO_ENTRY;
use crate::record::Record;
use crate::{
    Anchor, Author, Change, Credential, Entry, RecordName, RegistryKey, Service, Tag, WrittenEntry, WrittenRecord,
};

/// All records, as they were after one entry. Clones share what they have in common.
#[derive(Clone)]
pub struct Snapshot {
    number: u64,
    tag: Tag,
    tree: Tree,
    records: RedBlackTreeMapSync<RecordName, Arc<Record>>,
    by_hmac: RedBlackTreeMapSync<[u8; 32], CredentialId>,
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
            tree: Tree::of(std::iter::empty()),
            records: RedBlackTreeMapSync::new_sync(),
            by_hmac: RedBlackTreeMapSync::new_sync(),
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
        let mut state = Self { number: entry.number, tag: newest.tag, tree, ..Self::empty() };
        for record in records {
            state.put(record.name.clone(), Some(record.read().map_err(|Rejected| Broken)?));
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

    /// A change of this state, with its entry. Its number is above `used`, too: numbers that an anchor knows and that
    /// the database has forgotten.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn propose(
        &self,
        changes: Vec<Change>,
        (author, reason, made_at): (Author, &str, u64),
        used: u64,
        key: &RegistryKey,
    ) -> Result<Proposal, Rejected> {
        let mut after = self.clone();
        let (mut written, mut removed) = (Vec::new(), Vec::new());
        for Change { name, after: record } in &changes {
            let body = record.as_ref().map(Record::write).transpose()?;
            if body.as_ref().is_some_and(|body| body.name != *name) {
                return Err(Rejected);
            }
            after.tree.set(name, body.as_ref().map(|written| written.body.as_str()));
            after.put(name.clone(), record.clone());
            match body {
                Some(body) => written.push(body),
                None => removed.push(name.clone()),
            }
        }
        let number = self.number.max(used).checked_add(1).ok_or(Rejected)?;
        let root = Bytes(after.tree.root());
        let entry = Entry { number, before: self.tag, root, made_at, author, reason: reason.to_owned(), changes };
        let entry = entry.write(key)?;
        (after.number, after.tag) = (number, entry.tag);
        Ok(Proposal { rows: Rows { expected: self.number, entry, written, removed }, after })
    }

    /// The credential with this keyed hash.
    pub fn credential_by_hmac(&self, hmac: &[u8; 32]) -> Option<&Credential> {
        self.credential(*self.by_hmac.get(hmac)?)
    }

    /// The credential with an id.
    pub fn credential(&self, id: CredentialId) -> Option<&Credential> {
        match self.records.get(&RecordName::credential(id))?.as_ref() {
            Record::Credential(credential) => Some(credential),
            Record::Service(_) => None,
        }
    }

    /// All services, ordered by id.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.records.values().filter_map(|record| match record.as_ref() {
            Record::Service(service) => Some(service),
            Record::Credential(_) => None,
        })
    }

    /// All credentials, ordered by id.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.records.values().filter_map(|record| match record.as_ref() {
            Record::Credential(credential) => Some(credential),
            Record::Service(_) => None,
        })
    }

    fn put(&mut self, name: RecordName, record: Option<Record>) {
        if let Some(Record::Credential(Credential { hmac: Some(hmac), .. })) = self.records.get(&name).map(Arc::as_ref)
        {
            let hmac = hmac.0;
            self.by_hmac.remove_mut(&hmac);
        }
        let Some(record) = record else {
            self.records.remove_mut(&name);
            return;
        };
        if let Record::Credential(Credential { hmac: Some(hmac), credential_id, .. }) = &record {
            self.by_hmac.insert_mut(hmac.0, *credential_id);
        }
        self.records.insert_mut(name, Arc::new(record));
    }
}
