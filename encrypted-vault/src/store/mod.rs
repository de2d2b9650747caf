//! What the vault keeps. Everything behind this trait may be read, altered, rolled back or deleted by an adversary:
//! it knows ciphertext rows and signed events only, and nothing that it answers is believed without a key.

mod conformance;
mod faulty;
mod sqlite;

use async_trait::async_trait;
pub use conformance::check as check_conformance;
pub use faulty::{Fault, FaultyStore};
use service_runtime::sqlite::StoreFault;
use shared_proto::encoding::Bytes;
use shared_proto::envelope::{Ciphertext, EnvelopeDigest, StoredKey};
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;
pub use sqlite::SqliteStore;

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
    /// What the row is.
    pub name: VersionName,
    /// Digest of the envelope, recomputed by the vault.
    pub digest: EnvelopeDigest,
    /// The encrypted value.
    pub ciphertext: Ciphertext,
    /// Its wrapped data key.
    pub key: WrappedKey,
}

/// A row as it was found. Which environment it names does not matter: headers are built from tokens.
#[derive(Clone)]
pub struct Row {
    /// The encrypted value.
    pub ciphertext: Ciphertext,
    /// Its wrapped data keys, newest epoch first.
    pub keys: Vec<WrappedKey>,
}

/// A verified event to be applied.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its number.
    pub seq: u64,
    /// Its compact form.
    pub compact: String,
    /// The version that it destroys.
    pub destroys: Option<VersionName>,
}

/// The database of the vault.
#[async_trait]
pub trait VaultStore: Send + Sync {
    /// Stores rows in one durable commit. For each: what is there now under its name, which is the new row, an older
    /// one or a tombstone. Nothing that is there is ever changed.
    async fn insert(&self, rows: Vec<NewRow>, now: u64) -> Result<Vec<ReceiptFacts>, StoreFault>;

    /// Says what is under each name, after making a tombstone where nothing is.
    async fn settle(&self, names: Vec<VersionName>, now: u64) -> Result<Vec<ReceiptFacts>, StoreFault>;

    /// The row of a version.
    async fn read(&self, secret: SecretId, version: Version) -> Result<Option<Row>, StoreFault>;

    /// Up to `limit` stored versions after a secret and version, in that order.
    async fn inventory(
        &self,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Result<Vec<ReceiptFacts>, StoreFault>;

    /// Appends events and erases what they destroy, in one durable commit. The first number must be the next one.
    async fn append_events(&self, events: Vec<NewEvent>, now: u64) -> Result<(), StoreFault>;

    /// Up to `limit` events after a number, in order.
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreFault>;

    /// The versions that are destroyed for ever.
    async fn tombstones(&self) -> Result<Vec<(SecretId, Version)>, StoreFault>;

    /// Takes the place of the manager's key statements (JSON documents).
    async fn replace_statements(&self, documents: Vec<String>) -> Result<(), StoreFault>;

    /// The manager's key statements.
    async fn statements(&self) -> Result<Vec<String>, StoreFault>;

    /// Ends the store; what was accepted is durable.
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
