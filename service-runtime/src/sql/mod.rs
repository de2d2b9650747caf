//! The joint between stores and the database engine.
//!
//! A store gives a named job to [`Database::write`] or [`Database::read`]. The job runs in one transaction and knows
//! the database only as [`Tx`] and [`Row`]. The engine is SQLite.
//!
//! Guarantees that a write which returned is durable, that a failed job has written nothing, that a read sees one state
//! of the database, and that no error carries a value. Refuses the answer of a job that had a failed statement: the job
//! is undone.
//!
//! Statements are written once for all engines: `?1`, `?2` … for parameters, `ON CONFLICT` and never `INSERT OR …`, no
//! parameter whose type only its value tells (`?1 IS NULL`), columns listed. No statement may be running while another
//! is carried out, so rows are collected before anything else is asked.

mod error;
mod faults;
mod tx;
mod value;

use std::time::{Duration, Instant};

use rusqlite::Connection;

pub use self::{
    error::SqlError,
    faults::{Fault, Faults, KillPoint},
    tx::{Row, Tx},
    value::{Column, Param, Value},
};
use crate::sqlite::{Readers, Writer};
pub use crate::sqlite::{StoreFault, row_limit};

/// A database with one writer and several readers. Clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    writer: Writer,
    readers: Readers,
    slow: Duration,
    faults: Option<Faults>,
}

/// A job that takes longer is named in the log. Other writes wait for it.
const SLOW: Duration = Duration::from_secs(1);

impl Database {
    /// A SQLite database, by the connections to it.
    pub fn sqlite(writer: Writer, readers: Readers) -> Self {
        Self { writer, readers, slow: SLOW, faults: None }
    }

    /// The same database with planned faults. For tests.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults: Some(faults), ..self }
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
        let work = self.writer.run_named(name, move |conn| {
            if twice {
                rehearse(conn, &job)?;
            }
            Ok((timed(name, slow, || carry_out(conn, &job))?, then))
        });
        let work = async move { work.await.map(|(value, _then)| value) };
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
        let work = self.readers.read_named(name, move |conn| Ok(timed(name, slow, || carry_out(conn, &job))?));
        match &self.faults {
            None => work.await,
            Some(faults) => faults.reading(name, work).await,
        }
    }

    /// Whether the last use found the disk in order, and no fault is planned for the next.
    pub fn is_healthy(&self) -> bool {
        self.writer.health().is_good() && self.faults.as_ref().is_none_or(Faults::is_sound)
    }

    /// Finishes the queued writes and ends the writer.
    pub async fn close(&self) {
        self.writer.close().await;
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

fn carry_out<T>(conn: &Connection, job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>) -> Result<T, SqlError> {
    let mut tx = Tx::on(conn);
    let value = job(&mut tx)?;
    tx.failure().map_or(Ok(value), Err)
}

/// Runs a job and undoes it, as after a failure that is worth another attempt.
fn rehearse<T>(conn: &Connection, job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>) -> rusqlite::Result<()> {
    conn.execute_batch("SAVEPOINT rehearsal")?;
    let _undone = carry_out(conn, job);
    conn.execute_batch("ROLLBACK TO rehearsal; RELEASE rehearsal")
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
