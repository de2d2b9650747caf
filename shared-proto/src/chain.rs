//! The chain of events: what may follow what, also where ended events were dropped.
//!
//! Guarantees that nothing that lasts is passed over: every event names, under the manager's signature, the newest
//! lasting event before it. Refuses to say anything about events whose signature was not checked.

pub use crate::event::ChainHead;
use crate::event::{EventClaims, NO_EVENT, event_hash};

/// How an event stands to a place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its number is not a new one.
    Known,
    /// It is the next one.
    Next(ChainHead),
    /// The numbers between were dropped, and none of them is of a lasting event.
    Over(ChainHead),
    /// Numbers between are missing.
    Gap,
    /// It is of another history, or a lasting event before it is missing.
    Conflict,
}

impl ChainHead {
    /// Before the first event.
    pub const START: Self = Self { number: 0, hash: NO_EVENT, lasting: NO_EVENT };

    /// How an event of the manager stands to this place, when what has ended was dropped below a number.
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
