//! Why an operation was refused or failed, in the words of the domain.

use service_runtime::audit::AuditUnavailable;
use service_runtime::sqlite::StoreFault;
use shared_proto::Rejected;
use shared_proto::id::{SecretId, Version};

use crate::store::ActError;

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
    /// The credential to be disabled is the last enabled one of an administrator.
    #[error("the credential is the last one of an administrator")]
    LastAdministrator,
    /// The credential to be disabled does not exist.
    #[error("no such credential")]
    CredentialUnknown,
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    BodyDiffers,
    /// The idempotency key was used for another path or environment, by a request that stored nothing.
    #[error("the idempotency key was used for another path or environment")]
    KeyOfAnotherPath,
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

impl Refusal {
    /// No token is made, because the key that would sign it was revoked.
    pub const SIGNING_KEY_REVOKED: Self =
        Self::Unavailable("the token signing key was revoked; run rotate-keys token-signing");
}

impl From<ActError> for Refusal {
    fn from(why: ActError) -> Self {
        match why {
            ActError::CredentialDisabled => Self::CredentialDisabled,
            ActError::LastAdministrator => Self::LastAdministrator,
            ActError::CredentialUnknown => Self::CredentialUnknown,
            ActError::Fault(fault) => Self::Storage(fault),
        }
    }
}

impl From<Rejected> for Refusal {
    fn from(Rejected: Rejected) -> Self {
        Self::Internal("a cipher or a signature refused its input")
    }
}
