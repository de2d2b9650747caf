//! The audit log: one JSON line per decision, chained by hash.
//!
//! Guarantees that a line is durable when [`AuditLog::record`] returns, that an altered, removed or inserted line is
//! found at the next start or soon after it, and that concurrent requests share one write and one fsync. Refuses (`AuditUnavailable`)
//! rather than let something happen unrecorded. Refusals are counted and sampled, so that no caller can fill the disk that
//! releases wait for, and lines that somebody waits for have room of their own.
//!
//! The log is a row of segments: a full one is left behind, and the next, `audit-<sequence>.jsonl`, begins with the line
//! of that number. A start verifies the newest two before anything is recorded, and the older ones beside the service;
//! if their chain is broken, nothing more is recorded.
//!
//! A file whose write or fsync failed is never appended to again: its end is read from the disk and compared, and the
//! log continues in a new segment. Lines of the old file from its number on do not count: they were never acknowledged,
//! or are in the new file as well.

mod chain;
mod event;
mod origin;
mod queue;
mod reader;
mod record;
mod sampler;
mod settings;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

pub use self::{
    chain::verify,
    event::{Act, Outcome, reference},
    origin::{DecidingRules, Origin},
    reader::{AuditBlock, AuditPlace, BLOCK_BYTES},
    record::{AuditRecord, AuditStatus},
    settings::{AuditSettings, AuditSync},
};
use tokio::sync::Semaphore;

use self::{
    chain::{Older, read_newest},
    queue::Queue,
    record::Entry,
    sampler::Sampler,
    writer::{OpenSegment, Writer, open_segment_file},
};
use crate::{StartError, clock::Clock};

/// The line could not be recorded, so the decision must not take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditUnavailable;

/// The audit log of a service. Clones share it.
#[derive(Clone)]
pub struct AuditLog {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    queue: Arc<Queue>,
    healthy: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    service_name: &'static str,
    sync: AuditSync,
    sampler: Arc<Sampler>,
    /// Readers at once, so that they take no more memory and threads than that.
    readers: Semaphore,
}

/// The most blocks that are read at once.
const READERS: usize = 2;

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody is left who could send a line: the thread writes what waits, and ends.
        let _nobody_waits = self.queue.close();
    }
}

impl AuditLog {
    /// Verifies the newest segments and starts the writer thread, and one that verifies the older segments. `path` is
    /// the first segment, for example `audit.jsonl`; it is made if nothing is there.
    ///
    /// # Errors
    /// The chain of the newest segments is broken, or one cannot be read, is open to others, or cannot be written.
    pub fn open(
        path: &Path,
        service_name: &'static str,
        settings: AuditSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        Self::open_on(path, service_name, settings, clock, Box::new(open_segment_file))
    }

    fn open_on(
        path: &Path,
        service_name: &'static str,
        settings: AuditSettings,
        clock: Arc<dyn Clock>,
        open_segment: OpenSegment,
    ) -> Result<Self, StartError> {
        let queue = Arc::new(Queue::default());
        let sampler = Arc::new(Sampler::default());
        let (inbox, samples) = (Arc::clone(&queue), Arc::clone(&sampler));
        let healthy = Arc::new(AtomicBool::new(true));
        let (end, older) = read_newest(path)?;
        let writer =
            Writer::start(path, end, service_name, settings, Arc::clone(&clock), Arc::clone(&healthy), open_segment)?;
        start_thread("audit-writer", move || writer.run(&inbox, &samples))?;
        if !older.is_empty() {
            let queue = Arc::downgrade(&queue);
            start_thread("audit-verifier", move || verify_older(&older, &queue))?;
        }
        let (sync, path, readers) = (settings.sync, path.to_path_buf(), Semaphore::new(READERS));
        Ok(Self { shared: Arc::new(Shared { path, queue, healthy, clock, service_name, sync, sampler, readers }) })
    }

    /// Records what takes effect only when its line is durable: then it returns.
    ///
    /// # Errors
    /// It is not recorded: the disk failed, the queue is full, or the log is closed. The line may be found later.
    pub async fn record(&self, act: impl Act, origin: &Origin) -> Result<(), AuditUnavailable> {
        self.append(act.line(origin)).await
    }

    async fn append(&self, record: AuditRecord) -> Result<(), AuditUnavailable> {
        let recorded = self.shared.queue.push_awaited(self.render(record))?;
        recorded.await
    }

    /// Records what takes effect anyway. After a fault of the disk its line is written when the disk works again. When too
    /// many such lines wait already, it is only counted, and a line `audit.dropped` has the number. A refusal belongs to
    /// [`AuditLog::record_refusal`].
    pub fn note(&self, outcome: impl Outcome, origin: &Origin) {
        self.append_without_waiting(outcome.line(origin));
    }

    fn append_without_waiting(&self, record: AuditRecord) {
        self.shared.queue.push_unawaited(self.render(record));
    }

    /// Counts a refusal, whoever caused it. The first of its action, code, and token or principal gets a line at once;
    /// those that follow get one line a second, whose `others` says how many more there were. All refusals together get
    /// at most 50 lines in a second of the clock. When more callers are refused than have room, a line without a caller counts them.
    pub fn record_refusal(&self, record: AuditRecord) {
        let entry = Entry { timestamp: self.shared.clock.now(), record, others: 0 };
        if let Some(entry) = self.shared.sampler.count(entry) {
            self.shared.queue.push_unawaited(entry.render(self.shared.service_name));
        }
    }

    /// A block of lines before a place, or before the end of the log, as far as `read` can read them; the newest first. The
    /// log may be written meanwhile. A line may be among them that is not durable yet.
    ///
    /// # Errors
    /// A file cannot be read.
    pub async fn read_back<T: Send + 'static>(
        &self,
        before: Option<AuditPlace>,
        read: impl Fn(&[u8]) -> Option<T> + Send + 'static,
    ) -> Result<AuditBlock<T>, AuditUnavailable> {
        let _one = self.shared.readers.acquire().await.map_err(|_| AuditUnavailable)?;
        let path = self.shared.path.clone();
        let found = tokio::task::spawn_blocking(move || reader::read_back(&path, before, read)).await;
        let found = found.map_err(|_| AuditUnavailable)?;
        found.map_err(|error| {
            tracing::warn!(%error, "the audit log was not read");
            AuditUnavailable
        })
    }

    /// Whether the last write succeeded.
    pub fn is_healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::SeqCst)
    }

    /// When lines count as recorded, for `/health/ready`.
    pub fn sync(&self) -> AuditSync {
        self.shared.sync
    }

    /// Writes what is queued and the open samples, fsyncs and ends the writer thread. Later records fail.
    pub async fn flush_and_close(&self) {
        if let Some(closed) = self.shared.queue.close() {
            let _gone_already = closed.await;
        }
    }

    fn render(&self, record: AuditRecord) -> Vec<u8> {
        Entry { timestamp: self.shared.clock.now(), record, others: 0 }.render(self.shared.service_name)
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| StartError::new(format!("The audit thread cannot be started ({error}).")))
}

/// Closes the log if the chain of its older segments is broken.
fn verify_older(older: &Older, queue: &Weak<Queue>) {
    // Requests come first. On Linux a thread has a niceness of its own.
    let _served_all_the_same = rustix::process::nice(19);
    match older.verify() {
        Ok(lines) => tracing::info!(lines, "the older segments of the audit log were verified"),
        Err(error) => {
            tracing::error!(%error, "nothing more is recorded or released");
            let _nobody_waits = queue.upgrade().map(|queue| queue.close());
        }
    }
}

#[cfg(test)]
mod tests;
