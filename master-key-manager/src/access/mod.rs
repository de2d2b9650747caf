//! Authentication of callers. Each service has one credential; the administrator's is the only one so far.
//!
//! Guarantees that a missing, malformed, unknown, wrong and disabled credential give the same answer after the same
//! work. The stored form of a credential opens nothing, and an attacker with write access to the database cannot make
//! one.

mod credential_cache;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use service_runtime::sql::StoreFault;
use shared_proto::credential::PlainCredential;
use shared_proto::id::{CredentialId, Subject};

use crate::keys::KeyRing;
use manager_store::Actor;

pub use self::credential_cache::CredentialCache;

/// Hashes service credentials under a key of the key folder.
pub struct CredentialHasher(hmac::Key);

impl CredentialHasher {
    /// A hasher with this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// HMAC-SHA-256 of a credential.
    pub fn hash(&self, credential: &PlainCredential) -> [u8; 32] {
        // EXPOSE: the credential goes into the HMAC.
        let tag = hmac::sign(&self.0, credential.expose());
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }
}

/// A caller with an enabled credential, or an anonymous one where that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The administrator.
    Administrator {
        /// The actor in whose name the store acts.
        actor: Actor,
        /// The administrator's subject.
        subject: Subject,
    },
    /// A stranger, in development mode.
    Anonymous {
        /// The actor in whose name the store acts, the same for all anonymous callers.
        actor: Actor,
    },
}

impl Caller {
    /// The actor in whose name the store acts. The store checks the credential again, in the transaction that acts.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Administrator { actor, .. } | Self::Anonymous { actor } => *actor,
        }
    }

    /// The credential that tokens will name.
    pub fn credential(&self) -> CredentialId {
        self.actor().credential()
    }

    /// The caller's own subject; `None` for an anonymous one.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::Administrator { subject, .. } => Some(*subject),
            Self::Anonymous { .. } => None,
        }
    }
}

/// Checks credentials.
pub struct Authenticator {
    credentials: Arc<CredentialCache>,
    keys: Arc<KeyRing>,
    /// Hashed in place of a missing credential, so that the work is the same.
    decoy: PlainCredential,
}

impl Authenticator {
    /// An authenticator with these credentials.
    pub fn new(credentials: Arc<CredentialCache>, keys: Arc<KeyRing>) -> Self {
        Self { credentials, keys, decoy: PlainCredential::generate() }
    }

    /// The administrator that `presented` belongs to; `None` for everything except an enabled credential.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn administrator(&self, presented: Option<&str>) -> Result<Option<Caller>, StoreFault> {
        let parsed = presented.and_then(|text| PlainCredential::parse(text).ok());
        let hash = self.keys.now().credentials.hash(parsed.as_ref().unwrap_or(&self.decoy));
        let row = self.credentials.credential(hash).await?;
        // The index found the row by a search that is not constant in time, but over keyed hashes, which tell nothing.
        let stored = row.as_ref().map_or([0; 32], |row| row.hmac);
        let same = verify_slices_are_equal(&stored, &hash).is_ok();
        let row = row.filter(|_| same && parsed.is_some());
        Ok(row.and_then(|row| row.actor().map(|actor| Caller::Administrator { actor, subject: row.subject })))
    }
}
