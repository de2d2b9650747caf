//! The rules that every backend of [`ManagerStore`] keeps. The kit runs on each of them.

use std::sync::Arc;

use manager_api::name::{EnvironmentName, SecretPath, UserLabel};
use manager_api::wire::CatalogueState;
use shared_proto::chain::ChainHead;
use shared_proto::encoding::Bytes;
use shared_proto::event::{Event, NO_EVENT, event_hash};
use shared_proto::id::{
    CredentialId, EnvironmentId, ManagerId, PersonId, SecretId, ServiceId, Subject, TokenId, Version,
};
use shared_proto::identity::Mode;
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::token::Grant;

use super::{
    ActError, Acted, Actor, BeginOutcome, CommitOutcome, DROPPED_AT_ONCE, Decision, Environment, Installation,
    ManagerStore, NUMBERED_AT_ONCE, NewCredential, NewInstallation, NewToken, NewVersion, SecretRow, SecretState,
    SignEvent, StoredEvent, TokenDecision, TokenRequest, TokenSubject, VersionRow,
};

/// Runs the kit on an empty store.
///
/// # Errors
/// The sentence of the first rule that the backend breaks.
pub async fn check(store: &dyn ManagerStore) -> Result<(), String> {
    let kit = Kit::install(store).await?;
    kit.identity().await?;
    kit.versions().await?;
    kit.idempotency().await?;
    kit.tokens().await?;
    kit.events().await?;
    kit.rotation().await?;
    kit.reconcile().await?;
    kit.disabled().await
}

struct Kit<'a> {
    store: &'a dyn ManagerStore,
    environment: EnvironmentId,
    credential: CredentialId,
    actor: Actor,
    anonymous: Actor,
    label: UserLabel,
}

const NOW: u64 = 1_000;

impl<'a> Kit<'a> {
    async fn install(store: &'a dyn ManagerStore) -> Result<Self, String> {
        rule(store.installation().await.map_err(text)?.is_none(), "an empty store has no installation")?;
        let (environment, credential) = (EnvironmentId::generate(), CredentialId::generate());
        let name = EnvironmentName::parse("dev").map_err(text)?;
        let installation = Installation {
            mode: Mode::Development,
            manager: ManagerId::generate(),
            anonymous: CredentialId::generate(),
            environments: vec![Environment { id: environment, name }],
        };
        let new = NewInstallation {
            installation: installation.clone(),
            administrator: ServiceId::generate(),
            credential: NewCredential { id: credential, hmac: [1; 32] },
            now: NOW,
        };
        store.install(new.clone()).await.map_err(text)?;
        rule(store.install(new).await.is_err(), "an installation is made once")?;
        rule(store.installation().await == Ok(Some(installation.clone())), "an installation reads back")?;
        let row = store.credential([1; 32]).await.map_err(text)?;
        let actor = row.and_then(|row| row.actor()).ok_or("a new credential is enabled")?;
        let anonymous = installation.anonymous_actor();
        let label = UserLabel::parse("user123").map_err(text)?;
        Ok(Self { store, environment, credential, actor, anonymous, label })
    }

    async fn identity(&self) -> Result<(), String> {
        let found = self.store.credential([1; 32]).await.map_err(text)?;
        let ours = found.as_ref().is_some_and(|row| row.id == self.credential && !row.disabled);
        rule(ours, "a credential is found by its hash")?;
        rule(self.store.credential([2; 32]).await == Ok(None), "a wrong hash finds nothing")?;
        rule(self.store.credential([1; 32]).await == Ok(found), "a credential is found again")?;
        let nobody = self.store.subject_of(self.actor, self.label.clone()).await;
        rule(nobody == Ok(None), "a label that nobody used stands for nobody")
    }

    async fn versions(&self) -> Result<(), String> {
        let path = SecretPath::parse("db/password").map_err(text)?;
        let new = self.new_version(SecretId::generate(), 1, &path)?;
        let secret = new.row.secret;
        let begun = self.store.begin(self.actor, new.clone()).await.map_err(text)?;
        let BeginOutcome::Pending(subject) = begun else { return Err("a free number is taken as pending".to_owned()) };
        let known = self.store.subject_of(self.actor, self.label.clone()).await;
        rule(known == Ok(Some(subject)), "a label stands for its first subject")?;
        rule(self.store.begin(self.actor, new.clone()).await == Ok(BeginOutcome::Taken), "a number is given once")?;
        let rival = self.new_version(SecretId::generate(), 1, &path)?;
        rule(self.store.begin(self.actor, rival.clone()).await == Ok(BeginOutcome::Taken), "a path is one secret")?;
        rule(
            self.store.secret(self.actor, rival.row.secret).await == Ok(None),
            "a refused version leaves nothing behind",
        )?;
        let state = self.store.secret_at(self.actor, self.environment, path.clone()).await.map_err(text)?;
        let seen = |state: SecretState| (state.secret, state.created_at, state.pending) == (secret, NOW, vec![new.row]);
        rule(state.is_some_and(seen), "a pending version is seen by the next writer, with the time of its secret")?;
        rule(self.store.pending(9).await.is_ok_and(|rows| rows == [new.row]), "pending versions are listed")?;
        let committed = self.store.commit(secret, Version::FIRST, None).await;
        rule(committed == Ok(CommitOutcome::Yes { rseq: 0 }), "a pending version is committed")?;
        rule(self.store.abandon(secret, Version::FIRST).await.is_ok(), "abandoning a committed version is no error")?;
        let row = self.store.version(self.actor, secret, Version::FIRST).await.map_err(text)?;
        rule(row.is_some_and(|row| row.state == CatalogueState::Committed), "a committed version is never abandoned")?;
        let lost = self.new_version(secret, 2, &path)?;
        self.store.begin(self.actor, lost.clone()).await.map_err(text)?;
        self.store.abandon(secret, lost.row.version).await.map_err(text)?;
        let refused = self.store.commit(secret, lost.row.version, None).await;
        rule(refused == Ok(CommitOutcome::No), "an abandoned version is never committed")?;
        let page = self.store.secrets(self.actor, Some(self.environment), None, 9).await.map_err(text)?;
        let versions = |page: &[SecretRow]| page.iter().map(|row| row.versions.len()).collect::<Vec<_>>();
        rule(versions(&page) == [2], "secrets are listed with versions")?;
        let first = self.store.secrets(self.actor, None, None, 1).await.map_err(text)?;
        rule(versions(&first) == [1], "a page ends between the versions of a secret")?;
        let second = self.store.secrets(self.actor, None, Some((secret, Version::FIRST)), 1).await.map_err(text)?;
        let continued =
            second.iter().all(|row| row.secret == secret && row.versions.iter().all(|one| one.0 == lost.row.version));
        rule(continued && versions(&second) == [1], "the next page goes on behind its cursor")?;
        let rest = self.store.secrets(self.actor, None, Some((secret, lost.row.version)), 9).await.map_err(text)?;
        rule(rest.iter().all(|row| row.secret > secret), "a page begins behind its cursor")
    }

    async fn idempotency(&self) -> Result<(), String> {
        let subject = Subject::Service(ServiceId::generate());
        let mut new = self.new_version(SecretId::generate(), 1, &SecretPath::parse("idem").map_err(text)?)?;
        new.idempotency = Some((subject, "key".to_owned()));
        let expected = Some((new.row.secret, new.row.version));
        self.store.begin(self.actor, new).await.map_err(text)?;
        let found = self.store.idempotent(self.actor, subject, "key".to_owned(), NOW).await;
        rule(found == Ok(expected), "an idempotency key names its version")?;
        let late = self.store.idempotent(self.actor, subject, "key".to_owned(), NOW + 86_400).await;
        rule(late == Ok(None), "an idempotency key is forgotten after a day")?;
        let stranger = Subject::Service(ServiceId::generate());
        let other = self.store.idempotent(self.actor, stranger, "key".to_owned(), NOW).await;
        rule(other == Ok(None), "an idempotency key belongs to its caller")
    }

    async fn tokens(&self) -> Result<(), String> {
        let path = SecretPath::parse("token").map_err(text)?;
        let new = self.new_version(SecretId::generate(), 1, &path)?;
        let asked = vec![(new.row.secret, None)];
        self.store.begin(self.actor, new.clone()).await.map_err(text)?;
        let before = self.order(asked.clone()).await?;
        rule(matches!(before, TokenDecision::NotFound), "a pending version is not minted for")?;
        let none = self.store.tokens(self.actor, None, 9, NOW).await.map_err(text)?;
        rule(none.is_empty(), "a token that is refused leaves no row")?;
        let token = self.new_token(&new.row);
        let committed = self.store.commit(new.row.secret, new.row.version, Some(token.clone())).await;
        rule(committed == Ok(CommitOutcome::Yes { rseq: 0 }), "version and token are committed together")?;
        let (first, second) = (self.order(asked.clone()).await?, self.order(asked).await?);
        let (TokenDecision::Recorded { token: one, versions, .. }, TokenDecision::Recorded { token: other, .. }) =
            (first, second)
        else {
            return Err("a committed version is minted for".to_owned());
        };
        rule(versions.iter().any(|row| row.digest == new.row.digest), "a token is for the version that was stored")?;
        rule(one.subject == other.subject, "a label stands for one subject")?;
        let listed = self.store.tokens(self.actor, None, 9, NOW).await.map_err(text)?;
        rule(
            listed.iter().any(|row| row.token.grants == one.grants && row.token.jti == one.jti),
            "an ordered token is kept",
        )?;
        rule(listed.iter().any(|row| row.token.grants == token.grants), "a token reads back")?;
        let expired = self.store.tokens(self.actor, None, 9, token.expires_at).await.map_err(text)?;
        rule(expired.is_empty(), "an expired token is gone")?;
        for (limit, forgotten) in [(2, 2), (9, 1), (9, 0)] {
            let pruned = self.store.prune(token.expires_at, limit).await.map_err(text)?;
            rule(pruned == forgotten, "pruning removes no more than it is told, and says how many")?;
        }
        let pruned = self.store.tokens(self.actor, None, 9, NOW).await.map_err(text)?;
        rule(pruned.is_empty(), "pruning removes what has expired")
    }

    async fn rotation(&self) -> Result<(), String> {
        let target = (self.environment, 2);
        let before = self.store.open_below(self.environment, 2).await.map_err(text)?;
        let rows = self.store.versions_below(target, None, 9).await.map_err(text)?;
        rule(rows.len() > 1 && rows.is_sorted_by_key(|row| (row.secret, row.version)), "older versions come in order")?;
        rule(rows.iter().all(|row| row.state == CatalogueState::Committed), "only committed versions are moved")?;
        let [first, .., last] = rows.as_slice() else { return Err("two versions are needed".to_owned()) };
        let (first, last) = ((first.secret, first.version), (last.secret, last.version));
        let page = self.store.versions_below(target, Some(first), 9).await.map_err(text)?;
        rule(page.len() + 1 == rows.len(), "a page of older versions begins behind its cursor")?;
        self.store.move_to_epoch(target, vec![first], NOW).await.map_err(text)?;
        self.store.move_to_epoch((self.environment, 1), vec![first], NOW).await.map_err(text)?;
        let moved = self.store.version(self.actor, first.0, first.1).await.map_err(text)?;
        rule(moved.is_some_and(|row| row.epoch == 2), "a version is moved, and never back")?;
        self.store.mark_missing(2, vec![last]).await.map_err(text)?;
        let after = self.store.open_below(self.environment, 2).await.map_err(text)?;
        rule(after + 2 == before, "moved and lacking versions are not open")?;
        let left = self.store.versions_below(target, None, 9).await.map_err(text)?;
        rule(left.len() + 2 == rows.len(), "moved and lacking versions are not moved again")?;
        let again = self.store.versions_below((self.environment, 3), None, 9).await.map_err(text)?;
        rule(again.len() == rows.len(), "the next rotation asks for lacking versions again")?;
        self.store.record_retirement(target, "{}".to_owned(), NOW + 1).await.map_err(text)?;
        let ended = self.store.rotation(self.environment, 2).await.map_err(text)?;
        rule(
            ended.retirement.as_deref() == Some("{}") && ended.changed_at == Some(NOW),
            "a retirement is kept, and is no change",
        )?;
        let row = moved.ok_or("a moved version is there")?;
        let facts = ReceiptFacts {
            environment: self.environment,
            secret: row.secret,
            version: row.version,
            state: VersionState::Stored,
            epoch: 1,
            digest: row.digest,
        };
        let other = ReceiptFacts { digest: Bytes([0; 32]), ..facts };
        rule(self.store.move_back(self.actor, vec![other]).await == Ok(0), "other content moves nothing back")?;
        rule(self.store.move_back(self.actor, vec![facts, facts]).await == Ok(1), "a version is moved back once")?;
        let undone = self.store.rotation(self.environment, 2).await.map_err(text)?;
        rule(undone.retirement.is_none(), "a retirement does not outlive the vault's restore")
    }

    async fn events(&self) -> Result<(), String> {
        rule(self.store.newest_event().await == Ok((0, NO_EVENT)), "the chain begins with nothing")?;
        let (sign, jti) = (signer(), TokenId::generate());
        let asked = [Event::Token(jti), Event::All, Event::Token(jti), Event::All].map(Decision::Event).to_vec();
        let numbers = self.store.number(self.actor, asked, Arc::clone(&sign), NOW).await;
        rule(numbers == Ok(vec![1, 2, 1, 3]), "numbers have no gap, and what happens once has one")?;
        let chain = self.store.events_after(0, 9).await.map_err(text)?;
        let hashes: Vec<_> = chain.iter().map(|event| event_hash(&event.compact)).collect();
        let linked = chain.iter().zip([NO_EVENT].iter().chain(&hashes));
        rule(
            linked.into_iter().all(|(event, prev)| event.compact.ends_with(&format!("{prev:?}"))),
            "events are chained",
        )?;
        self.revoked_signing_key_makes_no_token(Arc::clone(&sign)).await?;
        self.credentials(Arc::clone(&sign)).await?;
        rule(self.store.deferred().await == Ok(1), "an event waits for its number")?;
        rule(
            self.store.number_deferred(Arc::clone(&sign), NOW).await == Ok(vec![6]),
            "deferred events are numbered in order",
        )?;
        rule(self.store.deferred().await == Ok(0), "a numbered event waits no more")?;
        let page = self.store.revocations(self.actor, 1, 2).await.map_err(text)?;
        let numbers: Vec<_> = page.events.iter().map(|event| event.sequence).collect();
        rule(numbers == [2, 3] && (page.newest, page.deferred) == (6, 0), "a page of events says how far they are")?;
        self.feed_snapshot().await?;
        self.deferred_events_are_numbered_a_few_at_a_time(sign).await
    }

    async fn feed_snapshot(&self) -> Result<(), String> {
        let end = self.store.chain_head().await.map_err(text)?;
        let all = self.store.events_after(0, 9).await.map_err(text)?;
        let lasting = all.iter().rev().find(|event| event.event.lasts()).map(|event| event.hash);
        let newest = self.store.newest_event().await;
        rule(newest == Ok((end.number, end.hash)) && lasting == Some(end.lasting), "the end of the chain is known")?;
        let returned = |sequence, may_be_dropped| StoredEvent {
            sequence,
            event: Event::All,
            compact: format!("taken {sequence}"),
            hash: event_hash(&format!("taken {sequence}")),
            issued_at: NOW + sequence,
            may_be_dropped,
        };
        let events =
            vec![returned(end.number + 1, true), returned(end.number + 5, false), returned(end.number + 6, true)];
        let wrong = ChainHead { number: end.number - 1, ..end };
        rule(
            self.store.recover_events(wrong, events.clone()).await == Ok(false),
            "events are taken back at the end only",
        )?;
        rule(
            self.store.recover_events(end, events.clone()).await == Ok(true),
            "events are taken back, also over a gap",
        )?;
        let now = self.store.chain_head().await;
        let last = ChainHead { number: end.number + 6, hash: returned(end.number + 6, true).hash, ..end };
        rule(now == Ok(last), "what was taken back is the newest")?;
        rule(self.store.events_after(end.number, 9).await == Ok(events), "and reads back")?;
        rule(self.store.event_hash(end.number + 2).await == Ok(None), "what was passed over is not there")?;
        rule(self.store.drop_events(last.number, NOW).await == Ok(0), "what is recent is not dropped")?;
        rule(self.store.drop_events(2, NOW + 1).await == Ok(1), "nor what is not below a number")?;
        let dropped = self.store.drop_events(last.number, NOW + 99).await;
        let left = self.store.events_after(0, 9).await.map_err(text)?;
        let ended = all.iter().filter(|event| event.may_be_dropped).count();
        // With the recovered event, without the one that was dropped before.
        rule(dropped == Ok(ended), "what does not last is dropped")?;
        let kept = left.iter().map(|event| (event.event.lasts(), event.may_be_dropped));
        rule(kept.clone().filter(|kept| *kept == (false, true)).count() == 1, "the newest one stays")?;
        rule(kept.filter(|kept| *kept == (false, false)).count() == 1, "and what a vault could not pass over")?;
        rule(self.store.chain_head().await == Ok(last), "and the end of the chain")
    }

    async fn deferred_events_are_numbered_a_few_at_a_time(&self, sign: SignEvent) -> Result<(), String> {
        let many = (0..=NUMBERED_AT_ONCE).map(|_| Decision::Event(Event::Token(TokenId::generate()))).collect();
        self.store.defer(self.actor, many, NOW).await.map_err(text)?;
        for (numbered, left) in [(NUMBERED_AT_ONCE, 1), (1, 0), (0, 0)] {
            let numbers = self.store.number_deferred(Arc::clone(&sign), NOW).await.map_err(text)?;
            rule(numbers.len() == numbered, "one transaction numbers a few deferred events")?;
            rule(self.store.deferred().await == Ok(left), "the others wait on")?;
        }
        let (newest, _hash) = self.store.newest_event().await.map_err(text)?;
        let dropped = self.store.drop_events(newest, NOW + 99).await;
        rule(dropped == Ok(DROPPED_AT_ONCE), "one transaction drops a few events")
    }

    /// Takes number 5, and leaves one event without a number.
    async fn credentials(&self, sign: SignEvent) -> Result<(), String> {
        let decide = |decision| self.store.number(self.actor, vec![decision], Arc::clone(&sign), NOW);
        let last = decide(Decision::DisableCredential(self.credential)).await;
        rule(last == Err(ActError::LastAdministrator), "the last administrator is not disabled")?;
        let deferred = self.store.defer(self.actor, vec![Decision::DisableCredential(self.credential)], NOW).await;
        rule(deferred == Err(ActError::LastAdministrator), "nor while nothing is numbered")?;
        let unknown = decide(Decision::DisableCredential(CredentialId::generate())).await;
        rule(unknown == Err(ActError::CredentialUnknown), "an unknown credential is not disabled")?;
        let tokens = decide(Decision::Event(Event::Credential(self.credential))).await;
        rule(tokens == Ok(vec![5]), "the tokens of a credential are revoked")?;
        rule(self.store.look_again(self.actor).await.is_ok(), "a credential outlives its tokens")?;
        rule(self.store.look_again(self.anonymous).await.is_ok(), "strangers have a credential")?;
        let anonymous = Decision::DisableCredential(self.anonymous.credential());
        self.store.defer(self.actor, vec![anonymous], NOW).await.map_err(text)?;
        let disabled = self.store.look_again(self.anonymous).await;
        rule(disabled == Err(ActError::CredentialDisabled), "a credential is disabled before its event has a number")
    }

    /// The last rule: afterwards the actor has no rights.
    async fn disabled(&self) -> Result<(), String> {
        let late = self.new_version(SecretId::generate(), 1, &SecretPath::parse("late").map_err(text)?)?;
        let token = self.new_token(&late.row);
        self.store.begin(self.actor, late.clone()).await.map_err(text)?;
        let new = NewCredential { id: CredentialId::generate(), hmac: [2; 32] };
        self.store.reset_administrator(new, NOW).await.map_err(text)?;
        let old = self.store.credential([1; 32]).await.map_err(text)?;
        rule(old.is_some_and(|row| row.actor().is_none()), "a credential that was replaced is disabled")?;
        let (secret, version, path) = (late.row.secret, late.row.version, late.path.clone());
        let next = self.new_version(secret, 2, &path)?;
        let subject = Subject::Service(ServiceId::generate());
        let decisions = || vec![Decision::Event(Event::All)];
        let order = self.new_order(vec![(secret, None)]);
        let (store, actor) = (self.store, self.actor);
        refused(store.look_again(actor).await, "look_again")?;
        refused(store.secret_at(actor, self.environment, path).await, "secret_at")?;
        refused(store.secret(actor, secret).await, "secret")?;
        refused(store.version(actor, secret, version).await, "version")?;
        refused(store.begin(actor, next).await, "begin")?;
        refused(store.secrets(actor, None, None, 9).await, "secrets")?;
        refused(store.missing(actor, Vec::new()).await, "missing")?;
        refused(store.adopt(actor, Vec::new(), NOW).await, "adopt")?;
        refused(store.move_back(actor, Vec::new()).await, "move_back")?;
        refused(store.idempotent(actor, subject, "key".to_owned(), NOW).await, "idempotent")?;
        refused(store.decide_token(actor, order).await, "decide_token")?;
        refused(store.tokens(actor, None, 9, NOW).await, "tokens")?;
        refused(store.revocations(actor, 0, 9).await, "revocations")?;
        refused(store.number(actor, decisions(), signer(), NOW).await, "number")?;
        refused(store.defer(actor, decisions(), NOW).await, "defer")?;
        refused(store.subject_of(actor, self.label.clone()).await, "subject_of")?;
        rule(store.deferred().await == Ok(1), "a refused decision leaves nothing behind")?;
        let committed = store.commit(secret, version, Some(token)).await;
        rule(committed == Ok(CommitOutcome::WithoutToken), "a disabled credential gets no token")
    }

    async fn reconcile(&self) -> Result<(), String> {
        let facts = ReceiptFacts {
            environment: self.environment,
            secret: SecretId::generate(),
            version: Version::FIRST,
            state: VersionState::Stored,
            epoch: 1,
            digest: Bytes([3; 32]),
        };
        rule(
            self.store.missing(self.actor, vec![facts]).await == Ok(vec![facts]),
            "what the catalogue lacks is missing",
        )?;
        rule(self.store.adopt(self.actor, vec![facts, facts], NOW).await == Ok(1), "a version is adopted once")?;
        rule(self.store.missing(self.actor, vec![facts]).await == Ok(vec![]), "what was adopted is not missing")?;
        let given_up = self.new_version(facts.secret, 2, &SecretPath::unnamed(facts.secret))?;
        self.store.begin(self.actor, given_up.clone()).await.map_err(text)?;
        self.store.abandon(facts.secret, given_up.row.version).await.map_err(text)?;
        let other = ReceiptFacts { version: given_up.row.version, digest: Bytes([4; 32]), ..facts };
        rule(
            self.store.adopt(self.actor, vec![other], NOW).await == Ok(1),
            "a number that was given up takes the vault's content",
        )?;
        let row = self.store.version(self.actor, facts.secret, other.version).await.map_err(text)?;
        rule(
            row.is_some_and(|row| row.state == CatalogueState::Committed && row.digest == other.digest),
            "adopted content can be minted for",
        )
    }

    /// Before the credential is disabled.
    async fn revoked_signing_key_makes_no_token(&self, sign: SignEvent) -> Result<(), String> {
        let row = self.store.secrets(self.actor, None, None, 99).await.map_err(text)?;
        let committed =
            row.iter().find(|row| row.versions.iter().any(|(_, state, _)| *state == CatalogueState::Committed));
        let order = self.new_order(vec![(committed.ok_or("a committed version is needed")?.secret, None)]);
        let numbers =
            self.store.number(self.actor, vec![Decision::Event(Event::SigningKey(order.signing_key))], sign, NOW).await;
        rule(numbers.is_ok(), "a signing key is revoked")?;
        let mut new = self.new_version(SecretId::generate(), 1, &SecretPath::parse("unsigned").map_err(text)?)?;
        new.signing_key = Some(order.signing_key);
        let begun = self.store.begin(self.actor, new.clone()).await;
        let refused = begun == Ok(BeginOutcome::SigningKeyRevoked);
        rule(refused, "no write begins that would end in a token by a revoked key")?;
        rule(
            self.store.secret(self.actor, new.row.secret).await == Ok(None),
            "a write that is refused leaves nothing behind",
        )?;
        let ordered = self.store.decide_token(self.actor, order).await.map_err(text)?;
        rule(matches!(ordered, TokenDecision::SigningKeyRevoked), "a revoked key signs nothing")
    }

    async fn order(&self, grants: Vec<(SecretId, Option<Version>)>) -> Result<TokenDecision, String> {
        self.store.decide_token(self.actor, self.new_order(grants)).await.map_err(text)
    }

    fn new_order(&self, grants: Vec<(SecretId, Option<Version>)>) -> TokenRequest {
        TokenRequest {
            jti: TokenId::generate(),
            subject: TokenSubject::Label(self.label.clone(), PersonId::generate()),
            signing_key: Bytes([5; 32]),
            grants,
            issued_at: NOW,
            expires_at: NOW + 900,
        }
    }

    fn new_version(&self, secret: SecretId, number: u64, path: &SecretPath) -> Result<NewVersion, String> {
        let digest: [u8; 32] = shared_proto::encoding::random();
        let row = VersionRow {
            secret,
            environment: self.environment,
            version: Version::new(number).map_err(text)?,
            state: CatalogueState::Pending,
            epoch: 1,
            digest: Bytes(digest),
        };
        let label = (self.label.clone(), PersonId::generate());
        Ok(NewVersion { row, path: path.clone(), label, idempotency: None, signing_key: None, now: NOW })
    }

    fn new_token(&self, row: &VersionRow) -> NewToken {
        NewToken {
            jti: TokenId::generate(),
            subject: Subject::Service(ServiceId::generate()),
            credential: self.credential,
            environment: self.environment,
            grants: vec![Grant { secret: row.secret, version: row.version }],
            issued_at: NOW,
            expires_at: NOW + 900,
        }
    }
}

/// Not a signature, but it shows number and hash.
fn signer() -> SignEvent {
    Arc::new(|_, after| Ok(format!("{} after {:?}", after.number + 1, after.hash)))
}

fn refused<T>(acted: Acted<T>, method: &str) -> Result<(), String> {
    let refused = acted.err() == Some(ActError::CredentialDisabled);
    rule(refused, &format!("{method} refuses a disabled credential"))
}

fn rule(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
