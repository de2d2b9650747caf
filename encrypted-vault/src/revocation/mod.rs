//! Revocation: the manager's chain of events, the mark that a restored database cannot pass, and local refusals.

mod announced;
mod chain;
mod ended;
mod feed;
mod gate;
mod local_refusals;
mod mark;
mod working_set;

use std::sync::Arc;
use std::time::Duration;

pub use chain::Source;
pub use feed::{Feed, FeedError};
pub use local_refusals::{LocalRefusal, LocalRefusals, RefusalFile, read_refusals, refuse_command};
pub use mark::{Mark, MarkFile};
pub use working_set::{TokenFacts, Verdict};

/// Drops ended events, once a minute.
pub async fn drop_ended(feed: Arc<Feed>) {
    let mut minutes = tokio::time::interval(Duration::from_mins(1));
    loop {
        minutes.tick().await;
        if let Err(fault) = feed.drop_ended().await {
            tracing::warn!(%fault, "events that have ended could not be dropped; they are tried again");
        }
    }
}
