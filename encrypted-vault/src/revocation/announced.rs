//! The events that signed polls announced and that have not come, and how long ago that was. Somebody may hold
//! revocations back from a vault that does not get them.

/// Seconds of the boot clock after which an announced event must have come: five polls. A push takes milliseconds. One
/// that was lost is repeated with the next poll.
pub(super) const PATIENCE_SECONDS: u64 = 5;

/// The announced events. Only the first missing one counts, so that a feed that moves under load is never late.
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
    /// Notes a poll that announced event `newest` at `boot` seconds, when `applied` was the last applied event. A poll
    /// that is newer than all before it withdraws what they announced beyond `newest`: the manager was restored since.
    pub(super) fn note_poll(&mut self, newest: u64, applied: u64, boot: u64, is_newer: bool) {
        let still_announced = |event: &Since| event.number <= newest || !is_newer;
        self.next = self.next.filter(still_announced);
        self.waiting = self.waiting.filter(still_announced).or_else(|| self.next.take());
        if newest <= applied {
            return;
        }
        let event = Since { number: newest, boot };
        match self.waiting {
            None => self.waiting = Some(event),
            Some(waiting) if newest > waiting.number => _ = self.next.get_or_insert(event),
            Some(_) => {}
        }
    }

    /// Notes that the events up to `applied` are applied.
    pub(super) fn applied(&mut self, applied: u64) {
        let missing = |event: &Since| event.number > applied;
        self.next = self.next.filter(missing);
        self.waiting = self.waiting.filter(missing).or_else(|| self.next.take());
    }

    /// Whether an announced event is missing for too long.
    pub(super) fn is_late(&self, boot: impl FnOnce() -> u64) -> bool {
        self.waiting.is_some_and(|event| boot().saturating_sub(event.boot) >= PATIENCE_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_event_that_stays_out_is_late() {
        let mut announced = Announced::default();
        announced.note_poll(3, 3, 0, true);
        assert!(!announced.is_late(|| 100), "nothing is missing");
        for second in 0..100 {
            announced.note_poll(4 + second, 3, second, true);
        }
        assert!(!announced.is_late(|| 4) && announced.is_late(|| 5));
        announced.applied(3);
        assert!(announced.is_late(|| 5));
        // The next one was announced a second later.
        announced.applied(4);
        assert!(!announced.is_late(|| 5) && announced.is_late(|| 6));
        announced.applied(103);
        assert!(!announced.is_late(|| 1_000));
    }

    #[test]
    fn event_that_a_restored_manager_does_not_know_is_waited_for_no_longer() {
        let mut announced = Announced::default();
        announced.note_poll(4, 3, 0, true);
        assert!(announced.is_late(|| 5));
        announced.note_poll(3, 3, 6, true);
        assert!(!announced.is_late(|| 100));
        announced.note_poll(4, 3, 7, true);
        assert!(!announced.is_late(|| 11) && announced.is_late(|| 12));
    }

    #[test]
    fn older_poll_withdraws_nothing() {
        let mut announced = Announced::default();
        announced.note_poll(4, 3, 0, true);
        announced.note_poll(3, 3, 1, false);
        announced.note_poll(2, 3, 2, false);
        assert!(!announced.is_late(|| 4) && announced.is_late(|| 5));
    }

    #[test]
    fn feed_that_is_always_two_seconds_behind_is_never_late() {
        let mut announced = Announced::default();
        for second in 0..100 {
            announced.note_poll(second + 2, second, second, true);
            announced.applied(second);
            assert!(!announced.is_late(|| second), "{second}");
        }
    }
}
