//! The manager's clock, as its signed commands show it. Tokens are dated by that clock.
//!
//! Guarantees that setting this machine's clock back revives no expired token: the time of tokens is never behind the
//! last good poll plus what the boot clock counted since, to a second, and never ahead of both. A good poll agrees with
//! both clocks, so one jump can neither move it far nor keep it wrong. Also notices when the two clocks differ too much for any command to be good.

use std::sync::atomic::{AtomicU64, Ordering};

use service_runtime::clock::Clock;

/// What was heard of the manager's clock.
pub struct ManagerClock {
    // Unix seconds at boot second 0, as the last good poll had it; before one, as this machine had it at the start.
    // Wrapping: a machine may have been up for longer than its date says.
    epoch: AtomicU64,
    /// Boot seconds of the last good poll.
    heard: AtomicU64,
    /// Boot seconds of the last command of another time.
    odd: AtomicU64,
}

/// No poll for so long means that something is wrong; a single old command, replayed, means nothing.
const SILENCE_SECONDS: u64 = 5;
const NEVER: u64 = u64::MAX;

impl ManagerClock {
    /// Nothing was heard yet: this machine's clock counts.
    pub fn new(clock: &dyn Clock) -> Self {
        let epoch = AtomicU64::new(clock.now().wrapping_sub(clock.boot()).wrapping_sub(1));
        Self { epoch, heard: AtomicU64::new(NEVER), odd: AtomicU64::new(NEVER) }
    }

    /// A good poll was made at `issued_at` (Unix seconds).
    pub fn heard(&self, issued_at: u64, clock: &dyn Clock) {
        let boot = clock.boot();
        // Both are whole seconds that turn at different moments, so that their difference wavers by one. One
        // second less is never ahead: time that is ahead ends tokens too early, and revives them at its correction.
        let epoch = issued_at.wrapping_sub(boot).wrapping_sub(1);
        if self.epoch.load(Ordering::Relaxed) != epoch.wrapping_add(1) {
            self.epoch.store(epoch, Ordering::Relaxed);
        }
        self.heard.store(boot, Ordering::Relaxed);
    }

    /// The signature of a command held, and its times did not.
    pub fn heard_of_another_time(&self, clock: &dyn Clock) {
        self.odd.store(clock.boot(), Ordering::Relaxed);
    }

    /// The time that tokens are checked at (Unix seconds).
    pub fn token_time(&self, clock: &dyn Clock) -> u64 {
        clock.now().max(self.epoch.load(Ordering::Relaxed).wrapping_add(clock.boot()))
    }

    /// Whether commands come, and none of this time.
    pub fn differs(&self, clock: &dyn Clock) -> bool {
        let boot = clock.boot();
        let lately = |at: &AtomicU64| match at.load(Ordering::Relaxed) {
            NEVER => false,
            at => boot.saturating_sub(at) < SILENCE_SECONDS,
        };
        lately(&self.odd) && !lately(&self.heard)
    }
}

#[cfg(test)]
mod tests {
    use service_runtime::clock::ManualClock;

    use super::*;

    #[test]
    fn token_time_never_falls_behind_the_last_good_poll() {
        let clock = ManualClock::new(1_000, 50);
        let manager = ManagerClock::new(&clock);
        clock.set_now(400);
        clock.set_boot(60);
        assert_eq!(manager.token_time(&clock), 1_009, "also before the first poll");
        manager.heard(420, &clock);
        assert_eq!(manager.token_time(&clock), 419, "a wrong clock that was set right");
        clock.set_boot(70);
        assert_eq!(manager.token_time(&clock), 429);
        for (issued_at, time) in [(431, 430), (430, 430), (431, 430), (429, 428), (430, 429)] {
            manager.heard(issued_at, &clock);
            assert_eq!(manager.token_time(&clock), time, "never ahead, and no wavering: {issued_at}");
        }
        clock.set_now(9_000);
        assert_eq!(manager.token_time(&clock), 9_000, "a clock set forward ends tokens");
        clock.set_now(401);
        assert_eq!(manager.token_time(&clock), 429, "and brings none of them back");
    }

    #[test]
    fn a_replayed_command_of_another_time_means_nothing_while_polls_are_heard() {
        let clock = ManualClock::new(1_000, 50);
        let manager = ManagerClock::new(&clock);
        assert!(!manager.differs(&clock));
        manager.heard(1_000, &clock);
        manager.heard_of_another_time(&clock);
        assert!(!manager.differs(&clock));
        clock.advance(5);
        assert!(!manager.differs(&clock), "nothing at all is heard");
        manager.heard_of_another_time(&clock);
        assert!(manager.differs(&clock));
        manager.heard(1_005, &clock);
        assert!(!manager.differs(&clock));
    }
}
