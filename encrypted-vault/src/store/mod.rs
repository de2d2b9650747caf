//! What the vault keeps. Everything behind this trait may be read, altered, rolled back or deleted by an adversary:
//! it knows ciphertext rows and signed events only, and nothing that it answers is believed without a key.

mod conformance;
mod facts;
mod faulty;
mod sqlite;
mod wrapped_keys;

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

/// What a row has after a key was to be added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// What the row is.
    pub facts: ReceiptFacts,
    /// What it has under that epoch; none if the key was refused.
    pub key: Option<WrappedKey>,
}

/// A wrapped key and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOfRow {
    /// Secret of the row.
    pub secret: SecretId,
    /// Version of the row.
    pub version: Version,
    /// The wrapped key.
    pub key: WrappedKey,
}

/// How far the rows of an environment have the key of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completeness {
    /// Rows of the environment.
    pub rows: u64,
    /// Those without a key of that epoch or above.
    pub lacking: u64,
}

/// The manager's key statements (JSON documents), and when the poll was signed that brought them.
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
    /// The number that is the newest before it.
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
pub trait VaultStore: Send + Sync {
    /// Stores rows in one durable commit. For each: what is there now under its name, which is the new row, an older
    /// one or a tombstone; none when its epoch is retired. Nothing that is there is ever changed.
    async fn insert(&self, rows: Vec<NewRow>, now: u64) -> Result<Vec<Option<ReceiptFacts>>, StoreFault>;

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

    /// For each version its wrapped key of this epoch, with the digest of its envelope.
    async fn wrapped(
        &self,
        epoch: u32,
        names: Vec<VersionName>,
    ) -> Result<Vec<Option<(EnvelopeDigest, WrappedKey)>>, StoreFault>;

    /// Adds wrapped keys to rows in one durable commit, beside those that are there. A key is refused unless its epoch
    /// is above all that the row has, and not retired. None where nothing is.
    async fn rewrap(&self, keys: Vec<NewKey>) -> Result<Vec<Option<Rewrapped>>, StoreFault>;

    /// Unless a row of the environment lacks a key of the epoch or above: takes nothing below the epoch from now on, and
    /// erases the keys below it, a few at a time.
    async fn retire(&self, environment: EnvironmentId, epoch: u32) -> Result<Completeness, StoreFault>;

    /// Up to `limit` wrapped keys, after one, that are not under this storage key.
    async fn not_under(
        &self,
        storage_key: u32,
        after: Option<(SecretId, Version, u32)>,
        limit: usize,
    ) -> Result<Vec<KeyOfRow>, StoreFault>;

    /// Puts wrapped keys in the place of the same ones under another storage key, in one durable commit. What changed
    /// meanwhile stays as it is.
    async fn exchange(&self, keys: Vec<(KeyOfRow, WrappedKey)>) -> Result<(), StoreFault>;

    /// Appends events and erases what they destroy, in one durable commit. Each must come after the newest one.
    async fn append_events(&self, events: Vec<NewEvent>, now: u64) -> Result<(), StoreFault>;

    /// Drops the events with these numbers, in one durable commit.
    async fn drop_events(&self, numbers: Vec<u64>) -> Result<(), StoreFault>;

    /// Up to `limit` events after a number, in order.
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreFault>;

    /// The versions that are destroyed for ever.
    async fn tombstones(&self) -> Result<Vec<(SecretId, Version)>, StoreFault>;

    /// Takes the place of the manager's key statements.
    async fn replace_statements(&self, statements: Statements) -> Result<(), StoreFault>;

    /// The manager's key statements.
    async fn statements(&self) -> Result<Statements, StoreFault>;

    /// Whether the disk does what it is asked, as far as the last use showed.
    fn is_healthy(&self) -> bool;

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
