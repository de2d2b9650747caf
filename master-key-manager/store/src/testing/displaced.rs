//! Rotations that an emergency took the place of.

use manager_api::name::SecretPath;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::{Kit, NOW, rule, signer, text};
use crate::{Promotion, Step, StepOutcome, Verified};

impl Kit<'_> {
    pub(super) async fn displaced_rotations(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("displaced").map_err(text)?);
        let about = (secret, &path);
        self.written(self.new_version(secret, 1, &path)?).await?;
        self.begun(about, 2, (true, false)).await?;
        self.committed(secret, 2).await?;
        rule(self.step_of(secret).await? == Some(Step::Grace), "a grace time runs")?;
        self.begun(about, 3, (false, true)).await?;
        rule(self.step_of(secret).await? == Some(Step::Writing), "an emergency takes its place")?;
        self.given_up(secret, 3).await?;
        rule(self.step_of(secret).await? == Some(Step::Grace), "and gives it back with its version")?;
        let ended = self.store.ended_rotations(NOW + 60, 99).await.map_err(text)?;
        rule(ended.contains(&secret), "so that it ends")?;
        let before = self.store.chain_head().await.map_err(text)?.number;
        self.store.end_rotation(secret, Some(signer()), NOW + 60).await.map_err(text)?;
        let newest = self.store.events_after(before, 1).await.map_err(text)?;
        let is_own = newest.first().is_some_and(|event| event.event == Event::Version(secret, Version::FIRST));
        rule(is_own, "with the revocation of its former version")?;
        self.displaced_pending(about).await
    }

    async fn displaced_pending(&self, about: (SecretId, &SecretPath)) -> Result<(), String> {
        let (secret, _) = about;
        self.begun(about, 4, (false, false)).await?;
        self.committed(secret, 4).await?;
        let verified = Verified { at: NOW, by: None };
        self.store.verify_rotation(&self.may()?, (secret, None), verified).await.map_err(text)?;
        // Two that fail, one over the other.
        self.begun(about, 5, (false, true)).await?;
        self.begun(about, 6, (false, true)).await?;
        self.given_up(secret, 5).await?;
        rule(self.step_of(secret).await? == Some(Step::Writing), "another one is on its way")?;
        self.given_up(secret, 6).await?;
        rule(self.step_of(secret).await? == Some(Step::Pending), "a pending version waits again")?;
        let promotion = Promotion { secret, version: None, unverified: false, grace_seconds: None, now: NOW };
        let promoted = self.store.promote(&self.may()?, promotion).await.map_err(text)?;
        rule(promoted == StepOutcome::Done(Version::new(4).map_err(text)?), "and nobody has to verify it again")?;
        self.store.end_rotation(secret, Some(signer()), NOW + 60).await.map_err(text)?;
        self.begun(about, 7, (false, false)).await?;
        self.begun(about, 8, (false, true)).await?;
        self.committed(secret, 7).await?;
        rule(self.step_of(secret).await? == Some(Step::Writing), "a version of before is settled meanwhile")?;
        self.given_up(secret, 8).await?;
        rule(self.step_of(secret).await? == Some(Step::Pending), "and its rotation goes on from there")?;
        self.begun(about, 9, (false, true)).await?;
        self.committed(secret, 9).await?;
        rule(self.step_of(secret).await? == Some(Step::Revoking), "one that succeeds revokes")?;
        self.store.finish_rotation(&self.may()?, (secret, None), Some(signer()), NOW).await.map_err(text)?;
        rule(self.step_of(secret).await?.is_none(), "and nothing comes back after it")?;
        // The longest row that one can make of it.
        for number in 10..=18 {
            self.begun(about, number, (false, true)).await?;
        }
        let refused = self.begun(about, 19, (false, true)).await?;
        rule(refused == crate::BeginOutcome::Rotating, "what is kept has a bound")?;
        for number in 10..=18 {
            self.given_up(secret, number).await?;
        }
        rule(self.step_of(secret).await?.is_none(), "and all of it can be given up")
    }

    async fn given_up(&self, secret: SecretId, number: u64) -> Result<(), String> {
        self.store.abandon(secret, Version::new(number).map_err(text)?).await.map_err(text)
    }
}
