//! The rows of registry: records, and the log that authenticates them.

use async_trait::async_trait;
use manager_registry::{Record, Rows, Snapshot, WrittenEntry, WrittenRecord};
use shared_proto::event::Event;

use crate::{CatalogueChanges, PlaceConflict, SignEvent, Stored};

/// The bytes of entries after which a page of them ends.
pub const POLICY_BYTES_AT_ONCE: usize = 4 << 20;

/// Rows that an operator vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// All rows of a database from before there was a registry. Once it has an entry there are none.
    All,
    /// Versions of secrets. The caller has seen in the verified registry that nobody has vouched for them yet.
    Versions,
}

/// Principals, credentials and policy, as rows that only a verified state gives a meaning.
#[async_trait]
pub trait RegistryStore: Send + Sync {
    /// All records, with the log from this entry on, and in any case its newest one; as they are at one moment.
    async fn registry(&self, from: u64) -> Stored<RegistryRows>;
    /// The number of the newest entry; 0 before the first.
    async fn registry_number(&self) -> Stored<u64>;
    /// The entries that changed lines or groups, from the one with this number on, newest first. At most `limit` of them,
    /// and no more after [`POLICY_BYTES_AT_ONCE`]. They are not verified.
    async fn policy_entries(&self, from: u64, limit: usize) -> Stored<Vec<WrittenEntry>>;
    /// Writes a change with the events that it causes, in one transaction. Of two changes of the same state, the second
    /// one is not made. Events are numbered with `sign`, and deferred without.
    async fn change_registry(
        &self,
        rows: Rows,
        events: Vec<Event>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<ChangeOutcome> {
        self.change_places(rows, CatalogueChanges::default(), events, sign, now).await
    }
    /// The same, with what changes in the catalogue with it. The rows have a change of each place. Nothing is written if one of
    /// them has a conflict.
    async fn change_places(
        &self,
        rows: Rows,
        places: CatalogueChanges,
        events: Vec<Event>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<ChangeOutcome>;
    /// Has the numbers of places compared with this verified state from now on.
    fn follow(&self, state: &Snapshot);
    /// Deletes entries that are no versions of the policy, the oldest first. At most `limit` entries are looked at.
    async fn drop_entries(&self, old: OldEntries, limit: usize) -> Stored<DroppedEntries>;
    /// Tags up to `limit` rows of each table of a database from before such rows had tags, and returns how many there were. An operator
    /// vouches for them: whatever they say holds from then on.
    async fn vouch(&self, what: Vouched, limit: usize) -> Stored<usize>;
    /// Whether this process is still the one that uses the database. Without that, what is in memory may have changed.
    fn is_held(&self) -> bool;
    /// The number of the newest event of this name; `None` if there is none, or one waits for its number.
    async fn number_of(&self, event: Event) -> Stored<Option<u64>>;
}

/// The rows at one moment.
#[derive(Clone, Debug, Default)]
pub struct RegistryRows {
    /// The records.
    pub records: Vec<WrittenRecord>,
    /// Entries of the log, in order. The last one is the newest.
    pub log: Vec<WrittenEntry>,
    /// Whether there are records of kinds that this program does not know.
    pub has_foreign: bool,
    /// Credentials of a database from before there were records, which nobody has taken over.
    pub former: Vec<Record>,
}

/// The entries that are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldEntries {
    /// The number up to which they are dropped.
    pub after: u64,
    /// The number from which on all are kept.
    pub below: u64,
    /// Those that were made before this time (Unix seconds) are dropped.
    pub made_before: u64,
    /// So are those with a number below this one, whenever they were made.
    pub too_many_below: u64,
}

/// How far entries were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedEntries {
    /// The number up to which they are.
    pub up_to: u64,
    /// Set if there may be more to drop.
    pub more: bool,
}

/// The outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// It is made.
    Made {
        /// The numbers of its events; empty if they are deferred.
        numbers: Vec<u64>,
    },
    /// The database has another newest entry. Nothing was written.
    Moved,
    /// A place cannot change so. Nothing was written.
    Conflict(PlaceConflict),
}
