//! The gate: whether anything may be opened, as far as the vault can know what was revoked.
//!
//! It is closed while all seal keys are new, until the newest number of a poll that names one of them is applied: only
//! such a poll was certainly made after a restore or a restart.

use super::Mark;

/// Whether tokens may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistoryGate {
    /// Tokens may be opened.
    Open,
    /// Not before a poll names a living seal key.
    NeedsPoll,
    /// Not before this is applied.
    NeedsEvents(Mark),
}

impl HistoryGate {
    /// Notes a poll that names a living seal key, and the newest event that it announced.
    pub(super) fn note_poll(&mut self, newest: Mark, applied: Mark) {
        if *self != Self::Open {
            *self = Self::NeedsEvents(newest);
            self.applied(applied);
        }
    }

    /// Notes that the events up to `applied` are applied.
    pub(super) fn applied(&mut self, applied: Mark) {
        if matches!(self, Self::NeedsEvents(needed) if applied.applied >= needed.applied) {
            *self = Self::Open;
        }
    }

    /// Whether an event is another one than the poll named under its number.
    pub(super) fn contradicts(self, event: Mark) -> bool {
        matches!(self, Self::NeedsEvents(needed) if needed.applied == event.applied && needed != event)
    }
}
