//! Why an operation was refused or failed, in the words of the domain.

use service_runtime::audit::AuditUnavailable;
use service_runtime::sqlite::StoreFault;
use shared_proto::Rejected;
use shared_proto::id::{SecretId, Version};

use crate::store::NoToken;

/// A refusal or a fault of an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A part that is needed is not there; nothing was written.
    #[error("unavailable: {0}")]
    Unavailable(&'static str),
    /// It may have been carried out.
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(&'static str),
    /// No such environment.
    #[error("no such environment")]
    EnvironmentUnknown,
    /// A parameter is out of its range.
    #[error("{0}")]
    Parameter(&'static str),
    /// No such secret or version.
    #[error("no such secret or version")]
    SecretNotFound,
    /// Nobody has this label.
    #[error("nobody has this user_id")]
    SubjectNotFound,
    /// The credential was disabled while its request ran.
    #[error("the credential was disabled")]
    CredentialDisabled,
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    BodyDiffers,
    /// The idempotency key was used, and the body can no longer be compared.
    #[error("the body of the first request can no longer be compared")]
    BodyForgotten {
        /// What the first request wrote.
        secret: SecretId,
        /// What the first request wrote.
        version: Version,
    },
    /// The database.
    #[error(transparent)]
    Storage(#[from] StoreFault),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditUnavailable),
    /// A defect: a cipher or a signature refused its input, or a task broke down.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl From<NoToken> for Refusal {
    fn from(why: NoToken) -> Self {
        match why {
            NoToken::CredentialDisabled => Self::CredentialDisabled,
            NoToken::SigningKeyRevoked => {
                Self::Unavailable("the token signing key was revoked; run rotate-keys token-signing")
            }
        }
    }
}

impl From<Rejected> for Refusal {
    fn from(Rejected: Rejected) -> Self {
        Self::Internal("a cipher or a signature refused its input")
    }
}
