//! Connections that only read, each on a thread of its own.
//!
//! Each use is one read transaction: all its statements see the same state, whatever is committed meanwhile. A
//! connection that met a fault of the disk is closed, and the next use opens another.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Health, StoreFault, cannot_open, code_of, execute, fault_of, health::Files, open_reader, user_version};
use crate::{StartError, workers::Workers};

/// A pool of read-only connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Readers(Workers<Reader>);

#[derive(Debug)]
struct Reader {
    path: PathBuf,
    // None after a fault.
    conn: Option<Connection>,
    health: Health,
    // Which opening of the files the connection is of.
    generation: Option<u64>,
}

impl Readers {
    /// Opens `count` connections (at least one) to an existing database; `health` is that of its writer.
    ///
    /// # Errors
    /// Those of [`open_reader`], or a thread cannot be started.
    pub fn open(path: &Path, count: usize, health: &Health) -> Result<Self, StartError> {
        let reader = |_| {
            let generation = health.generation();
            let conn = open_reader(path)?;
            // SQLite opens the write-ahead log with the first read, when there may be no descriptor left for it.
            user_version(&conn).map_err(|error| cannot_open(path, &error))?;
            Ok(Reader { path: path.to_owned(), conn: Some(conn), health: health.clone(), generation })
        };
        let readers = (0..count.max(1)).map(reader).collect::<Result<_, StartError>>()?;
        Workers::start("sqlite-reader", readers).map(Self)
    }

    /// Runs `job` on the thread of a connection, in one snapshot of the database.
    ///
    /// # Errors
    /// The job returned an error or panicked, or the database cannot be read.
    pub async fn read<T, F>(&self, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.read_named("unnamed", job).await
    }

    /// Like [`Readers::read`]; `name` stands in the log when the job fails.
    pub(crate) async fn read_named<T, F>(&self, name: &'static str, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.0.run(move |reader| reader.read(name, job)).await.unwrap_or(Err(StoreFault::Unavailable))
    }
}

impl Reader {
    fn read<T>(
        &mut self,
        name: &'static str,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreFault> {
        // Files that are not at their paths are not read: what is served must be there after a restart, too.
        let generation = self.health.generation().ok_or(StoreFault::Unavailable)?;
        let kept = self.conn.take().filter(|_| self.generation == Some(generation));
        let opened = kept.map_or_else(|| self.reopen(generation), Ok);
        let conn = self.conn.insert(opened.map_err(|error| {
            tracing::error!(%error, "a reader cannot be opened");
            StoreFault::Unavailable
        })?);
        in_snapshot(conn, job).map_err(|error| {
            if self.health.note(&error) {
                self.conn = None;
            }
            tracing::warn!(job = name, error = code_of(&error), "a database query failed");
            fault_of(&error)
        })
    }
}

impl Reader {
    fn reopen(&mut self, generation: u64) -> Result<Connection, StartError> {
        // The writer finds out what is wrong, and says when it is good again.
        let conn = open_reader(&self.path).inspect_err(|_| self.health.distrust())?;
        // The file at the path was the writer's before and after.
        if self.health.look() != Files::InPlace {
            return Err(StartError::new(format!("{} is not the file that was opened.", self.path.display())));
        }
        self.generation = Some(generation);
        Ok(conn)
    }
}

fn in_snapshot<T>(conn: &Connection, job: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    execute(conn, "BEGIN")?;
    let snapshot = Snapshot(conn);
    let value = job(conn)?;
    snapshot.end()?;
    Ok(value)
}

/// A read transaction. It ends even when its job fails or panics, because an open one keeps the WAL from being written
/// back.
struct Snapshot<'a>(&'a Connection);

impl Snapshot<'_> {
    fn end(&self) -> rusqlite::Result<()> {
        // Some errors end it by themselves.
        if self.0.is_autocommit() { Ok(()) } else { execute(self.0, "ROLLBACK") }
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(error = code_of(&error), "a read transaction could not be ended");
        }
    }
}
