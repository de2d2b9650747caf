//! Versions that point to envelopes of other versions, and what destroying them does.

use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use shared_proto::encoding::Bytes;
use shared_proto::id::{SecretId, Version};
use shared_proto::receipt::{ReceiptFacts, VersionState};

use super::{Kit, NOW, rule, signer, text};
use crate::{
    AboutVersion, BeginOutcome, CommitOutcome, Destroyed, IfVersion, NewRollback, RollbackOutcome, TokenDecision,
    VersionRow,
};

impl Kit<'_> {
    pub(super) async fn rollbacks(&self) -> Result<(), String> {
        let path = SecretPath::parse("rolled/back").map_err(text)?;
        let (first, second) = self.two_versions(&path).await?;
        let secret = first.secret;
        let third = self.rolled_back(secret, 3, 1).await?;
        rule((third.envelope, third.digest) == (first.version, first.digest), "a rollback points to an old envelope")?;
        let settled = self.store.secret_to_settle(secret).await.map_err(text)?;
        rule(settled.is_some_and(|state| state.pending == [third]), "a pending rollback is seen by the next writer")?;
        rule(self.newest(secret).await?.version == second.version, "a pending rollback is not minted for")?;
        let again = self.begin_rollback(secret, 3, 2, None).await?;
        rule(again == RollbackOutcome::Taken, "a number is given once, to a rollback too")?;
        let to_pending = self.begin_rollback(secret, 4, 3, None).await?;
        rule(to_pending == RollbackOutcome::NotFound, "nothing is rolled back to a pending version")?;
        let committed = self.store.commit(secret, third.version, None).await;
        rule(matches!(committed, Ok(CommitOutcome::Yes { .. })), "a pending rollback is committed")?;
        rule(self.newest(secret).await?.envelope == first.version, "a rollback is minted for by its envelope")?;
        let TokenDecision::Recorded { token, .. } = self.order(vec![(secret, Some(third.version))]).await? else {
            return Err("a rollback can be named".to_owned());
        };
        let named: Vec<Version> = token.grants.iter().map(|grant| grant.version).collect();
        let both = (named, token.versions.clone()) == (vec![first.version], vec![third.version]);
        rule(both, "a token names envelopes, and the catalogue knows for which versions")?;
        let listed = self.store.tokens(&self.may()?, None, 99, NOW).await.map_err(text)?;
        let kept = listed.iter().find(|row| row.token.jti == token.jti);
        let same = kept.is_some_and(|row| row.token.grants == token.grants && row.token.versions == token.versions);
        rule(same, "both numbers of a token read back")?;
        for (target, if_version, expected) in
            [(9, None, RollbackOutcome::NotFound), (1, Some(second.version), RollbackOutcome::OtherVersion)]
        {
            let refused = self.begin_rollback(secret, 4, target, if_version).await?;
            rule(refused == expected, "only a committed version is a target, and only the newest may be expected")?;
        }
        let RollbackOutcome::Pending(fourth) = self.begin_rollback(secret, 4, 3, Some(third.version)).await? else {
            return Err("a rollback is a target, and the newest version may be expected".to_owned());
        };
        rule(fourth.envelope == first.version, "a rollback to a rollback points to the envelope")?;
        self.store.abandon(secret, fourth.version).await.map_err(text)?;
        let refused = self.store.commit(secret, fourth.version, None).await;
        rule(refused == Ok(CommitOutcome::No), "a rollback that was given up is never committed")?;
        let write = self.new_version(secret, 4, &path)?;
        let taken = self.store.begin(&self.may()?, write).await;
        rule(taken == Ok(BeginOutcome::Taken), "the number of a rollback is never that of a write")?;
        let state = self.store.version(&self.look()?, secret, first.version).await.map_err(text)?;
        rule(state.is_some_and(|row| row.state == CatalogueState::Committed), "its envelope is as it was")?;
        self.given_up_number_is_adopted(&fourth).await
    }

    /// The case that a restored manager meets: the vault has other content under the number.
    async fn given_up_number_is_adopted(&self, row: &VersionRow) -> Result<(), String> {
        let facts = ReceiptFacts {
            environment: self.environment,
            secret: row.secret,
            version: row.version,
            state: VersionState::Stored,
            epoch: 1,
            digest: Bytes([7; 32]),
        };
        let operate = self.may()?;
        let missing = self.store.missing(&operate, vec![facts]).await;
        rule(missing == Ok(vec![facts]), "content under the number of a rollback that was given up is missing")?;
        rule(self.store.adopt(&operate, vec![facts], NOW).await == Ok(1), "and is adopted")?;
        rule(self.store.missing(&operate, vec![facts]).await == Ok(vec![]), "what was adopted is not missing")?;
        let adopted = self.store.version(&self.look()?, row.secret, row.version).await.map_err(text)?;
        let own = |row: VersionRow| row.has_own_envelope() && row.digest == facts.digest;
        rule(adopted.is_some_and(own), "it has its own envelope then")?;
        let below = self.store.envelopes_below((self.environment, 99), None, 999).await.map_err(text)?;
        let mine: Vec<u64> =
            below.iter().filter(|found| found.secret == row.secret).map(|found| found.envelope.get()).collect();
        rule(mine == [1, 2, 4], "each envelope changes its root key once")
    }

    pub(super) async fn destruction(&self) -> Result<(), String> {
        let path = SecretPath::parse("destroyed/in/part").map_err(text)?;
        let (first, second) = self.two_versions(&path).await?;
        let secret = first.secret;
        for number in [3, 4] {
            let row = self.rolled_back(secret, number, 1).await?;
            self.store.commit(secret, row.version, None).await.map_err(text)?;
        }
        let done = self.destroy(secret, &[1, 3]).await?;
        rule(done.numbers.is_empty() && !done.deferred, "an envelope stays while a version points to it")?;
        rule(done.kept.len() == 2, "and the caller learns of it")?;
        let state = async |number| self.state(secret, number).await;
        rule(state(1).await? == CatalogueState::Destroyed, "the version is destroyed all the same")?;
        rule(state(4).await? == CatalogueState::Committed, "the others are not")?;
        let to_destroyed = self.begin_rollback(secret, 5, 1, None).await?;
        rule(to_destroyed == RollbackOutcome::NotFound, "nothing is rolled back to a destroyed version")?;
        let pending = self.rolled_back(secret, 5, 4).await?;
        let last = self.destroy(secret, &[1, 4]).await?;
        rule(last.numbers.len() == 1 && last.kept.is_empty(), "an envelope is destroyed once, with its last version")?;
        rule(self.destroy(secret, &[3]).await? == last, "a destroyed envelope keeps its event")?;
        let late = self.store.commit(secret, pending.version, None).await;
        rule(late == Ok(CommitOutcome::No), "a pending rollback to a destroyed envelope is never committed")?;
        let later = self.store.destroy(&self.may()?, secret, vec![second.version], None, NOW).await.map_err(text)?;
        rule(later.deferred && later.numbers.is_empty(), "without a signature the event waits for its number")?;
        let numbers = self.store.number_deferred(signer(), NOW).await.map_err(text)?;
        rule(
            !numbers.is_empty() && state(2).await? == CatalogueState::Destroyed,
            "and the version is destroyed at once",
        )
    }

    async fn two_versions(&self, path: &SecretPath) -> Result<(VersionRow, VersionRow), String> {
        let secret = SecretId::generate();
        let (one, two) = (self.new_version(secret, 1, path)?, self.new_version(secret, 2, path)?);
        for new in [&one, &two] {
            self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
            self.store.commit(secret, new.row.version, None).await.map_err(text)?;
        }
        Ok((one.row, two.row))
    }

    pub(super) async fn begin_rollback(
        &self,
        secret: SecretId,
        number: u64,
        target: u64,
        if_version: Option<Version>,
    ) -> Result<RollbackOutcome, String> {
        let (version, target) = (Version::new(number).map_err(text)?, Version::new(target).map_err(text)?);
        let if_version = if_version.map(IfVersion::Current);
        let about = AboutVersion::default();
        let (ends_with_target, idempotency) = (true, None);
        let new = NewRollback { secret, version, target, if_version, about, ends_with_target, idempotency, now: NOW };
        self.store.begin_rollback(&self.may()?, new).await.map_err(text)
    }

    /// A pending rollback.
    async fn rolled_back(&self, secret: SecretId, number: u64, target: u64) -> Result<VersionRow, String> {
        let begun = self.begin_rollback(secret, number, target, None).await?;
        let RollbackOutcome::Pending(row) = begun else { return Err("a committed version is a target".to_owned()) };
        Ok(row)
    }

    async fn newest(&self, secret: SecretId) -> Result<VersionRow, String> {
        let TokenDecision::Recorded { versions, .. } = self.order(vec![(secret, None)]).await? else {
            return Err("a secret has a newest version".to_owned());
        };
        versions.first().copied().ok_or_else(|| "a token of nothing".to_owned())
    }

    async fn destroy(&self, secret: SecretId, numbers: &[u64]) -> Result<Destroyed, String> {
        let versions = numbers.iter().map(|number| Version::new(*number).map_err(text)).collect::<Result<_, _>>()?;
        self.store.destroy(&self.may()?, secret, versions, Some(signer()), NOW).await.map_err(text)
    }

    async fn state(&self, secret: SecretId, number: u64) -> Result<CatalogueState, String> {
        let version = Version::new(number).map_err(text)?;
        let row = self.store.version(&self.look()?, secret, version).await.map_err(text)?;
        row.map(|row| row.state).ok_or_else(|| "a version is there".to_owned())
    }
}
