//! The secrets that a value refers to, as they are recorded with its version.

use manager_api::name::SecretPath;
use manager_policy::{Permit, Read};
use manager_registry::SecretRules;
use shared_proto::encoding::Bytes;
use shared_proto::id::{SecretId, Version};
use shared_proto::receipt::{ReceiptFacts, VersionState};

use super::{Kit, NOW, rule, text};
use crate::{AboutVersion, ChangeOutcome, NewPlace, NewRollback, NewVersion, ReadableTarget, RollbackOutcome};

impl Kit<'_> {
    /// A target that may be read, as it is decided now.
    async fn target(&self, secret: SecretId) -> Result<ReadableTarget, String> {
        let found = self.store.secret_facts(vec![secret]).await.map_err(text)?;
        let facts = found.into_iter().next().flatten().ok_or("the target is there")?;
        let permit: Permit<Read> = Permit::decide(&self.facts(), &self.actor, &facts, NOW).map_err(text)?;
        ReadableTarget::of(&permit, &[]).ok_or_else(|| "a permit for a secret is for a target".to_owned())
    }

    async fn recorded(&self, secret: SecretId, number: u64) -> Result<Vec<SecretId>, String> {
        let version = Version::new(number).map_err(text)?;
        self.store.targets(&self.look()?, secret, version).await.map_err(text)
    }

    pub(super) async fn references(&self) -> Result<(), String> {
        let mut ids = [SecretId::generate(), SecretId::generate()];
        ids.sort_unstable();
        let [one, other] = ids;
        for (number, id) in [one, other].into_iter().enumerate() {
            let path = SecretPath::parse(format!("meant/{number}")).map_err(text)?;
            self.written(self.new_version(id, 1, &path)?).await?;
        }
        let targets = vec![self.target(other).await?, self.target(one).await?, self.target(one).await?];
        let (secret, path) = (SecretId::generate(), SecretPath::parse("refers").map_err(text)?);
        let about = AboutVersion { targets: targets.clone(), ..AboutVersion::default() };
        let new =
            |number| Ok::<_, String>(NewVersion { about: about.clone(), ..self.new_version(secret, number, &path)? });
        self.written(new(1)?).await?;
        rule(self.recorded(secret, 1).await? == [one, other], "the targets of a version are recorded, each once")?;
        rule(self.recorded(secret, 2).await?.is_empty(), "a missing version has none")?;
        rule(self.recorded(one, 1).await?.is_empty(), "nor has one without references")?;
        let rolled_back = async |number: u64, targets: Vec<ReadableTarget>| {
            let [version, target] = [number, 1].map(Version::new);
            let (version, target) = (version.map_err(text)?, target.map_err(text)?);
            let about = AboutVersion { targets, ..AboutVersion::default() };
            let (if_version, idempotency, now) = (None, None, NOW);
            let new =
                NewRollback { secret, version, target, if_version, about, idempotency, ends_with_target: false, now };
            let begun = self.store.begin_rollback(&self.may()?, new).await.map_err(text)?;
            rule(matches!(begun, RollbackOutcome::Pending(_)), "a rollback begins")?;
            self.recorded(secret, number).await
        };
        let third = self.target(secret).await?;
        let kept = rolled_back(2, vec![self.target(one).await?, third]).await?;
        rule(kept == [one], "a rollback keeps what both authors may read, and nothing else")?;
        // Another place, by which what was decided about it is no longer so.
        let rules = SecretRules { requires_approval: true, ..SecretRules::default() };
        let path = SecretPath::parse("meant/0").map_err(text)?;
        let (environment, expected, details, if_revision) = (self.environment, 0, None, None);
        let place = NewPlace { secret: one, environment, expected, path, rules, details, if_revision };
        let changed = self.change_place(vec![place], Vec::new()).await?;
        rule(matches!(changed, ChangeOutcome::Made { .. }), "a target changes")?;
        self.written(new(3)?).await?;
        rule(self.recorded(secret, 3).await? == [other], "what has changed since it was decided is not recorded")?;
        let again = rolled_back(4, vec![self.target(one).await?, self.target(other).await?]).await?;
        rule(again == [other], "nor is what needs an approval")?;
        self.of_other_content(secret, other).await
    }

    /// The number of a version that was given up is taken by other content of the vault.
    async fn of_other_content(&self, secret: SecretId, target: SecretId) -> Result<(), String> {
        let about = AboutVersion { targets: vec![self.target(target).await?], ..AboutVersion::default() };
        let path = SecretPath::parse("refers").map_err(text)?;
        let new = NewVersion { about, ..self.new_version(secret, 5, &path)? };
        let version = new.row.version;
        self.store.begin(&self.may()?, new).await.map_err(text)?;
        rule(self.recorded(secret, 5).await? == [target], "the targets of a pending version are recorded")?;
        self.store.abandon(secret, version).await.map_err(text)?;
        let (environment, state, epoch, digest) = (self.environment, VersionState::Stored, 1, Bytes([99; 32]));
        let facts = ReceiptFacts { environment, secret, version, state, epoch, digest };
        rule(self.store.adopt(&self.may()?, vec![facts], NOW).await == Ok(1), "other content is adopted")?;
        rule(self.recorded(secret, 5).await?.is_empty(), "what another content refers to is not of this one")
    }
}
