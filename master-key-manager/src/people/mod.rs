//! People: their accounts, logins and sessions, and the codes by which people and services begin.
//!
//! Guarantees that what is used up (a one-time code, a recovery code, an enrolment code) is used once, also when it comes
//! twice at the same time and after a restart: using it is a change of the registry, which is decided on its newest state.
//! A wrong name, a wrong password and a wrong code have one answer after the same work. Passwords and codes are in types
//! that are wiped and cannot be printed; what is stored of them opens nothing without the key folder.

mod account;
mod administration;
mod enrolment;
mod first;
mod hashing;
mod login;
mod me;
mod pace;
mod place;
mod prove;
mod sessions;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use manager_registry::{Change, Person, Record, RecordName, SignOn};
use manager_sign_on::guesses::{Attempt, Guesses};
use manager_sign_on::totp::Seed;
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::{Fact, Refusal, StartError};
use shared_proto::encoding::{random, sha256};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, PersonId, Subject};
use zeroize::Zeroizing;

use crate::access::{Caller, IdleSessions, Registry, View};
use crate::audit_event::Act;
use crate::keys::{KeyRing, SignOnKeys};
use crate::revocation::{Revocations, Sequences};

pub use self::first::{NewPerson, add_person};
pub use self::hashing::Hashing;
use self::pace::Pace;
pub use self::place::Place;
pub use self::sessions::{MOST_SESSIONS, SESSION_SECONDS};

/// The most people. A record each is kept in memory.
const MOST_PEOPLE: usize = 10_000;
/// The most accounts, addresses and pairs of them whose failures are remembered; 60 bytes each.
const MOST_GUESSERS: usize = 10_000;

/// The accounts, logins and sessions of people.
pub struct People {
    keys: Arc<KeyRing>,
    registry: Arc<Registry>,
    revocations: Arc<Revocations>,
    sessions: Arc<IdleSessions>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
    hashing: Hashing,
    logins: Mutex<Guesses>,
    redemptions: Mutex<Guesses>,
    /// Looked at in place of a seed that is not there, so that the work is the same.
    decoy: Seed,
    place: Place,
    /// Of logins, and of what is done in sessions.
    pace: [Pace; 2],
}

impl People {
    /// The people of this registry.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(
        keys: Arc<KeyRing>,
        (registry, revocations): (Arc<Registry>, Arc<Revocations>),
        sessions: Arc<IdleSessions>,
        audit: AuditLog,
        clock: Arc<dyn Clock>,
        place: Place,
    ) -> Result<Self, StartError> {
        Ok(Self {
            keys,
            registry,
            revocations,
            sessions,
            audit,
            pace: [Pace::new(Arc::clone(&clock)), Pace::new(Arc::clone(&clock))],
            clock,
            hashing: Hashing::start()?,
            logins: Mutex::new(Guesses::new(MOST_GUESSERS)),
            redemptions: Mutex::new(Guesses::new(MOST_GUESSERS)),
            decoy: Seed::new(Zeroizing::new(random())),
            place,
        })
    }

    fn sign_on_keys(&self) -> Arc<SignOnKeys> {
        Arc::clone(&self.keys.now().sign_on)
    }

    /// Counts an attempt before it is verified.
    fn begin(&self, guesses: &Mutex<Guesses>, attempt: &Attempt) -> Result<(), Refusal> {
        let begun = guesses.lock().unwrap_or_else(PoisonError::into_inner).begin(attempt, self.clock.boot());
        begun.map_err(|early| Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(early.seconds)))
    }

    fn not_verified(guesses: &Mutex<Guesses>, attempt: &Attempt) {
        guesses.lock().unwrap_or_else(PoisonError::into_inner).withdraw(attempt);
    }

    fn succeeded(guesses: &Mutex<Guesses>, attempt: &Attempt) {
        guesses.lock().unwrap_or_else(PoisonError::into_inner).succeeded(attempt);
    }

    /// Makes a change on a caller's behalf that waits for its line. It is decided before, so that what is refused at once leaves no line of
    /// success, and again on the state of the moment.
    async fn change(
        &self,
        (caller, origin): (&Caller, &Origin),
        act: Act<'_>,
        decide: impl Fn(&Caller, &View) -> Result<Vec<Change>, Refusal> + Send + Sync,
    ) -> Result<Sequences, Refusal> {
        let view = self.registry.now().await?;
        let now = caller.again(&view)?;
        now.check_change(&view, &decide(&now, &view)?)?;
        drop(view);
        self.audit.record(act, origin).await?;
        self.revocations.change(caller, None, decide).await
    }

    /// The caller as a person with a session, who may do more than to set up an authenticator.
    fn enrolled_person(caller: &Caller) -> Result<PersonId, Refusal> {
        caller.signed_on().ok_or_else(no_person)?.check_enrolled()?;
        person_of(caller)
    }
}

/// The caller as a person with a session.
fn person_of(caller: &Caller) -> Result<PersonId, Refusal> {
    match caller.subject() {
        Some(Subject::Person(person)) if caller.signed_on().is_some_and(|own| own.login().is_some()) => Ok(person),
        Some(Subject::Person(_) | Subject::Service(_)) | None => Err(no_person()),
    }
}

fn no_person() -> Refusal {
    Refusal::new(ErrorCode::NotPermitted).detail("This is for people who have logged in.")
}

/// The account of a name for counting guesses, known or not.
fn account_of(name: &str) -> [u8; 16] {
    let mut account = [0; 16];
    for (to, from) in account.iter_mut().zip(sha256(name.as_bytes())) {
        *to = from;
    }
    account
}

/// The attempt to redeem a code from an address. There is no account: each address has its own count.
fn redemption_from(address: IpAddr) -> Attempt {
    Attempt { account: account_of(&address.to_canonical().to_string()), address, device: None }
}

fn known_person(view: &View, person: PersonId) -> Result<&Person, Refusal> {
    view.state.person(person).ok_or_else(|| Refusal::new(ErrorCode::PersonNotFound))
}

/// The means by which a person signs on; nothing yet for a new one.
fn sign_on_of(view: &View, person: PersonId) -> SignOn {
    view.state.sign_on_of(person).cloned().unwrap_or_else(|| SignOn::new(person))
}

/// The end of every session of a person, except one, with the codes that were made in them: somebody else may have.
fn end_sessions(view: &View, person: PersonId, except: Option<CredentialId>) -> Vec<Change> {
    let sessions = sessions::all_of(view, person).filter(|session| Some(session.credential_id) != except);
    sessions.flat_map(|session| end_session(view, session.credential_id)).collect()
}

/// The end of a session, with the codes that were made in it.
fn end_session(view: &View, session: CredentialId) -> Vec<Change> {
    let codes = view.state.enrolments().filter(|code| code.author_credential == Some(session));
    let codes = codes.map(|code| RecordName::from(code.enrolment_id));
    std::iter::once(RecordName::from(session)).chain(codes).map(Change::from).collect()
}

/// The changes without those whose record an earlier one is about.
fn each_once(changes: Vec<Change>) -> Vec<Change> {
    let mut names = std::collections::HashSet::new();
    changes.into_iter().filter(|change| names.insert(change.name.clone())).collect()
}

/// The end of the enrolment codes that are for a principal, and of those that it has made.
fn end_codes(view: &View, subject: Subject) -> Vec<Change> {
    let concerned = view.state.enrolments().filter(|code| code.subject == subject || code.author == Some(subject));
    concerned.map(|code| RecordName::from(code.enrolment_id).into()).collect()
}

/// Finds a person by the name of the account.
fn person_named<'a>(view: &'a View, name: &manager_api::name::AccountName) -> Option<&'a Person> {
    match view.state.named(manager_registry::Kind::Person, name) {
        Some(Record::Person(person)) => Some(person),
        _ => None,
    }
}
