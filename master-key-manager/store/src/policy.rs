//! The facts of the policy.

use async_trait::async_trait;
use manager_policy::{Facts, PolicyEpoch};

use crate::Stored;

/// The facts that decisions are made from. Whatever changes them raises the epoch in the same transaction.
#[async_trait]
pub trait PolicyStore: Send + Sync {
    /// All facts, as they are at one epoch. The administrator may all. In development mode strangers may write, and
    /// read what they wrote.
    async fn facts(&self) -> Stored<Facts>;
    /// The epoch of the facts.
    async fn policy_epoch(&self) -> Stored<PolicyEpoch>;
}
