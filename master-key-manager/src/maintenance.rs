//! The work beside requests: settling pending versions, reading principals and policy that another process changed, deleting what has
//! expired or ended, and destroying former versions that are not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use service_runtime::clock::Clock;
use service_runtime::process::can_open_files;
use tokio::sync::watch;

use crate::access::{LastUses, Registry};
use crate::approvals::Approvals;
use crate::catalogue::{Pruning, Retention, SecretKeeper, SecretRotator, Settler};
use crate::notifier::Notifier;
use crate::people::People;
use crate::revocation::{FeedStatus, VaultView, stopped};
use manager_store::{DueErasure, EventStore, IdentityStore, ManagerStore, OldEntries, PRUNED_AT_ONCE, USES_AT_ONCE};

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
    /// The rules by which former versions are destroyed.
    pub retention: Retention,
    /// Destroys deleted secrets whose time has passed.
    pub secret_keeper: Arc<SecretKeeper>,
    /// Approvals of which nothing comes any more, and which are removed after a while.
    pub approvals: Arc<Approvals>,
    /// Rotations of secrets, of which some end by themselves.
    pub rotator: Arc<SecretRotator>,
    /// Makes and drops notices.
    pub notifier: Notifier,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the process may open no further file; kept up to date here.
    pub no_descriptors: Arc<AtomicBool>,
}

/// After this time no token is alive that an event could hit: seal keys live for an hour, tokens for less.
const ENDED_SECONDS: u64 = 3_600;
/// How often ended sessions and enrolment codes are removed. They let nobody in.
const SWEEP_SECONDS: u64 = 60;
/// How often it is looked for what is due. The nearest threshold is a day.
const NOTICE_SECONDS: u64 = 3_600;
/// How often expired rows are deleted. They do no harm, and only take room.
const PRUNE_SECONDS: u64 = 600;

/// How long an entry of the registry's log is kept that is no version of the policy.
const ENTRY_SECONDS: u64 = 90 * 24 * 3_600;
/// The most of the newest numbers among which such entries are kept, whenever they were made.
const MOST_ENTRIES: u64 = 100_000;
/// The newest numbers, of which every entry is kept: acts look at those since they were decided.
const NEWEST_ENTRIES: u64 = 1_000;
/// Entries that are looked at in one transaction.
const ENTRIES_AT_ONCE: usize = 256;

/// The entries that are no longer kept when the newest one has this number, of those after one.
fn old_entries(after: u64, newest: u64, now: u64) -> OldEntries {
    OldEntries {
        after,
        below: newest.saturating_sub(NEWEST_ENTRIES),
        made_before: now.saturating_sub(ENTRY_SECONDS),
        too_many_below: newest.saturating_sub(MOST_ENTRIES),
    }
}

impl Maintenance {
    /// Does the due work every `interval`, until it is stopped.
    pub async fn run(self, interval: Duration, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut pruned_at, mut swept_at, mut erased_at): (Option<u64>, Option<u64>, Option<u64>) = (None, None, None);
        let mut noticed_at: Option<u64> = None;
        let mut erased = None;
        let mut is_told = false;
        let mut dropped = 0;
        let mut retained = None;
        let mut removed = Pruning::default();
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
            if let Err(refusal) = self.rotator.end_all().await {
                tracing::warn!(%refusal, "ended rotations are not finished yet");
            }
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
            if erased_at.is_none_or(|at| boot.saturating_sub(at) >= SWEEP_SECONDS)
                && let Some(vault_time) = self.vault_view.vault_time()
            {
                erased_at = Some(boot);
                self.finish_deletions(&mut erased, self.clock.now().min(vault_time), &stop).await;
            }
            if noticed_at.is_none_or(|at| boot.saturating_sub(at) >= NOTICE_SECONDS) {
                noticed_at = Some(boot);
                if let Err(fault) = self.notifier.run(self.clock.now(), &stop).await {
                    tracing::warn!(%fault, "notices were not made");
                }
            }
            if pruned_at.is_none_or(|at| boot.saturating_sub(at) >= PRUNE_SECONDS)
                && let Some(vault_time) = self.vault_view.vault_time()
            {
                pruned_at = Some(boot);
                // A row has expired when both clocks say so: one that jumped ahead must not delete living tokens and
                // the keys of writes that may still be repeated.
                let now = self.clock.now().min(vault_time);
                self.prune(now, &stop).await;
                dropped = self.drop_entries(dropped, now, &stop).await;
                if let Err(refusal) = self.retention.round(&mut retained, now, || *stop.borrow()).await {
                    tracing::warn!(%refusal, "former versions were not destroyed");
                }
                if let Err(refusal) = self.secret_keeper.prune_due(&mut removed, now, || !*stop.borrow()).await {
                    tracing::warn!(%refusal, "destroyed secrets that are no longer kept were not removed");
                }
            }
        }
    }

    /// Destroys the deleted secrets whose time has passed, and removes old approvals. Both clocks say so: one that jumped ahead
    /// must not destroy what can be taken back.
    async fn finish_deletions(&self, after: &mut Option<DueErasure>, now: u64, stop: &watch::Receiver<bool>) {
        if let Err(refusal) = self.secret_keeper.erase_due(after, now, || !*stop.borrow()).await {
            tracing::warn!(%refusal, "deleted secrets were not looked for");
        }
        if let Err(refusal) = self.approvals.remove_old(now).await {
            tracing::warn!(%refusal, "old approvals were not removed");
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

    /// Drops old entries of the registry's log after a number, below the one that is anchored. Returns how far that went.
    async fn drop_entries(&self, mut after: u64, now: u64, stop: &watch::Receiver<bool>) -> u64 {
        let Ok(view) = self.registry.now().await else { return after };
        while !*stop.borrow() {
            let old = old_entries(after, view.state.number(), now);
            let dropped = match self.store.drop_entries(old, ENTRIES_AT_ONCE).await {
                Ok(dropped) => dropped,
                Err(fault) => {
                    tracing::warn!(%fault, "old entries of principals and policy were not removed");
                    break;
                }
            };
            after = dropped.up_to;
            if !dropped.more {
                break;
            }
        }
        after
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_entries_are_kept_for_ever_and_old_or_many_ones_are_not() {
        let day = 24 * 3_600;
        let few = old_entries(7, 900, 100 * day);
        assert_eq!(few, OldEntries { after: 7, below: 0, made_before: 10 * day, too_many_below: 0 });
        let many = old_entries(7, 150_000, day);
        assert_eq!(many, OldEntries { after: 7, below: 149_000, made_before: 0, too_many_below: 50_000 });
    }
}
