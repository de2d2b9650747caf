//! Connections that only read.
//!
//! Each use is one read transaction: all its statements see the same state, whatever is committed meanwhile.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Semaphore;

use super::{StoreFault, code_of, fault_of, open_reader};
use crate::process::StartError;

/// A pool of read-only connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
}

impl Readers {
    /// Opens `count` connections (at least one) to an existing database.
    ///
    /// # Errors
    /// As [`open_reader`].
    pub fn open(path: &Path, count: usize) -> Result<Self, StartError> {
        let count = count.max(1);
        let idle = (0..count).map(|_| open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), free: Arc::new(Semaphore::new(count)) })
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
        let idle = Arc::clone(&self.idle);
        let worked = tokio::task::spawn_blocking(move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(conn) = taken else { return Err(StoreFault::Unavailable) };
            // Gives the connection back also when the job panics; the transaction is rolled back by then.
            let conn = Borrowed { conn: Some(conn), idle };
            let result = conn.conn.as_ref().map_or(Err(StoreFault::Unavailable), |conn| in_snapshot(conn, job));
            drop(conn);
            drop(permit);
            result
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

fn in_snapshot<T>(conn: &Connection, job: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreFault> {
    let fault = |error: rusqlite::Error| {
        tracing::warn!(error = code_of(&error), "a database query failed");
        fault_of(&error)
    };
    let snapshot = Transaction::new_unchecked(conn, TransactionBehavior::Deferred).map_err(fault)?;
    let value = job(&snapshot).map_err(fault)?;
    // Nothing was written; ending the transaction lets the WAL be written back.
    snapshot.finish().map_err(fault)?;
    Ok(value)
}
