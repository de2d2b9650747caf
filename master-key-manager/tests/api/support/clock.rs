//! The clocks of the machine, moved by a test.

use std::sync::atomic::{AtomicU64, Ordering};

use service_runtime::clock::{Clock, SystemClock};

/// The clocks of the machine, of which one can be behind, and the other ahead.
#[derive(Debug, Default)]
pub(crate) struct MovedClock {
    behind: AtomicU64,
    boot_ahead: AtomicU64,
}

impl MovedClock {
    /// The wall clock is behind by this many seconds.
    pub(crate) fn set_behind(&self, seconds: u64) {
        self.behind.store(seconds, Ordering::SeqCst);
    }

    /// Moves the boot clock ahead.
    pub(crate) fn pass(&self, seconds: u64) {
        self.boot_ahead.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> u64 {
        SystemClock.now() - self.behind.load(Ordering::SeqCst)
    }

    fn boot(&self) -> u64 {
        SystemClock.boot() + self.boot_ahead.load(Ordering::SeqCst)
    }
}
