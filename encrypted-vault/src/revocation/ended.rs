//! The events that have ended: every seal key that existed when they were applied is destroyed.

use std::collections::VecDeque;

use crate::keys::seal::LIFE_SECONDS;

/// The times at which events were applied, in minutes of the boot clock. It covers an hour, with some sixty entries.
pub(super) struct Ended {
    // Up to which number events were applied by the end of a minute; oldest first.
    minutes: VecDeque<(u64, u64)>,
    // All up to this number have ended.
    up_to: u64,
    // All up to this number were dropped, or last.
    looked_at: u64,
}

const MINUTE: u64 = 60;

impl Ended {
    /// The times of a database that was just read. They are not known, so its events count as applied now.
    pub(super) fn loaded(newest: u64, boot: u64) -> Self {
        Self { minutes: VecDeque::from([(boot / MINUTE, newest)]), up_to: 0, looked_at: 0 }
    }

    /// Notes that events up to `newest` are applied.
    pub(super) fn applied(&mut self, newest: u64, boot: u64) {
        match self.minutes.back_mut() {
            Some((minute, last)) if *minute >= boot / MINUTE => *last = newest,
            Some(_) | None => self.minutes.push_back((boot / MINUTE, newest)),
        }
    }

    /// The range of ended events that were not looked at yet: after the first number, up to the second.
    pub(super) fn at(&mut self, boot: u64) -> (u64, u64) {
        while let Some((minute, newest)) = self.minutes.front().copied()
            && (minute + 1) * MINUTE + LIFE_SECONDS <= boot
        {
            self.up_to = newest;
            self.minutes.pop_front();
        }
        (self.looked_at, self.up_to)
    }

    /// Notes that every event up to this number was dropped, or lasts.
    pub(super) fn looked_at(&mut self, number: u64) {
        self.looked_at = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ends_an_hour_after_the_minute_that_it_was_applied_in_and_never_before() {
        let mut ended = Ended::loaded(3, 119);
        ended.applied(4, 119);
        ended.applied(5, 120);
        ended.applied(6, 179);
        assert_eq!(ended.at(120 + LIFE_SECONDS - 1), (0, 0));
        assert_eq!(ended.at(120 + LIFE_SECONDS), (0, 4));
        assert_eq!(ended.at(179 + LIFE_SECONDS), (0, 4), "6 was applied in the last second of its minute");
        ended.looked_at(4);
        assert_eq!(ended.at(180 + LIFE_SECONDS), (4, 6));
        assert_eq!(ended.at(u64::MAX), (4, 6));
    }

    #[test]
    fn what_is_remembered_does_not_grow_with_events_or_time() {
        let mut ended = Ended::loaded(0, 0);
        for second in 0..100_000 {
            ended.applied(second, second);
            ended.at(second);
        }
        assert!(ended.minutes.len() <= 62, "{}", ended.minutes.len());
    }
}
