//! The newer events that signed polls told of, and since when. A vault that does not get them may be the one whose
//! revocations somebody holds back.

/// Seconds of the boot clock after which an event that a poll told of has to be here: five polls. A push takes
/// milliseconds; one that was lost is repeated with the next poll.
pub(super) const PATIENCE_SECONDS: u64 = 5;

/// What is waited for. Only the first missing event counts, so that a feed that moves under load is never late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Announced {
    waiting: Option<Since>,
    /// The first event that a poll named after it.
    next: Option<Since>,
}

#[derive(Clone, Copy, Debug)]
struct Since {
    number: u64,
    boot: u64,
}

impl Announced {
    /// A poll told at `boot` seconds of event `newest`, and `applied` is here. If it is newer than all polls before it,
    /// what those told beyond that is of a manager that was restored since, and does not come.
    pub(super) fn heard(&mut self, newest: u64, applied: u64, boot: u64, is_newer: bool) {
        let still_told = |told: &Since| told.number <= newest || !is_newer;
        self.next = self.next.filter(still_told);
        self.waiting = self.waiting.filter(still_told).or_else(|| self.next.take());
        if newest <= applied {
            return;
        }
        let told = Since { number: newest, boot };
        match self.waiting {
            None => self.waiting = Some(told),
            Some(waiting) if newest > waiting.number => _ = self.next.get_or_insert(told),
            Some(_) => {}
        }
    }

    /// Events up to `applied` are here.
    pub(super) fn applied(&mut self, applied: u64) {
        let missing = |told: &Since| told.number > applied;
        self.next = self.next.filter(missing);
        self.waiting = self.waiting.filter(missing).or_else(|| self.next.take());
    }

    /// Whether an event that was told of is missing for too long.
    pub(super) fn is_late(&self, boot: impl FnOnce() -> u64) -> bool {
        self.waiting.is_some_and(|told| boot().saturating_sub(told.boot) >= PATIENCE_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_event_that_stays_out_is_late() {
        let mut told = Announced::default();
        told.heard(3, 3, 0, true);
        assert!(!told.is_late(|| 100), "nothing is missing");
        for second in 0..100 {
            told.heard(4 + second, 3, second, true);
        }
        assert!(!told.is_late(|| 4) && told.is_late(|| 5));
        told.applied(3);
        assert!(told.is_late(|| 5));
        // The next one was told of a second later.
        told.applied(4);
        assert!(!told.is_late(|| 5) && told.is_late(|| 6));
        told.applied(103);
        assert!(!told.is_late(|| 1_000));
    }

    #[test]
    fn event_that_a_restored_manager_does_not_know_is_waited_for_no_longer() {
        let mut told = Announced::default();
        told.heard(4, 3, 0, true);
        assert!(told.is_late(|| 5));
        told.heard(3, 3, 6, true);
        assert!(!told.is_late(|| 100));
        told.heard(4, 3, 7, true);
        assert!(!told.is_late(|| 11) && told.is_late(|| 12));
    }

    #[test]
    fn older_poll_withdraws_nothing() {
        let mut told = Announced::default();
        told.heard(4, 3, 0, true);
        told.heard(3, 3, 1, false);
        told.heard(2, 3, 2, false);
        assert!(!told.is_late(|| 4) && told.is_late(|| 5));
    }

    #[test]
    fn feed_that_is_always_two_seconds_behind_is_never_late() {
        let mut told = Announced::default();
        for second in 0..100 {
            told.heard(second + 2, second, second, true);
            told.applied(second);
            assert!(!told.is_late(|| second), "{second}");
        }
    }
}
