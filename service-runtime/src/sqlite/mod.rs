//! SQLite for both services.
//!
//! Guarantees that a write that a [`Writer`] acknowledged survives a crash, and that a reader sees one state of the
//! database from its first row to its last. Deleted rows are overwritten, and the files are private to their owner from
//! their first moment. Refuses a SQLite with the WAL-reset defect, and a database that is newer than the code.

mod backup;
mod health;
mod job;
mod pool;
mod writer;

use std::{
    fs::OpenOptions,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

pub use self::{
    backup::{backup, restore},
    health::Health,
    pool::Readers,
    writer::Writer,
};
use crate::{StartError, files};

/// The failure of a statement or a commit, for the caller of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// Nothing was written.
    #[error("the database is not available; nothing was written")]
    Unavailable,
    /// The database file is damaged or foreign. Nothing was written.
    #[error("the database is damaged")]
    Corrupt,
    /// It may have been written.
    #[error("the database did not say whether it wrote")]
    OutcomeUnknown,
}

/// A number of rows, in the type of a `LIMIT`.
pub fn row_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The oldest SQLite that is safe in WAL mode with several connections (the WAL-reset defect was repaired in it).
pub const OLDEST_SQLITE: i32 = 3_051_003;

/// Refuses an old SQLite.
///
/// # Errors
/// The library that was linked is older than [`OLDEST_SQLITE`].
pub fn check_version() -> Result<(), StartError> {
    let found = rusqlite::version_number();
    if found < OLDEST_SQLITE {
        return Err(StartError::new(format!(
            "SQLite {} loses data in WAL mode; build with 3.51.3 or newer.",
            rusqlite::version()
        )));
    }
    Ok(())
}

/// Opens a database for writing; makes the file with mode 0600 if there is none.
///
/// # Errors
/// The file is open to others, is not a database, or cannot be opened.
pub fn open_writer(path: &Path) -> Result<Connection, StartError> {
    check_version()?;
    match std::fs::symlink_metadata(path) {
        Ok(_) => check_database_files(path)?,
        // SQLite treats an empty file as an empty database; -wal and -shm inherit its mode.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => files::create_private(path, b"")?,
        Err(error) => return Err(cannot_use(path, &error)),
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | COMMON_FLAGS)
        .map_err(|error| cannot_open(path, &error))?;
    settings(&conn)
        .and_then(|()| {
            let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
            if mode.eq_ignore_ascii_case("wal") { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
        })
        .and_then(|()| conn.pragma_update(None, "synchronous", synchronous()))
        .and_then(|()| conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES))
        .and_then(|()| conn.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(())))
        .map_err(|error| cannot_open(path, &error))?;
    Ok(conn)
}

/// Opens an existing database for reading.
///
/// # Errors
/// There is none, the file is open to others, or cannot be opened.
pub fn open_reader(path: &Path) -> Result<Connection, StartError> {
    check_version()?;
    check_database_files(path)?;
    // Opened for writing, because a reader of a WAL database maintains the -shm file; `query_only` stops statements.
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | COMMON_FLAGS)
        .map_err(|error| cannot_open(path, &error))?;
    settings(&conn)
        .and_then(|()| conn.pragma_update(None, "query_only", true))
        .map_err(|error| cannot_open(path, &error))?;
    Ok(conn)
}

/// Brings a database to the newest schema. Step n leads from `user_version` n to n + 1, in one transaction.
///
/// # Errors
/// The database is newer than the code, or a step failed. The steps before it stay.
pub fn migrate(conn: &mut Connection, steps: &[&'static str]) -> Result<(), StartError> {
    let failed =
        |error: rusqlite::Error| StartError::new(format!("The database cannot be migrated ({}).", code_of(&error)));
    let found = user_version(conn).map_err(failed)?;
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > steps.len() {
        return Err(StartError::new(format!(
            "The database has schema {found}, this program knows {}; start the newer program.",
            steps.len()
        )));
    }
    for (step, next) in steps.iter().zip(1_i64..).skip(done) {
        let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        transaction
            .execute_batch(step)
            .and_then(|()| transaction.pragma_update(None, "user_version", next))
            .and_then(|()| transaction.commit())
            .map_err(failed)?;
    }
    Ok(())
}

/// The schema number of a database.
pub(crate) fn user_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Carries out a statement without rows, prepared once.
fn execute(conn: &Connection, statement: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(statement)?.execute([]).map(|_rows| ())
}

/// The fault for an error of a statement that was not carried out.
pub(crate) fn fault_of(error: &rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => StoreFault::Corrupt,
        _ => StoreFault::Unavailable,
    }
}

/// SQLite's code, without its message: messages of constraints and syntax errors quote what they are about.
pub(crate) fn code_of(error: &rusqlite::Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive; the rest never reached SQLite")]
    match error {
        rusqlite::Error::SqliteFailure(failure, _) | rusqlite::Error::SqlInputError { error: failure, .. } => {
            let meaning = rusqlite::ffi::code_to_str(failure.extended_code);
            format!("SQLite error {}: {meaning}", failure.extended_code)
        }
        _ => "a row or a parameter had another type than expected".to_owned(),
    }
}

/// Every commit is fsynced before it is acknowledged.
fn synchronous() -> &'static str {
    #[cfg(feature = "sabotage")]
    if crate::sabotage::is_on("synchronous_off") {
        return "OFF";
    }
    "FULL"
}

/// Pages of 4 KiB in the WAL from which on a commit writes them back into the database. Identifiers are random, so each
/// write touches pages of its own, and SQLite's 1,000 are soon full.
const CHECKPOINT_PAGES: i64 = 4_096;

/// Bytes of the WAL that stay when it begins from its start again: what [`CHECKPOINT_PAGES`] take. A reader that held it up
/// may have let it grow.
const LOG_BYTES: i64 = CHECKPOINT_PAGES * 4_096;

/// A checkpoint or another process may hold a lock for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const COMMON_FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW).union(OpenFlags::SQLITE_OPEN_EXRESCODE);

fn settings(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // SQLite would otherwise prepare a statement again for each value that it is given, to see whether another plan
    // suits that value: a fifth of the writer's CPU time.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(())
}

fn check_database_files(path: &Path) -> Result<(), StartError> {
    let flags = std::fs::symlink_metadata(path).map_err(|error| cannot_use(path, &error))?;
    if !flags.is_file() {
        return Err(StartError::new(format!("{} is not a regular file; put the database there.", path.display())));
    }
    if flags.permissions().mode() & 0o077 != 0 {
        return Err(StartError::new(format!(
            "{0} has mode {1:04o} and is open to others; run: chmod 600 {0}",
            path.display(),
            flags.permissions().mode() & 0o7777
        )));
    }
    Ok(())
}

/// The sentence about a failure: what went wrong, why, and the remedy. Only damage asks for a backup.
fn cannot_open(path: &Path, error: &rusqlite::Error) -> StartError {
    use rusqlite::ErrorCode as Code;
    let fix = match error.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => "it is damaged: restore a backup of it",
        Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed) => {
            "another process holds it: end that one"
        }
        Some(Code::DiskFull) => "make room on its disk",
        Some(Code::SystemIoFailure) => "look at its disk and its mount",
        _ => "look at the owner and mode of it and of its folder, and at the limit of open files",
    };
    let shown = path.display();
    let reason = system_reason(path).unwrap_or_else(|| code_of(error));
    StartError::new(format!("The database {shown} cannot be opened ({reason}); {fix}."))
}

fn cannot_use(path: &Path, error: &std::io::Error) -> StartError {
    StartError::new(format!(
        "The database {} cannot be opened ({error}); look at the owner and mode of it and of its folder.",
        path.display()
    ))
}

/// The file that the system does not open, and the reason: SQLite reports neither.
fn system_reason(path: &Path) -> Option<String> {
    let try_open = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let opened = OpenOptions::new().read(true).write(true).custom_flags(files::NO_FOLLOW).open(&name);
        let error = opened.err().filter(|error| error.kind() != std::io::ErrorKind::NotFound)?;
        Some(format!("{}: {error}", Path::new(&name).display()))
    };
    ["", "-wal", "-shm"].into_iter().find_map(try_open)
}

#[cfg(test)]
mod tests;
