//! The manager's token signing keys, as its statements name them. They come with each poll and are kept for a restart.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use jsonwebtoken::DecodingKey;
use shared_proto::identity::Pins;
use shared_proto::jwk::Thumbprint;
use shared_proto::rsa_key::verifying_key;
use shared_proto::statement::{KeyStatement, Purpose, StatedKey};

/// The living token signing keys.
#[derive(Default)]
pub struct ManagerKeys {
    current: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    statements: Vec<KeyStatement>,
    keys: HashMap<Thumbprint, (StatedKey, DecodingKey)>,
}

impl ManagerKeys {
    /// Takes the place of all statements before. A statement that does not verify is left out.
    ///
    /// Answers whether anything changed.
    pub fn replace(&self, statements: &[KeyStatement], pins: &Pins) -> bool {
        if self.current.read().unwrap_or_else(PoisonError::into_inner).statements == statements {
            return false;
        }
        let keys = statements
            .iter()
            .filter_map(|statement| {
                let stated = statement.verify(pins).ok().filter(|key| key.purpose == Purpose::TokenSigning)?;
                let key = verifying_key(&stated.key).ok()?;
                Some((stated.kid, (stated, key)))
            })
            .collect();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Known { statements: statements.to_vec(), keys };
        true
    }

    /// The key with this kid, if it may be used at `now` (Unix seconds).
    pub fn find(&self, kid: &Thumbprint, now: u64) -> Option<DecodingKey> {
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
