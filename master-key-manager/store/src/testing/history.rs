//! Versions as people see them, and rules of retention.

use manager_api::edit::Edit;
use manager_api::name::{Note, SecretPath};
use manager_api::retention::Retention;
use manager_api::tokens::Stage;
use manager_api::versions::VersionStatus;
use manager_policy::{Permit, Scope, Write};
use manager_registry::SecretRules;
use shared_proto::id::{SecretId, Subject, Version};

use super::{Kit, NOW, rule, signer, text};
use crate::{
    AboutVersion, ChangedVersion, Expiry, HistoryPart, NewVersion, Outlived, StageChange, VersionChange, VersionEntry,
};

const DAY: u64 = 24 * 60 * 60;

impl Kit<'_> {
    /// A secret with committed versions 1, 2 … that were written on these days.
    async fn secret_of_days(&self, path: &str, days: &[u64], rules: SecretRules) -> Result<SecretId, String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse(path).map_err(text)?);
        for (number, day) in (1..).zip(days) {
            let new = self.new_version(secret, number, &path)?;
            self.written(NewVersion { rules: rules.clone(), now: NOW + day * DAY, ..new }).await?;
        }
        Ok(secret)
    }

    async fn page(&self, secret: SecretId, part: HistoryPart) -> Result<(Vec<u64>, Option<u64>), String> {
        let page = self.store.history(&self.look()?, secret, part).await.map_err(text)?;
        let page = page.ok_or("a secret has a history")?;
        Ok((page.entries.iter().map(|entry| entry.version.get()).collect(), page.next.map(Version::get)))
    }

    async fn entry(&self, secret: SecretId, number: u64) -> Result<Option<VersionEntry>, String> {
        let version = Version::new(number).map_err(text)?;
        let found = self.store.entries(&self.look()?, secret, vec![version]).await.map_err(text)?;
        Ok(found.into_iter().next().flatten())
    }

    async fn change_of(&self, secret: SecretId, number: u64, stage: StageChange) -> Result<ChangedVersion, String> {
        let version = Version::new(number).map_err(text)?;
        let change = VersionChange { secret, version, note: Edit::Keep, stage, if_version: None };
        self.store.change_version(&self.may()?, change).await.map_err(text)
    }

    pub(super) async fn histories(&self) -> Result<(), String> {
        let secret = self.secret_of_days("history/one", &[0, 1, 2, 3], SecretRules::default()).await?;
        let part = |newest_first, after: Option<u64>| {
            let after = after.and_then(|number| Version::new(number).ok());
            HistoryPart { newest_first, after, limit: 3 }
        };
        for (newest_first, after, expected) in [
            (true, None, (vec![4, 3, 2], Some(2))),
            (true, Some(2), (vec![1], None)),
            (false, None, (vec![1, 2, 3], Some(3))),
            (false, Some(3), (vec![4], None)),
            (true, Some(1), (vec![], None)),
        ] {
            let page = self.page(secret, part(newest_first, after)).await?;
            rule(page == expected, "a history is paged in both directions")?;
        }
        let unknown = self.store.history(&self.look()?, SecretId::generate(), part(true, None)).await;
        rule(unknown == Ok(None), "an unknown secret has no history")?;
        rule(self.entry(secret, 9).await?.is_none(), "a missing version has no entry")?;
        let author = Subject::Service(shared_proto::id::ServiceId::generate());
        let about = AboutVersion {
            note: Some(Note::parse("five").map_err(text)?),
            author: Some(author),
            expires_at: Some(NOW + 9),
            is_pending: true,
            ..AboutVersion::default()
        };
        let path = SecretPath::parse("history/one").map_err(text)?;
        self.written(NewVersion { about, ..self.new_version(secret, 5, &path)? }).await?;
        let five = self.entry(secret, 5).await?.ok_or("a version has an entry")?;
        rule((five.author, five.expiry) == (Some(author), Expiry::Known(Some(NOW + 9))), "author and end read back")?;
        rule(five.note.is_some_and(|note| note.as_str() == "five"), "and the note does")?;
        rule((five.status, five.stages) == (VersionStatus::Committed, vec![Stage::Pending]), "and the stage")?;
        let four = self.entry(secret, 4).await?.ok_or("a version has an entry")?;
        rule(
            four.expiry == Expiry::Known(None) && four.stages == [Stage::Current],
            "a version without an end has none",
        )?;
        let three = self.entry(secret, 3).await?.ok_or("a version has an entry")?;
        rule(
            (three.status, three.stages) == (VersionStatus::Superseded, vec![Stage::Previous]),
            "others are superseded",
        )
    }

    pub(super) async fn changed_versions(&self) -> Result<(), String> {
        let secret = self.secret_of_days("history/changed", &[0, 1, 2], SecretRules::default()).await?;
        let only: Permit<Write> =
            Permit::decide(&self.facts(), &self.actor, &Scope::Secret(secret), NOW).map_err(text)?;
        let version = |number| Version::new(number).map_err(text);
        let note = Note::parse("the good one").map_err(text)?;
        let noted = VersionChange {
            secret,
            version: version(1)?,
            note: Edit::Set(note.clone()),
            stage: StageChange::GivePrevious,
            if_version: Some(version(3)?),
        };
        let made = self.store.change_version(&only, noted.clone()).await.map_err(text)?;
        let ChangedVersion::Made(entry) = made else { return Err("a version is changed".to_owned()) };
        rule(entry.note == Some(note) && entry.stages == [Stage::Previous], "note and stage change together")?;
        rule(entry.expiry == Expiry::Known(None), "a note keeps the row the manager's")?;
        rule(self.entry(secret, 2).await?.is_some_and(|two| two.stages.is_empty()), "one version is previous")?;
        let late = VersionChange { if_version: Some(version(2)?), note: Edit::Remove, ..noted };
        let late = self.store.change_version(&only, late).await.map_err(text)?;
        rule(late == ChangedVersion::OtherVersion, "a change compares the current version")?;
        rule(self.entry(secret, 1).await?.is_some_and(|one| one.note.is_some()), "and writes nothing then")?;
        for (number, stage, expected) in [
            (3, StageChange::GivePrevious, ChangedVersion::StageStays),
            (3, StageChange::Take, ChangedVersion::StageStays),
            (9, StageChange::Take, ChangedVersion::NotFound),
        ] {
            let refused = self.change_of(secret, number, stage).await?;
            rule(refused == expected, "current is neither moved nor taken away")?;
        }
        let taken = self.change_of(secret, 1, StageChange::Take).await?;
        rule(matches!(taken, ChangedVersion::Made(one) if one.stages.is_empty()), "previous is taken away")?;
        self.store.destroy(&self.may()?, secret, vec![version(2)?], Some(signer()), NOW).await.map_err(text)?;
        rule(self.entry(secret, 1).await?.is_some_and(|one| one.stages.is_empty()), "and stays so")?;
        let destroyed = self.change_of(secret, 2, StageChange::GivePrevious).await?;
        rule(destroyed == ChangedVersion::StageStays, "a destroyed version gets no stage")
    }

    async fn outlived_of(&self, secret: SecretId, day: u64) -> Result<Option<Vec<u64>>, String> {
        let found = self.store.outlived(secret, NOW + day * DAY).await.map_err(text)?;
        Ok(found.map(|found| found.versions.into_iter().map(Version::get).collect()))
    }

    pub(super) async fn retention(&self) -> Result<(), String> {
        let rule_of = |versions, days| {
            let retention = Some(Retention::new(versions, days).map_err(|_| "a rule is made")?);
            Ok::<_, String>(SecretRules { retention, ..SecretRules::default() })
        };
        let few = self.secret_of_days("kept/few", &[0, 1, 2, 3, 4], rule_of(Some(2), None)?).await?;
        rule(self.outlived_of(few, 0).await? == Some(vec![3, 2, 1]), "the newest versions are kept")?;
        let young = self.secret_of_days("kept/young", &[0, 10, 20, 30], rule_of(None, Some(20))?).await?;
        for (day, outlived) in [(29, vec![]), (30, vec![1]), (39, vec![1]), (40, vec![2, 1]), (999, vec![2, 1])] {
            let found = self.outlived_of(young, day).await?;
            rule(found == Some(outlived), "a version is kept for its days after the next one")?;
        }
        let none = self.secret_of_days("kept/all", &[0, 1, 2], SecretRules::default()).await?;
        rule(self.outlived_of(none, 999).await?.is_none(), "without a rule everything is kept")?;
        let mut found = Vec::new();
        while let Some(next) = self.store.with_retention(found.last().copied(), 1).await.map_err(text)?.first() {
            found.push(*next);
        }
        rule(
            found.contains(&few) && found.contains(&young) && !found.contains(&none),
            "secrets with a rule are found",
        )?;
        let versions = [1, 3, 4, 5].map(Version::new).into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
        let seen = self.store.outlived(few, NOW).await.map_err(text)?.ok_or("there are outlived ones")?;
        rule(seen.kept.iter().map(|kept| kept.get()).eq([4, 5]), "it says what is kept")?;
        let seen = Outlived { versions: versions.clone(), ..seen };
        for changed in [
            Outlived { number: seen.number + 1, ..seen.clone() },
            Outlived { kept: vec![Version::new(4).map_err(text)?], ..seen.clone() },
        ] {
            let done = self.store.destroy_outlived(few, changed, Some(signer()), NOW).await.map_err(text)?;
            rule(done.numbers.is_empty() && !done.deferred, "nothing is destroyed on another state")?;
        }
        let done = self.store.destroy_outlived(few, seen.clone(), Some(signer()), NOW).await.map_err(text)?;
        rule(done.numbers.len() == 2, "what the rule keeps is not destroyed")?;
        let states = self.store.entries(&self.look()?, few, versions).await.map_err(text)?;
        let states: Vec<_> = states.into_iter().map(|entry| entry.map(|entry| entry.status)).collect();
        let [gone, old, new] =
            [VersionStatus::Destroyed, VersionStatus::Superseded, VersionStatus::Committed].map(Some);
        rule(states == [gone, gone, old, new], "and what it does not keep is")?;
        rule(self.outlived_of(few, 0).await? == Some(vec![2]), "the others wait")?;
        let late = Outlived { versions: vec![Version::new(2).map_err(text)?], ..seen };
        let done = self.store.destroy_outlived(none, late, Some(signer()), NOW).await.map_err(text)?;
        rule(done.numbers.is_empty() && !done.deferred, "without a rule nothing is destroyed")
    }
}
