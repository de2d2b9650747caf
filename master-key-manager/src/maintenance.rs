//! What is done beside requests: settling what is pending, and forgetting what has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use service_runtime::clock::Clock;
use service_runtime::process::can_open_files;
use tokio::sync::watch;

use crate::catalogue::Settler;
use crate::revocation::{FeedStatus, VaultView, stopped};
use crate::store::{ManagerStore, PRUNED_AT_ONCE};

/// The parts that it works with.
pub struct Maintenance {
    /// Knowledge of the vault.
    pub vault_view: Arc<VaultView>,
    /// Settles pending versions.
    pub settler: Arc<Settler>,
    /// The database.
    pub store: Arc<dyn ManagerStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the process may open no further file; kept up to date here.
    pub no_descriptors: Arc<AtomicBool>,
}

/// After this time no token is alive that an event could hit: seal keys live for an hour, tokens for less.
const ENDED_SECONDS: u64 = 3_600;
/// Expired rows do no harm; they only take room.
const PRUNE_SECONDS: u64 = 600;

impl Maintenance {
    /// Does what is due every `interval`, until it is stopped.
    pub async fn run(self, interval: Duration, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pruned_at: Option<u64> = None;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            if self.vault_view.keys_for_storing().is_ok()
                && let Err(refusal) = self.settler.settle_idle().await
            {
                tracing::warn!(%refusal, "pending versions are not settled yet");
            }
            self.drop_ended().await;
            self.no_descriptors.store(!can_open_files(), Ordering::SeqCst);
            let boot = self.clock.boot();
            if pruned_at.is_none_or(|at| boot.saturating_sub(at) >= PRUNE_SECONDS)
                && let Some(vault_time) = self.vault_view.vault_time()
            {
                pruned_at = Some(boot);
                // A row is over when both clocks say so: one that jumped ahead must not make us forget living tokens and
                // the keys of writes that may still be repeated.
                self.prune(self.clock.now().min(vault_time), &stop).await;
            }
        }
    }

    /// Drops a few events that have ended: the vault has signed for them, and no token of their time is alive. The one
    /// that it named last stays, because its next feed state is compared with it.
    async fn drop_ended(&self) {
        let (view, Some(vault_time)) = (self.vault_view.view(), self.vault_view.vault_time()) else { return };
        if view.status == FeedStatus::CaughtUp {
            let issued_before = self.clock.now().min(vault_time).saturating_sub(ENDED_SECONDS);
            if let Err(fault) = self.store.drop_events(view.applied, issued_before).await {
                tracing::warn!(%fault, "events that have ended were not dropped");
            }
        }
    }

    /// Forgets what is over by `now`, a few rows at a time: whoever waits for the writer goes in between.
    async fn prune(&self, now: u64, stop: &watch::Receiver<bool>) {
        while !*stop.borrow() {
            match self.store.prune(now, PRUNED_AT_ONCE).await {
                Ok(PRUNED_AT_ONCE) => {}
                Ok(_fewer) => return,
                Err(fault) => return tracing::warn!(%fault, "expired rows were not removed"),
            }
        }
    }
}
