//! Lines and groups as they were after a former entry.

use std::collections::BTreeMap;

use crate::{Entry, Record, RecordName, Snapshot};

/// The lines and groups after an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyState {
    records: BTreeMap<RecordName, Record>,
}

impl PolicyState {
    /// Those of a state.
    pub fn of(state: &Snapshot) -> Self {
        let groups = state.groups().cloned().map(Record::from);
        let assignments = state.assignments().cloned().map(Record::from);
        let permissions = state.permissions().cloned().map(Record::from);
        let all = groups.chain(assignments).chain(permissions);
        Self { records: all.map(|record| (record.name(), record)).collect() }
    }

    /// Takes an entry back, which must be the newest one that is in it.
    pub fn undo(&mut self, entry: &Entry) {
        for change in entry.changes.iter().filter(|change| change.name.kind.is_versioned()) {
            self.records.remove(&change.name);
        }
        for record in &entry.replaced {
            self.records.insert(record.name(), record.clone());
        }
    }

    /// The records, by kind and id.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The record with a name.
    pub fn get(&self, name: &RecordName) -> Option<&Record> {
        self.records.get(name)
    }
}
