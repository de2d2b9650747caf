//! Authentication of callers, and what they may do. Each service has one credential; the administrator's is the only one so far.
//!
//! Guarantees that a missing, malformed, unknown, wrong and disabled credential give the same answer after the same
//! work. The stored form of a credential opens nothing, and an attacker with write access to the database cannot make
//! one.

mod anchor_file;
mod registry;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use manager_policy::{ActionType, Actor, Denied, Facts, Holder, Permit, Scope, Visible};
use manager_registry::{Author, RegistryKey, Snapshot};
use service_runtime::Refusal;
use shared_proto::credential::PlainCredential;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, Subject};
use zeroize::Zeroizing;

use crate::keys::KeyRing;

pub use self::anchor_file::AnchorFile;
pub use self::registry::{Registry, RegistryError, View, word_for};

/// Hashes service credentials under a key of the key folder.
pub struct CredentialHasher(hmac::Key);

impl CredentialHasher {
    /// A hasher with this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The key of the entries of registry, which is derived from the same one.
    pub fn registry(&self) -> RegistryKey {
        let tag = hmac::sign(&self.0, b"splitvault registry key 1");
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(tag.as_ref());
        RegistryKey::new(&key)
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
    pub fn permit<A: ActionType>(&self, scope: &Scope) -> Result<Permit<A>, Refusal> {
        let code = match scope {
            Scope::Secret(_) | Scope::Path(..) | Scope::Folder(..) | Scope::Reach(_) => ErrorCode::SecretNotFound,
            Scope::Environment(_) | Scope::Installation => ErrorCode::CredentialInvalid,
        };
        Permit::decide(&self.facts, &self.actor, scope, self.now).map_err(|Denied| Refusal::new(code))
    }

    /// The secrets that the caller may see in lists.
    pub fn visible(&self) -> Visible {
        Visible::decide(&self.facts, &self.actor, self.now)
    }

    /// The same caller before another state of the registry.
    ///
    /// # Errors
    /// His credential is disabled there.
    pub fn again(&self, view: &View) -> Result<Self, Refusal> {
        let actor = view.state.actor(self.credential()).ok_or_else(|| Refusal::new(ErrorCode::CredentialInvalid))?;
        Ok(Self { actor, facts: Arc::clone(&view.facts), now: self.now })
    }

    /// The author of the changes that the caller makes.
    pub fn author(&self) -> Author {
        match self.subject() {
            Some(principal) => Author::Caller { principal, credential: self.credential() },
            None => Author::Service,
        }
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
    keys: Arc<KeyRing>,
    /// Hashed in place of a missing credential, so that the work is the same.
    decoy: PlainCredential,
}

impl Authenticator {
    /// An authenticator with the keys of this ring.
    pub fn new(keys: Arc<KeyRing>) -> Self {
        Self { keys, decoy: PlainCredential::generate() }
    }

    /// The actor that `presented` belongs to; `None` for everything except an enabled credential.
    pub fn actor(&self, state: &Snapshot, presented: &str) -> Option<Actor> {
        let parsed = PlainCredential::parse(presented).ok();
        let hash = self.keys.now().credentials.hash(parsed.as_ref().unwrap_or(&self.decoy));
        let found = state.credential_by_hmac(&hash);
        // It was found by a search that is not constant in time, but over keyed hashes, which tell nothing.
        let stored = found.and_then(|credential| credential.hmac).map_or([0; 32], |hmac| hmac.0);
        let same = verify_slices_are_equal(&stored, &hash).is_ok();
        let found = found.filter(|_| same && parsed.is_some())?;
        state.actor(found.credential_id)
    }
}
