//! The chain of events: the order in which they follow each other, also where ended events were dropped.
//!
//! Guarantees that no lasting event is skipped: every event names, under the manager's signature, the newest lasting
//! event before it. Takes only claims whose signature was checked.

pub use crate::event::ChainHead;
use crate::event::{EventClaims, NO_EVENT, event_hash};

/// The relation of an event to a head of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its number is already in the chain.
    Known,
    /// It is the next one.
    Next(ChainHead),
    /// It follows after numbers that were dropped. None of them is of a lasting event.
    Over(ChainHead),
    /// Numbers between are missing.
    Gap,
    /// It belongs to another history, or a lasting event before it is missing.
    Conflict,
}

impl ChainHead {
    /// The head before the first event.
    pub const START: Self = Self { number: 0, hash: NO_EVENT, lasting: NO_EVENT };

    /// The relation of one of the manager's events to this head, when ended events were dropped below a number.
    pub fn step(self, claims: &EventClaims, compact: &str, dropped_below: u64) -> Step {
        if claims.seq <= self.number {
            return Step::Known;
        }
        let (is_next, hash) = (claims.seq == self.number + 1, event_hash(compact));
        let lasting = if claims.event.lasts() { hash } else { self.lasting };
        let after = Self { number: claims.seq, hash, lasting };
        if is_next && claims.prev == self.hash && claims.lasting.is_none_or(|named| named == self.lasting) {
            Step::Next(after)
        } else if !is_next && claims.seq > dropped_below {
            Step::Gap
        } else if !is_next && claims.lasting == Some(self.lasting) {
            Step::Over(after)
        } else {
            Step::Conflict
        }
    }
}
