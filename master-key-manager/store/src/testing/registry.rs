//! Registry: records are written with the entry that authenticates them, on the state that they were decided from.

use std::sync::{Arc, PoisonError};

use manager_api::id::{GroupId, PermissionId};
use manager_api::name::{AccountName, SecretPath};
use manager_api::tags::Tags;
use manager_policy::{
    Action, Effect, Facts, Holder, Line, Note, Party, Period, Permission, Permit, Reach, Scope, State, Write,
};
use manager_registry::{Anchor, Author, Credential, Group, Proof, Proposal, Record, Snapshot, Standing};
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, SecretId, ServiceId, Subject, TokenId};

use super::{Kit, NOW, rule, signer, text};
use crate::{ActError, ChangeOutcome, CommitOutcome, DroppedEntries, OldEntries, SignEvent};

impl Kit<'_> {
    pub(super) async fn registry(&self) -> Result<(), String> {
        let rows = self.store.registry(0).await.map_err(text)?;
        let newest = rows.log.last().ok_or("an installation has a first entry")?;
        let read = Snapshot::load(&rows.records, newest, &self.key).map_err(text)?;
        rule(read.facts(true) == self.facts(), "records read back with their entry")?;
        rule(self.store.registry_number().await == Ok(newest.number), "the newest entry has the highest number")?;
        let far = self.store.registry(99).await.map_err(text)?;
        rule(far.log == rows.log && far.former.is_empty(), "the newest entry is in every answer")?;
        let nobody = self.store.subject_of(&self.may()?, self.label.clone()).await;
        rule(nobody == Ok(None), "a label that nobody used stands for nobody")
    }

    /// Takes number 5, and leaves one event without a number.
    pub(super) async fn credentials(&self, sign: SignEvent) -> Result<(), String> {
        let tokens = self.store.number(vec![self.revocation(Event::Credential(self.credential))?], sign, NOW).await;
        rule(tokens == Ok(vec![5]), "the tokens of a credential are revoked")?;
        rule(self.store.look_again(&self.may()?).await.is_ok(), "a credential outlives its tokens")?;
        let newest = self.store.number_of(Event::Credential(self.credential)).await;
        rule(newest == Ok(Some(5)), "an event is found by its name")?;
        let none = self.store.number_of(Event::Credential(self.anonymous.credential)).await;
        rule(none == Ok(None), "an event that was not made is not found")?;
        let (old, before) = (self.may()?, self.store.registry(0).await.map_err(text)?);
        let disabled = self.disabling(self.anonymous.credential)?;
        let event = vec![Event::Credential(self.anonymous.credential)];
        let made = self.store.change_registry(disabled.rows.clone(), event.clone(), None, NOW).await;
        rule(made == Ok(ChangeOutcome::Made { numbers: Vec::new() }), "a change is made")?;
        let again = self.store.change_registry(disabled.rows.clone(), event, None, NOW).await;
        rule(again == Ok(ChangeOutcome::Moved), "a change of a state of before is not")?;
        rule(self.store.look_again(&old).await.is_ok(), "an entry about another credential ends no permit")?;
        let strangers: Permit<Write> =
            Permit::decide(&self.facts(), &self.anonymous, &Scope::Installation, NOW).map_err(text)?;
        let nobody = Subject::Service(ServiceId::generate());
        let ended = self.store.idempotent(&strangers.to_look(), nobody, String::new(), NOW).await;
        rule(ended == Err(ActError::PolicyChanged), "one about its own credential does")?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = disabled.after;
        rule(self.store.look_again(&self.may()?).await.is_ok(), "and one from after it does")?;
        let after = self.store.registry(before.log.len() as u64).await.map_err(text)?;
        let anchor = before.log.last().map(Anchor::from).ok_or("there is an entry")?;
        rule(anchor.compare(&after.log, &self.key) == Ok(Standing::Current), "entries continue each other")?;
        let newest = after.log.last().ok_or("there is an entry")?;
        let read = Snapshot::load(&after.records, newest, &self.key).map_err(text)?;
        rule(read.actor(self.anonymous.credential, NOW).is_none(), "a record is replaced")?;
        rule(after.records.len() == before.records.len(), "and not doubled")
    }

    /// Versions of the policy are found over entries of other kinds.
    pub(super) async fn policy_versions(&self) -> Result<(), String> {
        let first = self.known().policy_version().ok_or("the first entry has a line")?;
        let group = |name: &str| {
            let name = AccountName::parse(name).map_err(text)?;
            let group_id = GroupId::generate();
            Ok::<_, String>(Group { group_id, name, description: None, members: Vec::new(), created_at: NOW })
        };
        let nobody = Subject::Service(ServiceId::generate());
        let other = |hash| Credential::new(CredentialId::generate(), nobody, Proof::opaque([hash; 32]), NOW);
        for change in [group("one")?.into(), other(8).into(), other(9).into(), group("two")?.into()] {
            let by = (Author::Service, "", NOW);
            let made = self.known().propose(vec![change], by, 0, &self.key).map_err(|_| "a change is written")?;
            let outcome = self.store.change_registry(made.rows, Vec::new(), None, NOW).await;
            rule(outcome == Ok(ChangeOutcome::Made { numbers: Vec::new() }), "a change is made")?;
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = made.after;
        }
        let newest = self.known().policy_version().ok_or("the newest entry made a group")?;
        let found = self.store.policy_entries(newest.number, 9).await.map_err(text)?;
        let numbers: Vec<u64> = found.iter().map(|entry| entry.number).collect();
        rule(numbers == [newest.number, newest.number - 3, first.number], "versions are found newest first")?;
        let two = self.store.policy_entries(newest.number, 2).await.map_err(text)?;
        rule(Some(two.as_slice()) == found.get(..2), "no more are found than were asked for")?;
        let none = self.store.policy_entries(newest.number + 1, 9).await;
        rule(none == Ok(Vec::new()), "nothing is found from a number that is not there")?;
        self.old_entries(newest.number).await
    }

    /// All entries were made at the same time. The two before the newest one are about credentials.
    async fn old_entries(&self, newest: u64) -> Result<(), String> {
        let log = async || Ok::<_, String>(self.store.registry(0).await.map_err(text)?.log);
        let (before, versions) = (log().await?, self.store.policy_entries(newest, 9).await.map_err(text)?);
        let young = OldEntries { after: 0, below: newest, made_before: NOW, too_many_below: 0 };
        let old = OldEntries { made_before: NOW + 1, ..young };
        let many = OldEntries { too_many_below: newest - 1, ..young };
        for (entries, limit, up_to, more, kept, what) in [
            (young, 9, newest - 3, false, 0, "young entries are kept"),
            (OldEntries { below: newest - 2, ..old }, 9, newest - 3, false, 0, "and old ones from a number on"),
            (many, 1, 1, true, 0, "a few are looked at at once"),
            (OldEntries { after: 1, ..many }, 9, newest - 2, false, 1, "young ones are dropped if there are too many"),
            (old, 9, newest - 1, false, 2, "and old ones"),
        ] {
            let dropped = self.store.drop_entries(entries, limit).await;
            rule(dropped == Ok(DroppedEntries { up_to, more }), what)?;
            rule(log().await?.len() == before.len() - kept, what)?;
        }
        let found = self.store.policy_entries(newest, 9).await;
        rule(found == Ok(versions), "versions of the policy are kept")?;
        let rows = self.store.registry(newest).await.map_err(text)?;
        let last = rows.log.last().ok_or("there is an entry")?;
        rule(Snapshot::load(&rows.records, last, &self.key).is_ok(), "the records fit their newest entry")
    }

    /// A permit that rests on a line which has ended by the clock of this machine.
    pub(super) async fn ended_lines(&self) -> Result<(), String> {
        let Holder::Principal(subject) = self.actor.holder else { return Err("the administrator is known".to_owned()) };
        let line = |period| {
            Arc::new(Line::Permission(Permission {
                id: PermissionId::generate(),
                party: Party::Principal(subject),
                effect: Effect::Allow,
                actions: [Action::Operate].into_iter().collect(),
                reach: Reach::everything(),
                condition: Tags::default(),
                period,
                note: Note { author: None, reason: None },
            }))
        };
        for (end, counts) in [(NOW + 1, false), (u64::MAX, true)] {
            let period = Period::new(None, Some(end)).map_err(text)?;
            let state = State { lines: vec![line(period)], ..self.facts().state().clone() };
            let facts = Facts::new(self.facts().epoch(), state);
            let permit = Permit::decide(&facts, &self.actor, &Scope::Installation, NOW).map_err(text)?;
            let look = self.store.look_again(&permit).await;
            rule(look.is_ok() == counts, "a permit counts as long as the line that it rests on")?;
        }
        Ok(())
    }

    /// The last rule: afterwards the actor has no rights.
    pub(super) async fn disabled(&self) -> Result<(), String> {
        let late = self.new_version(SecretId::generate(), 1, &SecretPath::parse("late").map_err(text)?)?;
        let token = self.new_token(&late.row);
        self.store.begin(&self.may()?, late.clone()).await.map_err(text)?;
        let tokens = self.tokens_of_its_own().await?;
        let mut disabled = self.disabling(self.credential)?;
        disabled.rows.ended_sessions = vec![CredentialId::generate(), self.credential];
        let (before, _hash) = self.store.newest_event().await.map_err(text)?;
        let made = self.store.change_registry(disabled.rows, Vec::new(), Some(signer()), NOW).await.map_err(text)?;
        let ChangeOutcome::Made { numbers } = made else { return Err("a session is ended".to_owned()) };
        let events = self.store.events_after(before, 99).await.map_err(text)?;
        let is_told = |token: &TokenId| events.iter().any(|event| event.event == Event::Token(*token));
        rule(
            tokens.iter().all(is_told) && numbers.len() == events.len(),
            "the tokens of an ended session are revoked",
        )?;
        let lasting = events.iter().filter(|event| event.event.lasts());
        rule(lasting.count() == 0, "one by one, and nobody else's")?;
        self.refuses_all(&self.facts(), &late, ActError::PolicyChanged).await?;
        let committed = self.store.commit(late.row.secret, late.row.version, Some((self.may()?, token))).await;
        rule(committed == Ok(CommitOutcome::WithoutToken), "a permit from before gives no token")
    }

    /// The tokens of the credential, two at least.
    async fn tokens_of_its_own(&self) -> Result<Vec<TokenId>, String> {
        let mut tokens = Vec::new();
        for path in ["early", "earlier"] {
            let new = self.new_version(SecretId::generate(), 1, &SecretPath::parse(path).map_err(text)?)?;
            let token = self.new_token(&new.row);
            tokens.push(token.jti);
            let (secret, version) = (new.row.secret, new.row.version);
            self.store.begin(&self.may()?, new).await.map_err(text)?;
            let committed = self.store.commit(secret, version, Some((self.may()?, token))).await;
            rule(matches!(committed, Ok(CommitOutcome::Yes { .. })), "a token is made")?;
        }
        Ok(tokens)
    }

    fn disabling(&self, id: CredentialId) -> Result<Proposal, String> {
        let state = self.known();
        let known = state.credential(id).ok_or("the credential is known")?.clone();
        let record = Record::Credential(Credential { disabled_at: Some(NOW), ..known });
        let proposal = state.propose(vec![record.into()], (Author::Service, "", NOW), 0, &self.key);
        proposal.map_err(|_| "a change is written".to_owned())
    }
}
