//! Log lines that strangers can cause.
//!
//! Guarantees that a flood of one kind of event writes a few lines and the number of the others, and that it does not
//! push lines of another kind out of the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Counts lines by kind. There is one entry for each kind that was seen: a kind is made of constants of the program.
#[derive(Debug)]
pub struct Sampled<K = &'static str> {
    kinds: Mutex<BTreeMap<K, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    unlogged: u64,
}

impl<K: Ord> Sampled<K> {
    /// A sampler before the first line.
    pub const fn new() -> Self {
        Self { kinds: Mutex::new(BTreeMap::new()) }
    }

    /// The number of unwritten lines since the last one, if a line of this kind may be written now.
    pub fn line(&self, kind: K) -> Option<u64> {
        self.line_at(kind, Instant::now())
    }

    /// [`Self::line`] at this time.
    pub(crate) fn line_at(&self, kind: K, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let window = kinds.entry(kind).or_insert(Window { began: now, lines: 0, unlogged: 0 });
        if now.saturating_duration_since(window.began) >= WINDOW {
            (window.began, window.lines) = (now, 0);
        }
        if window.lines >= LINES {
            window.unlogged += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.unlogged))
    }
}

impl<K: Ord> Default for Sampled<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// An operator who looks sees what happens now; a flood of one kind writes less than 10 MB a day.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
const LINES: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_of_one_kind_is_counted_and_hides_no_other_kind() {
        let (lines, now) = (Sampled::new(), Instant::now());
        let written = (0..1_000).filter(|_| lines.line_at("flood", now).is_some()).count();
        assert_eq!(written, 5);
        assert_eq!(lines.line_at("other", now), Some(0));
        assert_eq!(lines.line_at("flood", now + WINDOW), Some(995));
        assert_eq!(lines.line_at("flood", now + WINDOW), Some(0));
    }
}
