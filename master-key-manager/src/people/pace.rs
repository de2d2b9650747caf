//! The pace of what people do with their own accounts: each of it is an entry of the registry's log, which is kept for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::clock::Clock;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;

/// Acts of one kind that somebody may do within a window.
const MOST: u32 = 30;
/// The window in seconds.
const WINDOW: u64 = 600;

/// Counts acts. A login is counted for its person, once it was right, so that nobody else can use it up; any other act for its
/// session, so that whoever has got hold of one keeps the owner from nothing.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    windows: Mutex<HashMap<[u8; 16], Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    began: u64,
    count: u32,
}

impl Pace {
    /// Counts from now on.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, windows: Mutex::default() }
    }

    /// Counts an act of a person or a session.
    ///
    /// # Errors
    /// `rate_limited`: there were too many.
    pub(super) fn take(&self, who: [u8; 16]) -> Result<(), Refusal> {
        let now = self.clock.boot();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |window: &Window| now.saturating_sub(window.began) >= WINDOW;
        let window = windows.entry(who).or_insert(Window { began: now, count: 0 });
        if is_over(window) {
            *window = Window { began: now, count: 0 };
        }
        if window.count >= MOST {
            let wait = WINDOW.saturating_sub(now.saturating_sub(window.began));
            return Err(Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(wait)));
        }
        window.count += 1;
        Ok(())
    }

    /// Forgets the windows that are over.
    pub(super) fn forget(&self) {
        let now = self.clock.boot();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|_, window| now.saturating_sub(window.began) < WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use service_runtime::clock::ManualClock;

    use super::*;

    #[test]
    fn thirty_acts_are_done_in_ten_minutes_and_somebody_elses_do_not_count() {
        let clock = Arc::new(ManualClock::new(1, 100));
        let pace = Pace::new(clock.clone());
        let [one, other] = [[1; 16], [2; 16]];
        clock.advance(WINDOW / 2);
        for _ in 0..MOST {
            assert_eq!(pace.take(one), Ok(()));
        }
        clock.advance(WINDOW - 1);
        pace.forget();
        assert_eq!(pace.take(one).unwrap_err().code(), ErrorCode::RateLimited);
        assert_eq!(pace.take(other), Ok(()));
        clock.advance(1);
        assert_eq!(pace.take(one), Ok(()));
        clock.advance(WINDOW);
        pace.forget();
        assert!(pace.windows.lock().unwrap().is_empty());
    }
}
