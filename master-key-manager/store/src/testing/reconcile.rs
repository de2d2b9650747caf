//! Reconciliation with the vault.

use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use shared_proto::encoding::Bytes;
use shared_proto::id::{SecretId, Version};
use shared_proto::receipt::{ReceiptFacts, VersionState};

use super::{Kit, NOW, rule, text};

impl Kit<'_> {
    pub(super) async fn reconcile(&self) -> Result<(), String> {
        let facts = ReceiptFacts {
            environment: self.environment,
            secret: SecretId::generate(),
            version: Version::FIRST,
            state: VersionState::Stored,
            epoch: 1,
            digest: Bytes([3; 32]),
        };
        rule(
            self.store.missing(&self.may()?, vec![facts]).await == Ok(vec![facts]),
            "what the catalogue lacks is missing",
        )?;
        rule(self.store.adopt(&self.may()?, vec![facts, facts], NOW).await == Ok(1), "a version is adopted once")?;
        rule(self.store.missing(&self.may()?, vec![facts]).await == Ok(vec![]), "what was adopted is not missing")?;
        let given_up = self.new_version(facts.secret, 2, &SecretPath::unnamed(facts.secret))?;
        self.store.begin(&self.may()?, given_up.clone()).await.map_err(text)?;
        self.store.abandon(facts.secret, given_up.row.version).await.map_err(text)?;
        let other = ReceiptFacts { version: given_up.row.version, digest: Bytes([4; 32]), ..facts };
        rule(
            self.store.adopt(&self.may()?, vec![other], NOW).await == Ok(1),
            "a number that was given up takes the vault's content",
        )?;
        let row = self.store.version(&self.look()?, facts.secret, other.version).await.map_err(text)?;
        rule(
            row.is_some_and(|row| row.state == CatalogueState::Committed && row.digest == other.digest),
            "adopted content can be minted for",
        )
    }
}
