//! Whether a database is trusted, and how it comes to be trusted again.
//!
//! After a failed fsync the kernel may call pages clean that never reached the disk, and says so once only. So after a
//! fault of the disk nothing goes on with the same connection: the file is opened anew, everything that only the
//! write-ahead log holds is written into the database and fsynced, the log is cut, the database is checked, and a
//! commit must succeed. Until then nothing is written.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, ErrorCode};

use super::{code_of, open_writer, user_version};
use crate::process::StartError;

/// What writer and readers of one database know of its disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    distrusted: Arc<AtomicBool>,
    // What is on the disk may differ from what was written: the whole database is to be checked.
    doubtful: Arc<AtomicBool>,
}

impl Health {
    /// Whether the last that was heard of the disk was good.
    pub fn is_good(&self) -> bool {
        !self.distrusted.load(Ordering::SeqCst)
    }

    /// Takes note of an error; says whether it is the disk's.
    pub(super) fn note(&self, error: &rusqlite::Error) -> bool {
        let Some(doubtful) = fault_of_disk(error) else { return false };
        if doubtful {
            self.doubtful.store(true, Ordering::SeqCst);
        }
        if !self.distrusted.swap(true, Ordering::SeqCst) {
            tracing::error!(error = code_of(error), "the database is not trusted until it was opened anew and checked");
        }
        true
    }

    /// Opens the database anew, and trusts it when it proves good.
    ///
    /// # Errors
    /// It is still not trusted.
    pub(super) fn reopen(&self, path: &Path) -> Result<Connection, StartError> {
        let conn = open_writer(path)?;
        let doubtful = self.doubtful.load(Ordering::SeqCst);
        let checked = rewrite(&conn).and_then(|()| if doubtful { quick_check(&conn) } else { Ok(()) });
        checked.and_then(|()| prove_writable(&conn)).map_err(|error| {
            self.note(&error);
            StartError::new(format!("The database is still not good ({}).", code_of(&error)))
        })?;
        self.doubtful.store(false, Ordering::SeqCst);
        self.distrusted.store(false, Ordering::SeqCst);
        tracing::warn!("the database was opened anew and checked; it is trusted again");
        Ok(conn)
    }
}

/// Whether an error comes from below `SQLite`, and then whether it leaves the content of the file in doubt.
fn fault_of_disk(error: &rusqlite::Error) -> Option<bool> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive; all others are the statement's")]
    match error.sqlite_error_code()? {
        ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(true),
        ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::CannotOpen => Some(false),
        _ => None,
    }
}

/// Writes what only the log holds into the database, fsyncs, and cuts the log.
fn rewrite(conn: &Connection) -> rusqlite::Result<()> {
    let busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    // A reader holds on to an old state: the next attempt finds it gone.
    if busy { Err(failure(rusqlite::ffi::SQLITE_BUSY)) } else { Ok(()) }
}

fn quick_check(conn: &Connection) -> rusqlite::Result<()> {
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(failure(rusqlite::ffi::SQLITE_CORRUPT)) }
}

/// A commit that changes nothing but writes a page and fsyncs it.
fn prove_writable(conn: &Connection) -> rusqlite::Result<()> {
    let version = user_version(conn)?;
    conn.execute_batch(&format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT"))
}

fn failure(code: std::ffi::c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}
