//! The statement of the transport key: signed for a day, stated anew after half of it, not for each request.

use std::sync::{Mutex, PoisonError};

use shared_proto::identity::{IdentityKey, Owner};
use shared_proto::jwk::PublicJwk;
use shared_proto::statement::{KeyStatement, Purpose};

/// How long a statement is good for, in seconds.
const VALIDITY_SECONDS: u64 = 24 * 60 * 60;
/// Not-before lies this far in the past, for clocks that run behind, in seconds.
const SKEW_SECONDS: u64 = 60;

/// The current statement of the transport key.
#[derive(Default)]
pub struct TransportStatement(Mutex<Option<KeyStatement>>);

impl TransportStatement {
    /// The statement to give out at `now` (Unix seconds).
    pub fn at(&self, now: u64, identity: &IdentityKey, owner: Owner, key: &PublicJwk) -> KeyStatement {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = &*current
            && (statement.not_before..statement.not_after - VALIDITY_SECONDS / 2).contains(&now)
        {
            return statement.clone();
        }
        let validity = (now.saturating_sub(SKEW_SECONDS), now + VALIDITY_SECONDS);
        let statement = KeyStatement::sign(identity, owner, Purpose::Transport, key.clone(), validity);
        *current = Some(statement.clone());
        statement
    }
}
