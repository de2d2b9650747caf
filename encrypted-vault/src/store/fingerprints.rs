//! The bound value fingerprints of rows. A row has one or none, and it goes with the row.

use async_trait::async_trait;
use service_runtime::sql::StoreFault;
use shared_proto::envelope::StoredFingerprint;
use shared_proto::id::{SecretId, Version};
use shared_proto::wire::vault::VersionName;

/// The bound fingerprint of a row, at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrappedFingerprint {
    /// Number of the storage key.
    pub storage_key: u32,
    /// The wrapped fingerprint.
    pub stored: StoredFingerprint,
}

/// A bound fingerprint and the row that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FingerprintOfRow {
    /// Secret of the row.
    pub secret: SecretId,
    /// Version of the row.
    pub version: Version,
    /// The fingerprint.
    pub fingerprint: WrappedFingerprint,
}

/// The fingerprints of rows.
#[async_trait]
pub trait FingerprintStore: Send + Sync {
    /// The fingerprint of each version that is stored in its environment and has one, in one snapshot.
    async fn fingerprints(&self, names: Vec<VersionName>) -> Result<Vec<Option<WrappedFingerprint>>, StoreFault>;

    /// Up to `limit` fingerprints, after one, that are not under this storage key.
    async fn fingerprints_not_under(
        &self,
        storage_key: u32,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Result<Vec<FingerprintOfRow>, StoreFault>;

    /// Replaces fingerprints by the same ones under another storage key, in one durable commit. Those that changed or
    /// went meanwhile stay as they are.
    async fn exchange_fingerprints(
        &self,
        fingerprints: Vec<(FingerprintOfRow, WrappedFingerprint)>,
    ) -> Result<(), StoreFault>;
}
