//! Limits of how often tokens are made for secrets: turns that the secrets of a token take together.
//!
//! Guarantees that a token takes a turn at each of its secrets or at none, that a turn whose token was not made is given back, and
//! that memory is bounded: only secrets with a limit are counted, and each for as long as it is not at rest again. What one principal
//! has counted has a bound of its own, and each has a share that many others cannot take. The work of one turn is bounded too: it
//! may be taken within a write of the database. The limiters of requests cannot do that: they take from one key at a time, and for
//! good.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::clock::{Clock, MonotonicClock, Reference as _};
use manager_api::read_limit::ReadLimit;
use shared_proto::id::{SecretId, Subject};

/// The most secrets, with the principals who are counted one by one, that are counted at once, but for the share of each principal.
const MOST_KEYS: usize = 100_000;

/// The most that one principal has counted at once.
const MOST_OF_ONE: usize = 20_000;

/// So many are counted for each principal also when those of all are taken.
const SHARE: usize = 64;

/// Principals who have such a share at once.
const SHARES: usize = 4_000;

/// At most so many at rest are forgotten with one turn, and twice as many as it counts.
const FORGOTTEN: usize = 16;

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

#[derive(Default)]
struct Counted {
    paced: HashMap<Key, Paced>,
    /// When each will be at rest, the first one first.
    order: BTreeSet<(u64, Key)>,
    /// How many each principal has had counted.
    of_each: HashMap<Option<Subject>, usize>,
    /// How many of them all are beyond the shares.
    beyond: usize,
}

/// The pace of a key.
#[derive(Clone, Copy)]
struct Paced {
    /// When it will be at rest, in nanoseconds since the beginning: as if it had been read evenly until then.
    rest_at: u64,
    /// The principal whose turn had it counted.
    by: Option<Subject>,
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
        Self(Arc::new(Shared { began: clock.now(), clock, counted: Mutex::default() }))
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
                let rest_at = counted.paced.get(&key).map_or(now, |paced| now.max(paced.rest_at)).saturating_add(step);
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
        counted.forget(now, FORGOTTEN.saturating_add(taken.len().saturating_mul(2)));
        if !counted.has_room(taken.iter().map(|(key, ..)| key), subject) {
            return Err(1);
        }
        for (key, _, rest_at) in &taken {
            counted.set(*key, *rest_at, subject);
        }
        drop(counted);
        let taken = taken.into_iter().map(|(key, step, _)| (key, step)).collect();
        Ok(ReadTurn { pace: Self(Arc::clone(&self.0)), taken })
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Forgets keys that are at rest, up to so many.
    fn forget(&mut self, now: u64, most: usize) {
        for _ in 0..most {
            let Some((_, key)) = self.order.first().copied().filter(|(at, _)| *at <= now) else { return };
            self.order.pop_first();
            let Some(paced) = self.paced.remove(&key) else { continue };
            let Some(own) = self.of_each.get_mut(&paced.by) else { continue };
            self.beyond = self.beyond.saturating_sub(usize::from(*own > SHARE));
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.of_each.remove(&paced.by);
            }
        }
    }

    /// Tells whether those of these keys that are not counted yet can be counted for a principal.
    fn has_room<'k>(&self, keys: impl Iterator<Item = &'k Key>, by: Option<Subject>) -> bool {
        let new = keys.filter(|key| !self.paced.contains_key(key)).count();
        let own = self.of_each.get(&by).copied();
        if new == 0 {
            return true;
        }
        if own.is_none() && self.of_each.len() >= SHARES {
            return false;
        }
        let before = own.unwrap_or(0);
        let after = before.saturating_add(new);
        let more_beyond = after.max(SHARE).saturating_sub(before.max(SHARE));
        after <= MOST_OF_ONE && (more_beyond == 0 || self.beyond.saturating_add(more_beyond) <= MOST_KEYS)
    }

    /// Has a key be at rest at a time. A new one is counted for a principal.
    fn set(&mut self, key: Key, rest_at: u64, by: Option<Subject>) {
        if let Some(before) = self.paced.insert(key, Paced { rest_at, by }) {
            self.order.remove(&(before.rest_at, key));
            // It stays counted for the one before.
            self.paced.insert(key, Paced { rest_at, by: before.by });
        } else {
            let own = self.of_each.entry(by).or_default();
            self.beyond = self.beyond.saturating_add(usize::from(*own >= SHARE));
            *own = own.saturating_add(1);
        }
        self.order.insert((rest_at, key));
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
            if let Some(Paced { rest_at, by }) = counted.paced.get(&key).copied() {
                counted.set(key, rest_at.saturating_sub(step), by);
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

    #[expect(clippy::unnecessary_wraps, reason = "as turns are taken")]
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
        clock.advance(Duration::from_mins(10));
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

    /// A secret of its own for each number.
    fn of(number: usize) -> [(SecretId, ReadLimit); 1] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        [(SecretId::from_bytes(id), limit(60, None))]
    }

    /// How many of these secrets are read.
    fn read(pace: &ReadPace<FakeRelativeClock>, of_them: std::ops::Range<usize>, subject: Option<Subject>) -> usize {
        of_them.filter_map(|number| pace.take(&of(number), subject).ok()).map(ReadTurn::keep).count()
    }

    #[test]
    fn what_one_principal_reads_leaves_room_for_the_others() {
        let ((pace, _clock), one, other) = (pace(), someone(), someone());
        assert_eq!(read(&pace, 0..MOST_KEYS, one), MOST_OF_ONE);
        assert_eq!(pace.take(&of(MOST_KEYS), one).err(), Some(1));
        assert!(pace.take(&of(0), one).is_ok(), "what is counted needs no room");
        assert_eq!(read(&pace, MOST_KEYS..2 * MOST_KEYS, other), MOST_OF_ONE);
    }

    #[test]
    fn what_many_read_leaves_each_other_his_share() {
        let (pace, clock) = pace();
        let many = MOST_KEYS / (MOST_OF_ONE - SHARE) + 1;
        let readers: Vec<_> = (0..many).map(|_| someone()).collect();
        let all_of = |one: usize| one * MOST_OF_ONE..(one + 1) * MOST_OF_ONE;
        let read_all: usize = readers.iter().enumerate().map(|(one, who)| read(&pace, all_of(one), *who)).sum();
        assert_eq!(read_all, MOST_KEYS + many * SHARE);
        let next = many * MOST_OF_ONE;
        assert_eq!(read(&pace, next..next + 2 * SHARE, someone()), SHARE, "the first reads of another one pass");
        let next = next + 2 * SHARE;
        let singles = (0..SHARES).filter(|one| read(&pace, next + one..next + one + 1, someone()) == 1).count();
        assert_eq!(singles, SHARES - many - 1, "that too has a bound");
        clock.advance(Duration::from_secs(2));
        let before = pace.counted().paced.len();
        assert_eq!(read(&pace, 0..1, readers[many - 1]), 1);
        let after = pace.counted().paced.len();
        assert!(after < before && before - after <= FORGOTTEN + 2, "a turn forgets a few: {before}, {after}");
        assert_eq!(read(&pace, 1..before, readers[0]), MOST_OF_ONE, "and what is at rest takes no room for long");
    }

    #[test]
    fn what_is_at_rest_is_forgotten() {
        let ((pace, clock), one) = (pace(), someone());
        assert_eq!(read(&pace, 0..100, one), 100);
        clock.advance(Duration::from_secs(2));
        assert_eq!(read(&pace, 200..220, one), 20);
        let counted = pace.counted();
        assert_eq!((counted.paced.len(), counted.order.len(), counted.beyond), (20, 20, 0));
        assert_eq!(counted.of_each.values().sum::<usize>(), 20);
    }
}
