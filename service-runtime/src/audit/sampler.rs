//! Refusals, which callers can cause without end.
//!
//! Guarantees that every refusal is counted in a line, that at most 50 lines are made from one tick to the next whatever
//! callers do, and that as many samples are held at most. The writer ticks once in each second of its clock, and at the
//! end. So a second that begins between two ticks has at most 100 lines; if the disk holds a tick up until shortly before
//! the next one, 150.
//!
//! The first refusal of a kind gets its line at once; those that follow get one line at the next tick, with their number.
//! A kind is the action, the status, the code, and the token or principal. When there are too many callers at once, the others are
//! counted by action, status and code alone.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::record::{AuditRecord, AuditStatus, Caller, Entry, Kind};

/// Kinds of tokens and principals.
const MAX_KNOWN: usize = 32;
/// Kinds of strangers, and of the callers beyond those.
const MAX_COMMON: usize = 17;
/// The fiftieth kind: all that is left.
const REST: Kind = Kind { action: "refusals", status: AuditStatus::Denied, code: None, caller: Caller::Several };

/// Refusals since the last tick.
#[derive(Default)]
pub(super) struct Sampler(Mutex<Samples>);

#[derive(Default)]
struct Samples {
    known: HashMap<Kind, Sample>,
    common: HashMap<Kind, Sample>,
    rest: HashMap<Kind, Sample>,
}

/// The refusals of a kind that have no line yet.
#[derive(Default)]
struct Sample {
    number: u64,
    last: Option<Entry>,
}

impl Sampler {
    /// Counts a refusal, or gives it back: then its line is to be written now.
    pub(super) fn count(&self, mut entry: Entry) -> Option<Entry> {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (table, kind) = samples.place_for(&entry);
        if kind.caller == Caller::Several {
            entry.record = AuditRecord::of_several(&kind);
        }
        let Some(sample) = table.get_mut(&kind) else {
            table.insert(kind, Sample::default());
            return Some(entry);
        };
        sample.number = sample.number.saturating_add(1);
        sample.last = Some(entry);
        None
    }

    /// Lines for what was counted since the last tick. A kind without any is forgotten.
    pub(super) fn tick(&self) -> Vec<Entry> {
        let mut lines = Vec::new();
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Samples { known, common, rest } = &mut *samples;
        for table in [known, common, rest] {
            table.retain(|_, sample| {
                let Sample { number, last } = std::mem::take(sample);
                let Some(last) = last else { return false };
                lines.push(Entry { others: number.saturating_sub(1), ..last });
                true
            });
        }
        lines
    }
}

impl Samples {
    /// The first table that has room for it, and what it counts as there.
    fn place_for(&mut self, entry: &Entry) -> (&mut HashMap<Kind, Sample>, Kind) {
        let has_room =
            |table: &HashMap<Kind, Sample>, kind: &Kind, most| table.len() < most || table.contains_key(kind);
        let mut kind = entry.record.kind();
        if kind.caller != Caller::Stranger {
            if has_room(&self.known, &kind, MAX_KNOWN) {
                return (&mut self.known, kind);
            }
            kind.caller = Caller::Several;
        }
        if has_room(&self.common, &kind, MAX_COMMON) { (&mut self.common, kind) } else { (&mut self.rest, REST) }
    }
}
