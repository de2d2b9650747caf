//! The secrets that a line of the policy holds for, and its time.

use std::fmt;

use shared_proto::Malformed;
use shared_proto::id::EnvironmentId;

use crate::PathPattern;

/// The secrets that a line of the policy is about: those of one environment or all, whose path fits a pattern.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reach {
    /// The environment; `None` means all.
    pub environment: Option<EnvironmentId>,
    /// The paths.
    pub pattern: PathPattern,
}

impl Reach {
    /// The whole installation.
    pub fn everything() -> Self {
        Self { environment: None, pattern: PathPattern::everything() }
    }

    /// Tells whether it is the whole installation.
    pub fn is_everything(&self) -> bool {
        *self == Self::everything()
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.environment {
            Some(environment) => write!(formatter, "{environment}:{}", self.pattern),
            None => write!(formatter, "*:{}", self.pattern),
        }
    }
}

/// A time from its start, which is part of it, to its end, which is not. In seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    start: u64,
    end: Option<u64>,
}

impl Period {
    /// All time.
    pub const ALWAYS: Self = Self { start: 0, end: None };

    /// One second.
    pub(crate) fn second(now: u64) -> Self {
        Self { start: now, end: now.checked_add(1) }
    }

    /// The time from a start to an end, each of which may be open.
    ///
    /// # Errors
    /// The end is not after the start.
    pub fn new(start: Option<u64>, end: Option<u64>) -> Result<Self, Malformed> {
        let start = start.unwrap_or(0);
        if end.is_some_and(|end| end <= start) {
            return Err(Malformed("the end is after the start"));
        }
        Ok(Self { start, end })
    }

    /// The first second of it.
    pub fn start(self) -> u64 {
        self.start
    }

    /// The first second after it; `None` if it does not end.
    pub fn end(self) -> Option<u64> {
        self.end
    }

    /// Tells whether a second is in it.
    pub fn contains(self, second: u64) -> bool {
        self.start <= second && !self.is_over(second)
    }

    /// Tells whether it has ended at a second.
    pub fn is_over(self, second: u64) -> bool {
        self.end.is_some_and(|end| end <= second)
    }

    /// Tells whether it lasts at least as long as another one.
    pub(crate) fn outlasts(self, other: Self) -> bool {
        match (self.end, other.end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        }
    }

    /// The time of both, if there is one.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        Self::new(Some(self.start.max(other.start)), self.until(other.end).end).ok()
    }

    /// The same period, cut at an end. One that is over before it has begun has no second.
    pub(crate) fn until(self, end: Option<u64>) -> Self {
        let end = match (self.end, end) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { start: self.start, end }
    }

    /// The part of all time around a second in which this period does not begin and does not end.
    pub(crate) fn unchanged_around(self, second: u64) -> Self {
        if self.contains(second) {
            return self;
        }
        match self.end.filter(|end| *end <= second) {
            Some(end) => Self { start: end, end: None },
            None => Self { start: 0, end: Some(self.start) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_has_its_start_and_not_its_end() {
        let period = Period::new(Some(10), Some(20)).unwrap();
        let inside: Vec<_> = (8..22).filter(|second| period.contains(*second)).collect();
        assert_eq!(inside, (10..20).collect::<Vec<_>>());
        let over: Vec<_> = (8..22).filter(|second| period.is_over(*second)).collect();
        assert_eq!(over, [20, 21]);
        for (start, end) in [(Some(10), Some(10)), (Some(11), Some(10)), (None, Some(0))] {
            assert!(Period::new(start, end).is_err());
        }
    }

    #[test]
    fn nothing_changes_between_the_ends_of_what_is_unchanged() {
        let period = Period::new(Some(3), Some(6)).unwrap();
        for now in 0..10 {
            let same = period.unchanged_around(now);
            for other in 0..10 {
                let alike = period.contains(now) == period.contains(other);
                assert!(!same.contains(other) || alike, "{now} {other}");
            }
            assert!(same.contains(now));
        }
    }
}
