//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long anything may take that a test waits for: far above what it takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks `condition` until it holds.
///
/// # Panics
///
/// When it does not hold within [`DEADLINE`].
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

pub(crate) const PAUSE: Duration = Duration::from_millis(10);
