//! PostgreSQL: transactions at SERIALIZABLE, which run again after a conflict.
//!
//! Guarantees those of [`super::Database`], and that one copy of a service at a time uses its database (module `lease`).
//! Refuses servers that may lose what they have committed, and ways to a server that others can read.

mod advice;
mod lease;
mod schema;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod value;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
    time::{Duration, Instant},
};

use tokio_util::task::TaskTracker;

use self::lease::{Lease, Renewal};
pub(in crate::sql) use self::session::Session;
pub use self::settings::{PostgresOptions, Server};
use super::{Schema, SqlError, StoreFault, Tx, location::Missing};
use crate::{StartError, sampled::Sampled, workers::Workers};

/// A database on a server. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Postgres {
    writers: Workers<Place>,
    readers: Workers<Place>,
    lease: Lease,
    renewal: Arc<Renewal>,
    writes: TaskTracker,
    unconnected: Unconnected,
}

/// Why the last attempt to connect failed, if it did.
type Unconnected = Arc<Mutex<Option<String>>>;

/// The place of one connection, on a thread of its own.
struct Place {
    server: Server,
    lease: Lease,
    alone: Arc<RwLock<()>>,
    unconnected: Unconnected,
    // None before its first use and after it was lost.
    session: Option<Session>,
}

/// How a transaction ended without a result.
enum End {
    /// Because of another transaction: it is worth another attempt.
    Conflict(SqlError),
    /// The connection was lost, with nothing written.
    Lost(SqlError),
    /// The job failed and was undone.
    Failed(SqlError),
    /// The job panicked and was undone.
    Panicked,
    /// Another copy of the service has the database.
    Replaced,
    /// This copy may not use the database now. The thread of the lease says why.
    NotHeld,
    /// The server did not say whether it committed.
    Unclear(SqlError),
}

/// Writes that met this many conflicts run while no other write of this process does.
const CONFLICTS: u32 = 3;
/// How long a write is tried again because of conflicts.
const TRYING: Duration = Duration::from_secs(10);

/// The lock makes a takeover wait for this transaction. A transaction takes its snapshot after it.
const WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE service_copy IN ROW SHARE MODE; \
     SELECT generation, renewal FROM service_copy";
/// Serializable, too: what is destroyed after a look must not be written by a transaction that the look did not see.
const READ: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SELECT generation, renewal FROM service_copy";

/// Lines about jobs that failed. Strangers can cause jobs.
static LINES: Sampled = Sampled::new();

impl Postgres {
    /// Opens a database for the one copy of its service.
    ///
    /// # Errors
    /// Those of a start: see [`Lease::take`].
    pub(super) fn open(server: &Server, schema: &Schema, missing: Missing) -> Result<Self, StartError> {
        let (lease, renewal) = Lease::take(server, schema, missing)?;
        let alone = Arc::new(RwLock::new(()));
        let unconnected = Unconnected::default();
        let places = |count: usize| {
            let place = || Place {
                server: server.clone(),
                lease: lease.clone(),
                alone: Arc::clone(&alone),
                unconnected: Arc::clone(&unconnected),
                session: None,
            };
            (0..count).map(|_| place()).collect()
        };
        let writers = Workers::start_prepared("postgres-writer", places(server.write_connections()), Place::prepare)?;
        let readers = Workers::start_prepared("postgres-reader", places(server.read_connections()), Place::prepare)?;
        let (renewal, writes) = (Arc::new(renewal), TaskTracker::new());
        Ok(Self { writers, readers, lease: lease.clone(), renewal, writes, unconnected: Arc::clone(&unconnected) })
    }

    /// See [`super::Database::write_then`]; `then` comes back with the result.
    pub(super) async fn write<T, F, G>(&self, name: &'static str, job: F, then: G) -> Result<(T, G), StoreFault>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
        G: Send + 'static,
    {
        let writers = self.writers.clone();
        let work = move |place: &mut Place| {
            // A panic outside of the job may have come after the commit.
            let written = catch_unwind(AssertUnwindSafe(|| place.write(name, &job)));
            written.unwrap_or(Err(StoreFault::OutcomeUnknown)).map(|value| (value, then))
        };
        if self.writes.is_closed() {
            return Err(StoreFault::Unavailable);
        }
        // A task, because the work is done even if the caller goes away.
        let done = self.writes.spawn(async move { writers.run(work).await.unwrap_or(Err(StoreFault::Unavailable)) });
        done.await.unwrap_or(Err(StoreFault::OutcomeUnknown))
    }

    /// See [`super::Database::read`].
    pub(super) async fn read<T, F>(&self, name: &'static str, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        self.readers.run(move |place| place.read(name, &job)).await.unwrap_or(Err(StoreFault::Unavailable))
    }

    /// Why the last attempt to connect failed, if it did.
    pub(super) fn unconnected(&self) -> Option<String> {
        self.unconnected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this copy has the database, and has seen the server within two seconds.
    pub(super) fn is_live(&self) -> bool {
        self.lease.is_live()
    }

    /// Returns when another copy has the database, or it went back.
    pub(super) async fn lost(&self) {
        self.lease.lost().await;
    }

    /// Finishes the accepted writes, and gives the database back.
    pub(super) async fn close(&self) {
        self.writes.close();
        self.writes.wait().await;
        let renewal = Arc::clone(&self.renewal);
        // Waits for a thread that waits for the server.
        let _released = tokio::task::spawn_blocking(move || renewal.release()).await;
    }
}

/// Whether a database has the tables of a service.
///
/// # Errors
/// The server cannot be asked.
pub(super) fn is_made(server: &Server) -> Result<bool, StartError> {
    let cannot = |error: SqlError| StartError::new(format!("The database {server} cannot be read ({error})."));
    beside(server, |session| schema::is_made(session).map_err(cannot))
}

/// Runs a job on one snapshot, beside the copy that uses the database.
///
/// # Errors
/// The server cannot be used, or the database is another service's. The inner error is the job's.
pub(super) fn look<T: Send>(
    server: &Server,
    schema: &Schema,
    job: &(impl Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + Sync),
) -> Result<Result<T, SqlError>, StartError> {
    let cannot = |error: SqlError| StartError::new(format!("The database {server} cannot be read ({error})."));
    beside(server, |session| {
        if schema::is_made(session).map_err(cannot)? {
            schema::refuse_foreign(session, server, schema)?;
        }
        let begun = session.simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        Ok(begun.and_then(|_| Tx::server(session).carry_out(job)))
    })
}

/// Uses a connection of its own, on a thread of its own, for callers on a thread of the runtime.
fn beside<T: Send>(
    server: &Server,
    work: impl FnOnce(&mut Session) -> Result<T, StartError> + Send,
) -> Result<T, StartError> {
    thread::scope(|scope| scope.spawn(|| work(&mut Session::connect(server)?)).join())
        .unwrap_or_else(|_| Err(StartError::new("The database could not be read.")))
}

impl Place {
    /// Connects before there is work, so that a process which can open no further file later has its connections.
    fn prepare(&mut self) {
        self.session = self.connect().ok();
    }

    fn connect(&self) -> Result<Session, End> {
        let connected = Session::connect(&self.server);
        *self.unconnected.lock().unwrap_or_else(PoisonError::into_inner) =
            connected.as_ref().err().map(|error| error.sentence.clone());
        connected.map_err(|error| {
            if let Some(unlogged) = LINES.line("connect") {
                tracing::warn!(%error, unlogged, "a connection to the database cannot be made");
            }
            End::Lost(SqlError::lost())
        })
    }

    fn write<T>(
        &mut self,
        name: &'static str,
        job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>,
    ) -> Result<T, StoreFault> {
        let alone = Arc::clone(&self.alone);
        self.until_it_ends(|place, conflicts| {
            let _turn = Turn::take(&alone, conflicts >= CONFLICTS);
            place.transaction(WRITE, job)
        })
        .map_err(|end| end.told(name))
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>,
    ) -> Result<T, StoreFault> {
        let read = self.until_it_ends(|place, _| {
            // Nothing was written, so an unclear end is a lost connection.
            place
                .transaction(READ, job)
                .map_err(|end| if let End::Unclear(error) = end { End::Lost(error) } else { end })
        });
        let value = read.map_err(|end| end.told(name))?;
        // What was read is given out: another copy may have changed it since.
        if self.lease.is_live() { Ok(value) } else { Err(StoreFault::Unavailable) }
    }

    /// Tries again after conflicts, and once after the connection was lost with nothing written.
    fn until_it_ends<T>(&mut self, mut attempt: impl FnMut(&mut Self, u32) -> Result<T, End>) -> Result<T, End> {
        let (begun, mut conflicts, mut connected) = (Instant::now(), 0, false);
        loop {
            match attempt(self, conflicts) {
                Ok(value) => return Ok(value),
                Err(End::Conflict(error))
                    if conflicts < CONFLICTS || (error.is_conflict() && begun.elapsed() < TRYING) =>
                {
                    conflicts += 1;
                    // Others get a chance to end, each at another time.
                    let [chance] = shared_proto::encoding::random::<1>();
                    thread::sleep(Duration::from_micros(u64::from(chance) * 16));
                }
                Err(End::Lost(_)) if !connected => connected = true,
                Err(end) => return Err(end),
            }
        }
    }

    /// Runs a job between a beginning and its COMMIT.
    fn transaction<T>(&mut self, begin: &str, job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>) -> Result<T, End> {
        // Also keeps a server that does not answer from being dialled by each request.
        if !self.lease.is_live() {
            return Err(End::NotHeld);
        }
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.connect()?,
        };
        let ended = within(&mut session, begin, &self.lease, job);
        // A connection in doubt is closed, and with it its transaction.
        let (good, ended) = match ended {
            Err(End::Conflict(error) | End::Failed(error)) if !error.is_lost() => {
                (session.simple("ROLLBACK").is_ok(), ended)
            }
            Err(End::Replaced) => {
                self.lease.lose();
                (false, ended)
            }
            Err(_) => (false, ended),
            Ok(_) => (true, ended),
        };
        self.session = good.then_some(session);
        ended
    }
}

fn within<T>(
    session: &mut Session,
    begin: &str,
    lease: &Lease,
    job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>,
) -> Result<T, End> {
    let confirmed = lease.confirmed();
    let found = session.simple(begin).map_err(End::of)?;
    if !found.first().is_some_and(|row| lease.is_own(row, confirmed)) {
        return Err(End::Replaced);
    }
    let done = catch_unwind(AssertUnwindSafe(|| Tx::server(session).carry_out(job)));
    let value = done.map_err(|_panic| End::Panicked)?.map_err(End::of)?;
    session.commit().map_err(|error| if error.is_undone() { End::of(error) } else { End::Unclear(error) })?;
    Ok(value)
}

impl End {
    fn of(error: SqlError) -> Self {
        match error {
            error if error.is_lost() => Self::Lost(error),
            error if error.is_conflict() || error.is_duplicate() => Self::Conflict(error),
            error => Self::Failed(error),
        }
    }

    /// The fault for the caller, logged.
    fn told(self, job: &'static str) -> StoreFault {
        match self {
            Self::Conflict(error) | Self::Lost(error) | Self::Failed(error) => {
                if let Some(unlogged) = LINES.line(job) {
                    tracing::warn!(job, %error, unlogged, "a database job failed and was undone");
                }
                error.fault()
            }
            Self::Unclear(error) => {
                if let Some(unlogged) = LINES.line("commit") {
                    tracing::error!(job, %error, unlogged, "the database did not say whether it committed");
                }
                StoreFault::OutcomeUnknown
            }
            Self::Panicked | Self::Replaced | Self::NotHeld => StoreFault::Unavailable,
        }
    }
}

/// The turn of a write: beside others, or alone after too many conflicts.
enum Turn<'a> {
    Beside { _others: RwLockReadGuard<'a, ()> },
    Alone { _alone: RwLockWriteGuard<'a, ()> },
}

impl<'a> Turn<'a> {
    fn take(lock: &'a RwLock<()>, alone: bool) -> Self {
        if alone {
            Self::Alone { _alone: lock.write().unwrap_or_else(PoisonError::into_inner) }
        } else {
            Self::Beside { _others: lock.read().unwrap_or_else(PoisonError::into_inner) }
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("server", &self.server).finish_non_exhaustive()
    }
}
