//! The joint between stores and the database engine.
//!
//! A store gives a named job to [`Database::write`] or [`Database::read`]. The job runs in one transaction and knows
//! the database only as [`Tx`] and [`Row`]. The engine is SQLite or PostgreSQL.
//!
//! Guarantees that a write which returned is durable, that a failed job has written nothing, that a read sees one state
//! of the database, and that no error carries a value. Refuses the answer of a job that had a failed statement: the job
//! is undone.
//!
//! Statements are written once for all engines: `?1`, `?2` … for parameters, `ON CONFLICT` and never `INSERT OR …`, no
//! parameter whose type only its value tells (`?1 IS NULL`), columns listed. No statement may be running while another
//! is carried out, so rows are collected before anything else is asked.

mod copy;
mod error;
mod faults;
mod location;
mod postgres;
mod tx;
mod value;

use std::time::{Duration, Instant};

pub(crate) use self::copy::free_backup;
use self::{copy::MoveNote, location::Missing, postgres::Postgres};
pub use self::{
    copy::{MovedInstallation, migrate_store},
    error::SqlError,
    faults::{Fault, Faults, KillPoint, WriteFault},
    location::{Location, Schema},
    postgres::{PostgresOptions, Server},
    tx::{Row, Tx},
    value::{Column, Param, Value},
};
pub use crate::sqlite::{StoreFault, row_limit};
use crate::{
    StartError,
    sqlite::{Readers, Writer, migrate, open_writer},
};

/// A database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    engine: Engine,
    slow: Duration,
    faults: Option<Faults>,
}

#[derive(Clone, Debug)]
enum Engine {
    /// SQLite: one connection that writes, and several that read.
    File { writer: Writer, readers: Readers },
    /// PostgreSQL.
    Server(Postgres),
}

/// Connections that read a SQLite database. More than there are cores would only wait for each other.
const READERS: usize = 4;

/// A job that takes longer is named in the log. Other writes wait for it.
const SLOW: Duration = Duration::from_secs(1);

impl Database {
    /// Opens a database for the one process that uses it, and brings it to the newest schema. `make` makes the one that
    /// is missing. Waits for the server, or for a former process whose lease there has not ended.
    ///
    /// # Errors
    /// It is missing, cannot be used, is another service's, or another process uses it; or it is newer than the program.
    /// Or it was moved, or is an unfinished copy.
    pub fn open(location: &Location, schema: &Schema, make: bool) -> Result<Self, StartError> {
        Self::open_as(location, schema, if make { Missing::Make } else { Missing::Refuse })
    }

    fn open_as(location: &Location, schema: &Schema, missing: Missing) -> Result<Self, StartError> {
        match location {
            Location::Server(server) => {
                let engine = Engine::Server(Postgres::open(server, schema, missing)?);
                Ok(Self { engine, slow: SLOW, faults: None })
            }
            Location::File(path) if missing != Missing::Refuse || path.exists() => {
                let mut conn = open_writer(path)?;
                missing.refuse_moved(&mut Tx::on(&conn), location)?;
                migrate(&mut conn, schema.sqlite)?;
                let writer = Writer::spawn(conn)?;
                let readers = Readers::open(path, READERS, writer.health())?;
                Ok(Self::sqlite(writer, readers))
            }
            Location::File(_) => Err(schema.missing(location)),
        }
    }

    /// A SQLite database, by the connections to it.
    pub fn sqlite(writer: Writer, readers: Readers) -> Self {
        Self { engine: Engine::File { writer, readers }, slow: SLOW, faults: None }
    }

    /// The same database with planned faults. For tests.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults: Some(faults), ..self }
    }

    /// A fault in words, with the reason if there is no connection to a server.
    fn told(&self, fault: StoreFault) -> String {
        match &self.engine {
            Engine::Server(server) => server.unconnected(),
            Engine::File { .. } => None,
        }
        .map_or_else(|| fault.to_string(), |why| format!("{fault}: {}", why.trim_end_matches('.')))
    }

    /// Runs `job` in one transaction and returns when it is durable.
    ///
    /// The job may run more than once, and only the last run counts. It depends on nothing but the transaction and
    /// changes nothing else. It runs to its end even if the caller goes away. Its name stands in log lines and in
    /// [`Faults`].
    ///
    /// # Errors
    /// The job failed, panicked or had a failed statement, and was undone. Or the queue is full, or the commit failed.
    pub async fn write<T, F>(&self, name: &'static str, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        self.write_then(name, job, || ()).await
    }

    /// Runs `job` like [`Database::write`], and `then` once: when the outcome of the commit is there, before the caller
    /// hears of it. It also runs after a failed job, after an unknown outcome, and when the caller has gone. It must not
    /// wait or panic.
    ///
    /// # Errors
    /// Those of [`Database::write`].
    pub async fn write_then<T, F>(
        &self,
        name: &'static str,
        job: F,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let (slow, twice) = (self.slow, self.faults.as_ref().is_some_and(Faults::writes_twice));
        // It belongs to the result, which lives until the commit and is dropped when nobody waits for it any more.
        let then = WhenDropped(Some(then));
        let job = move |tx: &mut Tx<'_>| {
            if twice {
                tx.rehearse(&job)?;
            }
            timed(name, slow, || tx.carry_out(&job))
        };
        let work = async {
            match &self.engine {
                Engine::File { writer, .. } => {
                    let work = move |conn: &_| Ok((job(&mut Tx::on(conn))?, then));
                    writer.run_named(name, work).await.map(|(value, _then)| value)
                }
                Engine::Server(server) => server.write(name, job, then).await.map(|(value, _then)| value),
            }
        };
        match &self.faults {
            None => work.await,
            Some(faults) => faults.writing(name, work).await,
        }
    }

    /// Runs `job` on one snapshot of the database. The same rules as for [`Database::write`], and it cannot write.
    ///
    /// # Errors
    /// The job failed, panicked or had a failed statement, or the database cannot be read.
    pub async fn read<T, F>(&self, name: &'static str, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let slow = self.slow;
        let job = move |tx: &mut Tx<'_>| timed(name, slow, || tx.carry_out(&job));
        let work = async {
            match &self.engine {
                Engine::File { readers, .. } => readers.read_named(name, move |conn| Ok(job(&mut Tx::on(conn))?)).await,
                Engine::Server(server) => server.read(name, job).await,
            }
        };
        match &self.faults {
            None => work.await,
            Some(faults) => faults.reading(name, work).await,
        }
    }

    /// Whether the last use found the database in order, and no fault is planned for the next.
    pub fn is_healthy(&self) -> bool {
        let good = match &self.engine {
            Engine::File { writer, .. } => writer.health().is_good(),
            Engine::Server(server) => server.is_live(),
        };
        good && self.faults.as_ref().is_none_or(Faults::is_sound)
    }

    /// Whether this process is still the one that uses the database. If not, what it has read before may have been
    /// revoked since, so it gives out nothing.
    pub fn is_held(&self) -> bool {
        match &self.engine {
            // The lock of the data directory ends with the process.
            Engine::File { .. } => true,
            Engine::Server(server) => server.is_live(),
        }
    }

    /// Returns when this process has lost the database for good: another one uses it, or it went back to an older state.
    /// The process should end then.
    pub async fn lost(&self) {
        match &self.engine {
            Engine::File { .. } => std::future::pending().await,
            Engine::Server(server) => server.lost().await,
        }
    }

    /// Finishes the queued writes, and lets another process use the database.
    pub async fn close(&self) {
        match &self.engine {
            Engine::File { writer, .. } => writer.close().await,
            Engine::Server(server) => server.close().await,
        }
    }
}

/// What follows a commit.
struct WhenDropped<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for WhenDropped<F> {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

/// The time of the job itself, without waiting in a queue and without the commit, which it shares with others.
fn timed<T>(name: &'static str, slow: Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let took = begun.elapsed();
    if took >= slow {
        tracing::warn!(job = name, milliseconds = took.as_millis(), "a database job was slow");
    }
    done
}

#[cfg(test)]
mod tests;
