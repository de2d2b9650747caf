//! The progress of root key exchanges, and what a report about keys says.

use async_trait::async_trait;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::jwk::Thumbprint;

use crate::{EnvelopeRow, Environment, Stored};

/// The progress of root key exchanges.
#[async_trait]
pub trait RotationStore: Send + Sync {
    /// Committed envelopes of an environment below an epoch in order, without those that the vault lacks.
    async fn envelopes_below(
        &self,
        target: (EnvironmentId, u32),
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Stored<Vec<EnvelopeRow>>;
    /// Records that the vault has these envelopes under the epoch. Tokens are minted with it from then on.
    async fn move_to_epoch(
        &self,
        target: (EnvironmentId, u32),
        envelopes: Vec<(SecretId, Version)>,
        now: u64,
    ) -> Stored<()>;
    /// Records that the vault lacks these envelopes, so that the exchange to this epoch continues without them.
    async fn mark_missing(&self, epoch: u32, envelopes: Vec<(SecretId, Version)>) -> Stored<()>;
    /// The progress of an environment's exchange to an epoch.
    async fn rotation(&self, environment: EnvironmentId, epoch: u32) -> Stored<RotationState>;
    /// The number of pending and committed envelopes below an epoch, without those that the vault lacks. Reads them all.
    async fn open_below(&self, environment: EnvironmentId, epoch: u32) -> Stored<u64>;
    /// Keeps the vault's signed retirement of an epoch.
    async fn record_retirement(&self, target: (EnvironmentId, u32), retirement: String, now: u64) -> Stored<()>;
}

/// The progress of an environment's exchange to an epoch of its root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationState {
    /// When an envelope last changed to the epoch (Unix seconds).
    pub changed_at: Option<u64>,
    /// The vault's signed retirement of the epochs below, as JSON.
    pub retirement: Option<String>,
}

/// Facts about keys in the database.
#[derive(Clone, Debug)]
pub struct KeyFacts {
    /// The environments, ordered by name.
    pub environments: Vec<Environment>,
    /// The number of envelopes under an epoch of an environment.
    pub under: Vec<(EnvironmentId, u32, u64)>,
    /// The number of these that the vault lacked when they were due to be moved.
    pub lacking: Vec<(EnvironmentId, u32, u64)>,
    /// The vault's signed retirements, as JSON, oldest first.
    pub retirements: Vec<String>,
    /// The token signing keys that were revoked.
    pub revoked_keys: Vec<Thumbprint>,
}
