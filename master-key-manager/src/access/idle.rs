//! The idle limit of sessions, kept in memory. After a restart of the service it counts from the start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::clock::Clock;
use shared_proto::id::CredentialId;

/// A session that is not used for so long ends.
pub const IDLE_SECONDS: u64 = 30 * 60;

/// A session of which the change is under way is kept for so long.
const JUST_BEGUN_SECONDS: u64 = 60;

/// When each session was last used, by the clock that no change of the date moves. It has room for the sessions of the
/// registry, and maintenance removes the others.
pub struct IdleSessions {
    clock: Arc<dyn Clock>,
    started: u64,
    used: Mutex<HashMap<CredentialId, u64>>,
}

impl IdleSessions {
    /// Counts from now on.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started: clock.boot(), clock, used: Mutex::default() }
    }

    /// Notes that a session of the registry is used. Returns false, and notes nothing, if it was idle for too long.
    pub fn is_used(&self, session: CredentialId) -> bool {
        let now = self.clock.boot();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.entry(session).or_insert(self.started);
        if now.saturating_sub(*last) > IDLE_SECONDS {
            return false;
        }
        *last = now;
        true
    }

    /// Notes that a session begins.
    pub fn begin(&self, session: CredentialId) {
        let now = self.clock.boot();
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(session, now);
    }

    /// Tells whether a session was idle for too long.
    pub fn has_ended(&self, session: CredentialId) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.get(&session).copied().unwrap_or(self.started);
        self.clock.boot().saturating_sub(last) > IDLE_SECONDS
    }

    /// Forgets the sessions that are not in the registry any more.
    pub fn keep(&self, is_known: impl Fn(CredentialId) -> bool) {
        let now = self.clock.boot();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has just begun need not be in the registry yet.
        used.retain(|session, last| is_known(*session) || now.saturating_sub(*last) <= JUST_BEGUN_SECONDS);
    }
}

#[cfg(test)]
mod tests {
    use service_runtime::clock::ManualClock;

    use super::*;

    #[test]
    fn session_ends_half_an_hour_after_its_last_use_and_does_not_come_back() {
        let clock = Arc::new(ManualClock::new(1, 100));
        let sessions = IdleSessions::new(clock.clone());
        let one = CredentialId::generate();
        clock.advance(IDLE_SECONDS * 2);
        sessions.begin(one);
        for _ in 0..3 {
            clock.advance(IDLE_SECONDS);
            assert!(!sessions.has_ended(one) && sessions.is_used(one));
        }
        // A date that is set back does not lengthen it.
        clock.set_now(0);
        clock.advance(IDLE_SECONDS + 1);
        assert!(sessions.has_ended(one) && !sessions.is_used(one) && !sessions.is_used(one));
    }

    #[test]
    fn session_from_before_a_restart_counts_from_the_start() {
        let clock = Arc::new(ManualClock::new(1, 100));
        let sessions = IdleSessions::new(clock.clone());
        let [used, unused] = [CredentialId::generate(), CredentialId::generate()];
        clock.advance(IDLE_SECONDS);
        assert!(sessions.is_used(used));
        clock.advance(1);
        assert!(sessions.is_used(used) && !sessions.is_used(unused));
        clock.advance(JUST_BEGUN_SECONDS + 1);
        sessions.keep(|id| id == used);
        assert!(sessions.used.lock().unwrap().keys().eq([&used]));
    }
}
