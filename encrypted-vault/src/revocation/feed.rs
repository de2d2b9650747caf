//! The feed of events: applied in order, durable before it is acknowledged, and checked against the mark.
//!
//! Refuses gaps, and other content under a known number. Answers [`Verdict::Behind`] whenever the vault may have missed
//! a revocation. That is so for a token that knows of newer events, while all seal keys are new and the manager's
//! newest event is not known to be applied, and while an announced event does not come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError, RwLock};

use service_runtime::clock::Clock;
use service_runtime::readiness::Trouble;
use service_runtime::sql::StoreFault;
use shared_proto::Rejected;
use shared_proto::chain::{ChainHead, Step};
use shared_proto::event::{EventClaims, EventHash, event_hash};
use shared_proto::id::{SecretId, Version};
use shared_proto::token::Grant;
use shared_proto::wire::vault::MAX_PAGE;
use tokio::sync::Mutex;

use super::announced::Announced;
use super::chain::{self, Loaded, Source};
use super::ended::Ended;
use super::gate::HistoryGate;
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

/// The applied events, and the state that follows from them.
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
    head: ChainHead,
    // Every event from this number on is in the database; of those below, what has ended may be gone.
    whole_from: u64,
    ended: Ended,
    // A write failed or did not say how it ended: the database may hold more than is applied here.
    unsure: bool,
    stopped: bool,
    gate: HistoryGate,
    announced: Announced,
    set: WorkingSet,
}

/// A verified event that is not applied yet.
struct Fresh {
    /// The number before it.
    after: u64,
    /// The highest number that is missing before it.
    over: Option<u64>,
    claims: EventClaims,
    compact: String,
}

impl State {
    fn is_late(&self, clock: &dyn Clock) -> bool {
        self.announced.is_late(|| clock.boot())
    }

    /// The range of ended events to drop: after the first number, up to the second. The newest event stays, because
    /// others will follow it.
    fn due(&mut self, boot: u64) -> Option<(u64, u64)> {
        let (looked_at, ended) = self.ended.at(boot);
        let end = ended.min(self.head.number.saturating_sub(1));
        (looked_at < end && !self.unsure).then_some((looked_at, end))
    }
}

impl Feed {
    /// Loads the chain and compares it with the mark. Also returns whether the database is older than the mark, or the
    /// mark is missing. Then every seal key must be destroyed.
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
        let Loaded { head, set, whole_from, contains } = chain::load(&store, known, clock.boot()).await?;
        let ended = Ended::loaded(head.number, clock.boot());
        let state = State {
            head,
            whole_from,
            ended,
            unsure: false,
            stopped: false,
            gate: HistoryGate::NeedsPoll,
            announced: Announced::default(),
            set,
        };
        let marked = Arc::new(BlockingMutex::new(known.filter(|_| contains)));
        let (state, applying) = (RwLock::new(state), Mutex::new(()));
        let mark_failed = AtomicBool::new(false);
        Ok((Self { store, mark, clock, source, state, applying, marked, mark_failed }, !contains))
    }

    /// Opens the gate. Call it only when seal keys from before this start are alive and the database is not older than
    /// the mark.
    pub fn trust_history(&self) {
        self.write().gate = HistoryGate::Open;
    }

    /// Closes the gate: all seal keys are new.
    pub fn distrust_history(&self) {
        self.write().gate = HistoryGate::NeedsPoll;
    }

    /// The verdict of revocation about a token.
    pub fn check_token(&self, token: &TokenFacts) -> Verdict {
        let state = self.read();
        if state.set.hits_token(token) {
            Verdict::Revoked
        } else if state.gate != HistoryGate::Open || token.rseq > state.head.number || state.is_late(&*self.clock) {
            Verdict::Behind
        } else {
            Verdict::Allowed
        }
    }

    /// The verdict of revocation about one grant of a token.
    pub fn check_grant(&self, rseq: u64, grant: &Grant) -> Verdict {
        if self.read().set.hits_grant(rseq, grant) { Verdict::Revoked } else { Verdict::Allowed }
    }

    /// How many versions are destroyed.
    pub fn destroyed(&self) -> usize {
        self.read().set.destroyed()
    }

    /// Whether a version is destroyed.
    pub fn is_destroyed(&self, secret: SecretId, version: Version) -> bool {
        self.read().set.is_destroyed(secret, version)
    }

    /// The newest applied event, after it is marked: a feed state may state it. While the gate is closed there is no
    /// mark in the file. That is the strongest mark: a vault that starts without one destroys its seal keys and waits
    /// for a poll again.
    ///
    /// # Errors
    /// The mark cannot be raised or removed. Then nothing is acknowledged.
    pub async fn acknowledge(&self) -> Result<Mark, FeedError> {
        let (applied, open) = {
            let state = self.read();
            (Mark::from(state.head), state.gate == HistoryGate::Open)
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

    /// Verifies events and applies them in order and durably. Known events change nothing. Numbers that are missing
    /// below `dropped_below` are skipped, and every token that they could hit is revoked.
    ///
    /// # Errors
    /// See [`FeedError`]. The events before the refused one in the list stay unapplied too.
    pub async fn push(&self, events: &[String], dropped_below: u64) -> Result<(), FeedError> {
        let _one_at_a_time = self.applying.lock().await;
        if self.read().unsure {
            self.catch_up().await?;
        }
        let mut head = self.read().head;
        let mut fresh: Vec<Fresh> = Vec::new();
        for compact in events {
            let claims = self.source.verify(compact).map_err(|Rejected| FeedError::Rejected)?;
            let (after, over) = (head.number, claims.seq - 1);
            let (next, over) = match head.step(&claims, compact, dropped_below) {
                Step::Known => {
                    match fresh.iter().find(|known| known.claims.seq == claims.seq) {
                        Some(known) if known.compact == *compact => {}
                        Some(_) => return Err(self.stop()),
                        None => self.compare_known(claims.seq, compact).await?,
                    }
                    continue;
                }
                Step::Next(next) => (next, None),
                Step::Over(next) => (next, Some(over)),
                Step::Gap => return Err(FeedError::Gap { expected: head.number + 1 }),
                Step::Conflict => return Err(self.stop()),
            };
            if self.read().gate.contradicts(Mark::from(next)) {
                return Err(self.stop());
            }
            head = next;
            fresh.push(Fresh { after, over, claims, compact: compact.clone() });
        }
        if self.read().stopped {
            return Err(FeedError::Conflict);
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let rows = fresh.iter().map(|new| chain::new_event(new.after, &new.claims, &new.compact)).collect();
        if let Err(fault) = self.store.append_events(rows, self.clock.now()).await {
            self.write().unsure = true;
            // What was written counts from now on; what cannot be read now is read before the next event is applied.
            let _read_later = self.catch_up().await;
            return Err(FeedError::Store(fault));
        }
        self.apply(&fresh, head);
        Ok(())
    }

    /// Notes the newest event that a verified poll names. `names_living_seal_key` says that the poll was made after
    /// this vault's present seal keys. `is_newer` says that it was made after all polls before it.
    ///
    /// # Errors
    /// The manager's chain is another one than this vault's.
    pub async fn note_poll(&self, newest: Mark, names_living_seal_key: bool, is_newer: bool) -> Result<(), FeedError> {
        let applied = Mark::from(self.read().head);
        let agrees = match newest.applied.cmp(&applied.applied) {
            std::cmp::Ordering::Equal => newest.event_hash == applied.event_hash,
            std::cmp::Ordering::Less => {
                self.hash_at(newest.applied).await?.is_none_or(|known| known == newest.event_hash)
            }
            std::cmp::Ordering::Greater => true,
        };
        if !agrees {
            return Err(self.stop());
        }
        let mut state = self.write();
        let applied = Mark::from(state.head);
        state.announced.note_poll(newest.applied, applied.applied, self.clock.boot(), is_newer);
        if names_living_seal_key {
            state.gate.note_poll(newest, applied);
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

    /// The reasons why the feed is not in step, for `/health/ready`.
    pub fn checks(&self) -> [(Trouble, bool); 4] {
        let state = self.read();
        [
            (Trouble::Storage, state.unsure || self.mark_failed.load(Ordering::SeqCst)),
            (Trouble::Conflict, state.stopped),
            (Trouble::Starting, state.gate == HistoryGate::NeedsPoll),
            (Trouble::CatchingUp, matches!(state.gate, HistoryGate::NeedsEvents(_)) || state.is_late(&*self.clock)),
        ]
    }

    /// Forgets revocations that can hit no living token.
    pub fn forget_expired(&self) {
        let boot = self.clock.boot();
        if let Some(oldest) = boot.checked_sub(LIFE_SECONDS) {
            self.write().set.forget_before(oldest);
        }
    }

    /// Drops ended events from the database, a page in each transaction, so that a revocation waits for one page at
    /// most.
    ///
    /// # Errors
    /// The database failed. The remaining events are dropped another time.
    pub async fn drop_ended(&self) -> Result<(), StoreFault> {
        let Some((mut after, end)) = self.write().due(self.clock.boot()) else { return Ok(()) };
        while after < end {
            let page = self.store.events(after, MAX_PAGE).await?;
            let due = page.iter().take_while(|(seq, _)| *seq <= end);
            let ended: Vec<u64> = due
                .filter(|(_, compact)| EventClaims::reread(compact).is_ok_and(|claims| claims.may_be_dropped()))
                .map(|(seq, _)| *seq)
                .collect();
            after = page.last().map_or(end, |(seq, _)| end.min(*seq));
            if let Some(last) = ended.last() {
                // Before they are gone: what is missing from here on would be damage.
                let whole_from = self.read().whole_from.max(last + 1);
                self.write().whole_from = whole_from;
                self.store.drop_events(ended).await?;
            }
            self.write().ended.looked_at(after);
        }
        Ok(())
    }

    // Applies what the database holds beyond the state in memory.
    async fn catch_up(&self) -> Result<(), FeedError> {
        loop {
            let mut head = self.read().head;
            let page = self.store.events(head.number, MAX_PAGE).await.map_err(FeedError::Store)?;
            let mut found = Vec::with_capacity(page.len());
            for (seq, compact) in &page {
                let claims = self.source.verify(compact).map_err(|Rejected| FeedError::Store(StoreFault::Corrupt))?;
                let (after, over) = (head.number, seq.checked_sub(1));
                let (next, over) = match head.step(&claims, compact, *seq) {
                    Step::Next(next) if next.number == *seq => (next, None),
                    Step::Over(next) if next.number == *seq => (next, over),
                    Step::Known | Step::Next(_) | Step::Over(_) | Step::Gap | Step::Conflict => {
                        return Err(FeedError::Store(StoreFault::Corrupt));
                    }
                };
                head = next;
                found.push(Fresh { after, over, claims, compact: compact.clone() });
            }
            self.apply(&found, head);
            if page.len() < MAX_PAGE {
                self.write().unsure = false;
                return Ok(());
            }
        }
    }

    fn apply(&self, events: &[Fresh], head: ChainHead) {
        let boot = self.clock.boot();
        let mut state = self.write();
        for new in events {
            if let Some(last_missing) = new.over {
                tracing::warn!(
                    after = new.after,
                    last_missing,
                    "events that the manager has dropped are missing here: the database is an older one, and every token \
                     of that time is revoked"
                );
                state.set.pass_over(last_missing, boot);
                state.whole_from = new.claims.seq;
            }
            state.set.apply(new.claims.seq, &new.claims.event, boot);
        }
        state.head = head;
        state.ended.applied(head.number, boot);
        state.gate.applied(Mark::from(head));
        state.announced.applied(head.number);
    }

    async fn compare_known(&self, seq: u64, compact: &str) -> Result<(), FeedError> {
        let agrees = self.hash_at(seq).await?.is_none_or(|known| known == event_hash(compact));
        if agrees { Ok(()) } else { Err(self.stop()) }
    }

    // The hash of an applied event; none when it was dropped: then nothing that it said matters any more.
    async fn hash_at(&self, seq: u64) -> Result<Option<EventHash>, FeedError> {
        let found = chain::hash_at(&self.store, seq).await.map_err(FeedError::Store)?;
        if found.is_none() && seq >= self.read().whole_from {
            return Err(FeedError::Store(StoreFault::Corrupt));
        }
        Ok(found)
    }

    fn stop(&self) -> FeedError {
        let mut state = self.write();
        if !state.stopped {
            tracing::error!(
                applied = state.head.number,
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
