//! Versions, their secrets, and idempotency keys.

use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use manager_policy::SecretFacts;
use shared_proto::id::{EnvironmentId, SecretId, ServiceId, Subject, Version};

use super::{Kit, NOW, rule, text};
use crate::{BeginOutcome, CommitOutcome, IfVersion, NewVersion, Position, SecretState};

impl Kit<'_> {
    pub(super) async fn versions(&self) -> Result<(), String> {
        let path = SecretPath::parse("db/password").map_err(text)?;
        let new = self.new_version(SecretId::generate(), 1, &path)?;
        let secret = new.row.secret;
        let begun = self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
        let BeginOutcome::Pending(subject) = begun else { return Err("a free number is taken as pending".to_owned()) };
        let known = self.store.subject_of(&self.may()?, self.label.clone()).await;
        rule(known == Ok(Some(subject)), "a label stands for its first subject")?;
        rule(self.store.begin(&self.may()?, new.clone()).await == Ok(BeginOutcome::Taken), "a number is given once")?;
        let rival = self.new_version(SecretId::generate(), 1, &path)?;
        rule(self.store.begin(&self.may()?, rival.clone()).await == Ok(BeginOutcome::Taken), "a path is one secret")?;
        rule(
            self.store.secret(&self.look()?, rival.row.secret).await == Ok(None),
            "a refused version leaves nothing behind",
        )?;
        let state = self.store.secret_at(&self.may()?, self.environment, path.clone()).await.map_err(text)?;
        let seen = |state: SecretState| (state.secret, state.created_at, state.pending) == (secret, NOW, vec![new.row]);
        rule(state.is_some_and(seen), "a pending version is seen by the next writer, with the time of its secret")?;
        rule(self.store.pending(9).await.is_ok_and(|rows| rows == [new.row]), "pending versions are listed")?;
        let committed = self.store.commit(secret, Version::FIRST, None).await;
        rule(committed == Ok(CommitOutcome::Yes { rseq: 0, expires_at: None }), "a pending version is committed")?;
        rule(self.store.abandon(secret, Version::FIRST).await.is_ok(), "abandoning a committed version is no error")?;
        let row = self.store.version(&self.look()?, secret, Version::FIRST).await.map_err(text)?;
        rule(row.is_some_and(|row| row.state == CatalogueState::Committed), "a committed version is never abandoned")?;
        let lost = self.new_version(secret, 2, &path)?;
        self.store.begin(&self.may()?, lost.clone()).await.map_err(text)?;
        self.store.abandon(secret, lost.row.version).await.map_err(text)?;
        let refused = self.store.commit(secret, lost.row.version, None).await;
        rule(refused == Ok(CommitOutcome::No), "an abandoned version is never committed")?;
        let page = self.list(&self.sees(), Some(self.environment), None, 9).await?.rows;
        let stages = page.iter().map(|row| (row.secret, row.stages.current)).collect::<Vec<_>>();
        rule(stages == [(secret, Some(Version::FIRST))], "a secret is listed once, whatever its versions are")?;
        let first = self.list(&self.sees(), None, None, 1).await?;
        let here = Position::Path(self.environment, "db/password".to_owned());
        rule(first.next.as_ref() == Some(&here), "a page says where it ends")?;
        let rest = self.list(&self.sees(), None, Some(here), 9).await?;
        rule(rest.rows.is_empty() && rest.next.is_none(), "a page begins behind its cursor")
    }

    /// Of two who want to be the first, one is.
    pub(super) async fn first_ones(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("first").map_err(text)?);
        let first = |number| {
            let new = self.new_version(secret, number, &path)?;
            Ok::<_, String>(NewVersion { if_version: Some(IfVersion::Absent), ..new })
        };
        let had_value = async || {
            let state = self.store.secret(&self.look()?, secret).await.map_err(text)?;
            state.map(|state| state.had_value).ok_or_else(|| "a secret has a state".to_owned())
        };
        let may = async |number| Ok::<_, String>(self.store.begin(&self.may()?, first(number)?).await);
        rule(matches!(may(1).await?, Ok(BeginOutcome::Pending(_))), "a secret that is not there has no version")?;
        rule(may(2).await? == Ok(BeginOutcome::OtherVersion), "one that is being written is as one that is written")?;
        self.store.abandon(secret, Version::FIRST).await.map_err(text)?;
        rule(!had_value().await?, "what was given up is no value")?;
        rule(matches!(may(2).await?, Ok(BeginOutcome::Pending(_))), "what was given up leaves its place")?;
        let second = Version::new(2).map_err(text)?;
        self.store.commit(secret, second, None).await.map_err(text)?;
        rule(may(3).await? == Ok(BeginOutcome::OtherVersion), "a value keeps its place")?;
        rule(had_value().await?, "what was stored is a value")
    }

    /// A new secret whose path is another way to write that of a known one.
    pub(super) async fn other_readings(&self) -> Result<(), String> {
        for (known, other) in [("read/as/slashes", "read.as.slashes"), ("read.as.dots", "read/as/dots")] {
            let (path, other) = (SecretPath::parse(known).map_err(text)?, SecretPath::parse(other).map_err(text)?);
            let new = self.new_version(SecretId::generate(), 1, &path)?;
            self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
            let rival = self.new_version(SecretId::generate(), 1, &other)?;
            let begun = self.store.begin(&self.may()?, rival.clone()).await;
            rule(begun == Ok(BeginOutcome::OtherReading), "a path has one reading")?;
            let left = self.store.secret_at(&self.may()?, self.environment, other).await;
            rule(left == Ok(None), "a path with two readings is not taken")?;
            let next = self.new_version(new.row.secret, 2, &path)?;
            let begun = self.store.begin(&self.may()?, next).await;
            rule(matches!(begun, Ok(BeginOutcome::Pending(_))), "a known secret is written on")?;
        }
        for beside in ["read.as/slashes", "read/as.slashes", "read.as", "read/as"] {
            let path = SecretPath::parse(beside).map_err(text)?;
            let begun = self.store.begin(&self.may()?, self.new_version(SecretId::generate(), 1, &path)?).await;
            let is_other = beside == "read/as";
            let right = matches!(begun, Ok(BeginOutcome::Pending(_)));
            rule(right != is_other, "paths that are written otherwise are other paths")?;
        }
        Ok(())
    }

    /// The facts about secrets by their places, and below a folder.
    pub(super) async fn facts_of_places(&self) -> Result<(), String> {
        let mut known = Vec::new();
        // In the order of their bytes. `below0` and `below-` are beside the folder, and so is itself.
        for path in ["below", "below-/x", "below/a", "below/a/b", "below/\u{10ffff}", "below0"] {
            let path = SecretPath::parse(path).map_err(text)?;
            let new = self.new_version(SecretId::generate(), 1, &path)?;
            self.store.begin(&self.may()?, new.clone()).await.map_err(text)?;
            known.push((new.row.secret, path));
        }
        let folder = SecretPath::parse("below").map_err(text)?;
        let ids = |facts: Vec<SecretFacts>| facts.into_iter().map(|one| (one.id, one.path)).collect::<Vec<_>>();
        let below = self.store.facts_below(self.environment, Some(folder), 9).await.map(ids);
        rule(below.as_deref() == Ok(known.get(2..5).unwrap_or_default()), "what is below a folder is found in order")?;
        let all = self.store.facts_below(self.environment, None, 999).await.map(ids).map_err(text)?;
        rule(known.iter().all(|one| all.contains(one)), "so is all of an environment")?;
        let first = self.store.facts_below(self.environment, None, 2).await.map(ids).map_err(text)?;
        rule(all.get(..2) == Some(&first), "and not more than was asked for")?;
        let elsewhere = self.store.facts_below(EnvironmentId::generate(), None, 9).await;
        rule(elsewhere == Ok(Vec::new()), "nothing is below another environment")?;
        let unknown = (self.environment, SecretPath::parse("below/nothing").map_err(text)?);
        let places = known.iter().map(|(_, path)| (self.environment, path.clone())).chain([unknown]).collect();
        let found = self.store.facts_at(places).await.map_err(text)?;
        let found: Vec<_> = found.into_iter().map(|one| one.map(|one| (one.id, one.path))).collect();
        let expected: Vec<_> = known.into_iter().map(Some).chain([None]).collect();
        rule(found == expected, "secrets are found by their places, in the order of these")
    }

    pub(super) async fn idempotency(&self) -> Result<(), String> {
        let subject = Subject::Service(ServiceId::generate());
        let mut new = self.new_version(SecretId::generate(), 1, &SecretPath::parse("idem").map_err(text)?)?;
        new.idempotency = Some((subject, "key".to_owned()));
        let expected = Some((new.row.secret, new.row.version));
        self.store.begin(&self.may()?, new).await.map_err(text)?;
        let found = self.store.idempotent(&self.look()?, subject, "key".to_owned(), NOW).await;
        rule(found == Ok(expected), "an idempotency key names its version")?;
        let late = self.store.idempotent(&self.look()?, subject, "key".to_owned(), NOW + 86_400).await;
        rule(late == Ok(None), "an idempotency key is forgotten after a day")?;
        let stranger = Subject::Service(ServiceId::generate());
        let other = self.store.idempotent(&self.look()?, stranger, "key".to_owned(), NOW).await;
        rule(other == Ok(None), "an idempotency key belongs to its caller")
    }
}
