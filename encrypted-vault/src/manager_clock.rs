//! The manager's clock, as its signed commands show it. Tokens are dated by that clock.
//!
//! Guarantees that setting this machine's clock back revives no expired token, even when an attacker replays recorded
//! polls. The time of tokens is never more than a second behind any good poll of the last hour plus what the boot clock
//! counted since, and a command that has expired by that time is refused. A poll only moves the time forward. After an
//! hour without a good poll the clock starts again: no seal key of the last poll is alive, so nothing that was sealed
//! before can be opened. It also notices when the two clocks differ too much for any command to be valid.

use std::cmp::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use service_runtime::clock::Clock;

use crate::keys::seal::LIFE_SECONDS;

/// The manager's clock, estimated from its polls.
pub struct ManagerClock {
    // Unix seconds at boot second 0, as this machine had it at the start. Wrapping: a machine may have been up for
    // longer than its date says.
    start: u64,
    observed: Mutex<Observed>,
}

#[derive(Clone, Copy, Default)]
struct Observed {
    poll: Option<LastPoll>,
    /// Boot seconds of the last command whose times were not valid.
    odd: Option<u64>,
}

/// The last good poll.
#[derive(Clone, Copy)]
struct LastPoll {
    issued_at: u64,
    /// Boot seconds when it came.
    boot: u64,
    /// Unix seconds at boot second 0, the highest that a good poll gave.
    epoch: u64,
}

/// No poll for so long means that something is wrong; a single old command, replayed, means nothing.
const SILENCE_SECONDS: u64 = 5;

impl ManagerClock {
    /// A clock before the first poll: this machine's clock counts.
    pub fn new(clock: &dyn Clock) -> Self {
        Self { start: epoch(clock.now(), clock.boot()), observed: Mutex::default() }
    }

    /// Notes a good poll that was made at `issued_at` (Unix seconds), and compares it with the newest one before.
    /// `Less` means that it is late or replayed, and changes nothing.
    pub fn note_poll(&self, issued_at: u64, clock: &dyn Clock) -> Ordering {
        let boot = clock.boot();
        let mut observed = self.lock();
        let known = observed.poll.filter(|poll| poll.counts(boot));
        let order = known.map_or(Ordering::Greater, |poll| issued_at.cmp(&poll.issued_at));
        if order.is_lt() {
            return order;
        }
        let now = epoch(issued_at, boot);
        // What comes late shows an earlier time than it is.
        let epoch = known.map_or(now, |poll| poll.epoch.max(now));
        observed.poll = Some(LastPoll { issued_at, boot, epoch });
        order
    }

    /// Tells whether a command that ends at `expires_at` (Unix seconds) has expired by the manager's clock. The vault's
    /// own clock plays no part.
    pub fn is_over(&self, expires_at: u64, clock: &dyn Clock) -> bool {
        let boot = clock.boot();
        let poll = self.lock().poll.filter(|poll| poll.counts(boot));
        poll.is_some_and(|poll| expires_at <= poll.epoch.wrapping_add(boot))
    }

    /// Notes a command whose signature is valid and whose times are not.
    pub fn note_untimely_command(&self, clock: &dyn Clock) {
        self.lock().odd = Some(clock.boot());
    }

    /// The time that tokens are checked at (Unix seconds).
    pub fn token_time(&self, clock: &dyn Clock) -> u64 {
        let boot = clock.boot();
        let epoch = match self.lock().poll {
            Some(poll) if poll.counts(boot) => poll.epoch,
            Some(_) => return clock.now(),
            None => self.start,
        };
        clock.now().max(epoch.wrapping_add(boot))
    }

    /// Whether commands come, but none with valid times.
    pub fn differs(&self, clock: &dyn Clock) -> bool {
        let boot = clock.boot();
        let observed = *self.lock();
        let lately = |at: Option<u64>| at.is_some_and(|at| boot.saturating_sub(at) < SILENCE_SECONDS);
        lately(observed.odd) && !lately(observed.poll.map(|poll| poll.boot))
    }

    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LastPoll {
    /// Whether something that was sealed before it can still be opened.
    fn counts(&self, boot: u64) -> bool {
        boot.saturating_sub(self.boot) < LIFE_SECONDS
    }
}

/// Both are whole seconds that turn at different moments, so that their difference wavers by one. One second less is
/// never ahead: time that is ahead ends tokens too early.
fn epoch(now: u64, boot: u64) -> u64 {
    now.wrapping_sub(boot).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use service_runtime::clock::ManualClock;

    use super::*;

    #[test]
    fn token_time_never_falls_behind_a_good_poll() {
        let clock = ManualClock::new(1_000, 50);
        let manager = ManagerClock::new(&clock);
        clock.set_now(400);
        clock.set_boot(60);
        assert_eq!(manager.token_time(&clock), 1_009, "also before the first poll");
        assert_eq!(manager.note_poll(420, &clock), Ordering::Greater);
        assert_eq!(manager.token_time(&clock), 419, "a wrong clock that was set right");
        clock.set_boot(70);
        assert_eq!(manager.token_time(&clock), 429);
        for (issued_at, news, time) in [(430, true, 429), (431, true, 430), (430, false, 430), (431, true, 430)] {
            assert_eq!(manager.note_poll(issued_at, &clock).is_ge(), news, "{issued_at}");
            assert_eq!(manager.token_time(&clock), time, "never ahead, and never back: {issued_at}");
        }
        clock.set_now(9_000);
        assert_eq!(manager.token_time(&clock), 9_000, "a clock set forward ends tokens");
        clock.set_now(401);
        assert_eq!(manager.token_time(&clock), 430, "and brings none of them back");
    }

    #[test]
    fn polls_that_are_kept_back_and_shown_later_take_no_time_back() {
        let clock = ManualClock::new(1_000, 50);
        let manager = ManagerClock::new(&clock);
        assert!(manager.note_poll(1_000, &clock).is_ge());
        for late in 1..200 {
            clock.set_boot(50 + late * 5);
            manager.note_poll(1_000 + late, &clock);
            assert_eq!(manager.token_time(&clock), 999 + late * 5);
        }
        assert!(manager.is_over(1_199 + 60, &clock) && !manager.is_over(999 + 199 * 5 + 1, &clock));
    }

    #[test]
    fn clocks_of_both_that_were_ahead_are_believed_again_when_every_seal_key_of_then_is_gone() {
        let clock = ManualClock::new(9_000, 50);
        let manager = ManagerClock::new(&clock);
        assert!(!manager.is_over(0, &clock), "nothing was heard yet");
        assert!(manager.note_poll(9_000, &clock).is_ge());
        clock.set_now(1_000 + LIFE_SECONDS);
        clock.set_boot(50 + LIFE_SECONDS - 1);
        assert!(manager.is_over(1_060 + LIFE_SECONDS, &clock));
        clock.set_boot(50 + LIFE_SECONDS);
        assert!(!manager.is_over(1_060 + LIFE_SECONDS, &clock));
        assert_eq!(manager.token_time(&clock), 1_000 + LIFE_SECONDS);
        assert!(manager.note_poll(1_000 + LIFE_SECONDS, &clock).is_ge());
    }

    #[test]
    fn a_replayed_command_of_another_time_means_nothing_while_polls_are_heard() {
        let clock = ManualClock::new(1_000, 50);
        let manager = ManagerClock::new(&clock);
        assert!(!manager.differs(&clock));
        manager.note_poll(1_000, &clock);
        manager.note_untimely_command(&clock);
        assert!(!manager.differs(&clock));
        clock.advance(5);
        assert!(!manager.differs(&clock), "nothing at all is heard");
        manager.note_untimely_command(&clock);
        assert!(manager.differs(&clock));
        manager.note_poll(1_005, &clock);
        assert!(!manager.differs(&clock));
    }
}
