//! The manager's token signing keys, by its statements. They come with each poll and are kept for a restart.
//!
//! Refuses statements of an older poll than the last accepted one: a replay must not bring back a removed key.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use shared_proto::Rejected;
use shared_proto::identity::Pins;
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::VerifyingKey;
use shared_proto::rsa_key::verifying_key;
use shared_proto::statement::{KeyStatement, Purpose, StatedKey};
use shared_proto::token::LEEWAY_SECONDS;

/// The living token signing keys.
#[derive(Default)]
pub struct ManagerKeys {
    current: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    statements: Vec<KeyStatement>,
    stated_at: u64,
    keys: HashMap<Thumbprint, (StatedKey, VerifyingKey)>,
}

impl ManagerKeys {
    /// Replaces all earlier statements. A statement that does not verify is left out. `stated_at` is the time at which
    /// their poll was signed, and `now` the vault's clock (Unix seconds). A known poll of the future does not count: it
    /// was signed while a clock ran ahead, before it was set right.
    ///
    /// Returns whether anything changed.
    ///
    /// # Errors
    /// They differ from the known ones, and are older.
    pub fn replace(
        &self,
        statements: &[KeyStatement],
        (stated_at, now): (u64, u64),
        pins: &Pins,
    ) -> Result<bool, Rejected> {
        {
            let known = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if known.statements == statements && known.stated_at == stated_at {
                return Ok(false);
            }
        }
        let mut known = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if stated_at < known.stated_at && known.stated_at <= now.saturating_add(LEEWAY_SECONDS) {
            return if known.statements == statements { Ok(false) } else { Err(Rejected) };
        }
        known.stated_at = stated_at;
        if known.statements == statements {
            return Ok(false);
        }
        known.keys = verified(statements, pins);
        known.statements = statements.to_vec();
        Ok(true)
    }

    /// Removes keys that were stated with an identity key that is no longer pinned.
    pub fn verify_again(&self, pins: &Pins) {
        let mut known = self.current.write().unwrap_or_else(PoisonError::into_inner);
        known.keys = verified(&known.statements, pins);
    }

    /// The key with this kid, if it may be used at `now` (Unix seconds).
    pub fn find(&self, kid: &Thumbprint, now: u64) -> Option<VerifyingKey> {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner);
        known.keys.get(kid).filter(|(stated, _)| stated.valid_at(now)).map(|(_, key)| key.clone())
    }

    /// Whether the key with this kid may be used at `now` (Unix seconds).
    pub fn is_valid(&self, kid: &Thumbprint, now: u64) -> bool {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner);
        known.keys.get(kid).is_some_and(|(stated, _)| stated.valid_at(now))
    }

    /// Whether any key may be used at `now` (Unix seconds).
    pub fn any_valid(&self, now: u64) -> bool {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner);
        known.keys.values().any(|(stated, _)| stated.valid_at(now))
    }
}

fn verified(statements: &[KeyStatement], pins: &Pins) -> HashMap<Thumbprint, (StatedKey, VerifyingKey)> {
    let usable = |statement: &KeyStatement| {
        let stated = statement.verify(pins).ok().filter(|key| key.purpose == Purpose::TokenSigning)?;
        let key = verifying_key(&stated.key).ok()?;
        Some((stated.kid, (stated, key)))
    };
    statements.iter().filter_map(usable).collect()
}
