//! The loop that keeps manager and vault in step: once per interval, and at once when there is something to push.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::RevocationSync;

/// Syncs until `stop` turns true.
pub async fn run_sync(sync: Arc<RevocationSync>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            // Before the wake-ups, which could otherwise keep it from ever coming.
            _ = ticks.tick() => sync.run_once().await,
            () = sync.vault_view().woken() => sync.push_now().await,
        }
    }
}

/// Returns when `stop` is true, or when nobody can set it any more.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _true_or_ending = stop.wait_for(|stop| *stop).await;
}
