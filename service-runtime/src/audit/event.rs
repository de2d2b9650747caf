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

/// The reference of a service's events in Markdown, made from the meaning and a line of each.
pub fn reference(service: &str, acts: &[(&str, AuditRecord)], outcomes: &[(&str, AuditRecord)]) -> String {
    let rows = |lines: &[(&str, AuditRecord)], when: &str| {
        let row = |(meaning, line): &(&str, AuditRecord)| format!("| {} | {when} | {meaning} |\n", line.reference());
        lines.iter().map(row).collect::<String>()
    };
    format!(
        "# Audit events of the {service}\n\nMade from `{service}/src/audit_event.rs` by its test. Members of every line are in \
         [operations.md](../operations.md).\n\n| action | status | members | its line | meaning |\n|---|---|---|---|---|\n{}{}",
        rows(acts, "is durable before it takes effect"),
        rows(outcomes, "is not waited for"),
    )
}
