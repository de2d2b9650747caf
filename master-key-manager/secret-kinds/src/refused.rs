//! The error of the crate.

use std::fmt;

use shared_proto::Malformed;

/// Why a value is refused: a sentence of the program's own, and the line that it is about.
///
/// It cannot hold a part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    reason: &'static str,
    line: Option<usize>,
}

impl Refused {
    /// A refusal with this reason.
    pub const fn new(reason: &'static str) -> Self {
        Self { reason, line: None }
    }

    /// A refusal that is about a line, counted from 1.
    pub const fn at_line(reason: &'static str, line: usize) -> Self {
        Self { reason, line: Some(line) }
    }

    /// The reason.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// The line, if the reason is about one.
    pub const fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{} (line {line})", self.reason),
            None => formatter.write_str(self.reason),
        }
    }
}

impl From<Malformed> for Refused {
    fn from(Malformed(reason): Malformed) -> Self {
        Self::new(reason)
    }
}
