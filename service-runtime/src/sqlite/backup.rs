//! Backup and restore of a database.
//!
//! Guarantees that a backup is one consistent state, passes SQLite's integrity check and is ours alone; and that a
//! restored database never meets the WAL of the one that it replaces, which SQLite would play into it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{check_version, code_of, open_reader, user_version};
use crate::{files, process::StartError};

/// Copies a database, in use or not, into a new file with mode 0600.
///
/// # Errors
/// Something is at the destination already, the source cannot be read, or the copy fails its check; then it is removed.
pub fn backup(source: &Path, destination: &Path) -> Result<(), StartError> {
    let from = open_reader(source)?;
    files::create_private(destination, b"")?;
    let copied = copy(&from, destination);
    if copied.is_err() {
        let _gone_already = std::fs::remove_file(destination);
    }
    copied.map(|_version| ())
}

/// Puts a backup in the place of a database that no process uses (hold its directory lock). Returns its schema number.
///
/// # Errors
/// The backup is damaged, has no schema, or cannot be copied; the database is untouched then.
pub fn restore(backup: &Path, destination: &Path) -> Result<i64, StartError> {
    check_version()?;
    let failed = |error: io::Error| {
        StartError::new(format!("The database {} cannot be restored ({error}).", destination.display()))
    };
    let from = Connection::open_with_flags(backup, READ_ONLY).map_err(|error| unusable(backup, &error))?;
    let temporary = files::temporary_beside(destination).map_err(failed)?;
    files::create_private(&temporary, b"")?;
    let restored = copy(&from, &temporary).and_then(|version| {
        if version == 0 {
            return Err(StartError::new(format!(
                "{} has no schema; choose a file that the backup command made.",
                backup.display()
            )));
        }
        // The old WAL goes first: SQLite would play it into the new database. A crash in between leaves the old one
        // without its last commits, to be restored again; the temporary file is durable by now.
        for suffix in ["-wal", "-shm", "-journal"] {
            remove_if_there(&beside(destination, suffix)).map_err(failed)?;
        }
        files::sync_parent(destination).map_err(failed)?;
        std::fs::rename(&temporary, destination).map_err(failed)?;
        files::sync_parent(destination).map_err(failed)?;
        Ok(version)
    });
    if restored.is_err() {
        let _gone_already = std::fs::remove_file(&temporary);
    }
    restored
}

const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Copies, checks and fsyncs; `to` is an empty file. Returns the schema number of the copy.
fn copy(from: &Connection, to: &Path) -> Result<i64, StartError> {
    let failed = |error: rusqlite::Error| unusable(to, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(to, flags).map_err(failed)?;
    // All pages in one step: a writer that commits in between would make SQLite start again.
    rusqlite::backup::Backup::new(from, &mut target)
        .and_then(|copying| copying.run_to_completion(i32::MAX, Duration::from_millis(50), None))
        .map_err(failed)?;
    // The copy carries the source's WAL mode; a single file must stand for itself.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(failed)?;
    let verdict: String = target.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(StartError::new(format!("The copy {} fails the integrity check; use another.", to.display())));
    }
    let version = user_version(&target).map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    let synced = OpenOptions::new().read(true).custom_flags(files::NO_FOLLOW).open(to);
    synced
        .and_then(|file: File| file.sync_all())
        .map_err(|error| StartError::new(format!("The copy {} cannot be made durable ({error}).", to.display())))?;
    Ok(version)
}

fn unusable(path: &Path, error: &rusqlite::Error) -> StartError {
    StartError::new(format!("{} cannot be used as a database ({}).", path.display(), code_of(error)))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
