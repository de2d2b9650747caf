//! Deleted and destroyed secrets, and those that are read after an approval only.

use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use manager_policy::List;
use manager_registry::{ApprovedRead, Deletion, SecretRules};
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::{Kit, NOW, rule, signer, text};
use crate::{
    BeginOutcome, ChangeOutcome, CommitOutcome, DueErasure, ERASED_AT_ONCE, NewPlace, NewRollback, RollbackOutcome,
    TokenDecision, TokenRequest,
};

impl Kit<'_> {
    /// Gives a secret other rules at a path.
    pub(super) async fn ruled(&self, secret: SecretId, path: &str, rules: SecretRules) -> Result<(), String> {
        let known = self.store.secret_facts(vec![secret]).await.map_err(text)?;
        let known = known.into_iter().next().flatten().ok_or("the secret is there")?;
        let (environment, path) = (self.environment, SecretPath::parse(path).map_err(text)?);
        let expected = known.number;
        let place = NewPlace { secret, environment, expected, path, rules, details: None, if_revision: None };
        match self.change_place(vec![place], Vec::new()).await? {
            ChangeOutcome::Made { .. } => Ok(()),
            ChangeOutcome::Moved | ChangeOutcome::Conflict(_) => Err("rules change".to_owned()),
        }
    }

    async fn due(&self, after: Option<DueErasure>, now: u64) -> Result<Vec<DueErasure>, String> {
        self.store.due_erasures(after, now, 1).await.map_err(text)
    }

    pub(super) async fn erasure(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("erase/one").map_err(text)?);
        let other = SecretId::generate();
        let many = u64::try_from(ERASED_AT_ONCE).map_err(text)? + 3;
        for number in 1..=many {
            self.written(self.new_version(secret, number, &path)?).await?;
        }
        self.written(self.new_version(other, 1, &SecretPath::parse("erase/other").map_err(text)?)?).await?;
        // One points to an older envelope, and one is under way.
        let [target, back, late] =
            [Version::new(2), Version::new(many + 1), Version::new(many + 2)].map(|v| v.map_err(text));
        let (target, back, late) = (target?, back?, late?);
        let rollback = NewRollback {
            secret,
            version: back,
            target,
            if_version: None,
            about: crate::AboutVersion::default(),
            ends_with_target: true,
            idempotency: None,
            now: NOW,
        };
        let begun = self.store.begin_rollback(&self.may()?, rollback).await.map_err(text)?;
        rule(matches!(begun, RollbackOutcome::Pending(_)), "a version is rolled back to")?;
        self.store.commit(secret, back, None).await.map_err(text)?;
        self.store.begin(&self.may()?, self.new_version(secret, many + 2, &path)?).await.map_err(text)?;

        rule(self.store.erase(secret, Some(signer()), NOW).await == Ok(None), "nothing active is erased")?;
        let mut deletion = Deletion { deleted_at: NOW, recoverable_until: NOW + 5, deleted_by: None, destroyed: false };
        let rules = |deletion| SecretRules { deletion: Some(deletion), ..SecretRules::default() };
        self.ruled(secret, "erase/one", rules(deletion)).await?;
        self.ruled(other, "erase/other", rules(Deletion { recoverable_until: NOW + 4, ..deletion })).await?;
        rule(
            self.store.erase(secret, Some(signer()), NOW).await == Ok(None),
            "nothing is erased that can be taken back",
        )?;
        rule(self.due(None, NOW + 3).await?.is_empty(), "nothing is due before its time")?;
        let first = self.due(None, NOW + 5).await?;
        rule(first == [DueErasure { at: NOW + 4, secret: other }], "what is due comes by its time")?;
        let second = self.due(first.first().copied(), NOW + 5).await?;
        rule(second == [DueErasure { at: NOW + 5, secret }], "and page by page")?;
        self.ruled(other, "erase/other", SecretRules::default()).await?;
        rule(self.due(None, NOW + 4).await?.is_empty(), "what is given back is not due")?;

        deletion.destroyed = true;
        self.ruled(secret, &SecretPath::destroyed(secret).to_string(), rules(deletion)).await?;
        let free =
            self.store.begin(&self.may()?, self.new_version(SecretId::generate(), 1, &path)?).await.map_err(text)?;
        rule(matches!(free, BeginOutcome::Pending(_)), "a destroyed secret gives its path up")?;
        rule(self.due(None, NOW).await? == [DueErasure { at: 0, secret }], "what is destroyed is due at once")?;
        let step = self.store.erase(secret, Some(signer()), NOW).await.map_err(text)?.ok_or("it is destroyed")?;
        rule(step.more && step.numbers.len() == ERASED_AT_ONCE && !step.deferred, "a step has its bound")?;
        let step = self.store.erase(secret, None, NOW).await.map_err(text)?.ok_or("it is destroyed")?;
        rule(!step.more && step.deferred && step.numbers.is_empty(), "the next one goes on, also without numbers")?;
        let again = self.store.erase(secret, Some(signer()), NOW).await.map_err(text)?;
        rule(again.is_some_and(|step| !step.more && step.numbers.is_empty()), "and nothing is done twice")?;
        rule(self.due(None, NOW).await?.len() == 1, "it is due until the vault has nothing of it")?;
        let unknown = vec![Version::new(many + 9).map_err(text)?];
        let of = |secret| self.store.erase_stored(secret, unknown.clone(), Some(signer()), NOW);
        rule(of(other).await == Ok(None), "of another secret nothing is erased")?;
        let step = of(secret).await.map_err(text)?.ok_or("it is destroyed")?;
        rule(step.numbers.len() == 1, "an envelope that no row names is erased")?;
        rule(of(secret).await.map_err(text)?.as_ref() == Some(&step), "and has one event")?;
        self.store.finish_erasure(secret).await.map_err(text)?;
        rule(self.due(None, NOW).await?.is_empty(), "then there is nothing to do")?;
        rule(
            self.store.commit(secret, late, None).await == Ok(CommitOutcome::No),
            "what was under way is never committed",
        )?;
        let look = self.may::<List>()?.to_look();
        for number in 1..=many + 2 {
            let row = self.store.version(&look, secret, Version::new(number).map_err(text)?).await.map_err(text)?;
            rule(row.is_some_and(|row| row.state == CatalogueState::Destroyed), "every version is destroyed")?;
        }
        let numbered = self.store.number_deferred(signer(), NOW).await.map_err(text)?;
        rule(!numbered.is_empty(), "the rest of the events gets numbers later")?;
        let first = Event::Destroy(self.environment, secret, Version::FIRST);
        rule(self.store.number_of(first).await.map_err(text)?.is_some(), "each envelope has its event")?;
        Ok(())
    }

    pub(super) async fn approvals(&self) -> Result<(), String> {
        let secret = SecretId::generate();
        self.written(self.new_version(secret, 1, &SecretPath::parse("approval/one").map_err(text)?)?).await?;
        let rules = SecretRules { requires_approval: true, ..SecretRules::default() };
        self.ruled(secret, "approval/one", rules).await?;
        let decided = async |approved: Vec<ApprovedRead>| {
            let order = TokenRequest { approved, signing_key: Bytes([6; 32]), ..self.new_order(vec![(secret, None)]) };
            self.store.decide_token(order).await.map_err(text)
        };
        let is_refused = |decision: &TokenDecision| matches!(decision, TokenDecision::ApprovalRequired);
        let ahead = u64::from(u32::MAX);
        let facts = self.store.secret_facts(vec![secret]).await.map_err(text)?;
        let place = facts.into_iter().next().flatten().ok_or("the secret is there")?.number;
        let right = |secret, until| ApprovedRead { secret, place, until };
        rule(is_refused(&decided(Vec::new()).await?), "without an approval there is no token")?;
        rule(is_refused(&decided(vec![right(secret, NOW + 1)]).await?), "an approval that has ended is none")?;
        let of_another = right(SecretId::generate(), ahead * 2);
        rule(is_refused(&decided(vec![of_another]).await?), "an approval is for its secret")?;
        let elsewhere = ApprovedRead { place: place - 1, ..right(secret, ahead * 2) };
        rule(is_refused(&decided(vec![elsewhere]).await?), "and for its place and rules")?;
        let TokenDecision::Recorded { token, .. } = decided(vec![right(secret, ahead * 2)]).await? else {
            return Err("with an approval there is a token".to_owned());
        };
        rule(token.expires_at == NOW + 900, "its end is the one that was asked for")?;
        Ok(())
    }
}
