//! The credentials and subjects of callers.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Operate, Permit, Share};
use shared_proto::id::{CredentialId, Subject};

use crate::{Acted, Stored};

/// The credentials and subjects of callers.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// The credential with this keyed hash.
    async fn credential(&self, hmac: [u8; 32]) -> Stored<FoundCredential>;
    /// The generation of the credentials. It grows with each transaction that disables one, in any process.
    async fn credential_generation(&self) -> Stored<u64>;
    /// The number of transactions of this process that may have disabled a credential and have ended, with whatever
    /// outcome. It has grown before the method that asked for one returns.
    fn credential_changes(&self) -> u64;
    /// Replaces the administrator's credentials: the old ones are disabled and their revocation deferred. Of two that run
    /// at the same time, the later one replaces the other's.
    async fn reset_administrator(&self, credential: NewCredential, now: u64) -> Stored<()>;
    /// Checks once more that a permit counts, before an act outside of the database.
    async fn look_again(&self, permit: &Permit<Operate>) -> Acted<()>;
    /// The subject that a label stands for; `None` before its first use.
    async fn subject_of(&self, permit: &Permit<Share>, label: UserLabel) -> Acted<Option<Subject>>;
}

/// A credential as it is stored: its keyed hash only.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Its id.
    pub id: CredentialId,
    /// HMAC-SHA-256 under a key of the key folder, so that an attacker with write access to the database cannot plant
    /// one.
    pub hmac: [u8; 32],
}

/// A credential that was found by its keyed hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Its id.
    pub id: CredentialId,
    /// The subject that it belongs to.
    pub subject: Subject,
    /// The stored hash, to be compared once more in constant time.
    pub hmac: [u8; 32],
    /// Whether it is disabled.
    pub disabled: bool,
}

/// The answer to a search for a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCredential {
    /// The credential, if there is one with the hash.
    pub row: Option<CredentialRow>,
    /// The generation of the credentials when it was read.
    pub generation: u64,
}
