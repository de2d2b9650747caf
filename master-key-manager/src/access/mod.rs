//! Authentication of callers, and what they may do. Services show a credential, people the code of a session.
//!
//! Guarantees that a missing, malformed, unknown, wrong, disabled, ended and used up credential, and one from an address that
//! it is not for, give the same answer after the same work. The stored form of a credential opens nothing, and an attacker with write access to the database cannot make
//! one.

mod anchor_file;
mod asked;
mod confirm;
mod consequences;
mod cursor;
mod idle;
mod last_uses;
mod limits;
mod owners;
mod registry;
mod signed_on;
mod uses;

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use manager_api::name::{IdempotencyKey, Reason, SecretPath, UserLabel};
use manager_api::tags::Tags;
use manager_policy::{
    Action, ActionType, Actor, AnyAction, Basis, Denied, Facts, Holder, KnownEnvironments, List, Permit, Scope,
    SecretFacts, Visible, Write,
};
use manager_registry::{ApprovedRead, Author, Change, Credential, Kind, Record, RegistryKey, RowKey, is_administrator};
use manager_sign_on::code::SessionCode;
use manager_store::{FactStore, SignEvent, TokenSubject};
use service_runtime::Refusal;
use service_runtime::audit::DecidingRules;
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::{lp, random};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, Subject};
use shared_proto::secret::FingerprintKey;
use zeroize::Zeroizing;

use crate::keys::KeyRing;

pub use self::anchor_file::AnchorFile;
use self::asked::owner;
pub use self::asked::{Asked, conflict_refused};
pub use self::confirm::word_for;
use self::consequences::{gives, hands_out_no_more};
pub use self::cursor::{CursorKey, DUE, NOTICES};
pub use self::idle::{IDLE_SECONDS, IdleSessions};
pub use self::last_uses::LastUses;
pub use self::limits::{ChangePace, Limits, is_loopback};
pub use self::owners::check_owner;
pub use self::registry::{Registry, RegistryError, View};
use self::signed_on::environment_of;
pub use self::signed_on::{RECENT_SECONDS, SignedOn, actor_of, manages, manages_identities};

/// Hashes service credentials under a key of the key folder.
pub struct CredentialHasher(hmac::Key);

impl CredentialHasher {
    /// A hasher with this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The key of the entries of registry, which is derived from the same one.
    pub fn registry(&self) -> RegistryKey {
        RegistryKey::new(&self.derive(b"splitvault registry key 1"))
    }

    /// The key of rows outside of the registry.
    pub fn rows(&self) -> RowKey {
        RowKey::new(&self.derive(b"splitvault row key 1"))
    }

    /// The key of places in lists that callers carry from page to page.
    pub fn cursors(&self) -> CursorKey {
        CursorKey::new(&self.derive(b"splitvault cursor key 1"))
    }

    /// The key of value fingerprints. The root keys are not: they are exchanged, and a fingerprint cannot be made again.
    pub fn fingerprints(&self) -> FingerprintKey {
        FingerprintKey::from_bytes(self.derive(b"splitvault fingerprint key 1"))
    }

    fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let tag = hmac::sign(&self.0, label);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(tag.as_ref());
        key
    }

    /// The id of what a request makes. It is the same for each repeat under an `Idempotency-Key` of the caller, so that a
    /// repeat finds what the first request made; without a key it is random.
    pub fn new_id(&self, caller: &Caller, route: &str, key: Option<&IdempotencyKey>) -> [u8; 16] {
        let (Some(subject), Some(key)) = (caller.subject(), key) else { return random() };
        let subject = subject.to_string();
        let parts = [b"splitvault id 1".as_slice(), subject.as_bytes(), route.as_bytes(), key.as_str().as_bytes()];
        let tag = hmac::sign(&self.0, &lp(&parts));
        let mut id = [0; 16];
        id.copy_from_slice(tag.as_ref().get(..16).unwrap_or(&[0; 16]));
        id
    }

    /// HMAC-SHA-256 of a credential.
    pub fn hash(&self, credential: &PlainCredential) -> [u8; 32] {
        // EXPOSE: the credential goes into the HMAC.
        let tag = hmac::sign(&self.0, credential.expose());
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }
}

/// A caller with an enabled credential, or an anonymous one where that is allowed, with the facts that decide what he
/// may do.
#[derive(Clone, Debug)]
pub struct Caller {
    actor: Actor,
    facts: Arc<Facts>,
    now: u64,
    method: &'static str,
    rules: DecidingRules,
    /// How a person has signed on; `None` for a service.
    signed_on: Option<SignedOn>,
    /// What he may read by approvals.
    approved: Vec<ApprovedRead>,
}

impl Caller {
    /// This actor, whose credential is of a view, at this time.
    pub fn new(actor: Actor, view: &View, now: u64) -> Self {
        let credential = view.state.credential(actor.credential);
        let method = credential.map_or("none", |credential| credential.proof.method());
        let (facts, signed_on) = (Arc::clone(&view.facts), view.signed_on(&actor, now));
        let approved = match actor.holder {
            Holder::Principal(subject) => view.state.approved_reads(subject, now),
            Holder::Stranger => Vec::new(),
        };
        Self { actor, facts, now, method, rules: DecidingRules::default(), signed_on, approved }
    }

    /// The permit for an action in a scope. The store checks what it was decided from again, in the transaction that
    /// acts.
    ///
    /// # Errors
    /// The policy does not allow it. About a secret that looks like an unknown one.
    pub fn permit<A: ActionType>(&self, scope: &Scope) -> Result<Permit<A>, Refusal> {
        let code = match scope {
            Scope::Secret(_) | Scope::Path(..) | Scope::Folder(..) => ErrorCode::SecretNotFound,
            Scope::Environment(_) | Scope::Reach(_) | Scope::Installation => ErrorCode::NotPermitted,
        };
        self.check_enrolled()?;
        let decided = self.decided(Permit::decide(&self.facts, &self.actor, scope, self.now));
        let permit = decided.ok_or_else(|| Refusal::new(code))?;
        self.check_login(A::ACTION, environment_of(scope)).map(|()| permit)
    }

    /// The permit for an action on a secret.
    ///
    /// # Errors
    /// The policy does not allow it, or the secret is unknown, which looks the same.
    pub fn permit_on<A: ActionType>(&self, secret: Option<&SecretFacts>) -> Result<Permit<A>, Refusal> {
        self.check_enrolled()?;
        let decide = |secret: &SecretFacts| Permit::decide(&self.facts, &self.actor, secret, self.now);
        let Some(secret) = secret else {
            // Decided in any case, so that an unknown one takes as long; and noted nowhere.
            let id = SecretId::from_bytes([0; 16]);
            let (environment, path) = (EnvironmentId::from_bytes([0; 16]), SecretPath::unnamed(id));
            let nowhere = SecretFacts { id, environment, path, tags: Tags::default(), service_only: false, number: 0 };
            std::hint::black_box(decide(&nowhere).is_ok());
            return Err(Refusal::new(ErrorCode::SecretNotFound));
        };
        let permit = self.decided(decide(secret)).ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        self.check_login(A::ACTION, Some(secret.environment)).map(|()| permit)
    }

    fn check_enrolled(&self) -> Result<(), Refusal> {
        self.signed_on.as_ref().map_or(Ok(()), SignedOn::check_enrolled)
    }

    fn check_login(&self, action: Action, environment: Option<EnvironmentId>) -> Result<(), Refusal> {
        let Some(signed_on) = &self.signed_on else { return Ok(()) };
        signed_on.check(action, environment, self.now)
    }

    /// What he may read by approvals in force, beside what the policy says.
    pub fn approved(&self) -> &[ApprovedRead] {
        &self.approved
    }

    /// How a person has signed on; `None` for a service and for a stranger.
    pub fn signed_on(&self) -> Option<&SignedOn> {
        self.signed_on.as_ref()
    }

    /// The permit for an action on a secret of the catalogue.
    ///
    /// # Errors
    /// Those of [`Self::permit_on`], or the database cannot be read.
    pub async fn permit_on_id<A: ActionType>(
        &self,
        store: &(impl FactStore + ?Sized),
        secret: SecretId,
    ) -> Result<Permit<A>, Refusal> {
        let facts = store.secret_facts(vec![secret]).await?;
        self.permit_on(facts.first().and_then(Option::as_ref))
    }

    /// The secrets that the caller may see in lists.
    pub fn visible(&self) -> Visible {
        let visible = Visible::decide(&self.facts, &self.actor, self.now);
        visible.lines().for_each(|line| self.rules.add(line));
        visible
    }

    /// Notes the line that decided, for the audit.
    fn decided<A>(&self, decision: Result<Permit<A>, Denied>) -> Option<Permit<A>> {
        let line = match &decision {
            Ok(permit) => Some(permit.line()),
            Err(Denied { line }) => *line,
        };
        if let Some(line) = line {
            self.rules.add(line);
        }
        decision.ok()
    }

    /// The word of audit lines for the way in which he proved his credential.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The lines of the policy by which it was decided so far. Clones share them.
    pub fn rules(&self) -> DecidingRules {
        self.rules.clone()
    }

    /// The environments that the caller may know of.
    pub fn known_environments(&self) -> KnownEnvironments {
        let known = KnownEnvironments::decide(&self.facts, &self.actor, self.now);
        known.lines().for_each(|line| self.rules.add(line));
        known
    }

    /// Tells whether the caller may know of an environment, on the way to what is decided by other lines.
    pub fn knows(&self, environment: EnvironmentId) -> bool {
        KnownEnvironments::decide(&self.facts, &self.actor, self.now).contain(environment)
    }

    /// Tells whether a secret may be given a path, as far as its other reading goes: by a refusal of `a.b.c` the caller learns that
    /// `a/b/c` exists, so he must be one who may find that out, by a list or by writing there. It is decided by the path alone, and
    /// so is the same whether a secret is there or not.
    ///
    /// The other way around nothing is asked: whoever may write `a/b/c` may know that its name with dots is taken.
    pub fn may_give(&self, environment: EnvironmentId, path: &SecretPath) -> bool {
        let Some(other) = path.from_dots() else { return true };
        let scope = Scope::Path(environment, other);
        // Decided without a note: it is no decision about a secret.
        let (facts, actor) = (&self.facts, &self.actor);
        Permit::<List>::decide(facts, actor, &scope, self.now).is_ok()
            || Permit::<Write>::decide(facts, actor, &scope, self.now).is_ok()
    }

    /// The secrets and scopes in which the caller may do an action.
    pub fn may(&self, action: Action) -> Visible {
        let visible = Visible::decide_about(&self.facts, &self.actor, action, self.now);
        visible.lines().for_each(|line| self.rules.add(line));
        visible
    }

    /// The permit for either of two actions in a scope or on a secret, which is enough to look.
    ///
    /// # Errors
    /// The policy allows neither. About a secret that looks like an unknown one.
    pub fn permit_one_of<A: ActionType, B: ActionType>(&self, scope: &Scope) -> Result<Permit<AnyAction>, Refusal> {
        let first = self.permit::<A>(scope).map(|permit| permit.to_look());
        first.or_else(|_| self.permit::<B>(scope).map(|permit| permit.to_look()))
    }

    /// The same caller before another state of the registry.
    ///
    /// # Errors
    /// His credential is disabled there.
    pub fn again(&self, view: &View) -> Result<Self, Refusal> {
        let actor =
            view.actor(self.credential(), self.now).ok_or_else(|| Refusal::new(ErrorCode::CredentialInvalid))?;
        Ok(Self { rules: self.rules(), ..Self::new(actor, view, self.now) })
    }

    /// Refuses a change of the registry by a person whose login is too long ago. Whoever ends sessions and codes of his own
    /// needs no other one. It is asked when everything else allows the change, so that it tells nothing of what is not allowed.
    ///
    /// # Errors
    /// `login_required`.
    pub fn check_change(&self, view: &View, changes: &[Change]) -> Result<(), Refusal> {
        let own = self.subject();
        // Whoever changes a place that others read by afterwards is asked with the right to share.
        let asks = |change: &Change| match &change.after {
            Some(Record::Approval(approval)) => own == Some(approval.asked_by),
            Some(_) | None => change.name.kind == Kind::Approval,
        };
        // An incident takes rights away; the end of its freeze asks for a login of its own.
        let ends_own = |change: &Change| {
            matches!(change.name.kind, Kind::Place | Kind::Incident)
                || asks(change)
                || (change.after.is_none() && own.is_some() && owner(view, &change.name) == own)
        };
        match &self.signed_on {
            Some(signed_on) if !changes.iter().all(ends_own) => signed_on.check_recent(self.now),
            Some(_) | None => Ok(()),
        }
    }

    /// The same caller at the time of this moment.
    fn later(&self) -> Self {
        Self { now: SystemClock.now().max(self.now), ..self.clone() }
    }

    /// Makes a change of the registry on the caller's behalf. `decide` sees the caller with the rights of the moment, and
    /// asks for the permit. The caller hands out no more than he holds, and what is taken away is revoked.
    ///
    /// # Errors
    /// Those of `decide`, his login is too long ago, it hands out more than he holds, nobody could make policy and principals any more, or it cannot
    /// be read or written.
    pub async fn change(
        &self,
        registry: &Registry,
        reason: Option<&Reason>,
        sign: Option<SignEvent>,
        decide: impl FnOnce(&Self, &View) -> Result<Asked, Refusal> + Send,
    ) -> Result<Vec<u64>, Refusal> {
        let by = (self.author(), reason.map_or("", Reason::as_str), self.now);
        // Decided when the lock is held: what has ended while it was waited for counts no more.
        let decide = |view: &View| {
            let caller = self.later().again(view)?;
            let asked = decide(&caller, view)?;
            caller.check_change(view, &asked.changes).map(|()| asked)
        };
        let may_be_made = |before: &View, after: &View, changes: &[Change]| {
            let caller = self.later().again(before)?;
            hands_out_no_more(&caller.actor, (before, after), changes, caller.now)?;
            // Somebody with one factor would read by a credential that he makes, or by what he gives to others.
            match &caller.signed_on {
                Some(signed_on) if gives((before, after), changes) => signed_on.check_open(),
                Some(_) | None => Ok(()),
            }
        };
        registry.change_if(by, sign, decide, may_be_made).await
    }

    /// Tells whether his tokens may be of the subject of a label: of one without a principal, as in development mode, and of
    /// an administrator of the installation. Everybody else would escape what is counted and revoked by subject.
    pub fn names_subjects(&self) -> bool {
        self.subject().is_none_or(|own| is_administrator(&self.facts, own, self.now))
    }

    /// The subject of the token for a submission under a label.
    pub fn subject_for(&self, label: UserLabel) -> TokenSubject {
        match self.subject() {
            Some(own) if !self.names_subjects() => TokenSubject::Subject(own),
            Some(_) | None => TokenSubject::Label(label),
        }
    }

    /// The subject of the token for a submission, with or without a label.
    ///
    /// # Errors
    /// A stranger has no subject of his own.
    pub fn subject_of_write(&self, label: Option<UserLabel>) -> Result<TokenSubject, Refusal> {
        match (label, self.subject()) {
            (Some(label), _) => Ok(self.subject_for(label)),
            (None, Some(own)) => Ok(TokenSubject::Subject(own)),
            (None, None) => Err(Refusal::parameter("A caller without a credential names himself with user_id.")),
        }
    }

    /// The caller as policy sees him.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The facts that decide what he may do.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The time at which that is decided (Unix seconds).
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The author of the changes that the caller makes.
    pub fn author(&self) -> Author {
        match self.subject() {
            Some(principal) => Author::Caller { principal, credential: self.credential() },
            None => Author::Service,
        }
    }

    /// The credential that tokens will name.
    pub fn credential(&self) -> CredentialId {
        self.actor.credential
    }

    /// Tells whether a credential is the caller's own, and limited to what the one is that he shows: what it may do, he may.
    pub fn owns(&self, view: &View, credential: &Credential) -> bool {
        let shown = view.state.credential(self.credential());
        self.subject() == Some(credential.subject) && shown.is_some_and(|shown| shown.limits == credential.limits)
    }

    /// The caller's own credentials, also those that are disabled, with the facts that this is decided from.
    ///
    /// # Errors
    /// His credential is disabled.
    pub fn own_credentials(&self, view: &View) -> Result<(Basis, Vec<CredentialId>), Refusal> {
        let caller = self.again(view)?;
        let of_caller = caller.subject().into_iter().flat_map(|subject| view.state.all_credentials_of(subject));
        let own = of_caller.filter(|known| caller.owns(view, known));
        Ok((caller.visible().basis(), own.map(|known| known.credential_id).collect()))
    }

    /// The caller's own subject; `None` for an anonymous one.
    pub fn subject(&self) -> Option<Subject> {
        match self.actor.holder {
            Holder::Principal(subject) => Some(subject),
            Holder::Stranger => None,
        }
    }
}

/// Checks credentials.
pub struct Authenticator {
    keys: Arc<KeyRing>,
    sessions: Arc<IdleSessions>,
    /// Hashed in place of a missing credential, so that the work is the same.
    decoy: PlainCredential,
    /// Its text, which is read in place of one of another form.
    decoy_text: Zeroizing<String>,
}

impl Authenticator {
    /// An authenticator with the keys of this ring.
    pub fn new(keys: Arc<KeyRing>, sessions: Arc<IdleSessions>) -> Self {
        let decoy = PlainCredential::generate();
        Self { keys, sessions, decoy_text: decoy.expose_text(), decoy }
    }

    /// The actor that `presented` belongs to; `None` for everything except a session that is used, and an enabled credential
    /// that may be used from this address and has a use left. It is not used up by this: [`Registry::use_credential`] does
    /// that.
    pub fn actor(&self, view: &View, presented: &str, from: Option<IpAddr>, now: u64) -> Option<Actor> {
        let keys = self.keys.now();
        let session = SessionCode::parse(presented).ok();
        let parsed = PlainCredential::parse(presented).ok();
        if parsed.is_none() && session.is_none() {
            std::hint::black_box(PlainCredential::parse(&self.decoy_text).is_ok());
        }
        let hash = match &session {
            Some(code) => keys.sign_on.codes.session(code),
            None => keys.credentials.hash(parsed.as_ref().unwrap_or(&self.decoy)),
        };
        let found = view.state.credential_by_hmac(&hash);
        // It was found by a search that is not constant in time, but over keyed hashes, which tell nothing.
        let stored = found.and_then(|credential| credential.proof.hmac()).unwrap_or(&[0; 32]);
        let same = verify_slices_are_equal(stored, &hash).is_ok();
        let is_session = session.is_some();
        let is_one = |found: &&Credential| same && found.proof.login().is_some() == is_session;
        let found = found.filter(is_one).filter(|_| is_session || parsed.is_some());
        let may_be_used = found.is_some_and(|found| found.is_allowed_from(from) && view.state.has_uses_left(found));
        // Looked for in any case.
        let id = found.map_or(CredentialId::from_bytes([0; 16]), |found| found.credential_id);
        let actor = view.actor(id, now).filter(|_| may_be_used)?;
        // Only now: what is disabled is not used.
        (!is_session || self.sessions.is_used(id)).then_some(actor)
    }
}
