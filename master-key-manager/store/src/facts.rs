//! The facts about secrets that policy decides from.

use async_trait::async_trait;
use manager_api::name::SecretPath;
use manager_policy::SecretFacts;
use shared_proto::id::{EnvironmentId, SecretId};

use crate::Stored;

/// The facts about secrets, for decisions. They are not for a caller's eyes: he may not see the secret.
#[async_trait]
pub trait FactStore: Send + Sync {
    /// The facts about these secrets, in the same order; `None` for an unknown one.
    async fn secret_facts(&self, secrets: Vec<SecretId>) -> Stored<Vec<Option<SecretFacts>>>;
    /// The facts about the secrets at these places, in the same order; `None` where there is none.
    async fn facts_at(&self, places: Vec<(EnvironmentId, SecretPath)>) -> Stored<Vec<Option<SecretFacts>>>;
    /// The facts about up to `limit` secrets below a folder, or of a whole environment, ordered by path.
    async fn facts_below(
        &self,
        environment: EnvironmentId,
        folder: Option<SecretPath>,
        limit: usize,
    ) -> Stored<Vec<SecretFacts>>;
}
