//! The token endpoint: from a request to a token, and to the errors of RFC 6749.

use manager_sign_on::oauth::{GrantedDetail, OauthError, OauthErrorCode, TokenAnswer, TokenRequest};
use manager_store::CHANGED;
use service_runtime::audit::Origin;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;

use super::prove::no_client;
use super::{Proven, SignOn};
use crate::access::RegistryError;
use crate::audit_event::Act;
use crate::issuer::{MintRequest, granted};

/// A request that is not answered with a token.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The answer to the client.
    pub answer: Answered,
    /// The refusal, for log and audit.
    pub refusal: Refusal,
}

/// The error of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// An error of RFC 6749.
    Error(OauthError),
    /// The same request may succeed later.
    Later,
    /// The client has sent too many; it waits for so many seconds.
    Limited(u64),
    /// A defect of the service.
    Defect,
}

impl Failure {
    /// The refusal of a credential that cannot be used any more, which looks like a wrong one. The code is that of the way
    /// in which it was shown: only a client is answered as one.
    pub fn of_shown(refusal: Refusal, code: OauthErrorCode) -> Self {
        match (refusal.code(), code) {
            (ErrorCode::CredentialInvalid, OauthErrorCode::InvalidClient) => no_client(),
            (ErrorCode::CredentialInvalid, code) => Self::unproven(OauthError::new(code, USED_UP)),
            _ => refusal.into(),
        }
    }

    /// The refusal of a grant that proves nothing, whatever its code.
    pub(super) fn unproven(error: OauthError) -> Self {
        let refusal = Refusal::new(ErrorCode::CredentialInvalid).cause(error.description);
        Self { answer: Answered::Error(error), refusal }
    }

    /// The same request may succeed later.
    pub(super) fn later(cause: &'static str) -> Self {
        Refusal::unavailable(cause).into()
    }
}

impl From<OauthError> for Failure {
    fn from(error: OauthError) -> Self {
        let code = match error.code {
            OauthErrorCode::InvalidClient | OauthErrorCode::InvalidGrant | OauthErrorCode::UnauthorizedClient => {
                ErrorCode::CredentialInvalid
            }
            OauthErrorCode::InvalidAuthorizationDetails
            | OauthErrorCode::InvalidScope
            | OauthErrorCode::InvalidTarget
            | OauthErrorCode::UnsupportedGrantType => ErrorCode::ParameterInvalid,
            OauthErrorCode::InvalidRequest => ErrorCode::BodyInvalid,
        };
        let refusal = Refusal::new(code).cause(error.description);
        Self { answer: Answered::Error(error), refusal }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Refusal::from(error).into()
    }
}

/// The refusal of a token to a client that has proven who it is.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let details =
            |description| Answered::Error(OauthError::new(OauthErrorCode::InvalidAuthorizationDetails, description));
        let answer = match refusal.code().status() {
            429 => Answered::Limited(match refusal.known_fact() {
                Some(Fact::Wait(seconds)) => *seconds,
                Some(_) | None => 1,
            }),
            // The registry changed between the proof and the act. What holds now is decided by the next request.
            _ if refusal.cause_text() == Some(CHANGED) => Answered::Later,
            404 => details("A secret or version is unknown, or not yours to see."),
            409 => details("The environment is frozen or disabled, a secret is deleted, or a version has expired."),
            400..=499 => details(
                "A secret comes twice, the secrets are of several environments, or a stage or life_seconds is not possible.",
            ),
            500 => Answered::Defect,
            _ => Answered::Later,
        };
        Self { answer, refusal }
    }
}

impl SignOn {
    /// Makes a token for whoever has proven to be the sender of a request, and is the actor of `origin`.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn issue(&self, request: &TokenRequest, proven: Proven, origin: &Origin) -> Result<TokenAnswer, Failure> {
        let caller = proven.caller;
        if let Some(subject) = proven.external_subject {
            self.audit.record(Act::TrustAdmit(subject), origin).await.map_err(Refusal::from)?;
        }
        let wanted = MintRequest { secrets: request.wanted.clone(), label: None, life: request.life_seconds };
        let minted = self.mint.mint(wanted, &caller, origin).await.inspect_err(|refusal| {
            if refusal.cause_text() == Some(CHANGED) {
                self.registry.suspect();
            }
        })?;
        let secrets = granted(&request.wanted, &minted);
        let life = minted.token.expires_at.saturating_sub(self.clock.now());
        Ok(TokenAnswer::new(&request.grant, minted.token.access_token, life, GrantedDetail::new(secrets)))
    }
}

const USED_UP: &str = "The key or the trust cannot be used any more.";

#[cfg(test)]
mod tests {
    use super::*;

    /// A use that is refused after the proof: another request used the last one.
    #[test]
    fn only_a_client_is_answered_as_one() {
        let answer = |refusal: ErrorCode, code| match Failure::of_shown(Refusal::new(refusal), code).answer {
            Answered::Error(error) => Some(error.code),
            Answered::Later | Answered::Limited(_) | Answered::Defect => None,
        };
        for code in [OauthErrorCode::InvalidClient, OauthErrorCode::InvalidGrant, OauthErrorCode::InvalidRequest] {
            assert_eq!(answer(ErrorCode::CredentialInvalid, code), Some(code));
            assert_eq!(answer(ErrorCode::Unavailable, code), None);
        }
    }

    #[test]
    fn grant_that_proves_nothing_is_a_wrong_credential_in_the_log_whatever_its_code() {
        for code in [OauthErrorCode::InvalidGrant, OauthErrorCode::InvalidRequest] {
            assert_eq!(Failure::unproven(OauthError::new(code, "x")).refusal.code(), ErrorCode::CredentialInvalid);
        }
    }
}
