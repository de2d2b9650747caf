//! Logins, and their repetition.

use std::net::IpAddr;

use manager_api::sessions::{CreateSession, NewSession, Reauthenticate, SessionDetails};
use manager_registry::{Author, Credential, Login, Proof};
use manager_sign_on::code::SessionCode;
use service_runtime::Refusal;
use service_runtime::audit::{DecidingRules, Origin};
use shared_proto::encoding::{Bytes, random};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, Subject};
use zeroize::Zeroizing;

use super::prove::{Ask, Presented};
use super::sessions::details;
use super::{People, SESSION_SECONDS, known_person, person_of};
use crate::access::{Caller, manages};
use crate::audit_event::{Act, RegistryAct};

impl People {
    /// Lets a person in.
    ///
    /// # Errors
    /// `login_failed` for all that is wrong, `rate_limited`, `overloaded`; or the registry or the audit log does not work.
    pub async fn login(&self, asked: CreateSession, address: IpAddr, origin: &Origin) -> Result<NewSession, Refusal> {
        let CreateSession { name, password, totp, recovery_code, device_code } = asked;
        let keys = self.sign_on_keys();
        let known_device = device_code.clone();
        let presented = Presented { name, password, totp, recovery_code, device_code, session: None, address };
        let proven = self.prove(presented, Ask::All).await?;
        let (person, now) = (proven.person, self.clock.now());
        let [logins, _] = &self.pace;
        logins.take(*person.as_bytes())?;
        let (session_id, code) = (CredentialId::generate(), SessionCode::new(Zeroizing::new(random())));
        let login = Login { authenticated_at: now, mfa: proven.is_multi_factor() };
        let subject = Subject::Person(person);
        let proof = Proof::Session { hmac: Bytes(keys.codes.session(&code)), login };
        let expires_at = now.saturating_add(SESSION_SECONDS);
        let session = Credential { expires_at: Some(expires_at), ..Credential::new(session_id, subject, proof, now) };
        let origin = origin.clone().by(Some(subject), Some(session_id));
        let origin = origin.authenticated("login", DecidingRules::default());
        self.audit.record(Act::Registry(RegistryAct::SessionCreate, Some(session_id.to_string())), &origin).await?;
        let by = (Author::Caller { principal: subject, credential: session_id }, "login", now);
        // Before it is in the registry, where others look for sessions that were not used.
        self.sessions.begin(session_id);
        self.revocations
            .change_as(by, |view| {
                let mut changes = proven.use_up(view)?;
                changes.extend(self.make_room(view, person, now));
                changes.push(session.into());
                Ok(changes)
            })
            .await?;
        self.let_in(&proven.attempt);
        let view = self.registry.now().await?;
        let owner = (person, proven.password_changed_at());
        let device_code = match known_device.filter(|code| keys.codes.known_device(owner, code).is_some()) {
            Some(known) => known,
            None => keys.codes.device(owner, random()),
        };
        Ok(NewSession {
            session_id,
            person_id: person,
            session_code: code.expose_text(),
            expires_at,
            mfa: login.mfa,
            must_enrol_totp: !login.mfa && manages(&view.facts, subject, now),
            device_code,
        })
    }

    /// Lets the person of a session prove once more who he is.
    ///
    /// # Errors
    /// As [`Self::login`], or the caller has no session.
    pub async fn reauthenticate(
        &self,
        asked: Reauthenticate,
        address: IpAddr,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<SessionDetails, Refusal> {
        let person = person_of(caller)?;
        let view = self.registry.now().await?;
        let name = known_person(&view, person)?.name.clone();
        let Reauthenticate { password, totp, recovery_code, device_code } = asked;
        let session = Some(caller.credential());
        let presented = Presented { name, password, totp, recovery_code, device_code, session, address };
        let proven = self.prove(presented, Ask::All).await?;
        let (session, now) = (caller.credential(), self.clock.now());
        let [_, acts] = &self.pace;
        acts.take(*session.as_bytes())?;
        self.audit.record(Act::Registry(RegistryAct::SessionReauthenticate, Some(session.to_string())), origin).await?;
        let by = (caller.author(), "login repeated", now);
        self.revocations
            .change_as(by, |view| {
                let caller = caller.again(view)?;
                let gone = || Refusal::new(ErrorCode::CredentialInvalid);
                let known = view.state.credential(caller.credential()).ok_or_else(gone)?;
                let Proof::Session { hmac, login } = known.proof else { return Err(gone()) };
                let login = Login { authenticated_at: now, mfa: login.mfa || proven.is_multi_factor() };
                let mut changes = proven.use_up(view)?;
                changes.push(Credential { proof: Proof::Session { hmac, login }, ..known.clone() }.into());
                Ok(changes)
            })
            .await?;
        self.let_in(&proven.attempt);
        let view = self.registry.now().await?;
        let found = view.state.credential(session).and_then(|found| details(found, session));
        found.ok_or_else(|| Refusal::new(ErrorCode::CredentialInvalid))
    }
}
