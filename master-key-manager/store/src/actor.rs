//! The caller in whose name the store acts, and the reasons why it refuses to.
//!
//! A credential is checked when the head of a request is read. The act comes later: the body travels, a lock is waited
//! for, the vault is asked. Guarantees that check and act are one: every method that acts for a caller takes an
//! [`Actor`] and checks the credential again in the transaction that reads or writes.

use service_runtime::Refusal;
use service_runtime::sql::StoreFault;
use shared_proto::error::ErrorCode;
use shared_proto::id::CredentialId;

use crate::{CredentialRow, Installation};

/// A caller whose credential was enabled when it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    credential: CredentialId,
}

impl Actor {
    /// The credential that is checked again, and that tokens name.
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
    /// The actor of all callers without a credential, in development mode.
    pub fn anonymous_actor(&self) -> Actor {
        Actor { credential: self.anonymous }
    }
}

/// Why a method did not act. Nothing was written or given out.
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
    /// The database failed. The write may have been made if the fault says so.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// The outcome of a method that acts for a caller.
pub type Acted<T> = Result<T, ActError>;

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
