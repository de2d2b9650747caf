//! Turns of making RSA keys, which take a core for seconds each.
//!
//! Guarantees that few are made at once, that few requests wait for it, and that one principal has one of these places only, so
//! that nobody holds up the keys of the others. Whatever else is made takes no turn.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use manager_api::generate::{Generate, KeyPairAlgorithm, SshAlgorithm};
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The turns.
pub(super) struct Turns {
    at_once: Semaphore,
    /// The principals whose keys are made or waited for. Strangers of development mode are one.
    places: Mutex<BTreeSet<Option<Subject>>>,
}

/// A turn, until it is dropped.
pub(super) struct Turn<'a> {
    _place: Place<'a>,
    _turn: SemaphorePermit<'a>,
}

/// Keys that are made at once.
const MADE_AT_ONCE: usize = 2;
/// Keys that are made or waited for: the last one waits for seven others, which is less than a minute.
const MOST_PLACES: usize = 16;
/// Seconds after which a refused caller may try again, about the time of a key.
const PAUSE: u64 = 5;

impl Default for Turns {
    fn default() -> Self {
        Self { at_once: Semaphore::new(MADE_AT_ONCE), places: Mutex::default() }
    }
}

impl Turns {
    /// Waits for the turn of a principal.
    ///
    /// # Errors
    /// `RateLimited`: a key of the same principal is made or waited for. `Unavailable`: too many are.
    pub(super) async fn take(&self, principal: Option<Subject>) -> Result<Turn<'_>, Refusal> {
        let place = self.place(principal)?;
        let turn = self.at_once.acquire().await.map_err(|_| Refusal::internal("no turns are given"))?;
        Ok(Turn { _place: place, _turn: turn })
    }

    fn place(&self, principal: Option<Subject>) -> Result<Place<'_>, Refusal> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.contains(&principal) {
            let refusal = Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(PAUSE));
            return Err(refusal.detail("Another RSA key is made for you: ask for one after the other."));
        }
        if places.len() >= MOST_PLACES {
            return Err(Refusal::unavailable("many RSA keys are waited for"));
        }
        places.insert(principal);
        Ok(Place { turns: self, principal })
    }
}

/// The place of a principal among those that are made or waited for.
struct Place<'a> {
    turns: &'a Turns,
    principal: Option<Subject>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.places.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.principal);
    }
}

/// Tells whether a value takes a turn to make.
pub(super) fn takes_a_turn(wanted: &Generate) -> bool {
    match wanted {
        Generate::SshKey { algorithm, .. } => match algorithm {
            SshAlgorithm::Rsa3072 | SshAlgorithm::Rsa4096 => true,
            SshAlgorithm::Ed25519 | SshAlgorithm::EcdsaP256 => false,
        },
        Generate::KeyPair { algorithm, .. } => match algorithm {
            KeyPairAlgorithm::Rsa3072 | KeyPairAlgorithm::Rsa4096 => true,
            KeyPairAlgorithm::EcP256 | KeyPairAlgorithm::EcP384 | KeyPairAlgorithm::Ed25519 => false,
        },
        Generate::Password { .. }
        | Generate::Passphrase { .. }
        | Generate::ApiKey { .. }
        | Generate::Key256 { .. }
        | Generate::Token { .. }
        | Generate::Uuid {} => false,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use shared_proto::id::ServiceId;

    use super::*;

    fn code(taken: Result<Turn<'_>, Refusal>) -> Option<ErrorCode> {
        taken.err().map(|refusal| refusal.code())
    }

    #[tokio::test]
    async fn a_principal_has_one_place_and_few_wait_in_all() {
        let turns = Turns::default();
        let all: Vec<_> = (0..=MOST_PLACES).map(|_| Some(Subject::Service(ServiceId::generate()))).collect();
        let first = turns.take(all[0]).await.unwrap();
        assert_eq!(code(turns.take(all[0]).await), Some(ErrorCode::RateLimited));
        let mut waiting: Vec<_> = all[1..MOST_PLACES].iter().map(|one| Box::pin(turns.take(*one))).collect();
        let mut made: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
        assert_eq!(made.iter().filter(|turn| turn.is_some()).count(), MADE_AT_ONCE - 1);
        assert_eq!(code(turns.take(all[MOST_PLACES]).await), Some(ErrorCode::Unavailable));
        assert_eq!(code(turns.take(all[1]).await), Some(ErrorCode::RateLimited));
        // Whoever gives up waiting leaves the place to others, as whoever is done does.
        drop(waiting.pop());
        drop(first);
        assert!(waiting.last_mut().is_some());
        made.clear();
        drop(waiting);
        assert_eq!(code(turns.take(all[0]).await), None);
        assert_eq!(code(turns.take(all[MOST_PLACES]).await), None);
    }

    #[test]
    fn only_rsa_takes_a_turn() {
        let wanted = |text: &str| takes_a_turn(&serde_json::from_str(text).unwrap());
        assert!(wanted(r#"{"form": "key-pair", "algorithm": "rsa-4096"}"#));
        assert!(wanted(r#"{"form": "ssh-key", "algorithm": "rsa-3072"}"#));
        assert!(!wanted(r#"{"form": "key-pair"}"#) && !wanted(r#"{"form": "ssh-key"}"#));
        assert!(!wanted(r#"{"form": "password"}"#) && !wanted(r#"{"form": "uuid"}"#));
    }
}
