//! Trust in a database: how it is lost, and how it is regained.
//!
//! After a failed fsync the kernel may treat pages as clean that never reached the disk, and reports it once only. So
//! after a fault of the disk the same connection is not used again. The file is opened again, everything that only the
//! write-ahead log holds is written into the database and fsynced, the log is cut, the database is checked, and a
//! commit must succeed. Until then nothing is written.
//!
//! An open file is not always the file at its path: writes into one that was removed, renamed or replaced are lost when
//! the process ends. So nothing is acknowledged before both files were seen at their paths after the commit, and they
//! are checked once a second. Another database at the path is never used while the process runs, because the state in
//! memory belongs to the first one (docs/adr/0020-the-file-at-its-path.md).

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, ErrorCode};

use super::{code_of, open_writer, user_version};
use crate::{StartError, files::FoundFile};

/// The knowledge of one database's writer and readers about its disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    distrusted: Arc<AtomicBool>,
    // What is on the disk may differ from what was written: the whole database is to be checked.
    doubtful: Arc<AtomicBool>,
    opened: Arc<RwLock<Opened>>,
}

/// The files that the writer opened last.
#[derive(Debug, Default)]
struct Opened {
    database: Option<FoundFile>,
    log: Option<FoundFile>,
    /// How often they were opened: a reader that opened them before has another log.
    generation: u64,
    lost: Option<PathBuf>,
}

/// Where the open files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// At their paths.
    InPlace,
    /// The log is not at its path.
    LogLost,
    /// The database is not at its path.
    DatabaseLost,
}

impl Health {
    /// Whether the last use of the disk succeeded.
    pub fn is_good(&self) -> bool {
        !self.distrusted.load(Ordering::SeqCst) && self.opened().lost.is_none()
    }

    /// The number of the files that may be read; none while they are not at their paths.
    pub(super) fn generation(&self) -> Option<u64> {
        let opened = self.opened();
        opened.lost.is_none().then_some(opened.generation)
    }

    /// Checks where the files are, and logs a change.
    pub(super) fn look(&self) -> Files {
        let gone = |place: &Option<FoundFile>| {
            place.as_ref().filter(|place| !place.is_there()).map(|gone| gone.path().to_owned())
        };
        let (found, lost, before) = {
            let opened = self.opened();
            let (found, lost) = match (gone(&opened.database), gone(&opened.log)) {
                (Some(database), _) => (Files::DatabaseLost, Some(database)),
                (None, Some(log)) => (Files::LogLost, Some(log)),
                (None, None) => (Files::InPlace, None),
            };
            (found, lost, opened.lost.clone())
        };
        if lost != before {
            if let Some(lost) = &lost {
                tracing::error!(
                    file = %lost.display(),
                    "the open file is not at its path any more (removed, renamed or replaced): nothing is acknowledged \
                     until it is there again"
                );
            } else {
                tracing::warn!("the files of the database are at their paths again");
            }
            self.opened.write().unwrap_or_else(PoisonError::into_inner).lost = lost;
        }
        found
    }

    /// Remembers the files of a connection that the writer has just opened.
    ///
    /// # Errors
    /// They are missing, or the database is another one than before.
    pub(super) fn hold(&self, path: &Path) -> std::io::Result<()> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let (database, log) = (FoundFile::of(path)?, FoundFile::of(Path::new(&log))?);
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.database.as_ref().is_some_and(|before| *before != database) {
            return Err(std::io::Error::other("it is another file than the one that this process opened; restart it"));
        }
        *opened = Opened { database: Some(database), log: Some(log), generation: opened.generation + 1, lost: None };
        Ok(())
    }

    /// Requires that the files are opened again before anything else is written.
    pub(super) fn distrust(&self) {
        self.distrusted.store(true, Ordering::SeqCst);
    }

    fn opened(&self) -> std::sync::RwLockReadGuard<'_, Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error, and returns whether it is a fault of the disk.
    pub(super) fn note(&self, error: &rusqlite::Error) -> bool {
        let Some(doubtful) = fault_of_disk(error) else { return false };
        if doubtful {
            self.doubtful.store(true, Ordering::SeqCst);
        }
        if !self.distrusted.swap(true, Ordering::SeqCst) {
            let file =
                self.opened().database.as_ref().map(|place| place.path().display().to_string()).unwrap_or_default();
            tracing::error!(
                file,
                error = code_of(error),
                "the database is not trusted until it was opened anew and checked"
            );
        }
        true
    }

    /// Opens the database again, and trusts it if it passes the checks.
    ///
    /// # Errors
    /// It is still not trusted.
    pub(super) fn reopen(&self, path: &Path) -> Result<Connection, StartError> {
        // Never makes a database where one was lost.
        if self.look() == Files::DatabaseLost {
            return Err(StartError::new(format!("{} is not the file that was opened.", path.display())));
        }
        let conn = open_writer(path)?;
        let doubtful = self.doubtful.load(Ordering::SeqCst);
        let checked = rewrite(&conn).and_then(|()| if doubtful { quick_check(&conn) } else { Ok(()) });
        checked.and_then(|()| prove_writable(&conn)).map_err(|error| {
            self.note(&error);
            StartError::new(format!("The database {} is still not good ({}).", path.display(), code_of(&error)))
        })?;
        self.hold(path).map_err(|error| StartError::new(format!("{} cannot be used ({error}).", path.display())))?;
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

/// Writes the content of the log into the database, fsyncs, and cuts the log.
fn rewrite(conn: &Connection) -> rusqlite::Result<()> {
    let busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    // A reader holds on to an old state: the next attempt finds it gone.
    if busy { Err(failure(rusqlite::ffi::SQLITE_BUSY)) } else { Ok(()) }
}

fn quick_check(conn: &Connection) -> rusqlite::Result<()> {
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(failure(rusqlite::ffi::SQLITE_CORRUPT)) }
}

/// A commit that changes no data, but writes a page and fsyncs it.
fn prove_writable(conn: &Connection) -> rusqlite::Result<()> {
    let version = user_version(conn)?;
    conn.execute_batch(&format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT"))
}

fn failure(code: std::ffi::c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}
