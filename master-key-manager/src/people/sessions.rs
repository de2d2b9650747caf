//! The sessions of people: listed, ended, and removed when they have ended by themselves.

use manager_api::sessions::SessionDetails;
use manager_policy::{ManageIdentities, Scope};
use manager_registry::{Author, Change, Credential, RecordName};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, PersonId, Subject};

use super::{People, person_of};
use crate::access::{Caller, View};
use crate::audit_event::{Act, RegistryAct};
use crate::revocation::Sequences;

/// A session ends so long after its login, used or not.
pub const SESSION_SECONDS: u64 = 12 * 60 * 60;
/// The most sessions of a person. One more ends the oldest.
pub const MOST_SESSIONS: usize = 20;
/// Ended sessions and codes that one change removes.
const REMOVED_AT_ONCE: usize = 64;

/// All sessions of a person that are in the registry, ordered by id.
pub(super) fn all_of(view: &View, person: PersonId) -> impl Iterator<Item = &Credential> {
    view.state.all_credentials_of(Subject::Person(person)).filter(|credential| credential.proof.login().is_some())
}

impl People {
    /// The removals that make room for one more session of a person.
    pub(super) fn make_room(&self, view: &View, person: PersonId, now: u64) -> Vec<Change> {
        let is_living = |session: &&Credential| self.is_living(session, now);
        let (mut living, mut ended): (Vec<_>, Vec<_>) = all_of(view, person).partition(is_living);
        living.sort_by_key(|session| (session.created_at, session.credential_id));
        let surplus = (living.len() + 1).saturating_sub(MOST_SESSIONS);
        ended.extend(living.into_iter().take(surplus));
        ended.into_iter().map(|session| RecordName::from(session.credential_id).into()).collect()
    }

    fn is_living(&self, session: &Credential, now: u64) -> bool {
        session.is_enabled_at(now) && !self.sessions.has_ended(session.credential_id)
    }

    /// The living sessions of a person; the caller's own by default.
    ///
    /// # Errors
    /// The caller may not see them, or there is no such person.
    pub async fn list_sessions(
        &self,
        asked: Option<PersonId>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Vec<SessionDetails>, Refusal> {
        let person = asked.map_or_else(|| person_of(caller), Ok)?;
        let view = self.registry.fresh().await?;
        let caller = caller.again(&view)?;
        if caller.subject() != Some(Subject::Person(person)) {
            caller.permit::<ManageIdentities>(&Scope::Installation)?;
            super::known_person(&view, person)?;
        }
        let now = self.clock.now();
        let living = all_of(&view, person).filter(|session| self.is_living(session, now));
        let listed = living.filter_map(|session| details(session, caller.credential())).collect();
        self.audit.record(Act::Registry(RegistryAct::SessionList, Some(person.to_string())), origin).await?;
        Ok(listed)
    }

    /// Ends a session, and revokes its tokens.
    ///
    /// # Errors
    /// There is no such session, or the caller may not end it.
    pub async fn end_session(&self, session: CredentialId, caller: &Caller) -> Result<Sequences, Refusal> {
        self.revocations
            .change(caller, None, move |caller, view| {
                let missing = || Refusal::new(ErrorCode::CredentialNotFound);
                let known = view.state.credential(session).filter(|known| known.proof.login().is_some());
                let is_own = known.is_some_and(|known| Some(known.subject) == caller.subject());
                if !is_own {
                    // Unknown and another's look the same to who may not ask.
                    caller.permit::<ManageIdentities>(&Scope::Installation)?;
                }
                known.ok_or_else(missing)?;
                if caller.credential() == session {
                    // Who takes his leave leaves the codes that he has handed over.
                    return Ok(vec![RecordName::from(session).into()]);
                }
                Ok(super::end_session(view, session))
            })
            .await
    }

    /// Removes the sessions and enrolment codes that have ended from the registry, a few at a time.
    ///
    /// # Errors
    /// The registry cannot be read or written.
    pub async fn remove_ended(&self) -> Result<(), Refusal> {
        loop {
            let view = self.registry.now().await?;
            let found = self.ended(&view);
            if found.is_empty() {
                self.sessions.keep(|session| view.state.credential(session).is_some());
                self.pace.iter().for_each(super::Pace::forget);
                return Ok(());
            }
            let by = (Author::Service, "ended", self.clock.now());
            self.revocations.change_as(by, |view| Ok(self.ended(view))).await?;
        }
    }

    fn ended(&self, view: &View) -> Vec<Change> {
        let now = self.clock.now();
        let sessions = view.state.credentials().filter(|credential| credential.proof.login().is_some());
        let sessions = sessions.filter(|session| !self.is_living(session, now));
        let codes = view.state.enrolments().filter(|code| !code.is_open_at(now));
        let sessions = sessions.flat_map(|session| match session.disabled_at {
            Some(_) => super::end_session(view, session.credential_id),
            None => vec![RecordName::from(session.credential_id).into()],
        });
        let codes = codes.map(|code| Change::from(RecordName::from(code.enrolment_id)));
        super::each_once(sessions.chain(codes).take(REMOVED_AT_ONCE).collect())
    }
}

/// A session for its owner; `None` for another credential.
pub(super) fn details(session: &Credential, current: CredentialId) -> Option<SessionDetails> {
    let (Some(login), Subject::Person(person_id)) = (session.proof.login(), session.subject) else { return None };
    Some(SessionDetails {
        session_id: session.credential_id,
        person_id,
        created_at: session.created_at,
        authenticated_at: login.authenticated_at,
        expires_at: session.expires_at.unwrap_or(session.created_at),
        mfa: login.mfa,
        current: session.credential_id == current,
    })
}
