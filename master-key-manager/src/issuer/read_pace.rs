//! Limits of how often tokens are made for secrets: turns that the secrets of a token take together.
//!
//! Guarantees that a token takes a turn at each of its secrets or at none, that a turn whose token was not made is given back, and
//! that memory is bounded: only secrets with a limit are counted, and each for as long as it is not at rest again. The limiters of
//! requests cannot do that: they take from one key at a time, and for good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::clock::{Clock, MonotonicClock, Reference as _};
use manager_api::read_limit::ReadLimit;
use shared_proto::id::{SecretId, Subject};

/// The most secrets, with the principals who are counted one by one, that are counted at once.
const MOST_KEYS: usize = 100_000;

/// As few are kept without a look for those at rest.
const FEW_KEYS: usize = 1_024;

/// A minute in nanoseconds.
const MINUTE: u64 = 60_000_000_000;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Counts tokens against the limits of their secrets. Clones share it.
#[derive(Clone)]
pub struct ReadPace<C: Clock = MonotonicClock>(Arc<Shared<C>>);

struct Shared<C: Clock> {
    clock: C,
    began: C::Instant,
    counted: Mutex<Counted>,
}

struct Counted {
    /// When each will be at rest, in nanoseconds since the beginning: as if it had been read evenly until then.
    rest_at: HashMap<Key, u64>,
    /// So many are kept until those at rest are looked for.
    look_at: usize,
}

/// A secret, for all principals or for one.
type Key = (SecretId, Option<Subject>);

/// Turns that were taken. They are given back unless they are kept.
#[must_use]
pub struct ReadTurn<C: Clock = MonotonicClock> {
    pace: ReadPace<C>,
    taken: Vec<(Key, u64)>,
}

impl Default for ReadPace {
    fn default() -> Self {
        Self::new(MonotonicClock)
    }
}

impl<C: Clock> ReadPace<C> {
    fn new(clock: C) -> Self {
        let counted = Mutex::new(Counted { rest_at: HashMap::new(), look_at: FEW_KEYS });
        Self(Arc::new(Shared { began: clock.now(), clock, counted }))
    }

    /// Takes a turn at each of these secrets, for a token of a principal. Strangers of development mode are counted together only.
    ///
    /// # Errors
    /// A limit is reached. Nothing is taken, and so many seconds later it is not reached any more.
    pub fn take(&self, limited: &[(SecretId, ReadLimit)], subject: Option<Subject>) -> Result<ReadTurn<C>, u64> {
        if limited.is_empty() {
            return Ok(ReadTurn { pace: Self(Arc::clone(&self.0)), taken: Vec::new() });
        }
        let mut counted = self.counted();
        // After the lock, so that times follow each other.
        let now = self.0.clock.now().duration_since(self.0.began).as_u64();
        let mut taken = Vec::with_capacity(limited.len());
        let mut wait: Option<u64> = None;
        for (secret, limit) in limited {
            let of_each = subject.zip(limit.of_each()).map(|(subject, each)| ((*secret, Some(subject)), each));
            for (key, reads) in std::iter::once(((*secret, None), limit.of_all())).chain(of_each) {
                let step = MINUTE / u64::from(reads.max(1));
                let rest_at = counted.rest_at.get(&key).map_or(now, |at| now.max(*at)).saturating_add(step);
                let early = rest_at.saturating_sub(now.saturating_add(MINUTE));
                if early > 0 {
                    wait = wait.max(Some(early));
                }
                taken.push((key, step, rest_at));
            }
        }
        if let Some(early) = wait {
            return Err(early.div_ceil(SECOND));
        }
        if !counted.has_room(taken.len(), now) {
            return Err(1);
        }
        counted.rest_at.extend(taken.iter().map(|(key, _, rest_at)| (*key, *rest_at)));
        drop(counted);
        let taken = taken.into_iter().map(|(key, step, _)| (key, step)).collect();
        Ok(ReadTurn { pace: Self(Arc::clone(&self.0)), taken })
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Makes room for more, and tells whether there is.
    fn has_room(&mut self, more: usize, now: u64) -> bool {
        if self.rest_at.len().saturating_add(more) > self.look_at {
            self.rest_at.retain(|_, at| *at > now);
            // A look costs as much as it finds: the next one is due when there are twice as many.
            self.look_at = self.rest_at.len().saturating_add(more).saturating_mul(2).clamp(FEW_KEYS, MOST_KEYS);
        }
        self.rest_at.len().saturating_add(more) <= self.look_at
    }
}

impl<C: Clock> ReadTurn<C> {
    /// Keeps the turns: their token was made.
    pub fn keep(mut self) {
        self.taken.clear();
    }
}

impl<C: Clock> Drop for ReadTurn<C> {
    fn drop(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let mut counted = self.pace.counted();
        for (key, step) in self.taken.drain(..) {
            if let Some(at) = counted.rest_at.get_mut(&key) {
                *at = at.saturating_sub(step);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use shared_proto::id::ServiceId;

    use super::*;

    fn pace() -> (ReadPace<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (ReadPace::new(clock.clone()), clock)
    }

    fn limit(all: u32, each: Option<u32>) -> ReadLimit {
        ReadLimit::new(all, each).unwrap()
    }

    fn someone() -> Option<Subject> {
        Some(Subject::Service(ServiceId::generate()))
    }

    /// How many of many tokens are made.
    fn made(pace: &ReadPace<FakeRelativeClock>, of: &[(SecretId, ReadLimit)], subject: Option<Subject>) -> usize {
        (0..100).filter_map(|_| pace.take(of, subject).ok()).map(ReadTurn::keep).count()
    }

    #[test]
    fn a_secret_is_read_as_often_as_its_limit_says_and_then_evenly() {
        let ((pace, clock), secret) = (pace(), SecretId::generate());
        let of = [(secret, limit(6, None))];
        assert_eq!(made(&pace, &of, someone()), 6);
        assert_eq!(pace.take(&of, someone()).err(), Some(10), "of all together");
        let other = [(SecretId::generate(), limit(6, None))];
        assert_eq!(made(&pace, &other, someone()), 6, "another secret has its own");
        clock.advance(Duration::from_secs(10));
        assert_eq!(made(&pace, &of, someone()), 1);
        clock.advance(Duration::from_secs(600));
        assert_eq!(made(&pace, &of, someone()), 6);
    }

    #[test]
    fn one_principal_leaves_the_others_their_turns() {
        let ((pace, _clock), of) = (pace(), [(SecretId::generate(), limit(10, Some(4)))]);
        let [one, other, third] = [(); 3].map(|()| someone());
        assert_eq!([one, other, third].map(|subject| made(&pace, &of, subject)), [4, 4, 2]);
        assert_eq!(pace.take(&of, one).err(), Some(15), "the longer one of two times to wait");
    }

    #[test]
    fn a_token_takes_a_turn_at_each_of_its_secrets_or_at_none() {
        let ((pace, _clock), rare, often) = (pace(), SecretId::generate(), SecretId::generate());
        let both = [(often, limit(9, None)), (rare, limit(2, None))];
        assert_eq!(made(&pace, &both, someone()), 2);
        assert_eq!(made(&pace, &both[..1], someone()), 7, "what was refused took none");
    }

    #[test]
    fn turns_of_tokens_that_were_not_made_are_given_back() {
        let ((pace, _clock), of) = (pace(), [(SecretId::generate(), limit(3, Some(2)))]);
        let one = someone();
        let turns =
            [pace.take(&of, one).unwrap_or_else(|_| panic!()), pace.take(&of, one).unwrap_or_else(|_| panic!())];
        assert!(pace.take(&of, one).is_err());
        drop(turns);
        assert_eq!(made(&pace, &of, one), 2);
    }

    #[test]
    fn what_is_counted_has_a_bound_and_what_is_at_rest_is_forgotten() {
        let ((pace, clock), slow) = (pace(), limit(60, None));
        let of = |number: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            [(SecretId::from_bytes(id), slow)]
        };
        assert!((0..MOST_KEYS).all(|number| pace.take(&of(number), None).map(ReadTurn::keep).is_ok()));
        assert_eq!(pace.take(&of(MOST_KEYS), None).err(), Some(1));
        clock.advance(Duration::from_secs(2));
        pace.take(&of(MOST_KEYS), None).unwrap_or_else(|_| panic!()).keep();
        assert_eq!(pace.counted().rest_at.len(), 1);
    }
}
