//! Connections that only read.
//!
//! Each use is one read transaction: all its statements see the same state, whatever is committed meanwhile. A
//! connection that met a fault of the disk is closed; the next use opens another.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{Health, StoreFault, code_of, fault_of, open_reader, say};
use crate::process::StartError;

/// A pool of read-only connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
    health: Health,
}

impl Readers {
    /// Opens `count` connections (at least one) to an existing database; `health` is that of its writer.
    ///
    /// # Errors
    /// As [`open_reader`].
    pub fn open(path: &Path, count: usize, health: &Health) -> Result<Self, StartError> {
        let count = count.max(1);
        let idle = (0..count).map(|_| open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        let (idle, free) = (Arc::new(Mutex::new(idle)), Arc::new(Semaphore::new(count)));
        Ok(Self { path: path.to_owned(), idle, free, health: health.clone() })
    }

    /// Runs `job` on a blocking thread, in one snapshot of the database.
    ///
    /// # Errors
    /// The job returned an error or panicked, or the database cannot be read.
    pub async fn read<T, F>(&self, job: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| StoreFault::Unavailable)?;
        let (idle, path, health) = (Arc::clone(&self.idle), self.path.clone(), self.health.clone());
        let worked = tokio::task::spawn_blocking(move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let conn = match taken {
                Some(conn) => conn,
                None => open_reader(&path).map_err(|error| {
                    tracing::error!(%error, "a reader cannot be opened");
                    StoreFault::Unavailable
                })?,
            };
            // Gives the connection back also when the job panics; the transaction is rolled back by then.
            let mut borrowed = Borrowed { conn: Some(conn), idle };
            let result = match &borrowed.conn {
                Some(conn) => in_snapshot(conn, job),
                None => Err(rusqlite::Error::InvalidQuery),
            };
            if let Err(error) = &result
                && health.note(error)
            {
                borrowed.conn = None;
            }
            drop(borrowed);
            drop(permit);
            result.map_err(|error| {
                tracing::warn!(error = code_of(&error), "a database query failed");
                fault_of(&error)
            })
        });
        worked.await.unwrap_or(Err(StoreFault::Unavailable))
    }
}

struct Borrowed {
    conn: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

fn in_snapshot<T>(conn: &Connection, job: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    say(conn, "BEGIN")?;
    let snapshot = Snapshot(conn);
    let value = job(conn)?;
    snapshot.end()?;
    Ok(value)
}

/// A read transaction; ended also when its job fails or panics, for an open one keeps the WAL from being written back.
struct Snapshot<'a>(&'a Connection);

impl Snapshot<'_> {
    fn end(&self) -> rusqlite::Result<()> {
        // Some errors end it by themselves.
        if self.0.is_autocommit() { Ok(()) } else { say(self.0, "ROLLBACK") }
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(error = code_of(&error), "a read transaction could not be ended");
        }
    }
}
