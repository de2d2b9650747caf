//! Lines of the log, read back from its end while it is written.
//!
//! Guarantees bounded work: one block of one segment at once, whatever the log has. Only lines that count are given: of a
//! segment that was left behind those below the first number of the next one, and nothing that is cut or cannot be read.

use std::{io, os::unix::fs::FileExt, path::Path};

use serde::Deserialize;

use super::chain::{Segment, open, segments, unreadable};
use crate::StartError;

/// A place between two lines of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPlace {
    /// The number of the first line of its segment.
    segment: u64,
    /// The bytes of the segment before it.
    offset: u64,
}

/// Lines of a block, the newest first.
#[derive(Debug)]
pub struct AuditBlock<T> {
    /// Each with the place before it.
    pub lines: Vec<(AuditPlace, T)>,
    /// The place before the block; `None` if that is the beginning of the log.
    pub next: Option<AuditPlace>,
}

/// The most bytes that are read at once, several times the longest line.
pub const BLOCK_BYTES: u64 = 256 << 10;

const NEWLINE: u8 = b'\n';

impl AuditPlace {
    /// The place as bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.segment) << 64) | u128::from(self.offset)).to_be_bytes()
    }

    /// The place that these bytes say.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let [segment, offset] = [bytes.first_chunk(), bytes.last_chunk()]
            .map(|half: Option<&[u8; 8]>| half.copied().map(u64::from_be_bytes).unwrap_or_default());
        Self { segment, offset }
    }
}

#[derive(Deserialize)]
struct Numbered {
    sequence: u64,
}

pub(super) fn read_back<T>(
    path: &Path,
    before: Option<AuditPlace>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<AuditBlock<T>, StartError> {
    let segments = segments(path)?;
    let is_before = |segment: &Segment| match before {
        Some(place) if place.offset == 0 => segment.first < place.segment,
        Some(place) => segment.first <= place.segment,
        None => true,
    };
    let Some(position) = segments.iter().rposition(is_before) else {
        return Ok(AuditBlock { lines: Vec::new(), next: None });
    };
    let Some(segment) = segments.get(position) else { return Ok(AuditBlock { lines: Vec::new(), next: None }) };
    let end = before.filter(|place| place.segment == segment.first).map_or(u64::MAX, |place| place.offset);
    let (start, bytes) = block(&segment.path, end)?;
    // The first piece belongs to the line that begins before the block, unless that is the beginning.
    let from = if start == 0 { 0 } else { after_newline(bytes.iter().position(|byte| *byte == NEWLINE)) };
    let whole = after_newline(bytes.iter().rposition(|byte| *byte == NEWLINE));
    let mut lines: Vec<(u64, &[u8])> = Vec::new();
    let mut offset = start.saturating_add(length(from));
    for line in bytes.get(from..whole).unwrap_or_default().split_inclusive(|byte| *byte == NEWLINE) {
        lines.push((offset, line.strip_suffix(b"\n").unwrap_or(line)));
        offset = offset.saturating_add(length(line.len()));
    }
    let counts = |line: &[u8]| match segments.get(position.saturating_add(1)) {
        Some(later) => serde_json::from_slice::<Numbered>(line).is_ok_and(|line| line.sequence < later.first),
        None => true,
    };
    let place = |offset| AuditPlace { segment: segment.first, offset };
    // Below the newest line that counts all do.
    let counted = lines.iter().rev().skip_while(|(_, line)| !counts(line));
    let lines = counted.filter_map(|(offset, line)| Some((place(*offset), read(line)?))).collect();
    let next = match start.saturating_add(length(from)) {
        // Not one line ends in it: all of it belongs to none.
        _ if from == whole && start > 0 => Some(place(start)),
        0 if position == 0 => None,
        offset => Some(place(offset)),
    };
    Ok(AuditBlock { lines, next })
}

/// The bytes of a file before an end, at most a block of them, and where they begin.
fn block(path: &Path, end: u64) -> Result<(u64, Vec<u8>), StartError> {
    let Some(file) = open(path)? else { return Ok((0, Vec::new())) };
    let read = || -> io::Result<(u64, Vec<u8>)> {
        let end = file.get_ref().metadata()?.len().min(end);
        let start = end.saturating_sub(BLOCK_BYTES);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.get_ref().read_exact_at(&mut bytes, start)?;
        Ok((start, bytes))
    };
    read().map_err(|error| unreadable(path, &error))
}

fn after_newline(position: Option<usize>) -> usize {
    position.map_or(0, |position| position.saturating_add(1))
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
