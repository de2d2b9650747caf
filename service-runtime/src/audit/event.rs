//! When the line of an event is written. Each service has an enum for each of the two.

use super::{AuditRecord, Origin};

/// An event whose line is durable before it takes effect.
pub trait Act {
    /// Its line.
    fn line(self, origin: &Origin) -> AuditRecord;
}

/// An event that never waits for its line: a revocation, or how something ended.
pub trait Outcome {
    /// Its line.
    fn line(self, origin: &Origin) -> AuditRecord;
}
