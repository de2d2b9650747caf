//! The work beside requests: settling pending versions, reading principals and policy that another process changed, and deleting what has expired or ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use service_runtime::clock::Clock;
use service_runtime::process::can_open_files;
use tokio::sync::watch;

use crate::access::{LastUses, Registry};
use crate::catalogue::Settler;
use crate::people::People;
use crate::revocation::{FeedStatus, VaultView, stopped};
use manager_store::{EventStore, IdentityStore, ManagerStore, PRUNED_AT_ONCE, USES_AT_ONCE};

/// The work beside requests, with the parts that it needs.
pub struct Maintenance {
    /// Knowledge of the vault.
    pub vault_view: Arc<VaultView>,
    /// Settles pending versions.
    pub settler: Arc<Settler>,
    /// The events, of which ended ones are dropped.
    pub events: Arc<dyn EventStore>,
    /// The whole store: expired tokens are deleted, and rows that do not fit are told.
    pub store: Arc<dyn ManagerStore>,
    /// Principals and policy.
    pub registry: Arc<Registry>,
    /// Where the last uses of credentials are written.
    pub credentials: Arc<dyn IdentityStore>,
    /// The last uses of credentials.
    pub last_uses: Arc<LastUses>,
    /// People, whose ended sessions and codes are removed.
    pub people: Arc<People>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the process may open no further file; kept up to date here.
    pub no_descriptors: Arc<AtomicBool>,
}

/// After this time no token is alive that an event could hit: seal keys live for an hour, tokens for less.
const ENDED_SECONDS: u64 = 3_600;
/// How often ended sessions and enrolment codes are removed. They let nobody in.
const SWEEP_SECONDS: u64 = 60;
/// How often expired rows are deleted. They do no harm, and only take room.
const PRUNE_SECONDS: u64 = 600;

impl Maintenance {
    /// Does the due work every `interval`, until it is stopped.
    pub async fn run(self, interval: Duration, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut pruned_at, mut swept_at): (Option<u64>, Option<u64>) = (None, None);
        let mut is_told = false;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return self.write_last_uses().await,
                _ = ticks.tick() => {}
            }
            if self.vault_view.keys_for_storing().is_ok()
                && let Err(refusal) = self.settler.settle_idle().await
            {
                tracing::warn!(%refusal, "pending versions are not settled yet");
            }
            self.drop_ended().await;
            if let Err(error) = self.registry.refresh().await {
                tracing::warn!(%error, "principals and policy were not read again");
            }
            self.write_last_uses().await;
            if let Some(row) = self.store.unfit_row().filter(|_| !is_told) {
                is_told = true;
                tracing::error!(row, "a row of the database is not what this manager wrote, and is not used");
            }
            self.no_descriptors.store(!can_open_files(), Ordering::SeqCst);
            let boot = self.clock.boot();
            if swept_at.is_none_or(|at| boot.saturating_sub(at) >= SWEEP_SECONDS) {
                swept_at = Some(boot);
                if let Err(refusal) = self.people.remove_ended().await {
                    tracing::warn!(%refusal, "ended sessions were not removed");
                }
            }
            if pruned_at.is_none_or(|at| boot.saturating_sub(at) >= PRUNE_SECONDS)
                && let Some(vault_time) = self.vault_view.vault_time()
            {
                pruned_at = Some(boot);
                // A row has expired when both clocks say so: one that jumped ahead must not delete living tokens and
                // the keys of writes that may still be repeated.
                self.prune(self.clock.now().min(vault_time), &stop).await;
            }
        }
    }

    /// Drops a few ended events: the vault has signed that they are applied, and no token of their time is alive. The
    /// event of the vault's last feed state stays, because the next one is compared with it.
    async fn drop_ended(&self) {
        let (view, Some(vault_time)) = (self.vault_view.view(), self.vault_view.vault_time()) else { return };
        if view.status == FeedStatus::CaughtUp {
            let issued_before = self.clock.now().min(vault_time).saturating_sub(ENDED_SECONDS);
            if let Err(fault) = self.events.drop_events(view.applied, issued_before).await {
                tracing::warn!(%fault, "events that have ended were not dropped");
            }
        }
    }

    /// Writes the last uses of credentials: each once an hour. Those of an hour that is not written are lost with a crash.
    async fn write_last_uses(&self) {
        loop {
            let uses = self.last_uses.unwritten(USES_AT_ONCE);
            if uses.is_empty() {
                return;
            }
            if let Err(fault) = self.credentials.note_uses(uses.clone()).await {
                return tracing::warn!(%fault, "the last uses of credentials were not written");
            }
            self.last_uses.written(&uses);
        }
    }

    /// Deletes the rows that have expired by `now`, a few at a time, so that other writes take turns with it.
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
