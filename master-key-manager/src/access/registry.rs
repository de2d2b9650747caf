//! The registry in memory, from which every decision is made, and its changes.
//!
//! What is here was verified as a whole, when it was read or when this process changed it. What acts compares its number
//! with the database in the transaction that acts, so that what is older lets nobody through. It is read and verified
//! again before the next request then, and when maintenance sees another number. If it does not fit its entry, or an
//! earlier state was put back, nobody is let in until it does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use manager_api::settings::RateLimits;
use manager_policy::{Facts, PolicyEpoch};
use manager_registry::{
    Author, Broken, Change, Credential, Proposal, RegistryKey, SettingsId, Snapshot, Standing, WrittenEntry,
};
use manager_store::{
    ActError, CatalogueChanges, ChangeOutcome, EventStore, RegistryRows, RegistryStore, SignEvent, Stored, StoredEvent,
};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::StoreFault;
use service_runtime::{Refusal, StartError};
use shared_proto::Rejected;
use shared_proto::chain::ChainHead;
use shared_proto::event::Event;
use tokio::sync::Mutex;

use super::AnchorFile;
use super::asked::{Asked, conflict_refused};
use super::confirm::versions_are_tagged;
use super::consequences::{MOST_EVENTS, end_by_themselves, keeps_an_administrator, revocations};

/// The registry at one moment.
pub struct View {
    /// The records.
    pub state: Snapshot,
    /// The facts of the policy that they say.
    pub facts: Arc<Facts>,
    /// The rate limits that they say.
    pub rate_limits: RateLimits,
}

/// The registry in memory.
pub struct Registry {
    store: Arc<dyn RegistryStore>,
    key: RegistryKey,
    anchor: AnchorFile,
    /// Set if callers without a credential have rights, as in development mode.
    strangers: bool,
    view: ArcSwap<View>,
    /// How often it was forgotten. What was read before the last time is read again before it is used.
    forgotten: AtomicU64,
    /// The count of before the last read.
    read: AtomicU64,
    /// Its number is compared before it is used.
    is_suspected: AtomicBool,
    /// The last read failed its verification.
    is_broken: AtomicBool,
    /// When that was: whoever asks at once after it does not cause another read.
    failed_at: std::sync::Mutex<Option<Instant>>,
    /// The number of the last entry that was given to the database, which did not say that it took it; 0 if there is none.
    unsettled: AtomicU64,
    /// Held while it is read or changed, so that an older state never replaces a newer one.
    one_at_a_time: Mutex<()>,
}

/// Why the registry cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The database cannot be read or written.
    #[error(transparent)]
    Fault(#[from] StoreFault),
    /// The database holds something else than this manager wrote last.
    #[error("the database holds other principals and policy than the manager wrote last")]
    Broken,
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Fault(fault) => fault.into(),
            RegistryError::Broken => Self::unavailable("principals and policy in the database are not verified"),
        }
    }
}

/// The time between two reads of what failed its verification.
const PAUSE: Duration = Duration::from_millis(500);

impl Registry {
    /// Reads and verifies the registry of a database.
    ///
    /// # Errors
    /// It cannot be read or was altered; or it is of an earlier day than the anchor, or of an earlier release, or there is
    /// no anchor, and nobody has confirmed it.
    pub async fn open(
        store: Arc<dyn RegistryStore>,
        key: RegistryKey,
        anchor: AnchorFile,
        strangers: bool,
    ) -> Result<Self, StartError> {
        let state = match Self::look(store.as_ref(), &key, &anchor).await? {
            (state, Standing::Current) if versions_are_tagged(&state) => state,
            (_, Standing::Current) => return Err(unconfirmed("Versions of secrets are of an earlier release")),
            (state, Standing::PutBack) => {
                let what = match (state.number(), anchor.read()?) {
                    (0, None) => "The database holds no principals and policy, as one of an earlier release",
                    (0, Some(_)) => {
                        "The database holds no principals and policy, though this manager has written some: somebody removed \
                         them, or it is of an earlier release"
                    }
                    (_, None) => "The key folder has no anchor of principals and policy",
                    (_, Some(_)) => "Principals and policy of the database, or their anchor, are of an earlier day",
                };
                return Err(unconfirmed(what));
            }
        };
        raise(&anchor, &state)?;
        store.follow(&state);
        Ok(Self {
            store,
            key,
            anchor,
            strangers,
            view: ArcSwap::from_pointee(View::of(state, strangers)),
            forgotten: AtomicU64::default(),
            read: AtomicU64::default(),
            is_suspected: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            failed_at: std::sync::Mutex::default(),
            unsettled: AtomicU64::default(),
            one_at_a_time: Mutex::default(),
        })
    }

    /// The registry now.
    ///
    /// # Errors
    /// It must be read again, and cannot be, or fails its verification.
    pub async fn now(self: &Arc<Self>) -> Result<Arc<View>, RegistryError> {
        if self.is_suspected.swap(false, Ordering::SeqCst) {
            let number = self.store.registry_number().await.inspect_err(|_| self.suspect())?;
            if number != self.view.load().state.number() {
                self.forget();
            }
        }
        if !self.store.is_held() {
            // Another process may have changed it since.
            return Err(StoreFault::Unavailable.into());
        }
        if !self.is_stale() {
            return Ok(self.view.load_full());
        }
        if self.has_just_failed() {
            return Err(RegistryError::Broken);
        }
        // In a task of its own: a client that goes away must not leave a write of the anchor to itself.
        let this = Arc::clone(self);
        let read = tokio::spawn(async move {
            let _one = this.one_at_a_time.lock().await;
            this.read_again().await
        });
        read.await.unwrap_or(Err(RegistryError::Fault(StoreFault::Unavailable)))
    }

    /// Has its number compared with the database before it is used: an act was refused because that has changed.
    pub fn suspect(&self) {
        self.is_suspected.store(true, Ordering::SeqCst);
    }

    /// The registry as the database has it at this moment.
    ///
    /// # Errors
    /// It cannot be read, or fails its verification.
    pub async fn fresh(self: &Arc<Self>) -> Result<Arc<View>, RegistryError> {
        self.refresh().await?;
        self.now().await
    }

    /// True if somebody may depend on the sign-on key.
    pub fn has_people(&self) -> bool {
        let view = self.view.load();
        view.state.people().next().is_some() || view.state.enrolments().next().is_some()
    }

    /// The registry as it was read last, to be shown. Nothing is decided from it.
    pub fn known(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Has it read again before it is used.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }

    fn is_stale(&self) -> bool {
        self.forgotten.load(Ordering::SeqCst) != self.read.load(Ordering::SeqCst)
    }

    fn has_just_failed(&self) -> bool {
        let failed_at = self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_broken.load(Ordering::SeqCst) && failed_at.is_some_and(|at| at.elapsed() < PAUSE)
    }

    /// Tells whether the last read passed its verification.
    pub fn is_verified(&self) -> bool {
        !self.is_broken.load(Ordering::SeqCst)
    }

    /// Reads it again if the database has another state.
    ///
    /// # Errors
    /// It cannot be read, or fails its verification.
    pub async fn refresh(self: &Arc<Self>) -> Result<(), RegistryError> {
        if self.store.registry_number().await? != self.view.load().state.number() {
            self.forget();
        }
        let view = self.now().await?;
        if self.unsettled.load(Ordering::SeqCst) > view.state.number() {
            let _one = self.one_at_a_time.lock().await;
            self.settle().await;
        }
        Ok(())
    }

    /// Makes an entry of nothing, above one whose change was refused because the database did not take it. Whoever kept
    /// that one there could add it to the log afterwards, and it would be taken for what a crash has left. Call it with the
    /// lock.
    async fn settle(&self) {
        let (number, view) = (self.unsettled.load(Ordering::SeqCst), self.view.load_full());
        if number <= view.state.number() || self.is_stale() {
            return;
        }
        let now = SystemClock.now();
        let by = (Author::Service, "a change before it was not made", now);
        let Ok(proposal) = self.propose(&view.state, Vec::new(), by) else { return };
        let read = self.forgotten.load(Ordering::SeqCst);
        let made = self.write(&proposal, CatalogueChanges::default(), Vec::new(), None, now).await;
        match made {
            Ok(ChangeOutcome::Made { .. }) => {
                // If the anchor cannot be written, it is read again.
                let _taken = self.take(View::after(&view, proposal.after, &[], self.strangers), read).await;
            }
            Ok(ChangeOutcome::Moved | ChangeOutcome::Conflict(_)) => self.forget(),
            Err(fault) => tracing::warn!(%fault, "a change that was not made is not settled yet"),
        }
    }

    /// Gives an entry to the database. Without its word that it took it, the number is never used again.
    async fn write(
        &self,
        proposal: &Proposal,
        places: CatalogueChanges,
        events: Vec<Event>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<ChangeOutcome> {
        let made = self.store.change_places(proposal.rows.clone(), places, events, sign, now).await;
        if made.is_err() {
            self.unsettled.fetch_max(proposal.rows.entry.number, Ordering::SeqCst);
        }
        made
    }

    /// Makes a change that `decide` decides on the state of the moment, with the revocations that follow from it, in one
    /// transaction. Events are numbered with `sign`, and deferred without. A change of nothing is none.
    ///
    /// # Errors
    /// Those of `decide`, nobody could make policy and principals any more, or it cannot be read or written.
    pub async fn change(
        &self,
        (author, reason, now): (Author, &str, u64),
        sign: Option<SignEvent>,
        decide: impl FnOnce(&View) -> Result<Vec<Change>, Refusal> + Send,
    ) -> Result<Vec<u64>, Refusal> {
        let decide = |view: &View| decide(view).map(Asked::from);
        self.change_if((author, reason, now), sign, decide, |_before, _after, _changes| Ok(())).await
    }

    /// The state after a change that is not made. Takes as long as there are lines.
    ///
    /// # Errors
    /// The change breaks a rule of the records.
    pub fn preview(&self, before: &View, changes: Vec<Change>) -> Result<View, Refusal> {
        let by = (Author::Service, "", 0);
        let proposal = before.state.propose(changes, by, 0, &self.key);
        let proposal = proposal.map_err(|Rejected| Refusal::parameter("The change breaks a rule of its records."))?;
        Ok(View::of(proposal.after, self.strangers))
    }

    /// Makes a change, if `may_be_made` lets it, which sees the state before and after it.
    pub(crate) async fn change_if(
        &self,
        (author, reason, now): (Author, &str, u64),
        sign: Option<SignEvent>,
        decide: impl FnOnce(&View) -> Result<Asked, Refusal> + Send,
        may_be_made: impl FnOnce(&View, &View, &[Change]) -> Result<(), Refusal> + Send,
    ) -> Result<Vec<u64>, Refusal> {
        let _one = self.one_at_a_time.lock().await;
        // Another process may have changed it: what it took away is not decided from, and its change is not in the way.
        if self.store.registry_number().await? != self.view.load().state.number() {
            self.forget();
        }
        let before = self.read_again().await?;
        let Asked { changes, places, events: asked } = decide(&before)?.with_deletions();
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut proposal = self.propose(&before.state, changes.clone(), (author, reason, now))?;
        let after = View::after(&before, proposal.after.clone(), &changes, self.strangers);
        may_be_made(&before, &after, &changes)?;
        keeps_an_administrator(&before, &after, &changes, now)?;
        let (mut events, ended) = revocations(&before, &after, &changes, now);
        if end_by_themselves(&before, author, &ended) {
            proposal.rows.ended_sessions = ended;
        } else if events.len() + ended.len() > MOST_EVENTS {
            events = vec![Event::All];
        } else {
            events.extend(ended.into_iter().map(Event::Credential));
        }
        events.extend(asked);
        let read = self.forgotten.load(Ordering::SeqCst);
        match self.write(&proposal, places, events, sign, now).await {
            Ok(ChangeOutcome::Made { numbers }) => self.take(after, read).await.map(|()| numbers),
            Ok(ChangeOutcome::Conflict(conflict)) => Err(conflict_refused(conflict)),
            Ok(ChangeOutcome::Moved) => {
                self.forget();
                // As every other act on what another process has changed meanwhile.
                Err(ActError::PolicyChanged.into())
            }
            Err(fault) => {
                self.forget();
                Err(fault.into())
            }
        }
    }

    /// Enters events that the vault returned, after this head, and disables the credentials that they are about: an event
    /// does not say whether its credential was disabled or only its tokens were revoked. Returns false, with nothing
    /// written, when the chain has another head.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub async fn recover_events(
        &self,
        chain: &dyn EventStore,
        head: ChainHead,
        events: Vec<StoredEvent>,
        now: u64,
    ) -> Result<bool, RegistryError> {
        let _one = self.one_at_a_time.lock().await;
        let view = self.read_again().await?;
        let mut disabled: Vec<Credential> = Vec::new();
        for event in &events {
            let Event::Credential(id) = event.event else { continue };
            let known = view.state.credential(id).filter(|known| known.disabled_at.is_none());
            if let Some(known) =
                known.filter(|known| disabled.iter().all(|one| one.credential_id != known.credential_id))
            {
                disabled.push(Credential { disabled_at: Some(event.issued_at), ..known.clone() });
            }
        }
        if disabled.is_empty() {
            return Ok(chain.recover_events(head, events, None).await?);
        }
        let changes: Vec<Change> = disabled.into_iter().map(Change::from).collect();
        let by = (Author::Service, "events taken back from the vault", now);
        let proposal = self.propose(&view.state, changes.clone(), by).map_err(|_| RegistryError::Broken)?;
        let after = View::after(&view, proposal.after, &changes, self.strangers);
        let read = self.forgotten.load(Ordering::SeqCst);
        let recovered = chain.recover_events(head, events, Some(proposal.rows.clone())).await;
        match recovered {
            Ok(true) if self.take(after, read).await.is_ok() => Ok(true),
            Ok(is_recovered) => {
                self.forget();
                Ok(is_recovered)
            }
            Err(fault) => {
                self.unsettled.fetch_max(proposal.rows.entry.number, Ordering::SeqCst);
                self.forget();
                Err(fault.into())
            }
        }
    }

    fn propose(&self, state: &Snapshot, changes: Vec<Change>, by: (Author, &str, u64)) -> Result<Proposal, Refusal> {
        let used = self.unsettled.load(Ordering::SeqCst);
        let proposal = state.propose(changes, by, used, &self.key);
        proposal.map_err(|Rejected| Refusal::internal("a change of the registry cannot be written"))
    }

    /// Takes a state into use that is in the database. The anchor is raised first: what was acknowledged is never taken for
    /// something that a crash cut off.
    async fn take(&self, view: View, read: u64) -> Result<(), Refusal> {
        let (file, anchor) = (self.anchor.clone(), view.state.anchor());
        let is_there = self.view.load().state.anchor() == anchor;
        let write =
            move || if is_there && file.read().ok() == Some(Some(anchor)) { Ok(()) } else { file.write(anchor) };
        let written = tokio::task::spawn_blocking(write).await;
        if !matches!(written, Ok(Ok(()))) {
            self.forget();
            return Err(Refusal::outcome_unknown("the anchor of the change was not written"));
        }
        self.store.follow(&view.state);
        self.view.store(Arc::new(view));
        self.read.store(read, Ordering::SeqCst);
        Ok(())
    }

    /// Call it with the lock.
    async fn read_again(&self) -> Result<Arc<View>, RegistryError> {
        if !self.is_stale() {
            return Ok(self.view.load_full());
        }
        let read = self.forgotten.load(Ordering::SeqCst);
        let anchor = self.anchor.clone();
        let known = tokio::task::spawn_blocking(move || anchor.read()).await.ok().and_then(Result::ok).flatten();
        let Some(known) = known else { return self.broken("the anchor cannot be read") };
        // The file may be older than what this process knows, if somebody put it back.
        let own = self.view.load().state.anchor();
        let known = if own.number > known.number { own } else { known };
        let rows = self.store.registry(known.number).await?;
        let Some(newest) = rows.log.last() else { return self.broken("the log is empty") };
        let (Ok(state), Ok(standing)) = (load(&rows, newest, &self.key), known.compare(&rows.log, &self.key)) else {
            return self.broken("records or log were altered");
        };
        if standing == Standing::PutBack {
            return self.broken("an earlier state was put back");
        }
        if self.take(View::of(state, self.strangers), read).await.is_err() {
            return self.broken("the anchor cannot be written");
        }
        self.is_broken.store(false, Ordering::SeqCst);
        self.settle().await;
        Ok(self.view.load_full())
    }

    fn broken(&self, why: &str) -> Result<Arc<View>, RegistryError> {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if !self.is_broken.swap(true, Ordering::SeqCst) {
            tracing::error!(why, "principals and policy cannot be verified; nobody is let in");
        }
        Err(RegistryError::Broken)
    }
}

/// The verified records of the rows. A record of a kind that this program does not know was planted, or is of a newer one.
pub(super) fn load(rows: &RegistryRows, newest: &WrittenEntry, key: &RegistryKey) -> Result<Snapshot, Broken> {
    if rows.has_foreign { Err(Broken) } else { Snapshot::load(&rows.records, newest, key) }
}

impl View {
    fn of(state: Snapshot, strangers: bool) -> Self {
        let facts = Arc::new(state.facts(strangers));
        Self::with(state, facts)
    }

    /// The state after changes of another one. Facts that none of them is about are not built again: a login or a
    /// credential costs the same with few lines of policy and with many.
    fn after(before: &Self, state: Snapshot, changes: &[Change], strangers: bool) -> Self {
        if changes.iter().any(|change| change.name.kind.is_policy()) {
            return Self::of(state, strangers);
        }
        let facts = Arc::new(before.facts.at(PolicyEpoch(state.number())));
        Self::with(state, facts)
    }

    fn with(state: Snapshot, facts: Arc<Facts>) -> Self {
        let rate_limits = state.settings(SettingsId::RateLimits).map(|known| known.rate_limits).unwrap_or_default();
        Self { state, facts, rate_limits }
    }
}

pub(super) fn raise(anchor: &AnchorFile, state: &Snapshot) -> Result<(), StartError> {
    let written = anchor.write(state.anchor());
    written.map_err(|error| StartError::new(format!("The anchor in the key folder cannot be written ({error}).")))
}

pub(super) fn unreadable(fault: StoreFault) -> StartError {
    StartError::new(format!("Principals and policy cannot be read from the database, or written there ({fault})."))
}

pub(super) fn altered(_: Broken) -> StartError {
    StartError::new(
        "Principals and policy of the database are not what this manager wrote: rows were added, altered or removed; \
         restore a backup of the database.",
    )
}

fn unconfirmed(what: &str) -> StartError {
    StartError::new(format!(
        "{what}; look at them with `master-key-manager policy show`, and if they are what shall hold, run \
         `master-key-manager policy confirm`."
    ))
}
