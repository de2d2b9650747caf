//! Turns of work that takes long: one place for each principal, few at once, and few that wait.
//!
//! Guarantees that nobody holds up the work of the others with his own, and that what waits takes bounded memory.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// How much of it is done at once.
    pub at_once: usize,
    /// How much of it is done or waited for.
    pub places: usize,
    /// Seconds after which a refused caller may try again.
    pub pause: u64,
    /// The sentence for a principal who has a place.
    pub is_busy: &'static str,
    /// The cause when there is no place.
    pub is_full: &'static str,
}

/// Requests that read much of the catalogue, or ask the vault many times: checks of integrity, searches for the same value, the
/// calendar of rotations. Each takes up to some seconds.
pub const LONG_REQUESTS: Work = Work {
    at_once: 4,
    places: 16,
    pause: 2,
    is_busy: "Another request of yours takes long: ask for one after the other.",
    is_full: "many requests that take long are waited for",
};

/// Reports of incidents. Nobody keeps them waiting with anything else: they are asked for while something is wrong.
pub const INCIDENT_REPORTS: Work = Work { is_full: "many reports of incidents are waited for", ..LONG_REQUESTS };

/// The turns of a kind of work.
pub struct Turns {
    work: Work,
    at_once: Semaphore,
    /// The principals whose work is done or waited for. Strangers of development mode are one.
    places: Mutex<BTreeSet<Option<Subject>>>,
}

/// A turn, until it is dropped.
pub struct Turn<'a> {
    _place: Place<'a>,
    _turn: SemaphorePermit<'a>,
}

impl Turns {
    /// Turns that nobody has taken.
    pub fn new(work: Work) -> Self {
        Self { work, at_once: Semaphore::new(work.at_once), places: Mutex::default() }
    }

    /// Waits for the turn of a principal.
    ///
    /// # Errors
    /// `RateLimited`: the principal has a place already. `Unavailable`: there is none left.
    pub async fn take(&self, principal: Option<Subject>) -> Result<Turn<'_>, Refusal> {
        let place = self.place(principal)?;
        let turn = self.at_once.acquire().await.map_err(|_| Refusal::internal("no turns are given"))?;
        Ok(Turn { _place: place, _turn: turn })
    }

    fn place(&self, principal: Option<Subject>) -> Result<Place<'_>, Refusal> {
        let Work { places: most, pause, is_busy, is_full, .. } = self.work;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.contains(&principal) {
            return Err(Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(pause)).detail(is_busy));
        }
        if places.len() >= most {
            return Err(Refusal::unavailable(is_full));
        }
        places.insert(principal);
        Ok(Place { turns: self, principal })
    }
}

/// The place of a principal among those whose work is done or waited for.
struct Place<'a> {
    turns: &'a Turns,
    principal: Option<Subject>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.places.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.principal);
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
        let turns = Turns::new(LONG_REQUESTS);
        let Work { at_once, places, .. } = LONG_REQUESTS;
        let all: Vec<_> = (0..=places).map(|_| Some(Subject::Service(ServiceId::generate()))).collect();
        let first = turns.take(all[0]).await.unwrap();
        assert_eq!(code(turns.take(all[0]).await), Some(ErrorCode::RateLimited));
        let mut waiting: Vec<_> = all[1..places].iter().map(|one| Box::pin(turns.take(*one))).collect();
        let mut made: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
        assert_eq!(made.iter().filter(|turn| turn.is_some()).count(), at_once - 1);
        assert_eq!(code(turns.take(all[places]).await), Some(ErrorCode::Unavailable));
        assert_eq!(code(turns.take(all[1]).await), Some(ErrorCode::RateLimited));
        // Whoever gives up waiting leaves the place to others, as whoever is done does.
        drop(waiting.pop());
        drop(first);
        assert!(waiting.last_mut().is_some());
        made.clear();
        drop(waiting);
        assert_eq!(code(turns.take(all[0]).await), None);
        assert_eq!(code(turns.take(all[places]).await), None);
    }
}
