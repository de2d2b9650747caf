//! Between HTTP and the domain: who calls, what he sent, and how it is carried out and recorded.

mod call;
mod query;

pub use call::{Call, Gate, HeaderInvalid};
pub use query::{MAX_ROWS, Page};
