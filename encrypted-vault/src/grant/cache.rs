//! Verified tokens of the last minutes, so that a signature is checked and a seal opened once. Holds release keys of
//! living tokens; never a data key, never a value.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use moka::sync::Cache;
use shared_proto::jwk::Thumbprint;
use shared_proto::secret::ReleaseKey;
use shared_proto::token::{CheckedClaims, MAX_LIFE_SECONDS};

use super::{Authority, ReadRefusal};

/// The tokens by the hash of their text.
pub struct TokenCache(Cache<[u8; 32], Arc<TokenRecord>>);

/// A token whose signature held.
pub(super) struct TokenRecord {
    pub(super) claims: CheckedClaims,
    pub(super) kid: Thumbprint,
    pub(super) released: OnceLock<Vec<ReleaseKey>>,
}

impl TokenCache {
    /// A cache of at most `capacity` tokens.
    pub fn new(capacity: u64) -> Self {
        let life = Duration::from_secs(MAX_LIFE_SECONDS);
        Self(Cache::builder().max_capacity(capacity).time_to_live(life).build())
    }

    /// The number of tokens that are kept.
    pub fn count(&self) -> u64 {
        self.0.entry_count()
    }

    /// Drops and wipes expired, refused and revoked tokens, and those whose seal keys are destroyed. Called every second,
    /// because an idle cache does no housekeeping of its own.
    pub fn sweep(&self, authority: &Authority) {
        for (key, token) in &self.0 {
            let over = authority.check_token(&token) == Err(ReadRefusal::Token);
            if over || authority.check_seal(&token).is_err() {
                self.0.invalidate(&*key);
            }
        }
        self.0.run_pending_tasks();
    }

    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<Arc<TokenRecord>> {
        self.0.get(hash)
    }

    pub(super) fn keep(&self, hash: [u8; 32], token: &Arc<TokenRecord>) {
        self.0.insert(hash, Arc::clone(token));
    }
}
