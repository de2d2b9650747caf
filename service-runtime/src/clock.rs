//! Time, injected.
//!
//! Both services ask for the time through a [`Clock`] only, so that tests move time instead of sleeping.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// The two clocks that expiry looks at.
pub trait Clock: Send + Sync {
    /// Unix seconds of the wall clock.
    fn now(&self) -> u64;
    /// Seconds of `CLOCK_BOOTTIME`, which a change of the date does not move.
    fn boot(&self) -> u64;
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        // A date before 1970 counts as 0: everything has a not-before in the future then, nothing is accepted.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
    }

    fn boot(&self) -> u64 {
        crate::process::boot_clock_seconds()
    }
}

/// Clocks that stand still until a test moves them.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicU64,
    boot: AtomicU64,
}

impl ManualClock {
    /// Clocks that show these seconds.
    pub fn new(now: u64, boot: u64) -> Self {
        Self { now: AtomicU64::new(now), boot: AtomicU64::new(boot) }
    }

    /// Sets the wall clock.
    pub fn set_now(&self, now: u64) {
        self.now.store(now, Ordering::SeqCst);
    }

    /// Sets the boot clock.
    pub fn set_boot(&self, boot: u64) {
        self.boot.store(boot, Ordering::SeqCst);
    }

    /// Moves both forward, as real time does.
    pub fn advance(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
        self.boot.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn boot(&self) -> u64 {
        self.boot.load(Ordering::SeqCst)
    }
}
