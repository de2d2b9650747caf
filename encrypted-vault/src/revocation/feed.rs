//! The feed of events: applied in order, durable before it is acknowledged, and checked against the mark.
//!
//! Refuses gaps and other content under a known number. Says [`Verdict::Behind`] whenever the vault may have missed a
//! revocation: a token that knows of newer events, seal keys that are all new until the manager's newest number is
//! known to have been applied, or events that a poll told of and that do not come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError, RwLock};

use service_runtime::clock::Clock;
use service_runtime::readiness::Trouble;
use service_runtime::sqlite::StoreFault;
use shared_proto::Rejected;
use shared_proto::event::{EventClaims, EventHash, event_hash};
use shared_proto::token::Grant;
use shared_proto::wire::vault::MAX_PAGE;
use tokio::sync::Mutex;

use super::chain::{self, Loaded, Source};
use super::gate::Gate;
use super::told::Told;
use super::working_set::{TokenFacts, Verdict, WorkingSet};
use super::{Mark, MarkFile};
use crate::keys::seal::LIFE_SECONDS;
use crate::store::VaultStore;

/// Why events are not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedError {
    /// An event is missing before the first one sent.
    Gap {
        /// The number that is expected.
        expected: u64,
    },
    /// A known number came with other content, or the chain does not fit.
    Conflict,
    /// An event is not from the pinned manager, or not in form.
    Rejected,
    /// The database failed.
    Store(StoreFault),
    /// The mark could not be raised.
    Mark,
}

/// The applied events and what follows from them.
pub struct Feed {
    store: Arc<dyn VaultStore>,
    mark: MarkFile,
    clock: Arc<dyn Clock>,
    source: Source,
    state: RwLock<State>,
    // Taken while events are applied, so that there is one writer of the chain.
    applying: Mutex<()>,
    // What the mark in the file says; none when that does not stand for this database. Held while the file is written.
    marked: Arc<BlockingMutex<Option<Mark>>>,
    // The last attempt to bring the file there failed.
    mark_failed: AtomicBool,
}

struct State {
    applied: Mark,
    // A write failed or did not say how it ended: the database may hold more than is applied here.
    unsure: bool,
    stopped: bool,
    gate: Gate,
    told: Told,
    set: WorkingSet,
}

impl State {
    fn is_late(&self, clock: &dyn Clock) -> bool {
        self.told.is_late(|| clock.boot())
    }
}

impl Feed {
    /// Loads the chain and compares it with the mark. The second answer is whether the database is older than the mark,
    /// or the mark is gone: then every seal key must be destroyed.
    ///
    /// # Errors
    /// A sentence, when the chain in the database is broken or unreadable.
    pub async fn open(
        store: Arc<dyn VaultStore>,
        mark: MarkFile,
        clock: Arc<dyn Clock>,
        source: Source,
    ) -> Result<(Self, bool), String> {
        let known = mark.read();
        let Loaded { head, set, contains } = chain::load(&store, known, clock.boot()).await?;
        let state =
            State { applied: head, unsure: false, stopped: false, gate: Gate::NeedsPoll, told: Told::default(), set };
        let marked = Arc::new(BlockingMutex::new(known.filter(|_| contains)));
        let (state, applying) = (RwLock::new(state), Mutex::new(()));
        let mark_failed = AtomicBool::new(false);
        Ok((Self { store, mark, clock, source, state, applying, marked, mark_failed }, !contains))
    }

    /// Opens the gate: seal keys from before this start are alive, and the database is not older than the mark.
    pub fn trust_history(&self) {
        self.write().gate = Gate::Open;
    }

    /// Closes the gate: all seal keys are new.
    pub fn distrust_history(&self) {
        self.write().gate = Gate::NeedsPoll;
    }

    /// What revocation says about a token.
    pub fn check_token(&self, token: &TokenFacts) -> Verdict {
        let state = self.read();
        if state.set.hits_token(token) {
            Verdict::Revoked
        } else if state.gate != Gate::Open || token.rseq > state.applied.applied || state.is_late(&*self.clock) {
            Verdict::Behind
        } else {
            Verdict::Allowed
        }
    }

    /// What revocation says about one grant of a token.
    pub fn check_grant(&self, rseq: u64, grant: &Grant) -> Verdict {
        if self.read().set.hits_grant(rseq, grant) { Verdict::Revoked } else { Verdict::Allowed }
    }

    /// The newest applied event, once it is marked: what a feed state may say. While the gate is closed no mark stands,
    /// which is the strongest one: a vault that starts without it destroys its seal keys and waits for a poll again.
    ///
    /// # Errors
    /// The mark cannot be raised or removed; then nothing is acknowledged.
    pub async fn acknowledge(&self) -> Result<Mark, FeedError> {
        let (applied, open) = {
            let state = self.read();
            (state.applied, state.gate == Gate::Open)
        };
        let (marked, file) = (Arc::clone(&self.marked), self.mark.clone());
        // The lock is held where the file is written: a caller that goes away would drop a lock of its own while the
        // write goes on, and a newer mark could be overtaken by it.
        let raised = service_runtime::tasks::blocking(move || {
            let mut marked = marked.lock().unwrap_or_else(PoisonError::into_inner);
            if !open {
                *marked = None;
                return file.remove();
            }
            if marked.is_none_or(|marked| marked.applied < applied.applied) {
                file.write(applied)?;
                *marked = Some(applied);
            }
            Ok(())
        });
        let raised = raised.await.is_ok_and(|raised| {
            raised.inspect_err(|error| tracing::error!(%error, "the mark cannot be raised or removed")).is_ok()
        });
        self.mark_failed.store(!raised, Ordering::SeqCst);
        if raised { Ok(applied) } else { Err(FeedError::Mark) }
    }

    /// Writes the mark again if its file has vanished. Not for an async thread.
    pub fn keep_mark(&self) {
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = marked.filter(|_| self.mark.is_missing()) {
            let written = self.mark.write(mark);
            let failed_before = self.mark_failed.swap(written.is_err(), Ordering::SeqCst);
            match written {
                Ok(()) => tracing::warn!(applied = mark.applied, "the mark had vanished; it is there again"),
                Err(error) if !failed_before => tracing::error!(%error, "the mark has vanished and cannot be written"),
                Err(_) => {}
            }
        }
    }

    /// Applies events: verified, in order, durable; what is known already changes nothing.
    ///
    /// # Errors
    /// See [`FeedError`]; whatever precedes the refused event in the list stays unapplied too.
    pub async fn push(&self, events: &[String]) -> Result<(), FeedError> {
        let _one_at_a_time = self.applying.lock().await;
        if self.read().unsure {
            self.catch_up().await?;
        }
        let mut head = self.read().applied;
        let mut fresh: Vec<(EventClaims, String)> = Vec::new();
        for compact in events {
            let claims = self.source.verify(compact).map_err(|Rejected| FeedError::Rejected)?;
            if claims.seq <= head.applied {
                match fresh.iter().find(|(known, _)| known.seq == claims.seq) {
                    Some((_, known)) if known == compact => {}
                    Some(_) => return Err(self.stop()),
                    None => self.compare_known(claims.seq, compact).await?,
                }
                continue;
            }
            if claims.seq > head.applied + 1 {
                return Err(FeedError::Gap { expected: head.applied + 1 });
            }
            let next = chain::link(head, &claims, compact).filter(|next| !self.read().gate.contradicts(*next));
            head = next.ok_or_else(|| self.stop())?;
            fresh.push((claims, compact.clone()));
        }
        if self.read().stopped {
            return Err(FeedError::Conflict);
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let rows = fresh.iter().map(|(claims, compact)| chain::new_event(claims, compact)).collect();
        if let Err(fault) = self.store.append_events(rows, self.clock.now()).await {
            self.write().unsure = true;
            // What was written counts from now on; what cannot be read now is read before the next event is applied.
            let _read_later = self.catch_up().await;
            return Err(FeedError::Store(fault));
        }
        self.apply(fresh.iter().map(|(claims, _)| claims), head);
        Ok(())
    }

    /// Takes note of the newest event that a verified poll named. `names_living_seal_key` says that the poll was made
    /// after this vault's present seal keys, so that it cannot be an older, replayed one.
    ///
    /// # Errors
    /// The manager's chain is not ours.
    pub async fn heard(&self, newest: Mark, names_living_seal_key: bool) -> Result<(), FeedError> {
        let applied = self.read().applied;
        let agrees = match newest.applied.cmp(&applied.applied) {
            std::cmp::Ordering::Equal => newest.event_hash == applied.event_hash,
            std::cmp::Ordering::Less => self.hash_at(newest.applied).await? == newest.event_hash,
            std::cmp::Ordering::Greater => true,
        };
        if !agrees {
            return Err(self.stop());
        }
        let mut state = self.write();
        let applied = state.applied;
        state.told.heard(newest.applied, applied.applied, self.clock.boot());
        if names_living_seal_key {
            state.gate.heard(newest, applied);
        }
        Ok(())
    }

    /// Up to `limit` applied events after a number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn replay(&self, after: u64, limit: usize) -> Result<Vec<String>, StoreFault> {
        Ok(self.store.events(after, limit).await?.into_iter().map(|(_, compact)| compact).collect())
    }

    /// What keeps the feed from being in step, for `/health/ready`.
    pub fn checks(&self) -> [(Trouble, bool); 4] {
        let state = self.read();
        [
            (Trouble::Storage, state.unsure || self.mark_failed.load(Ordering::SeqCst)),
            (Trouble::Conflict, state.stopped),
            (Trouble::Starting, state.gate == Gate::NeedsPoll),
            (Trouble::CatchingUp, matches!(state.gate, Gate::NeedsEvents(_)) || state.is_late(&*self.clock)),
        ]
    }

    /// Drops revocations that no living token can be hit by.
    pub fn forget_expired(&self) {
        let boot = self.clock.boot();
        if let Some(oldest) = boot.checked_sub(LIFE_SECONDS) {
            self.write().set.forget_before(oldest);
        }
    }

    // Applies what the database holds beyond the state in memory.
    async fn catch_up(&self) -> Result<(), FeedError> {
        loop {
            let mut head = self.read().applied;
            let page = self.store.events(head.applied, MAX_PAGE).await.map_err(FeedError::Store)?;
            let mut found = Vec::with_capacity(page.len());
            for (seq, compact) in &page {
                let claims = self.source.verify(compact).map_err(|Rejected| FeedError::Store(StoreFault::Corrupt))?;
                let next = chain::link(head, &claims, compact).filter(|next| next.applied == *seq);
                head = next.ok_or(FeedError::Store(StoreFault::Corrupt))?;
                found.push(claims);
            }
            self.apply(found.iter(), head);
            if page.len() < MAX_PAGE {
                self.write().unsure = false;
                return Ok(());
            }
        }
    }

    fn apply<'e>(&self, events: impl Iterator<Item = &'e EventClaims>, head: Mark) {
        let boot = self.clock.boot();
        let mut state = self.write();
        for claims in events {
            state.set.apply(claims.seq, &claims.event, boot);
        }
        state.applied = head;
        state.gate.applied(head);
        state.told.applied(head.applied);
    }

    async fn compare_known(&self, seq: u64, compact: &str) -> Result<(), FeedError> {
        if self.hash_at(seq).await? == event_hash(compact) { Ok(()) } else { Err(self.stop()) }
    }

    async fn hash_at(&self, seq: u64) -> Result<EventHash, FeedError> {
        chain::hash_at(&self.store, seq).await.map_err(FeedError::Store)
    }

    fn stop(&self) -> FeedError {
        let mut state = self.write();
        if !state.stopped {
            tracing::error!(
                applied = state.applied.applied,
                "ALARM: the manager's events contradict those applied here; the feed is stopped"
            );
        }
        state.stopped = true;
        FeedError::Conflict
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
