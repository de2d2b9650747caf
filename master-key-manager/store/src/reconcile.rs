//! Comparison of the catalogue with what the vault has.

use async_trait::async_trait;
use manager_policy::{Operate, Permit};
use shared_proto::id::{EnvironmentId, SecretId};
use shared_proto::receipt::ReceiptFacts;

use crate::Acted;

/// The catalogue, beside the vault's inventory.
#[async_trait]
pub trait ReconcileStore: Send + Sync {
    /// Those of these versions that the catalogue lacks: none pending, committed or destroyed has the same digest.
    async fn missing(&self, permit: &Permit<Operate>, facts: Vec<ReceiptFacts>) -> Acted<Vec<ReceiptFacts>>;
    /// Those of these secrets that have no row, and whose path under `unnamed/` no other one has.
    async fn absent(
        &self,
        permit: &Permit<Operate>,
        secrets: Vec<(SecretId, EnvironmentId)>,
    ) -> Acted<Vec<(SecretId, EnvironmentId)>>;
    /// Enters versions that the vault has stored as committed, and returns how many were new. An abandoned number,
    /// under which the vault had other content, becomes that content. A secret without a row gets one with
    /// [`manager_registry::SecretRules::of_lost`]; one whose place had changed is left out, because its row needs an entry of
    /// the registry ([`crate::EnteredSecret`]).
    async fn adopt(&self, permit: &Permit<Operate>, facts: Vec<ReceiptFacts>, now: u64) -> Acted<u64>;
    /// Sets versions back to the older epochs that a restored vault has of them. Tokens are minted with these again,
    /// and the versions must be moved once more. Returns how many versions were set back.
    async fn move_back(&self, permit: &Permit<Operate>, facts: Vec<ReceiptFacts>) -> Acted<u64>;
}
