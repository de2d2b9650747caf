//! The vault's database. An adversary may read, alter, roll back or delete everything behind this trait. It holds
//! ciphertext rows and signed events only, and nothing that it returns is trusted without a key.

mod conformance;
mod fingerprints;
mod sql;

use async_trait::async_trait;
pub use conformance::check as check_conformance;
use service_runtime::sql::StoreFault;
use shared_proto::encoding::Bytes;
use shared_proto::envelope::{Ciphertext, EnvelopeDigest, StoredKey};
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;

pub use fingerprints::{FingerprintOfRow, FingerprintStore, WrappedFingerprint};
pub use sql::{SqlStore, schema};

/// The wrapped data key of a row under one epoch of its root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Epoch of the root key.
    pub epoch: u32,
    /// Number of the storage key.
    pub storage_key: u32,
    /// The wrapped key.
    pub stored: StoredKey,
}

/// An envelope to be stored.
#[derive(Clone)]
pub struct NewRow {
    /// The version of the row.
    pub name: VersionName,
    /// Digest of the envelope, recomputed by the vault.
    pub digest: EnvelopeDigest,
    /// The encrypted value.
    pub ciphertext: Ciphertext,
    /// Its wrapped data key.
    pub key: WrappedKey,
    /// Its bound fingerprint, if the manager sent one.
    pub fingerprint: Option<WrappedFingerprint>,
}

/// A row of the database. It does not matter which environment it names: headers are built from tokens.
#[derive(Clone)]
pub struct Row {
    /// The encrypted value.
    pub ciphertext: Ciphertext,
    /// Its wrapped data keys, newest epoch first.
    pub keys: Vec<WrappedKey>,
}

/// A wrapped key of a newer epoch, to be added to a row.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The row.
    pub name: VersionName,
    /// Digest of its envelope.
    pub digest: EnvelopeDigest,
    /// The wrapped key.
    pub key: WrappedKey,
}

/// The state of a row after an attempt to add a key to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// The facts of the row.
    pub facts: ReceiptFacts,
    /// Its wrapped key of that epoch; `None` if the new key was refused.
    pub key: Option<WrappedKey>,
}

/// A wrapped key and the row that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOfRow {
    /// Secret of the row.
    pub secret: SecretId,
    /// Version of the row.
    pub version: Version,
    /// The wrapped key.
    pub key: WrappedKey,
}

/// The progress of an environment's rows to an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completeness {
    /// Rows of the environment.
    pub rows: u64,
    /// Those without a key of that epoch or above.
    pub lacking: u64,
}

/// The manager's key statements (JSON documents), and the time at which their poll was signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// The documents.
    pub documents: Vec<String>,
    /// `iat` of the poll (Unix seconds).
    pub stated_at: u64,
}

/// A verified event to be applied.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Number of the event before it.
    pub after: u64,
    /// Its number.
    pub seq: u64,
    /// Its compact form.
    pub compact: String,
    /// The version that it destroys.
    pub destroys: Option<VersionName>,
}

/// The database of the vault.
#[async_trait]
pub trait VaultStore: FingerprintStore {
    /// Stores rows in one durable commit. Returns for each the facts that are now under its name: those of the new row,
    /// an older one or a tombstone, and `None` when its epoch is retired. Existing rows are never changed.
    async fn insert(&self, rows: Vec<NewRow>, now: u64) -> Result<Vec<Option<ReceiptFacts>>, StoreFault>;

    /// Returns the facts under each name, after writing a tombstone for each missing one.
    async fn settle(&self, names: Vec<VersionName>, now: u64) -> Result<Vec<ReceiptFacts>, StoreFault>;

    /// Writes a tombstone under each name and returns their facts. Writes nothing if one of them has a row or a tombstone
    /// already.
    async fn settle_unused(&self, names: Vec<VersionName>, now: u64) -> Result<Option<Vec<ReceiptFacts>>, StoreFault>;

    /// The row of a version.
    async fn read(&self, secret: SecretId, version: Version) -> Result<Option<Row>, StoreFault>;

    /// Up to `limit` stored versions after a secret and version, in that order.
    async fn inventory(
        &self,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Result<Vec<ReceiptFacts>, StoreFault>;

    /// The wrapped key of this epoch for each version, with the digest of its envelope.
    async fn wrapped(
        &self,
        epoch: u32,
        names: Vec<VersionName>,
    ) -> Result<Vec<Option<(EnvelopeDigest, WrappedKey)>>, StoreFault>;

    /// Adds wrapped keys to rows in one durable commit, beside the existing ones. A key is refused unless its epoch is
    /// above all epochs of the row, and not retired. Returns `None` for each missing row.
    async fn rewrap(&self, keys: Vec<NewKey>) -> Result<Vec<Option<Rewrapped>>, StoreFault>;

    /// Retires the epochs below one, unless a row of the environment lacks a key of that epoch or above: stores nothing
    /// below it from now on, and erases the keys below it, a few at a time.
    async fn retire(&self, environment: EnvironmentId, epoch: u32) -> Result<Completeness, StoreFault>;

    /// Up to `limit` wrapped keys, after one, that are not under this storage key.
    async fn not_under(
        &self,
        storage_key: u32,
        after: Option<(SecretId, Version, u32)>,
        limit: usize,
    ) -> Result<Vec<KeyOfRow>, StoreFault>;

    /// Replaces wrapped keys by the same ones under another storage key, in one durable commit. Rows that changed
    /// meanwhile stay as they are.
    async fn exchange(&self, keys: Vec<(KeyOfRow, WrappedKey)>) -> Result<(), StoreFault>;

    /// Appends events and erases the versions that they destroy, in one durable commit. Each must follow the newest
    /// one.
    async fn append_events(&self, events: Vec<NewEvent>, now: u64) -> Result<(), StoreFault>;

    /// Drops the events with these numbers, in one durable commit.
    async fn drop_events(&self, numbers: Vec<u64>) -> Result<(), StoreFault>;

    /// Up to `limit` events after a number, in order.
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreFault>;

    /// The versions that are destroyed, permanently.
    async fn tombstones(&self) -> Result<Vec<(SecretId, Version)>, StoreFault>;

    /// Replaces the manager's key statements.
    async fn replace_statements(&self, statements: Statements) -> Result<(), StoreFault>;

    /// The manager's key statements.
    async fn statements(&self) -> Result<Statements, StoreFault>;

    /// Whether the last use of the disk succeeded.
    fn is_healthy(&self) -> bool;

    /// Tells whether this process still has the database. Otherwise a version that it read before may be revoked.
    fn is_held(&self) -> bool;

    /// Returns when another process has taken the database over, or it went back to an older state.
    async fn lost(&self);

    /// Ends the store. Accepted writes are durable.
    async fn close(&self);
}

/// The facts of a tombstone.
fn tombstone(name: VersionName) -> ReceiptFacts {
    ReceiptFacts {
        environment: name.environment,
        secret: name.secret_id,
        version: name.version,
        state: shared_proto::receipt::VersionState::Tombstone,
        epoch: 0,
        digest: Bytes([0; 32]),
    }
}

/// The facts of a stored row.
fn stored(
    environment: EnvironmentId,
    secret: SecretId,
    version: Version,
    epoch: u32,
    digest: Bytes<32>,
) -> ReceiptFacts {
    ReceiptFacts { environment, secret, version, state: shared_proto::receipt::VersionState::Stored, epoch, digest }
}
