//! The assertions that were used, so that each counts once.
//!
//! They are in memory only. What an earlier process let in was issued before this one began, or shortly after it by a
//! clock that is ahead: an assertion of that time is refused (docs/adr/0037).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use manager_sign_on::assertion::{MAX_AHEAD_SECONDS, ProvenService};
use shared_proto::id::Subject;

/// The used assertions that still could be sent again.
pub(super) struct Replays {
    /// The time when this process began to remember (Unix seconds).
    began: u64,
    seen: Mutex<Seen>,
}

/// The reason why an assertion does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    /// It was used, or has expired.
    Used,
    /// It may have been used before this process began to remember. One that is made now will count soon.
    BeforeStart,
    /// More were used than are remembered. One that is made later will count.
    Full,
}

#[derive(Default)]
struct Seen {
    /// With the ends first, so that what has ended is found at once.
    by_end: BTreeSet<(u64, [u8; 32])>,
    keys: HashMap<[u8; 32], Subject>,
    /// How many there are of each service, whatever the key.
    of_service: HashMap<Subject, usize>,
    /// The latest time that was ever told: what ended by then is forgotten, also if the clock goes back.
    latest: u64,
}

/// A hundred bytes each.
const MOST: usize = 100_000;
/// An assertion lives for five minutes: 33 in a second. Nobody else is kept out by a service that uses more, with however
/// many keys.
const MOST_OF_SERVICE: usize = 10_000;

impl Replays {
    /// Remembers from now on.
    pub(super) fn from(now: u64) -> Self {
        Self { began: now, seen: Mutex::default() }
    }

    /// Uses a verified assertion.
    ///
    /// # Errors
    /// It was used, or it cannot be told whether it was.
    pub(super) fn use_once(&self, proven: &ProvenService, now: u64) -> Result<(), Replayed> {
        if proven.issued <= self.began.saturating_add(MAX_AHEAD_SECONDS) {
            return Err(Replayed::BeforeStart);
        }
        let (key, by, end) = (proven.replay_key, proven.proof.subject, proven.remember_until);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget_ended(now);
        if end <= seen.latest || seen.keys.contains_key(&key) {
            return Err(Replayed::Used);
        }
        let of_service = seen.of_service.get(&by).copied().unwrap_or(0);
        if seen.keys.len() >= MOST || of_service >= MOST_OF_SERVICE {
            return Err(Replayed::Full);
        }
        seen.by_end.insert((end, key));
        seen.keys.insert(key, by);
        seen.of_service.insert(by, of_service + 1);
        Ok(())
    }
}

impl Seen {
    fn forget_ended(&mut self, now: u64) {
        self.latest = self.latest.max(now);
        while let Some((end, key)) = self.by_end.first().copied().filter(|(end, _)| *end <= self.latest) {
            self.by_end.remove(&(end, key));
            let Some(by) = self.keys.remove(&key) else { continue };
            match self.of_service.get_mut(&by).filter(|count| **count > 1) {
                Some(count) => *count -= 1,
                None => drop(self.of_service.remove(&by)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use manager_sign_on::proof::{Method, Proof};
    use shared_proto::encoding::{Bytes, sha256};
    use shared_proto::id::ServiceId;

    use super::*;

    const START: u64 = 1_000_000;
    /// When the first assertions count.
    const OPEN: u64 = START + MAX_AHEAD_SECONDS + 1;

    fn assertion(jti: usize, issued: u64, end: u64) -> ProvenService {
        of(1, jti, issued, end)
    }

    fn of(number: u8, jti: usize, issued: u64, end: u64) -> ProvenService {
        ProvenService {
            proof: Proof { subject: service(number), method: Method::Assertion, at: issued },
            key: Bytes([0; 32]),
            issued,
            replay_key: sha256(&jti.to_be_bytes()),
            remember_until: end,
        }
    }

    fn service(number: u8) -> Subject {
        Subject::Service(ServiceId::from_bytes([number; 16]))
    }

    #[test]
    fn assertion_counts_once_and_is_forgotten_when_it_has_ended() {
        let replays = Replays::from(START);
        let one = assertion(1, OPEN, OPEN + 300);
        assert_eq!(replays.use_once(&one, OPEN), Ok(()));
        assert_eq!(replays.use_once(&one, OPEN), Err(Replayed::Used));
        assert_eq!(replays.use_once(&one, OPEN + 299), Err(Replayed::Used));
        assert_eq!(replays.use_once(&assertion(2, OPEN, OPEN + 300), OPEN + 299), Ok(()));
        assert_eq!(replays.use_once(&assertion(3, OPEN + 300, OPEN + 600), OPEN + 300), Ok(()));
        let seen = replays.seen.lock().unwrap();
        assert_eq!((seen.keys.len(), seen.by_end.len(), seen.of_service[&service(1)]), (1, 1, 1));
    }

    #[test]
    fn clock_that_went_back_makes_no_used_assertion_count_again() {
        let replays = Replays::from(START);
        let one = assertion(1, OPEN, OPEN + 300);
        assert_eq!(replays.use_once(&one, OPEN), Ok(()));
        // The clock jumps ahead, and what has ended is forgotten.
        assert_eq!(replays.use_once(&assertion(2, OPEN + 400, OPEN + 700), OPEN + 400), Ok(()));
        assert_eq!(replays.use_once(&one, OPEN + 1), Err(Replayed::Used));
    }

    /// The process that was before let in what was issued up to its end, by clocks that are ahead as far as is tolerated.
    #[test]
    fn assertion_that_an_earlier_process_may_have_let_in_is_refused() {
        let replays = Replays::from(START);
        for issued in [START - 100, START, START + MAX_AHEAD_SECONDS] {
            let one = assertion(1, issued, issued + 300);
            assert_eq!(replays.use_once(&one, START + 1), Err(Replayed::BeforeStart), "{issued}");
        }
        assert_eq!(replays.use_once(&assertion(1, OPEN, OPEN + 300), OPEN), Ok(()));
    }

    #[test]
    fn service_that_uses_too_many_is_refused_and_keeps_nobody_out() {
        let replays = Replays::from(START);
        for jti in 0..MOST_OF_SERVICE {
            assert_eq!(replays.use_once(&assertion(jti, OPEN, OPEN + 300), OPEN), Ok(()));
        }
        let next = |jti, by| replays.use_once(&of(by, jti, OPEN, OPEN + 300), OPEN);
        assert_eq!(next(MOST_OF_SERVICE, 1), Err(Replayed::Full));
        let other_key = ProvenService { key: Bytes([9; 32]), ..assertion(MOST_OF_SERVICE, OPEN, OPEN + 300) };
        assert_eq!(replays.use_once(&other_key, OPEN), Err(Replayed::Full), "another key of it makes no room");
        assert_eq!(next(0, 1), Err(Replayed::Used), "a used one is not forgotten for it");
        assert_eq!(next(MOST_OF_SERVICE, 2), Ok(()));
        for by in 3..12 {
            for jti in 0..MOST_OF_SERVICE {
                let _full_at_the_end = next(usize::from(by) * MOST + jti, by);
            }
        }
        assert_eq!(next(usize::MAX, 99), Err(Replayed::Full));
        assert_eq!(replays.seen.lock().unwrap().keys.len(), MOST);
        let later = assertion(1, OPEN + 300, OPEN + 600);
        assert_eq!(replays.use_once(&later, OPEN + 300), Ok(()));
    }

    #[test]
    fn of_two_hundred_at_once_one_counts() {
        let replays = Replays::from(START);
        let one = assertion(1, OPEN, OPEN + 300);
        let counted = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..200 {
                scope.spawn(|| {
                    if replays.use_once(&one, OPEN).is_ok() {
                        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(counted.into_inner(), 1);
    }
}
