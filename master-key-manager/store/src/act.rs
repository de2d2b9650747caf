//! The reasons why the store does not act for a caller.
//!
//! A permit is decided when a request begins. The act comes later: the body travels, a lock is waited for, the vault is
//! asked. Guarantees that check and act are one: every method that acts for a caller takes a [`Permit`], and compares
//! what it was decided from in the transaction that reads or writes.

use manager_policy::{Actor, Basis, Holder, Permit, Scope};
use service_runtime::Refusal;
use service_runtime::sql::StoreFault;
use shared_proto::error::ErrorCode;

use crate::Installation;

impl Installation {
    /// The actor of all callers without a credential, in development mode.
    pub fn anonymous_actor(&self) -> Actor {
        Actor { holder: Holder::Stranger, credential: self.anonymous, limits: None, ends_at: None }
    }
}

/// Why a method did not act. Nothing was written or given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The policy has changed since the permit was decided.
    #[error("the policy has changed since it was asked")]
    PolicyChanged,
    /// The place, the tags or the audience of the secret have changed since the permit was decided.
    #[error("the secret has changed since it was asked")]
    SecretChanged,
    /// More has changed since the permit was decided than is looked at.
    #[error("too much has changed since it was asked")]
    MuchChanged,
    /// The permit is not for what was to be done with it.
    #[error("the permit is for something else")]
    OutsidePermit,
    /// The database failed. The write may have been made if the fault says so.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// The cause of the refusal of a permit that counts no more. Whoever decided it has facts that are too old.
pub const CHANGED: &str = "the registry has changed";

/// The outcome of a method that acts for a caller.
pub type Acted<T> = Result<T, ActError>;

impl From<ActError> for Refusal {
    fn from(why: ActError) -> Self {
        match why {
            ActError::PolicyChanged => Self::new(ErrorCode::CredentialInvalid).cause(CHANGED),
            ActError::MuchChanged => Self::unavailable("too much has changed meanwhile"),
            ActError::SecretChanged => Self::unavailable("the secret was moved or changed meanwhile"),
            ActError::OutsidePermit => Self::internal("a permit was used for something else"),
            ActError::Fault(fault) => fault.into(),
        }
    }
}

/// The facts that a permit for this target was decided from.
///
/// # Errors
/// It is for another target.
pub(crate) fn basis_for<A>(permit: &Permit<A>, target: &Scope) -> Acted<Basis> {
    permit.basis_for(target).ok_or(ActError::OutsidePermit)
}
