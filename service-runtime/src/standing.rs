//! Statements of a service's own keys: signed for a day and again after half of it, not for each request.

use std::sync::{Mutex, PoisonError};

use shared_proto::identity::{IdentityKey, Owner};
use shared_proto::jwk::PublicJwk;
use shared_proto::statement::{KeyStatement, Purpose};

/// Validity of a statement, in seconds.
pub const VALIDITY_SECONDS: u64 = 24 * 60 * 60;
/// Not-before lies this far in the past, for clocks that run behind, in seconds.
pub const SKEW_SECONDS: u64 = 60;

/// The current statements of the keys of one purpose.
pub struct StandingStatements {
    purpose: Purpose,
    kept: Mutex<Vec<KeyStatement>>,
}

impl StandingStatements {
    /// No statements yet.
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, kept: Mutex::default() }
    }

    /// The statements of these keys at `now` (Unix seconds). A key with an end is stated up to its end, and no longer
    /// after it.
    pub fn at(
        &self,
        now: u64,
        identity: &IdentityKey,
        owner: Owner,
        keys: &[(&PublicJwk, Option<u64>)],
    ) -> Vec<KeyStatement> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let living = keys.iter().filter(|(_, end)| end.is_none_or(|end| now < end));
        let statements: Vec<KeyStatement> = living
            .map(|(key, end)| {
                let standing = kept.iter().find(|statement| {
                    statement.key == **key && statement.kid == identity.kid() && still_good(statement, now, *end)
                });
                standing.cloned().unwrap_or_else(|| {
                    let longest = now.saturating_add(VALIDITY_SECONDS);
                    let validity = (now.saturating_sub(SKEW_SECONDS), end.map_or(longest, |end| end.min(longest)));
                    KeyStatement::sign(identity, owner, self.purpose, (*key).clone(), validity)
                })
            })
            .collect();
        kept.clone_from(&statements);
        statements
    }
}

fn still_good(statement: &KeyStatement, now: u64, end: Option<u64>) -> bool {
    let young = now.saturating_add(VALIDITY_SECONDS / 2) < statement.not_after;
    statement.not_before <= now
        && end.is_none_or(|end| statement.not_after <= end)
        && (young || end == Some(statement.not_after))
}

#[cfg(test)]
mod tests {
    use shared_proto::id::VaultId;

    use super::*;

    const NOW: u64 = 10_000_000;

    #[test]
    fn statements_are_kept_for_half_their_life_and_end_with_their_key() {
        let (identity, successor) = (IdentityKey::generate().unwrap().0, IdentityKey::generate().unwrap().0);
        let owner = Owner::Vault(VaultId::generate());
        let (one, two) = (PublicJwk::x25519([1; 32]), PublicJwk::x25519([2; 32]));
        let standing = StandingStatements::new(Purpose::Seal);
        let at =
            |now, identity: &IdentityKey, keys: &[(&PublicJwk, Option<u64>)]| standing.at(now, identity, owner, keys);
        let first = at(NOW, &identity, &[(&one, None)]);
        assert_eq!((first[0].not_before, first[0].not_after), (NOW - SKEW_SECONDS, NOW + VALIDITY_SECONDS));
        assert_eq!(at(NOW + VALIDITY_SECONDS / 2 - 1, &identity, &[(&one, None)]), first);
        let second = at(NOW + VALIDITY_SECONDS / 2, &identity, &[(&one, None)]);
        assert!(second[0].not_after > first[0].not_after);
        // A clock that was set back.
        assert!(at(NOW, &identity, &[(&one, None)])[0].not_before <= NOW);
        // The first key ends, a second one is there.
        let end = NOW + 100;
        let both = at(NOW, &identity, &[(&one, Some(end)), (&two, None)]);
        assert_eq!((both[0].not_after, both[1].not_after), (end, NOW + VALIDITY_SECONDS));
        assert_eq!(at(end - 1, &identity, &[(&one, Some(end)), (&two, None)]), both);
        assert_eq!(at(end, &identity, &[(&one, Some(end)), (&two, None)]), both[1..]);
        assert_eq!(at(end, &successor, &[(&two, None)])[0].kid, successor.kid());
    }
}
