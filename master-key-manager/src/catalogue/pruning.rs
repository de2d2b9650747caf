//! Removal of destroyed secrets that are no longer kept.
//!
//! Guarantees that nothing is removed of which the vault has something or an incident is open, that each removal is in the audit log
//! before it is made, that the rows of a secret go with its record in one change of the registry, and that a row which somebody
//! puts back afterwards counts for nothing: before a record goes, every row in use that has none was renewed since. Refuses more work in a round than its bounds.

use std::collections::BTreeSet;

use manager_api::name::SecretPath;
use manager_registry::{Author, Change, RecordName, Renewal};
use manager_store::{CatalogueChanges, DueErasure, PrunedSecret};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::changes::SecretKeeper;
use crate::access::{Asked, View};
use crate::audit_event::{Act, Outcome, SecretAct};

/// Secrets that are looked for, and removed by one change.
const AT_ONCE: usize = 64;
/// Pages of one round: 1,024 secrets, for each of which the vault is asked.
const PAGES: usize = 16;
/// The most rows of versions that are removed of one secret at once.
const VERSIONS_AT_ONCE: usize = 1_024;
/// Steps of that in a round, of one secret.
const STEPS: usize = 16;
/// Rows that are renewed in one transaction.
const RENEWED_AT_ONCE: usize = 256;
/// Transactions of one round: 16,384 rows.
const RENEWALS: usize = 64;

/// Where the next round goes on.
#[derive(Debug, Default)]
pub struct Pruning {
    after: Option<DueErasure>,
    renewal: Option<Renewing>,
}

/// A renewal that is under way.
#[derive(Clone, Copy, Debug)]
struct Renewing {
    floor: u64,
    after: Option<SecretId>,
}

impl SecretKeeper {
    /// Removes destroyed secrets that are no longer kept, until `go_on` says no or a bound is reached. If there are some whose
    /// records must stay until the others are renewed, it renews them. Maintenance calls it, with a time that the vault agrees with.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn prune_due(
        &self,
        at: &mut Pruning,
        now: u64,
        go_on: impl Fn() -> bool + Send + Sync,
    ) -> Result<(), Refusal> {
        self.renew(at, now, &go_on).await?;
        let mut waits = false;
        for _ in 0..PAGES {
            let due = self.store.due_prunes(at.after, now, AT_ONCE).await?;
            let view = self.revocations.view().await?;
            let watched = with_open_incident(&view);
            let mut ready = Vec::new();
            for one in due.iter().filter(|one| !watched.contains(&one.secret)) {
                if !go_on() {
                    return Ok(());
                }
                let Some(expected) = self.number_of_destroyed(one.secret, &view, now).await? else { continue };
                if expected > view.state.place_floor() {
                    waits = true;
                } else if self.is_gone(one.secret).await? {
                    ready.push(PrunedSecret { secret: one.secret, expected });
                }
            }
            at.after = due.last().copied();
            self.remove_all(&ready, now).await;
            if due.len() < AT_ONCE {
                at.after = None;
                break;
            }
        }
        if waits && at.renewal.is_none() {
            // The next round goes on with what is newer than this: the entry of this renewal lets it.
            let floor = self.store.renewal_floor();
            at.renewal = Some(Renewing { floor, after: None });
            self.renew(at, now, &go_on).await?;
        }
        Ok(())
    }

    /// The number of the place of a secret that is no longer kept, as its verified row says; `None` for another one.
    async fn number_of_destroyed(&self, secret: SecretId, view: &View, now: u64) -> Result<Option<u64>, Refusal> {
        let Some(known) = self.known(secret).await? else { return Ok(None) };
        let is_due = known.placed.rules.prune_at().is_some_and(|at| at <= now);
        let number = view.state.place(secret).map(|place| place.number);
        Ok(number.filter(|number| is_due && *number == known.placed.facts.number))
    }

    /// Tells whether the vault has nothing more of a destroyed secret, and few enough rows of its versions are left.
    async fn is_gone(&self, secret: SecretId) -> Result<bool, Refusal> {
        match self.erase(secret).await {
            Ok(Some((done, false))) if done.applied => {}
            Ok(_) => return Ok(false),
            // The vault does not answer now.
            Err(refusal) => {
                tracing::debug!(%refusal, "a destroyed secret is kept until the vault says that it has nothing of it");
                return Ok(false);
            }
        }
        for _ in 0..STEPS {
            if !self.store.shorten(secret, VERSIONS_AT_ONCE).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes secrets by one change; one by one, if one of them has changed meanwhile.
    async fn remove_all(&self, ready: &[PrunedSecret], now: u64) {
        if ready.is_empty() || self.remove(ready, now).await.is_ok() {
            return;
        }
        for one in ready {
            if let Err(refusal) = self.remove(std::slice::from_ref(one), now).await {
                tracing::warn!(%refusal, secret = %one.secret, "a destroyed secret is not removed yet");
            }
        }
    }

    async fn remove(&self, ready: &[PrunedSecret], now: u64) -> Result<(), Refusal> {
        let by = (Author::Service, "destroyed secrets that are no longer kept", now);
        for (told, one) in ready.iter().enumerate() {
            // What cannot be undone is on the disk before it happens.
            let path = SecretPath::destroyed(one.secret);
            let act = Act::Secret(SecretAct::Prune, one.secret, &path);
            if let Err(fault) = self.audit.record(act, &Origin::background()).await {
                let refusal = Refusal::from(fault);
                self.stay(ready.iter().take(told), refusal.code());
                return Err(refusal);
            }
        }
        let mut removed = Vec::new();
        let decide = |view: &View| {
            let watched = with_open_incident(view);
            let is_as_seen = |one: &&PrunedSecret| {
                let number = view.state.place(one.secret).map(|place| place.number);
                let is_old = one.expected <= view.state.place_floor();
                number == Some(one.expected) && is_old && !watched.contains(&one.secret)
            };
            removed = ready.iter().filter(is_as_seen).copied().collect();
            let changes = removed.iter().map(|one| Change::from(RecordName::from(one.secret))).collect();
            let places = CatalogueChanges { pruned: removed.clone(), ..CatalogueChanges::default() };
            Ok(Asked { changes, places, events: Vec::new() })
        };
        let done = self.revocations.change_places_as(by, decide).await;
        let (removed, code) = match &done {
            Ok(_) => (removed, ErrorCode::Unavailable),
            Err(refusal) => (Vec::new(), refusal.code()),
        };
        self.stay(ready.iter().filter(|one| removed.iter().all(|other| other.secret != one.secret)), code);
        done.map(|_done| ())
    }

    /// Says of secrets that they are not removed: the lines before must not stand alone.
    fn stay<'a>(&self, secrets: impl Iterator<Item = &'a PrunedSecret>, code: ErrorCode) {
        for one in secrets {
            self.audit.note(Outcome::SecretUnpruned(one.secret, code), &Origin::background());
        }
    }

    /// Goes on with a renewal. After its last row, the registry says that no older one counts.
    async fn renew(&self, at: &mut Pruning, now: u64, go_on: impl Fn() -> bool) -> Result<(), Refusal> {
        let Some(mut renewing) = at.renewal else { return Ok(()) };
        for _ in 0..RENEWALS {
            if !go_on() {
                return Ok(());
            }
            let last = self.store.renew_places(renewing.after, renewing.floor, RENEWED_AT_ONCE).await?;
            let Some(last) = last else {
                let by = (Author::Service, "places without a change are renewed", now);
                let floor = renewing.floor;
                let decide = |view: &View| {
                    let is_newer = floor > view.state.place_floor();
                    Ok(is_newer.then(|| Renewal::up_to(floor).into()).into_iter().collect())
                };
                self.revocations.change_as(by, decide).await?;
                at.renewal = None;
                return Ok(());
            };
            renewing.after = Some(last);
            at.renewal = Some(renewing);
        }
        Ok(())
    }
}

/// The secrets with an open incident. It is shown and closed by its secret, and counts until then.
fn with_open_incident(view: &View) -> BTreeSet<SecretId> {
    view.state.incidents().filter(|incident| incident.is_open()).map(|incident| incident.secret_id).collect()
}
