//! The one connection that writes.
//!
//! Jobs that wait together share a transaction and its fsync. Each has a savepoint of its own, so that a failed job
//! undoes nothing of its neighbours. No job is answered before the commit. After a fault of the disk every job is
//! refused until [`Health`] trusts the database again.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    BUSY_TIMEOUT, Health, StoreFault, cannot_open, cannot_use, code_of, execute, fault_of,
    health::Files,
    job::{Job, Typed},
    user_version,
};
use crate::StartError;

/// A handle of the writer thread. Clones share it; it ends when the last is dropped, or by [`Writer::close`].
#[derive(Clone)]
pub struct Writer {
    queue: SyncSender<Message>,
    observer: Option<Arc<dyn Fn(usize) + Send + Sync>>,
    health: Health,
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// Jobs in one transaction: bounds how long the first of them waits for the others.
const MAX_BATCH: usize = 256;
/// Jobs that wait; more means that the disk does not keep up.
const QUEUE: usize = 4_096;
/// How often a database that is not trusted is tried again, also when there is nothing to write. A check that takes
/// long is repeated less often.
const RETRY: Duration = Duration::from_secs(1);

impl Writer {
    /// Starts the writer thread on a connection of [`super::open_writer`].
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn(conn: Connection) -> Result<Self, StartError> {
        Self::spawn_observed(conn, None)
    }

    /// [`Writer::spawn`] with an `observer`, which gets the number of jobs of each committed batch (metrics, tests).
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn spawn_observed(
        conn: Connection,
        observer: Option<Arc<dyn Fn(usize) + Send + Sync>>,
    ) -> Result<Self, StartError> {
        let (queue, inbox) = sync_channel(QUEUE);
        let (committed, health) = (observer.clone(), Health::default());
        let path = conn.path().map(PathBuf::from).unwrap_or_default();
        // SQLite opens the write-ahead log with the first read.
        user_version(&conn).map_err(|error| cannot_open(&path, &error))?;
        health.hold(&path).map_err(|error| cannot_use(&path, &error))?;
        let not_before = Instant::now();
        let file = DatabaseFile { path, conn: Some(conn), health: health.clone(), not_before, log_is_cut: false };
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(file, inbox, committed.as_deref()))
            .map_err(|error| StartError::new(format!("The database thread cannot be started ({error}).")))?;
        Ok(Self { queue, observer, health })
    }

    /// The health of the database's disk, which [`super::Readers`] of the same database share.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Runs `job` in a transaction and returns when it is committed. The job runs to its end even if the caller goes
    /// away. It must not begin, commit or roll back transactions.
    ///
    /// # Errors
    /// The job returned an error or panicked and was undone, the queue is full, or the commit failed.
    pub async fn run<T, F>(&self, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run_named("unnamed", job).await
    }

    /// Like [`Writer::run`]; `name` stands in the log when the job fails.
    pub(crate) async fn run_named<T, F>(&self, name: &'static str, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Typed::new(name, job, reply));
        self.queue.try_send(Message::Job(job)).map_err(|_| StoreFault::Unavailable)?;
        // The thread answers every job; if it vanished, nobody knows how far it came.
        answer.await.unwrap_or(Err(StoreFault::OutcomeUnknown))
    }

    /// Finishes what is queued, writes the WAL back into the database and ends the thread.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        let queue = self.queue.clone();
        // A full queue makes this wait, so not on a runtime thread.
        let sent = tokio::task::spawn_blocking(move || queue.send(Message::Close(reply)).is_ok()).await;
        if sent.unwrap_or(false) {
            let _gone_already = closed.await;
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("observed", &self.observer.is_some()).finish_non_exhaustive()
    }
}

/// The thread's database.
struct DatabaseFile {
    path: PathBuf,
    // None while the file is not trusted.
    conn: Option<Connection>,
    health: Health,
    not_before: Instant,
    // Nothing was committed since the log was cut.
    log_is_cut: bool,
}

impl DatabaseFile {
    /// A connection to a trusted database. After a loss of trust it is opened again, at most once in [`RETRY`].
    fn trusted(&mut self) -> Result<&Connection, StoreFault> {
        match self.health.look() {
            Files::InPlace => {}
            // Acknowledged writes go from the lost log into the database. Then both are opened again.
            Files::LogLost if self.conn.is_none() || self.cut_log() => self.health.distrust(),
            Files::LogLost | Files::DatabaseLost => return Err(StoreFault::Unavailable),
        }
        if !self.health.is_good() {
            self.conn = None;
            let begun = Instant::now();
            if begun >= self.not_before {
                self.conn = self.health.reopen(&self.path).inspect_err(|error| tracing::error!(%error)).ok();
                self.not_before = Instant::now() + RETRY.max(begun.elapsed() * 10);
            }
        }
        self.conn.as_ref().ok_or(StoreFault::Unavailable)
    }

    /// Carries the jobs out. No job is answered before the files were seen at their paths, so that a file that is
    /// removed later is removed after the answer.
    fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreFault> {
        let health = self.health.clone();
        let conn = self.trusted()?;
        write_batch(conn, &health, jobs)?;
        self.log_is_cut = false;
        if self.health.look() == Files::InPlace { Ok(()) } else { Err(StoreFault::OutcomeUnknown) }
    }

    /// Writes the log into the database and cuts it, unless a reader uses it.
    fn cut_log(&mut self) -> bool {
        let Some(conn) = &self.conn else { return false };
        let cut = conn
            .busy_timeout(Duration::ZERO)
            .and_then(|()| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)))
            .map(|busy| !busy);
        let patient = conn.busy_timeout(BUSY_TIMEOUT);
        self.log_is_cut = patient
            .and(cut)
            .inspect_err(|error| {
                self.health.note(error);
            })
            .unwrap_or(false);
        self.log_is_cut
    }
}

fn run(mut file: DatabaseFile, inbox: Receiver<Message>, committed: Option<&(dyn Fn(usize) + Send + Sync)>) {
    let mut closing = None;
    while closing.is_none() {
        let first = match inbox.recv_timeout(RETRY) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                // Deleted rows do not lie in the log for longer than they must, and a burst of writes leaves no large one.
                if file.trusted().is_ok() && !file.log_is_cut {
                    file.cut_log();
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let (mut jobs, mut next) = (Vec::new(), Some(first));
        while let Some(message) = next {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Close(reply) => {
                    closing = Some(reply);
                    break;
                }
            }
            next = if jobs.len() < MAX_BATCH { inbox.try_recv().ok() } else { None };
        }
        if jobs.is_empty() {
            continue;
        }
        let outcome = file.write(&mut jobs);
        if let (Ok(()), Some(committed)) = (outcome, committed) {
            committed(jobs.len());
        }
        for job in jobs {
            job.answer(outcome);
        }
    }
    // Not essential: the next start would do the same from the WAL.
    if let Some(conn) = &file.conn {
        let _checkpointed = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    // Whoever waits for the close may open the file at once, and no later job may slip in.
    drop(file);
    drop(inbox);
    if let Some(reply) = closing {
        let _caller_gone = reply.send(());
    }
}

fn write_batch(conn: &Connection, health: &Health, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreFault> {
    execute(conn, "BEGIN IMMEDIATE").map_err(|error| {
        tracing::error!(error = code_of(&error), "a transaction cannot be begun");
        health.note(&error);
        fault_of(&error)
    })?;
    let mut lost = None;
    for job in jobs.iter_mut() {
        if let Some(fault) = lost {
            job.refuse(fault);
        } else if let Err(error) = in_savepoint(conn, health, job.as_mut()) {
            // The transaction is gone, or stands on a disk that failed: nothing of the batch is written.
            tracing::error!(error = code_of(&error), "a transaction was lost");
            lost = Some(fault_of(&error));
        }
    }
    if let Some(fault) = lost {
        return Err(roll_back(conn, fault));
    }
    execute(conn, "COMMIT").map_err(|error| {
        tracing::error!(error = code_of(&error), "a transaction cannot be committed");
        health.note(&error);
        // The frame of the commit may have reached the WAL although the fsync failed: a crash now would replay it.
        let unclear = error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure);
        roll_back(conn, if unclear { StoreFault::OutcomeUnknown } else { fault_of(&error) })
    })
}

/// An error of the job is the job's; an error of this function is the batch's.
fn in_savepoint(conn: &Connection, health: &Health, job: &mut dyn Job) -> rusqlite::Result<()> {
    execute(conn, "SAVEPOINT job").inspect_err(|error| {
        health.note(error);
    })?;
    let worked = job.work(conn);
    if conn.is_autocommit() {
        // SQLite rolled the whole transaction back by itself.
        let error = worked.err().unwrap_or(rusqlite::Error::InvalidQuery);
        health.note(&error);
        return Err(error);
    }
    match worked {
        Ok(()) => execute(conn, "RELEASE job"),
        Err(error) if health.note(&error) => Err(error),
        Err(_) => conn.execute_batch("ROLLBACK TO job; RELEASE job"),
    }
}

/// The error of a batch: nothing of the transaction is written, or that is not known.
fn roll_back(conn: &Connection, fault: StoreFault) -> StoreFault {
    if !conn.is_autocommit() {
        return if conn.execute_batch("ROLLBACK").is_ok() { fault } else { StoreFault::OutcomeUnknown };
    }
    fault
}
