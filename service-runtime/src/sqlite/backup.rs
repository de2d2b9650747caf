//! Backup and restore of a database.
//!
//! Guarantees that a backup is one consistent state, passes SQLite's integrity check and is private to its owner. A
//! restored database has the form that its service makes. The replaced one is kept, and its WAL is never applied to the
//! restored one, as SQLite would. A backup of another service, installation or newer program is refused before anything
//! is touched.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, OpenFlags};

use super::{check_version, code_of, migrate, open_reader, open_writer, user_version};
use crate::{StartError, files, sql::free_backup};

/// Copies a database, in use or not, into a new file with mode 0600.
///
/// # Errors
/// Something is at the destination already, the source cannot be read, or the copy fails its check; then it is removed.
pub fn backup(source: &Path, destination: &Path) -> Result<(), StartError> {
    let from = open_reader(source)?;
    files::create_private(destination, b"")?;
    let copied = copy(&from, destination, source, |_| Ok(()));
    if copied.is_err() {
        let _gone_already = std::fs::remove_file(destination);
    }
    copied
}

/// Replaces a database that no process uses by a backup. The caller holds the directory lock. `steps` are the
/// migrations of its service, and `belongs` refuses a database of another installation. Returns the path at which the
/// replaced database is kept, if there was one.
///
/// # Errors
/// The backup is damaged, of another service, installation or newer program, or cannot be copied. Then the database is
/// untouched.
pub fn restore(
    backup: &Path,
    destination: &Path,
    steps: &[&'static str],
    belongs: impl FnOnce(&Connection) -> Result<(), StartError>,
) -> Result<Option<PathBuf>, StartError> {
    check_version()?;
    let failed = |error: io::Error| {
        StartError::new(format!("The database {} cannot be restored ({error}).", destination.display()))
    };
    let from = Connection::open_with_flags(backup, READ_ONLY).map_err(|error| unusable(backup, &error))?;
    let temporary = files::temporary_beside(destination).map_err(failed)?;
    files::create_private(&temporary, b"")?;
    let check = |copy: &Connection| {
        free_backup(copy, &backup.display())?;
        check_schema(copy, backup, steps)?;
        belongs(copy)
    };
    let restored = copy(&from, &temporary, backup, check).and_then(|()| {
        let replaced = set_aside(destination).map_err(failed)?;
        if let Err(error) = std::fs::rename(&temporary, destination) {
            // The old database keeps its place, and needs its WAL.
            for suffix in ["-wal", "-journal"] {
                if let Some(kept) = &replaced {
                    if_there(std::fs::rename(beside(kept, suffix), beside(destination, suffix))).map_err(failed)?;
                }
            }
            return Err(failed(error));
        }
        files::sync_parent(destination).map_err(failed)?;
        Ok(replaced)
    });
    if restored.is_err() {
        let _gone_already = std::fs::remove_file(&temporary);
    }
    restored
}

const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Copies, checks and fsyncs; `to` is an empty file, `source` the one that errors name.
fn copy(
    from: &Connection,
    to: &Path,
    source: &Path,
    check: impl FnOnce(&Connection) -> Result<(), StartError>,
) -> Result<(), StartError> {
    let failed = |error: rusqlite::Error| unusable(source, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(to, flags).map_err(|error| unusable(to, &error))?;
    // All pages in one step: a writer that commits in between would make SQLite start again.
    rusqlite::backup::Backup::new(from, &mut target)
        .and_then(|copying| copying.run_to_completion(i32::MAX, Duration::from_millis(50), None))
        .map_err(failed)?;
    // The copy carries the source's WAL mode; a single file must stand for itself.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(failed)?;
    let verdict: String = target.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(StartError::new(format!("{} fails the integrity check; use another backup.", source.display())));
    }
    check(&target)?;
    target.close().map_err(|(_, error)| failed(error))?;
    let synced = OpenOptions::new().read(true).custom_flags(files::NO_FOLLOW).open(to);
    synced
        .and_then(|file: File| file.sync_all())
        .map_err(|error| StartError::new(format!("The copy {} cannot be made durable ({error}).", to.display())))
}

/// Compares tables, columns and everything else that has a name with what the migrations make.
fn check_schema(copy: &Connection, backup: &Path, steps: &[&'static str]) -> Result<(), StartError> {
    let failed = |error: rusqlite::Error| unusable(backup, &error);
    let found = user_version(copy).map_err(failed)?;
    let Some(done) = usize::try_from(found).ok().and_then(|found| steps.get(..found)) else {
        return Err(StartError::new(format!(
            "{} has schema {found}, this program knows {}; restore it with the newer program.",
            backup.display(),
            steps.len()
        )));
    };
    let mut made = Connection::open_in_memory().map_err(failed)?;
    migrate(&mut made, done)?;
    if done.is_empty() || shape(copy).map_err(failed)? != shape(&made).map_err(failed)? {
        return Err(StartError::new(format!(
            "{} is not a database of this service; choose a file that its backup command made.",
            backup.display()
        )));
    }
    Ok(())
}

fn shape(conn: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    conn.prepare(
        "SELECT o.type, o.name, c.name FROM sqlite_schema AS o LEFT JOIN pragma_table_info(o.name) AS c
         ORDER BY o.type, o.name, c.cid",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
    .collect()
}

/// Gives a database a second name, under which it is kept when another replaces it. Afterwards it has no WAL beside it.
fn set_aside(database: &Path) -> io::Result<Option<PathBuf>> {
    // What only the WAL holds goes into the file, so that a crash in between leaves the old database whole. A damaged
    // one keeps its WAL apart.
    if std::fs::exists(database)?
        && let Ok(conn) = open_writer(database)
    {
        let checkpoint = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        let is_busy = match checkpoint {
            Ok(busy) => busy,
            Err(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy),
        };
        if is_busy {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program uses it; end that one first"));
        }
    }
    let kept = free_name(database)?;
    // First, so that nothing has changed when it fails.
    let linked = if_there(std::fs::hard_link(database, &kept))?;
    for suffix in ["-wal", "-journal"] {
        if_there(std::fs::rename(beside(database, suffix), beside(&kept, suffix)))?;
    }
    if_there(std::fs::remove_file(beside(database, "-shm")))?;
    files::sync_parent(database)?;
    if !linked {
        return Ok(None);
    }
    std::fs::set_permissions(&kept, PermissionsExt::from_mode(0o600))?;
    Ok(Some(kept))
}

/// `<name>-replaced-<Unix seconds>`.
fn free_name(database: &Path) -> io::Result<PathBuf> {
    let mut seconds = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    loop {
        let name = beside(database, &format!("-replaced-{seconds}"));
        if !std::fs::exists(&name)? && !std::fs::exists(beside(&name, "-wal"))? {
            return Ok(name);
        }
        seconds += 1;
    }
}

fn unusable(path: &Path, error: &rusqlite::Error) -> StartError {
    StartError::new(format!("{} cannot be used as a database ({}).", path.display(), code_of(error)))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether something was there to be moved or removed.
fn if_there(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
