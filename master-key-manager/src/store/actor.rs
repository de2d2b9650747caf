//! In whose name the store acts, and why it refuses to.
//!
//! A credential is looked at when the head of a request is read, and the act comes later: the body travels, a lock is
//! waited for, the vault is asked. Guarantees that the look and the act are one: every method that acts for a caller
//! takes an [`Actor`] and looks at the credential again in the transaction that reads or writes.

use service_runtime::Refusal;
use service_runtime::sqlite::StoreFault;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::CredentialId;

use super::{CredentialRow, Installation};

/// A caller whose credential was enabled when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    credential: CredentialId,
}

impl Actor {
    /// The credential that is looked at again, and that tokens name.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }
}

impl CredentialRow {
    /// The caller who presented this credential; `None` if it is disabled.
    pub fn actor(&self) -> Option<Actor> {
        (!self.disabled).then_some(Actor { credential: self.id })
    }
}

impl Installation {
    /// Everybody without a credential, in development mode.
    pub fn anonymous_actor(&self) -> Actor {
        Actor { credential: self.anonymous }
    }
}

/// Why a method did not act. Nothing was written, and nothing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The caller's credential was disabled meanwhile.
    #[error("the credential was disabled")]
    CredentialDisabled,
    /// The credential to be disabled is the last enabled one of an administrator.
    #[error("the credential is the last one of an administrator")]
    LastAdministrator,
    /// The credential to be disabled does not exist.
    #[error("no such credential")]
    CredentialUnknown,
    /// The database; what was asked may have been written if the fault says so.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// The outcome of a method that acts for a caller.
pub type Acted<T> = Result<T, ActError>;

/// A revocation or destruction, as a caller decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// An event for the vault. A `credential` event revokes tokens; the credential stays enabled.
    Event(Event),
    /// A credential is disabled at the manager at once, and the tokens made with it are revoked.
    DisableCredential(CredentialId),
}

impl Decision {
    /// The event that the vault gets.
    pub fn event(&self) -> Event {
        match self {
            Self::Event(event) => *event,
            Self::DisableCredential(credential) => Event::Credential(*credential),
        }
    }
}

impl From<ActError> for Refusal {
    fn from(why: ActError) -> Self {
        match why {
            ActError::CredentialDisabled => Self::new(ErrorCode::CredentialInvalid),
            ActError::LastAdministrator => Self::new(ErrorCode::LastAdministrator),
            ActError::CredentialUnknown => Self::new(ErrorCode::CredentialNotFound),
            ActError::Fault(fault) => fault.into(),
        }
    }
}
