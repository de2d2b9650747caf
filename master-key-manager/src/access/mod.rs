//! Authentication of callers, and what they may do. Each service has one credential; the administrator's is the only one so far.
//!
//! Guarantees that a missing, malformed, unknown, wrong and disabled credential give the same answer after the same
//! work. The stored form of a credential opens nothing, and an attacker with write access to the database cannot make
//! one.

mod credential_cache;
mod policy_view;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use manager_policy::{ActionType, Actor, Denied, Facts, Holder, Permit, Scope, Visible};
use service_runtime::Refusal;
use service_runtime::sql::StoreFault;
use shared_proto::credential::PlainCredential;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, Subject};

use crate::keys::KeyRing;

pub use self::credential_cache::CredentialCache;
pub use self::policy_view::PolicyView;

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

/// A caller with an enabled credential, or an anonymous one where that is allowed, with the facts that decide what he
/// may do.
#[derive(Clone, Debug)]
pub struct Caller {
    actor: Actor,
    facts: Arc<Facts>,
    now: u64,
}

impl Caller {
    /// This actor, before these facts, at this time.
    pub fn new(actor: Actor, facts: Arc<Facts>, now: u64) -> Self {
        Self { actor, facts, now }
    }

    /// The permit for an action in a scope. The store checks what it was decided from again, in the transaction that
    /// acts.
    ///
    /// # Errors
    /// The policy does not allow it. That looks like an unknown secret, or like an unknown caller.
    #[expect(clippy::needless_pass_by_value, reason = "callers name the scope where they ask")]
    pub fn permit<A: ActionType>(&self, scope: Scope) -> Result<Permit<A>, Refusal> {
        let code = match scope {
            Scope::Secret(_) | Scope::Path(..) | Scope::Folder(..) | Scope::Reach(_) => ErrorCode::SecretNotFound,
            Scope::Environment(_) | Scope::Installation => ErrorCode::CredentialInvalid,
        };
        Permit::decide(&self.facts, &self.actor, &scope, self.now).map_err(|Denied| Refusal::new(code))
    }

    /// The secrets that the caller may see in lists.
    pub fn visible(&self) -> Visible {
        Visible::decide(&self.facts, &self.actor, self.now)
    }

    /// The credential that tokens will name.
    pub fn credential(&self) -> CredentialId {
        self.actor.credential
    }

    /// The caller's own subject; `None` for an anonymous one.
    pub fn subject(&self) -> Option<Subject> {
        match self.actor.holder {
            Holder::Principal(subject) => Some(subject),
            Holder::Stranger => None,
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

    /// The actor that `presented` belongs to; `None` for everything except an enabled credential.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn actor(&self, presented: Option<&str>) -> Result<Option<Actor>, StoreFault> {
        let parsed = presented.and_then(|text| PlainCredential::parse(text).ok());
        let hash = self.keys.now().credentials.hash(parsed.as_ref().unwrap_or(&self.decoy));
        let row = self.credentials.credential(hash).await?;
        // The index found the row by a search that is not constant in time, but over keyed hashes, which tell nothing.
        let stored = row.as_ref().map_or([0; 32], |row| row.hmac);
        let same = verify_slices_are_equal(&stored, &hash).is_ok();
        let row = row.filter(|_| same && parsed.is_some());
        Ok(row.and_then(|row| row.actor()))
    }
}
