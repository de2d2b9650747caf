//! Revocation: the manager's chain of events, the mark that a restored database cannot pass, and local refusals.

mod feed;
mod mark;
mod refusal;
mod working_set;

pub use feed::{Feed, FeedError, Source};
pub use mark::{Mark, MarkFile};
pub use refusal::{Refusal, RefusalFile, Refusals, read_refusals, refuse_command};
pub use working_set::{TokenFacts, Verdict};
