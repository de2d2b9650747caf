//! Places, rules, descriptions and stages of secrets.

use std::sync::PoisonError;

use manager_api::kind::SecretKind;
use manager_api::name::{Description, Note, SecretPath};
use manager_api::tokens::{Stage, WantedVersion};
use manager_policy::{Permit, Scope, Write};
use manager_registry::{Author, Deletion, Place, Record, SecretRules, Snapshot};
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::{Kit, NOW, refused, rule, signer, text};
use crate::{
    AboutVersion, ActError, BeginOutcome, ChangeOutcome, Details, IfVersion, NewDetails, NewPlace, NewVersion,
    PlaceConflict, Stages, TokenDecision, TokenRequest, Wanted,
};

impl Kit<'_> {
    /// Writes a version and commits it.
    pub(super) async fn written(&self, new: NewVersion) -> Result<BeginOutcome, String> {
        let (secret, version) = (new.row.secret, new.row.version);
        let begun = self.store.begin(&self.may()?, new).await.map_err(text)?;
        if matches!(begun, BeginOutcome::Pending(_)) {
            self.store.commit(secret, version, None).await.map_err(text)?;
        }
        Ok(begun)
    }

    pub(super) async fn stages_of(&self, secret: SecretId) -> Result<[Option<u64>; 3], String> {
        let state = self.store.secret(&self.look()?, secret).await.map_err(text)?.ok_or("the secret is there")?;
        let Stages { current, previous, pending } = state.stages;
        Ok([current, previous, pending].map(|version| version.map(Version::get)))
    }

    async fn opened(&self, secret: SecretId, stage: Stage) -> Result<Option<u64>, String> {
        let grants = vec![(Wanted::Id(secret), WantedVersion::Stage(stage))];
        let order = TokenRequest { grants, signing_key: Bytes([6; 32]), ..self.new_order(Vec::new()) };
        match self.store.decide_token(order).await.map_err(text)? {
            TokenDecision::Recorded { versions, .. } => Ok(versions.first().map(|row| row.version.get())),
            TokenDecision::NotFound => Ok(None),
            TokenDecision::Deleted
            | TokenDecision::Expired
            | TokenDecision::Twice
            | TokenDecision::SeveralEnvironments
            | TokenDecision::SigningKeyRevoked
            | TokenDecision::Frozen
            | TokenDecision::ApprovalRequired
            | TokenDecision::Limited(_)
            | TokenDecision::Closed(_) => Err("a stage is found or not".to_owned()),
        }
    }

    pub(super) async fn stages(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("stage/one").map_err(text)?);
        let new = |number| self.new_version(secret, number, &path);
        self.written(new(1)?).await?;
        rule(self.stages_of(secret).await? == [Some(1), None, None], "the first version is current")?;
        let about = AboutVersion { is_pending: true, ..AboutVersion::default() };
        self.written(NewVersion { about: about.clone(), ..new(2)? }).await?;
        rule(self.stages_of(secret).await? == [Some(1), None, Some(2)], "a version may wait to become current")?;
        for (stage, version) in [(Stage::Current, Some(1)), (Stage::Previous, None), (Stage::Pending, Some(2))] {
            rule(self.opened(secret, stage).await? == version, "a token is for the version with a stage")?;
        }
        for (seen, outcome) in [(0, false), (2, false), (1, true)] {
            let new = NewVersion { if_version: IfVersion::of(seen), ..new(3)? };
            let begun = self.written(new).await?;
            rule((begun != BeginOutcome::OtherVersion) == outcome, "a write compares the current version")?;
        }
        rule(self.stages_of(secret).await? == [Some(3), Some(1), Some(2)], "current becomes previous")?;
        self.store.begin(&self.may()?, new(4)?).await.map_err(text)?;
        self.written(new(5)?).await?;
        self.store.commit(secret, Version::new(4).map_err(text)?, None).await.map_err(text)?;
        rule(self.stages_of(secret).await? == [Some(5), Some(3), Some(2)], "a late commit does not take a stage back")?;
        for (version, stages) in [
            (5, [Some(4), Some(3), Some(2)]),
            (2, [Some(4), Some(3), None]),
            (3, [Some(4), Some(1), None]),
            (4, [Some(1), None, None]),
            (1, [None, None, None]),
        ] {
            let version = Version::new(version).map_err(text)?;
            let destroyed = self.store.destroy(&self.may()?, secret, vec![version], Some(signer()), NOW).await;
            rule(destroyed.is_ok() && self.stages_of(secret).await? == stages, "a destroyed version loses its stage")?;
        }
        Ok(())
    }

    fn place_change(&self, secrets: &[SecretId]) -> Result<manager_registry::Proposal, String> {
        let changes = secrets.iter().map(|secret| Record::from(Place::changed(*secret)).into()).collect();
        let proposed = self.known().propose(changes, (Author::Service, "", NOW), 0, &self.key);
        proposed.map_err(|_| "a change is written".to_owned())
    }

    pub(super) async fn change_place(
        &self,
        places: Vec<NewPlace>,
        events: Vec<Event>,
    ) -> Result<ChangeOutcome, String> {
        let secrets: Vec<SecretId> = places.iter().map(|place| place.secret).collect();
        let proposal = self.place_change(&secrets)?;
        let made =
            self.store.change_places(proposal.rows, places.into(), events, Some(signer()), NOW).await.map_err(text)?;
        if matches!(made, ChangeOutcome::Made { .. }) {
            self.take(proposal.after);
        }
        Ok(made)
    }

    pub(super) fn take(&self, state: Snapshot) {
        self.store.follow(&state);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) async fn places(&self) -> Result<(), String> {
        let parse = |path: &str| SecretPath::parse(path).map_err(text);
        let (one, other) = (SecretId::generate(), SecretId::generate());
        self.written(self.new_version(one, 1, &parse("place/one")?)?).await?;
        self.written(self.new_version(other, 1, &parse("place/other")?)?).await?;
        let place = |path: &str| {
            let (secret, environment, rules) = (one, self.environment, SecretRules::default());
            Ok::<_, String>(NewPlace {
                secret,
                environment,
                expected: 0,
                path: parse(path)?,
                rules,
                details: None,
                if_revision: None,
            })
        };
        let before = self.store.registry_number().await;
        for (new, why) in [
            (place("place/other")?, PlaceConflict::PathTaken),
            (place("place.other")?, PlaceConflict::OtherReading),
            (NewPlace { expected: 7, ..place("place/two")? }, PlaceConflict::Changed),
            (NewPlace { if_revision: Some(7), ..place("place/two")? }, PlaceConflict::OtherRevision),
            (NewPlace { secret: SecretId::generate(), ..place("place/two")? }, PlaceConflict::Changed),
        ] {
            rule(
                self.change_place(vec![new], Vec::new()).await? == ChangeOutcome::Conflict(why),
                "a place has a conflict",
            )?;
        }
        rule(self.store.registry_number().await == before, "which leaves nothing behind")?;
        let found = self.store.secret_facts(vec![one]).await.map_err(text)?;
        let facts = found.into_iter().next().flatten().ok_or("the secret is there")?;
        let old: Permit<Write> = Permit::decide(&self.facts(), &self.actor, &facts, NOW).map_err(text)?;
        let made = self.change_place(vec![place("place/two")?], vec![Event::Secret(one)]).await?;
        let ChangeOutcome::Made { numbers } = made else { return Err("a place changes".to_owned()) };
        rule(numbers.len() == 1, "with the revocation that follows from it")?;
        let next = NewDetails { secret: one, details: Details::default(), expected: 1 };
        refused(self.store.describe(&old, next.clone()).await, ActError::SecretChanged, "describe")?;
        let at = async |path: &str| {
            let places = vec![(self.environment, parse(path)?)];
            let found = self.store.facts_at(places).await.map_err(text)?;
            Ok::<_, String>(found.into_iter().next().flatten().map(|facts| facts.id))
        };
        rule(at("place/one").await?.is_none() && at("place/two").await? == Some(one), "a move keeps the id")?;
        rule(self.opened(one, Stage::Current).await? == Some(1), "and the versions")?;
        let number = self.store.registry_number().await.map_err(text)?;
        let deletion = Deletion { deleted_at: NOW, recoverable_until: NOW + 9, deleted_by: None, destroyed: false };
        let rules = SecretRules { deletion: Some(deletion), service_only: true, ..SecretRules::default() };
        let deleted = NewPlace { expected: number, rules, ..place("place/two")? };
        rule(
            matches!(self.change_place(vec![deleted], Vec::new()).await?, ChangeOutcome::Made { .. }),
            "rules change",
        )?;
        let token = self.order(vec![(one, None)]).await?;
        rule(matches!(token, TokenDecision::Deleted), "nothing is minted for a deleted secret")?;
        let late = self.written(self.new_version(one, 2, &parse("place/two")?)?).await?;
        rule(late == BeginOutcome::Deleted, "and nothing is written to it")?;
        let twice = [place("place/three")?, NewPlace { secret: other, ..place("place/three")? }];
        let twice = twice.map(|new| NewPlace { expected: if new.secret == one { number + 1 } else { 0 }, ..new });
        let taken = self.change_place(twice.to_vec(), Vec::new()).await?;
        rule(taken == ChangeOutcome::Conflict(PlaceConflict::PathTaken), "two do not get one path")
    }

    pub(super) async fn descriptions(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("described").map_err(text)?);
        let description = Description::parse("for the till").map_err(text)?;
        let details = Details { kind: Some(SecretKind::ApiKey), description: Some(description), ..Details::default() };
        let about = AboutVersion { note: Some(Note::parse("first").map_err(text)?), ..AboutVersion::default() };
        let new = NewVersion { details: details.clone(), about, ..self.new_version(secret, 1, &path)? };
        self.written(new).await?;
        let found = self.store.described(&self.look()?, secret).await.map_err(text)?.ok_or("the secret is there")?;
        rule(found.details == Some(details.clone()) && found.state.revision == 0, "a description reads back")?;
        let only = Permit::decide(&self.facts(), &self.actor, &Scope::Secret(secret), NOW).map_err(text)?;
        let next = NewDetails { secret, details: Details::default(), expected: 0 };
        rule(self.store.describe(&only, next.clone()).await == Ok(Ok(1)), "it is replaced")?;
        let again = self.store.describe(&only, next).await;
        rule(again == Ok(Err(PlaceConflict::OtherRevision)), "once for each revision")?;
        let found = self.store.placed(vec![SecretId::generate(), secret]).await.map_err(text)?;
        let revisions: Vec<Option<u64>> = found.into_iter().map(|one| one.map(|(_, _, revision)| revision)).collect();
        rule(revisions == [None, Some(1)], "an unknown secret has no place")
    }
}
