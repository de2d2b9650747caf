//! Revocations and destructions: numbered, chained, signed, pushed until the vault has signed for them.
//!
//! Guarantees that nothing is called revoked before the vault's signature says so, that a number is never used twice
//! also after a restore of the manager, and that while it is unclear whether the two chains agree nothing is numbered
//! or minted. Refuses to go on when they disagree: that needs an operator.

mod feed;
mod link;
mod round;
mod service;
mod take_back;

pub use feed::{run_feed, stopped};
pub use link::{FeedStatus, FeedView, Link, Round};
pub use round::Feed;
pub use service::{Revocations, Sequences, event_signer};
