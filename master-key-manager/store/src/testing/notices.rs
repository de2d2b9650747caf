//! Ends of versions, and notices of what is due.

use manager_api::environments::ExpiredVersions;
use manager_api::name::SecretPath;
use manager_api::notices::NoticeKind;
use manager_registry::{Author, EnvironmentRules};
use shared_proto::encoding::Bytes;
use shared_proto::id::{SecretId, Version};

use super::{Kit, NOW, rule, signer, text};
use crate::{
    AboutVersion, CommitOutcome, Details, DuePlace, Expiry, NewDetails, NewVersion, Notice, TokenDecision, TokenRequest,
};

const DAY: u64 = 24 * 60 * 60;

impl Kit<'_> {
    fn ending(&self, secret: SecretId, number: u64, path: &SecretPath, end: u64) -> Result<NewVersion, String> {
        let about = AboutVersion { expires_at: Some(end), ..AboutVersion::default() };
        Ok(NewVersion { about, ..self.new_version(secret, number, path)? })
    }

    async fn asked_for(&self, secret: SecretId) -> Result<TokenDecision, String> {
        let order = TokenRequest { signing_key: Bytes([6; 32]), ..self.new_order(vec![(secret, None)]) };
        self.store.decide_token(order).await.map_err(text)
    }

    /// Has the environment tell of expired versions, or refuse them.
    async fn rules(&self, expired_versions: ExpiredVersions) -> Result<(), String> {
        let rules = EnvironmentRules { expired_versions, ..EnvironmentRules::new(self.environment) };
        let by = (Author::Operator, "", NOW);
        let proposal = self.known().propose(vec![rules.into()], by, 0, &self.key).map_err(|_| "rules are written")?;
        self.store.change_registry(proposal.rows, Vec::new(), Some(signer()), NOW).await.map_err(text)?;
        self.take(proposal.after);
        Ok(())
    }

    pub(super) async fn expiry(&self) -> Result<(), String> {
        let path = SecretPath::parse("ends").map_err(text)?;
        let (over, soon) = (SecretId::generate(), SecretId::generate());
        self.written(self.ending(over, 1, &path, NOW)?).await?;
        self.written(self.ending(soon, 1, &SecretPath::parse("soon").map_err(text)?, NOW + 60)?).await?;
        rule(self.store.expiry(over, Version::FIRST).await == Ok(Expiry::Known(Some(NOW))), "an end reads back")?;
        rule(self.store.expiry(over, Version::LAST).await == Ok(Expiry::Unverified), "a missing version has none")?;
        let told = self.asked_for(over).await?;
        let is_told = matches!(&told, TokenDecision::Recorded { endings, .. } if endings.iter().all(|end| end.is_over));
        rule(is_told, "an expired version is told")?;
        self.rules(ExpiredVersions::Refuse).await?;
        rule(matches!(self.asked_for(over).await?, TokenDecision::Expired), "or refused")?;
        let cut = self.asked_for(soon).await?;
        let is_cut = matches!(&cut, TokenDecision::Recorded { token, .. } if token.expires_at == NOW + 60);
        rule(is_cut, "a token does not outlive its version then")?;
        let next = self.ending(over, 2, &path, NOW)?;
        self.store.begin(&self.may()?, next.clone()).await.map_err(text)?;
        let token = self.new_token(&next.row);
        let committed = self.store.commit(over, next.row.version, Some((self.may()?, token))).await;
        rule(committed == Ok(CommitOutcome::Expired), "a version that is over is written without a token")?;
        self.rules(ExpiredVersions::Warn).await
    }

    async fn told(&self) -> Result<Vec<Notice>, String> {
        self.store.undelivered_notices(0, 99).await.map_err(text)
    }

    /// Looks for all that is due, a secret at a time.
    async fn look_for(&self, kind: NoticeKind, now: u64) -> Result<(), String> {
        let mut after: Option<DuePlace> = None;
        loop {
            after = self.store.notice(kind, after, now, 1).await.map_err(text)?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    pub(super) async fn notices(&self) -> Result<(), String> {
        let later = NOW + 10_000 * DAY;
        let (secret, path) = (SecretId::generate(), SecretPath::parse("noticed").map_err(text)?);
        self.written(NewVersion { now: later, ..self.ending(secret, 1, &path, later + 40 * DAY)? }).await?;
        let own = |found: &[Notice]| {
            let own = found.iter().filter(|notice| notice.secret == secret);
            own.map(|notice| (notice.kind, notice.threshold_days)).collect::<Vec<_>>()
        };
        for (day, count) in [(9, 0), (10, 1), (11, 1), (33, 2), (39, 3), (41, 3), (80, 3)] {
            for _ in 0..2 {
                self.look_for(NoticeKind::Expiry, later + day * DAY).await?;
            }
            rule(own(&self.told().await?).len() == count, "a notice comes once for each threshold")?;
        }
        let expected = [30, 7, 1].map(|days| (NoticeKind::Expiry, days));
        rule(own(&self.told().await?) == expected, "from the first threshold to the last")?;
        let seen = self.store.notices(&self.sees(), 0, 99).await.map_err(text)?;
        rule(seen.notices.iter().filter(|(notice, ..)| notice.secret == secret).count() == 3, "notices are listed")?;
        let first = self.told().await?.into_iter().find(|notice| notice.secret == secret).ok_or("it is there")?;
        self.store.note_delivered(first.number, later).await.map_err(text)?;
        rule(own(&self.told().await?).len() == 2, "one that was delivered is not delivered again")?;
        // The rotation is due with the period of the description.
        let details = Details { rotation_days: Some(5), ..Details::default() };
        let described = NewDetails { secret, details, expected: 0 };
        self.store.describe(&self.may()?, described).await.map_err(text)?.map_err(|_| "it is described")?;
        self.look_for(NoticeKind::Rotation, later).await?;
        let both = own(&self.told().await?);
        rule(both.last() == Some(&(NoticeKind::Rotation, 7)), "a rotation that is due has a notice")?;
        let numbers: Vec<u64> = self.told().await?.iter().map(|notice| notice.number).collect();
        self.written(NewVersion { now: later, ..self.ending(secret, 2, &path, later + 400 * DAY)? }).await?;
        let mut after = Some(0);
        while let Some(number) = after {
            after = self.store.drop_notices(number, later, 1).await.map_err(text)?;
        }
        let left = self.told().await?;
        rule(left.iter().all(|notice| notice.kind == NoticeKind::Rotation), "notices go with the version")?;
        self.look_for(NoticeKind::Rotation, later + 2 * DAY).await?;
        let newest = self.told().await?.last().map(|notice| notice.number);
        rule(newest > numbers.last().copied(), "no number is given twice")?;
        let mut after = Some(0);
        while let Some(number) = after {
            after = self.store.drop_notices(number, later + 200 * DAY, 9).await.map_err(text)?;
        }
        rule(own(&self.told().await?).is_empty(), "old notices are dropped")
    }
}
