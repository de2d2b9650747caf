//! The layer between HTTP and the domain: authenticates callers, reads requests, runs and records operations.

mod call;
mod query;
mod visit;

pub use call::{Call, Gate, HeaderInvalid};
pub use query::{MAX_ROWS, Page};
pub use visit::Visit;
