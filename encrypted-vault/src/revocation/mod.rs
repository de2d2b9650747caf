//! Revocation: the manager's chain of events, the mark that a restored database cannot pass, and local refusals.

mod chain;
mod feed;
mod gate;
mod mark;
mod refusal;
mod told;
mod working_set;

pub use chain::Source;
pub use feed::{Feed, FeedError};
pub use mark::{Mark, MarkFile};
pub use refusal::{Refusal, RefusalFile, Refusals, read_refusals, refuse_command};
pub use working_set::{TokenFacts, Verdict};
