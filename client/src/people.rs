//! Logins, sessions, enrolment codes and people at the manager.

use manager_api::id::EnrolmentId;
use manager_api::people::{
    ChangePerson, CreateEnrolment, CreatePerson, EnrolmentList, NewEnrolment, PersonDetails, PersonList,
    RedeemEnrolment, RedeemedEnrolment,
};
use manager_api::sessions::{
    ChangePassword, ConfirmTotp, CreateSession, Me, NewSession, OfferedTotp, Reauthenticate, RecoveryCodes,
    SessionDetails, SessionList,
};
use manager_api::wire::RevocationAnswer;
use reqwest::Method;
use shared_proto::id::{CredentialId, PersonId};

use crate::http::{self, Body};
use crate::{Client, ClientError, Credential};

impl Client {
    /// The same client with the code of a session, or with another credential.
    #[must_use]
    pub fn with_credential(&self, credential: Credential) -> Self {
        Self { credential: Some(credential), ..self.clone() }
    }

    /// Redeems an enrolment code: a person sends the password that is wanted, a service nothing else.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn redeem(&self, code: &RedeemEnrolment) -> Result<RedeemedEnrolment, ClientError> {
        http::send(self.manager.request(Method::POST, "/api/enrolments:redeem"), Body::json(code)?).await
    }

    /// Logs a person in. The code of the answer is a credential: [`Credential::session`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn login(&self, login: &CreateSession) -> Result<NewSession, ClientError> {
        http::send(self.manager.request(Method::POST, "/api/sessions"), Body::json(login)?).await
    }

    /// Repeats the login of this session, for acts that need a recent one.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn reauthenticate(&self, login: &Reauthenticate) -> Result<SessionDetails, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/sessions:reauthenticate"), Body::json(login)?).await
    }

    /// The living sessions of a person; the caller's own by default.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_sessions(&self, person: Option<PersonId>) -> Result<SessionList, ClientError> {
        let person = person.map(|person| person.to_string());
        let request = self.at_manager(Method::GET, "/api/sessions").query("person", person.as_deref());
        http::send(request, Body::none()).await
    }

    /// Ends a session, and revokes its tokens.
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn end_session(&self, session: CredentialId) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::DELETE, &format!("/api/sessions/{session}")), Body::none()).await
    }

    /// The caller.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn me(&self) -> Result<Me, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/me"), Body::none()).await
    }

    /// Changes the caller's password, and ends all other sessions.
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn change_password(&self, change: &ChangePassword) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/me/password"), Body::json(change)?).await
    }

    /// Asks for an authenticator, which [`Self::confirm_totp`] takes into use.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn offer_totp(&self) -> Result<OfferedTotp, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/me/totp"), Body::none()).await
    }

    /// Takes the offered authenticator into use.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn confirm_totp(&self, code: &ConfirmTotp) -> Result<RecoveryCodes, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/me/totp:confirm"), Body::json(code)?).await
    }

    /// Gives up the caller's authenticator.
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn remove_totp(&self) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::DELETE, "/api/me/totp"), Body::none()).await
    }

    /// Replaces the caller's recovery codes.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn renew_recovery_codes(&self) -> Result<RecoveryCodes, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/me/recovery-codes"), Body::none()).await
    }

    /// Makes an account for a person.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_person(&self, person: &CreatePerson) -> Result<PersonDetails, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/people"), Body::json(person)?).await
    }

    /// A page of people. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_people(&self, after: Option<&str>) -> Result<PersonList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/people").query("after", after), Body::none()).await
    }

    /// A person.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn person(&self, person: PersonId) -> Result<PersonDetails, ClientError> {
        http::send(self.at_manager(Method::GET, &format!("/api/people/{person}")), Body::none()).await
    }

    /// Changes the names of a person.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn change_person(&self, person: PersonId, change: &ChangePerson) -> Result<PersonDetails, ClientError> {
        http::send(self.at_manager(Method::PATCH, &format!("/api/people/{person}")), Body::json(change)?).await
    }

    /// Lets a person log in again who was disabled.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn enable_person(&self, person: PersonId) -> Result<PersonDetails, ClientError> {
        http::send(self.at_manager(Method::POST, &format!("/api/people/{person}:enable")), Body::none()).await
    }

    /// Ends a person's account, sessions and tokens.
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn disable_person(&self, person: PersonId) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::POST, &format!("/api/people/{person}:disable")), Body::none()).await
    }

    /// Takes password, authenticator and sessions from a person, and makes a code for a new first login.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn reset_person(&self, person: PersonId) -> Result<NewEnrolment, ClientError> {
        http::send(self.at_manager(Method::POST, &format!("/api/people/{person}:reset")), Body::none()).await
    }

    /// Makes an enrolment code.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn enrol(&self, enrolment: &CreateEnrolment) -> Result<NewEnrolment, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/enrolments"), Body::json(enrolment)?).await
    }

    /// A page of codes that were not redeemed. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_enrolments(&self, after: Option<&str>) -> Result<EnrolmentList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/enrolments").query("after", after), Body::none()).await
    }

    /// Takes a code back.
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn remove_enrolment(&self, enrolment: EnrolmentId) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::DELETE, &format!("/api/enrolments/{enrolment}")), Body::none()).await
    }
}
