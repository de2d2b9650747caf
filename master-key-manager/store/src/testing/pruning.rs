//! Destroyed secrets that are removed, and the renewal of the rows of others.

use std::collections::BTreeSet;

use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use manager_registry::{Author, Change, Deletion, RecordName, Renewal, SecretRules};
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};
use shared_proto::receipt::{ReceiptFacts, VersionState};

use super::{Kit, NOW, rule, signer, text};
use crate::{
    CatalogueChanges, ChangeOutcome, DestroyedVersion, DueErasure, EnteredSecret, PlaceConflict, PrunedSecret,
};

impl Kit<'_> {
    /// Makes changes of the registry with changes of the catalogue.
    async fn change_both(&self, changes: Vec<Change>, catalogue: CatalogueChanges) -> Result<ChangeOutcome, String> {
        let proposed = self.known().propose(changes, (Author::Service, "", NOW), 0, &self.key);
        let proposed = proposed.map_err(|_| "a change is written")?;
        let made = self.store.change_places(proposed.rows, catalogue, Vec::new(), Some(signer()), NOW);
        let made = made.await.map_err(text)?;
        if matches!(made, ChangeOutcome::Made { .. }) {
            self.take(proposed.after);
        }
        Ok(made)
    }

    async fn is_known(&self, secret: SecretId) -> Result<bool, String> {
        Ok(self.store.secret_facts(vec![secret]).await.map_err(text)?.into_iter().next().flatten().is_some())
    }

    async fn prune(&self, secret: SecretId, expected: u64) -> Result<ChangeOutcome, String> {
        let pruned = vec![PrunedSecret { secret, expected }];
        let gone = vec![RecordName::from(secret).into()];
        self.change_both(gone, CatalogueChanges { pruned, ..CatalogueChanges::default() }).await
    }

    pub(super) async fn pruning(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("prune/one").map_err(text)?);
        let other = SecretId::generate();
        for number in 1..=5 {
            self.written(self.new_version(secret, number, &path)?).await?;
        }
        self.written(self.new_version(other, 1, &SecretPath::parse("prune/other").map_err(text)?)?).await?;
        let deletion = Deletion { deleted_at: NOW, recoverable_until: NOW, deleted_by: None, destroyed: true };
        let rules = SecretRules { deletion: Some(deletion), ..SecretRules::default() };
        let at = rules.prune_at().ok_or("it is destroyed")?;
        self.ruled(secret, SecretPath::destroyed(secret).as_str(), rules).await?;
        let due = async |now| self.store.due_prunes(None, now, 9).await.map_err(text);
        rule(due(at - 1).await?.is_empty(), "a destroyed secret is kept for a while")?;
        rule(due(at).await? == [DueErasure { at, secret }], "and found after it")?;
        let number = self.known().place(secret).ok_or("it has changed")?.number;
        let changed = Ok(ChangeOutcome::Conflict(PlaceConflict::Changed));
        rule(self.prune(secret, number).await == changed, "nothing is removed that may still be opened")?;
        rule(self.store.shorten(secret, 2).await == Ok(false), "nor are its versions")?;
        let step = self.store.erase(secret, Some(signer()), NOW).await.map_err(text)?;
        rule(step.is_some_and(|step| !step.more), "its versions are destroyed")?;
        rule(self.store.shorten(other, 1).await == Ok(false), "of another one nothing is removed")?;
        rule(self.store.shorten(secret, 2).await == Ok(true), "many versions go in steps")?;
        rule(self.store.shorten(secret, 2).await == Ok(false), "until few are left")?;
        let look = self.look()?;
        let mut left = BTreeSet::new();
        for number in 1..=5 {
            let version = Version::new(number).map_err(text)?;
            left.extend(self.store.version(&look, secret, version).await.map_err(text)?.map(|row| row.version.get()));
        }
        rule(left == BTreeSet::from([4, 5]), "the oldest ones first")?;
        rule(self.prune(secret, number + 1).await == changed, "what has changed meanwhile is not removed")?;
        rule(self.prune(other, 0).await == changed, "nor is what is not destroyed")?;

        self.renewals(other).await?;
        self.row_of_an_entry_that_is_not_known_yet().await?;
        rule(number <= self.known().place_floor(), "every row of before its first change is older now")?;
        rule(matches!(self.prune(secret, number).await?, ChangeOutcome::Made { .. }), "then it is removed")?;
        rule(!self.is_known(secret).await? && self.known().place(secret).is_none(), "with its record")?;
        rule(due(at).await?.is_empty(), "and is due no more")?;
        rule(self.is_known(other).await?, "another one stays")?;
        let facts = ReceiptFacts {
            environment: self.environment,
            secret,
            version: Version::FIRST,
            state: VersionState::Stored,
            epoch: 1,
            digest: shared_proto::encoding::Bytes([3; 32]),
        };
        rule(
            self.store.missing(&self.may()?, vec![facts]).await == Ok(vec![]),
            "what its event erases again is not missed",
        )?;
        let first = Event::Destroy(self.environment, secret, Version::FIRST);
        rule(self.store.number_of(first).await.map_err(text)?.is_some(), "its events stay")?;
        self.entered().await
    }

    /// Renews all rows, in pages, and leaves one out that is made in between.
    async fn renewals(&self, other: SecretId) -> Result<(), String> {
        let floor = self.known().number();
        let (mut after, mut pages) = (None, 0);
        while let Some(last) = self.store.renew_places(after, floor, 3).await.map_err(text)? {
            rule(after.is_none_or(|after| after < last), "pages go on")?;
            (after, pages) = (Some(last), pages + 1);
        }
        rule(pages > 1, "rows are renewed page by page")?;
        let made = self.change_both(vec![Renewal::up_to(floor).into()], CatalogueChanges::default()).await?;
        rule(matches!(made, ChangeOutcome::Made { .. }) && self.is_known(other).await?, "what is renewed counts")?;
        let late = SecretId::generate();
        self.written(self.new_version(late, 1, &SecretPath::parse("prune/late").map_err(text)?)?).await?;
        let unrenewed = self.known().number() + 1;
        let later = self.change_both(vec![Renewal::up_to(unrenewed).into()], CatalogueChanges::default()).await?;
        rule(matches!(later, ChangeOutcome::Made { .. }), "a renewal is said")?;
        rule(!self.is_known(late).await?, "a row that it has not reached counts no more")?;
        let renewed = self.store.renew_places(None, unrenewed, 1_000).await.map_err(text)?;
        rule(renewed.is_some() && !self.is_known(late).await?, "and is not renewed afterwards")?;
        self.change_both(vec![Renewal::up_to(floor).into()], CatalogueChanges::default()).await?;
        rule(self.is_known(late).await?, "it is as it was")
    }

    /// A row whose transaction sees an entry that this process does not know yet, and ends after the renewal has passed it.
    async fn row_of_an_entry_that_is_not_known_yet(&self) -> Result<(), String> {
        for (path, used) in [("prune/next", 0), ("prune/leap", 3)] {
            let before = self.known();
            let used = if used == 0 { 0 } else { before.number() + used };
            let entry = before.propose(Vec::new(), (Author::Service, "", NOW), used, &self.key);
            let entry = entry.map_err(|_| "an entry is written")?;
            let made =
                self.store.change_places(entry.rows, CatalogueChanges::default(), Vec::new(), Some(signer()), NOW);
            rule(matches!(made.await, Ok(ChangeOutcome::Made { .. })), "an entry is made")?;
            let renewed = self.store.renew_places(None, before.number(), 1_000).await.map_err(text)?;
            rule(renewed.is_some(), "the others are renewed")?;
            let secret = SecretId::generate();
            self.written(self.new_version(secret, 1, &SecretPath::parse(path).map_err(text)?)?).await?;
            self.take(entry.after);
            let floor = self.store.renewal_floor();
            rule(floor >= before.number(), "what is older is renewed")?;
            let said = self.change_both(vec![Renewal::up_to(floor).into()], CatalogueChanges::default()).await?;
            rule(matches!(said, ChangeOutcome::Made { .. }), "a renewal is said")?;
            rule(self.is_known(secret).await?, "it counts, though no page of the renewal has seen it")?;
        }
        Ok(())
    }

    /// A secret that lost its row after it had changed.
    async fn entered(&self) -> Result<(), String> {
        let (secret, environment) = (SecretId::generate(), self.environment);
        let record = || vec![manager_registry::Place::changed(secret).into()];
        self.change_both(record(), CatalogueChanges::default()).await?;
        let facts = ReceiptFacts {
            environment,
            secret,
            version: Version::FIRST,
            state: VersionState::Stored,
            epoch: 1,
            digest: shared_proto::encoding::Bytes([4; 32]),
        };
        let adopt = async || self.store.adopt(&self.may()?, vec![facts], NOW).await.map_err(text);
        rule(adopt().await? == 0, "a row without a number would count for nothing")?;
        let absent = self.store.absent(&self.may()?, vec![(secret, environment)]).await;
        rule(absent == Ok(vec![(secret, environment)]), "it has no row")?;
        let rules = SecretRules::of_lost(None);
        let new = EnteredSecret { secret, environment, rules, now: NOW };
        let entered = || CatalogueChanges { entered: vec![new.clone()], ..CatalogueChanges::default() };
        rule(matches!(self.change_both(record(), entered()).await?, ChangeOutcome::Made { .. }), "it gets one")?;
        let again = self.change_both(record(), entered()).await?;
        rule(again == ChangeOutcome::Conflict(PlaceConflict::Changed), "and not twice")?;
        rule(self.store.absent(&self.may()?, vec![(secret, environment)]).await == Ok(vec![]), "it is not absent")?;
        rule(adopt().await? == 1 && self.is_known(secret).await?, "then its versions are taken in")
    }

    /// A version that is destroyed by the decision of a second principal.
    pub(super) async fn decided_version(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("decided/one").map_err(text)?);
        for number in 1..=2 {
            self.written(self.new_version(secret, number, &path)?).await?;
        }
        let destroyed = |expected| CatalogueChanges {
            destroyed: Some(DestroyedVersion { secret, expected, version: Version::FIRST }),
            ..CatalogueChanges::default()
        };
        let changed = ChangeOutcome::Conflict(PlaceConflict::Changed);
        rule(
            self.change_both(Vec::new(), destroyed(7)).await? == changed,
            "it is for the place that it was decided on",
        )?;
        let ChangeOutcome::Made { numbers } = self.change_both(Vec::new(), destroyed(0)).await? else {
            return Err("a version is destroyed with a decision".to_owned());
        };
        rule(numbers.len() == 1, "with the event of its envelope")?;
        let states = async || {
            let look = self.look()?;
            let mut states = Vec::new();
            for number in 1..=2 {
                let version = Version::new(number).map_err(text)?;
                states.extend(self.store.version(&look, secret, version).await.map_err(text)?.map(|row| row.state));
            }
            Ok::<_, String>(states)
        };
        rule(states().await? == [CatalogueState::Destroyed, CatalogueState::Committed], "and no other one is")?;
        let again = self.change_both(Vec::new(), destroyed(0)).await?;
        rule(again == ChangeOutcome::Made { numbers }, "an envelope has one event")
    }
}
