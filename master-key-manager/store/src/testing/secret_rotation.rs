//! Rotations of secrets, step by step.

use manager_api::generate::Generate;
use manager_api::name::{SecretPath, UserLabel};
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::{Kit, NOW, rule, signer, text};
use crate::{
    AboutVersion, BeginOutcome, DuePlace, Finished, IfVersion, NewRotation, NewVersion, Promotion, SecretRotation,
    Step, StepOutcome, Verified,
};

impl Kit<'_> {
    pub(super) async fn begun(
        &self,
        (secret, path): (SecretId, &SecretPath),
        number: u64,
        (activate, emergency): (bool, bool),
    ) -> Result<BeginOutcome, String> {
        let account = Some(UserLabel::parse(format!("account {number}")).map_err(text)?);
        let about = AboutVersion { is_pending: !(activate || emergency), account, ..AboutVersion::default() };
        let generate = serde_json::from_str::<Generate>(r#"{"form": "uuid"}"#).map_err(text)?;
        let rotation = Some(NewRotation { activate, emergency, grace_seconds: 60, generate: Some(generate) });
        let new = NewVersion { about, rotation, ..self.new_version(secret, number, path)? };
        self.store.begin_rotation(&self.may()?, new).await.map_err(text)
    }

    pub(super) async fn committed(&self, secret: SecretId, number: u64) -> Result<(), String> {
        let version = Version::new(number).map_err(text)?;
        self.store.commit(secret, version, None).await.map_err(text).map(|_outcome| ())
    }

    async fn under_way(&self, secret: SecretId) -> Result<Option<SecretRotation>, String> {
        let found = self.store.described(&self.look()?, secret).await.map_err(text)?.ok_or("the secret is there")?;
        Ok(found.rotation.under_way)
    }

    pub(super) async fn step_of(&self, secret: SecretId) -> Result<Option<Step>, String> {
        Ok(self.under_way(secret).await?.map(|found| found.step))
    }

    pub(super) async fn secret_rotations(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("rotated").map_err(text)?);
        let about = (secret, &path);
        self.written(self.new_version(secret, 1, &path)?).await?;
        let promotion = Promotion { secret, version: None, unverified: false, grace_seconds: None, now: NOW };
        let none = self.store.promote(&self.may()?, promotion).await;
        rule(none == Ok(StepOutcome::OtherStep), "nothing is promoted without a pending version")?;
        rule(matches!(self.begun(about, 2, (false, false)).await?, BeginOutcome::Pending(_)), "a rotation begins")?;
        rule(self.step_of(secret).await? == Some(Step::Writing), "with a version on its way")?;
        rule(self.begun(about, 3, (true, false)).await? == BeginOutcome::Rotating, "and no other begins")?;
        self.store.abandon(secret, Version::new(2).map_err(text)?).await.map_err(text)?;
        rule(self.step_of(secret).await?.is_none(), "a version that is given up takes its rotation with it")?;
        self.begun(about, 3, (false, false)).await?;
        self.committed(secret, 3).await?;
        rule(self.step_of(secret).await? == Some(Step::Pending), "a version that is there waits")?;
        rule(self.stages_of(secret).await? == [Some(1), None, Some(3)], "as pending")?;
        rule(self.begun(about, 4, (true, false)).await? == BeginOutcome::Rotating, "and no other begins")?;
        let unverified = self.store.promote(&self.may()?, promotion).await;
        rule(unverified == Ok(StepOutcome::Unverified), "somebody says first that it works")?;
        let verified = Verified { at: NOW, by: None };
        let third = Version::new(3).map_err(text)?;
        let said = self.store.verify_rotation(&self.may()?, (secret, Some(third)), verified).await;
        rule(said == Ok(StepOutcome::Done(third)), "somebody says that it works")?;
        let promoted = self.store.promote(&self.may()?, promotion).await;
        rule(promoted == Ok(StepOutcome::Done(third)), "it is promoted")?;
        rule(self.store.promote(&self.may()?, promotion).await == Ok(StepOutcome::OtherStep), "once")?;
        rule(self.stages_of(secret).await? == [Some(3), Some(1), None], "current becomes previous")?;
        let early = self.store.end_rotation(secret, Some(signer()), NOW + 59).await;
        rule(early == Ok(Finished::default()), "a grace time is not cut short by the service")?;
        let ended = self.store.ended_rotations(NOW + 60, 99).await.map_err(text)?;
        rule(ended.contains(&secret), "it ends")?;
        let before = self.store.chain_head().await.map_err(text)?.number;
        let done = self.store.end_rotation(secret, Some(signer()), NOW + 60).await.map_err(text)?;
        rule((done.version, done.numbers) == (Some(third), vec![before + 1]), "with a revocation")?;
        let newest = self.store.events_after(before, 1).await.map_err(text)?;
        let is_own = newest.first().is_some_and(|event| event.event == Event::Version(secret, Version::FIRST));
        rule(is_own, "of the former version")?;
        rule(self.stages_of(secret).await? == [Some(3), None, None], "which loses its stage")?;
        rule(self.step_of(secret).await?.is_none(), "and the rotation is over")?;
        self.kept(secret).await?;
        self.emergencies(about).await
    }

    /// The parts of a rotation that the description and the version keep.
    async fn kept(&self, secret: SecretId) -> Result<(), String> {
        let found = self.store.described(&self.look()?, secret).await.map_err(text)?.ok_or("the secret is there")?;
        let account = found.rotation.account.as_ref().map(UserLabel::as_str);
        rule(account == Some("account 3"), "a version has its account")?;
        let plan = found.details.and_then(|details| details.rotation);
        rule(plan.is_some_and(|plan| plan.generate.is_some()), "the request for a value is kept")?;
        let due = found.rotation.due_at.ok_or("a secret is due")?;
        let page = self.store.due_rotations(&self.sees(), (due, due + 1), None, 99).await.map_err(text)?;
        rule(page.secrets.iter().any(|found| found.secret == secret && found.due_at == due), "which is listed")?;
        let after = Some(DuePlace { due_at: due, secret });
        let page = self.store.due_rotations(&self.sees(), (due, due + 1), after, 99).await.map_err(text)?;
        rule(page.secrets.iter().all(|found| found.secret != secret), "once")
    }

    async fn emergencies(&self, (secret, path): (SecretId, &SecretPath)) -> Result<(), String> {
        self.begun((secret, path), 4, (false, false)).await?;
        self.committed(secret, 4).await?;
        let begun = self.begun((secret, path), 5, (false, true)).await?;
        rule(matches!(begun, BeginOutcome::Pending(_)), "an emergency takes the place of what is under way")?;
        self.committed(secret, 5).await?;
        rule(self.stages_of(secret).await? == [Some(5), None, None], "and of every other stage")?;
        rule(self.step_of(secret).await? == Some(Step::Revoking), "before its revocation")?;
        let ended = self.store.ended_rotations(NOW, 99).await.map_err(text)?;
        rule(ended.contains(&secret), "which nothing but time keeps back")?;
        let done = self.store.finish_rotation(&self.may()?, (secret, None), None, NOW).await.map_err(text)?;
        rule(done.deferred && done.numbers.is_empty(), "it waits for a number if there is none")?;
        self.store.number_deferred(signer(), NOW).await.map_err(text)?;
        rule(self.step_of(secret).await?.is_none(), "and is over")?;
        let seen = NewVersion { if_version: IfVersion::of(4), ..self.new_version(secret, 6, path)? };
        let other = self.store.begin_rotation(&self.may()?, seen).await;
        rule(other == Ok(BeginOutcome::OtherVersion), "a rotation compares the current version")?;
        self.begun((secret, path), 6, (false, false)).await?;
        self.committed(secret, 6).await?;
        self.written(self.new_version(secret, 7, path)?).await?;
        let promotion = Promotion { secret, version: None, unverified: true, grace_seconds: None, now: NOW };
        let stale = self.store.promote(&self.may()?, promotion).await;
        rule(stale == Ok(StepOutcome::OtherVersion), "nothing older than the current version is promoted")?;
        let sixth = Version::new(6).map_err(text)?;
        let given_up = self.store.give_up_rotation(&self.may()?, secret).await;
        rule(given_up == Ok(StepOutcome::Done(sixth)), "a pending version is given up")?;
        rule(self.step_of(secret).await?.is_none(), "with its rotation")
    }
}
