//! The facts about secrets that policy decides from.

use async_trait::async_trait;
use manager_policy::SecretFacts;
use shared_proto::id::SecretId;

use crate::Stored;

/// The facts about secrets, for decisions. They are not for a caller's eyes: he may not see the secret.
#[async_trait]
pub trait FactStore: Send + Sync {
    /// The facts about these secrets, in the same order; `None` for an unknown one.
    async fn secret_facts(&self, secrets: Vec<SecretId>) -> Stored<Vec<Option<SecretFacts>>>;
}
