//! Between HTTP and the domain: who calls, what he sent, and what a refusal looks like outside.

mod authed;
mod perform;
mod query;

pub use authed::{Authed, Body, Json, NoBody, record_refusal};
pub use perform::{give_out, perform};
pub use query::{MAX_ROWS, Page, query};
