//! The store's SQLite file: opened by the service, replaced by a backup, and read beside a running service.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use service_runtime::StartError;
use service_runtime::sql::{Database, SqlError, Tx};
use service_runtime::sqlite::{Readers, Writer, migrate, open_reader, open_writer, restore};
use shared_proto::id::ManagerId;
use shared_proto::identity::Mode;

use super::identity::installation;
use super::rotation::key_facts;
use super::{SqlStore, schema};
use crate::store::{Installation, KeyFacts};

/// Readers beyond the number of cores would only wait for each other.
const READERS: usize = 4;

impl SqlStore {
    /// Opens the database, makes it if there is none, and brings it to the newest schema.
    ///
    /// # Errors
    /// It cannot be opened, is open to others, damaged or newer than the program, or SQLite is too old.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let mut conn = open_writer(path)?;
        migrate(&mut conn, schema::SQLITE)?;
        let writer = Writer::spawn(conn)?;
        let readers = Readers::open(path, READERS, writer.health())?;
        Ok(Self::on(Database::sqlite(writer, readers)))
    }

    /// Replaces the database, which no process may use, with a backup of this manager. Returns the path at which the
    /// replaced one is kept.
    ///
    /// # Errors
    /// Those of [`service_runtime::sqlite::restore`], or the backup is of another manager or mode.
    pub fn restore(backup: &Path, path: &Path, id: ManagerId, mode: Mode) -> Result<Option<PathBuf>, StartError> {
        restore(backup, path, schema::SQLITE, |conn| {
            let found = installation(&mut Tx::on(conn)).ok().flatten();
            if found.is_some_and(|found| (found.manager, found.mode) == (id, mode)) {
                return Ok(());
            }
            Err(StartError::new(format!(
                "{} is of another manager or of the other mode than the key folder; choose a backup of this manager.",
                backup.display()
            )))
        })
    }
}

/// The database's part of a report about keys, read beside a running service.
///
/// # Errors
/// The database cannot be read, or the service has not brought it to this schema yet.
pub fn read_key_facts(path: &Path) -> Result<KeyFacts, StartError> {
    read_one(path, key_facts)
}

/// The installation that the database belongs to, read beside a running service.
///
/// # Errors
/// Those of [`read_key_facts`].
pub fn read_owner(path: &Path) -> Result<Installation, StartError> {
    read_one(path, installation)
}

fn read_one<T>(path: &Path, read: impl Fn(&mut Tx<'_>) -> Result<Option<T>, SqlError>) -> Result<T, StartError> {
    let cannot = || {
        StartError::new(format!(
            "{} cannot be read, or is of an earlier version; start the service once with this version.",
            path.display()
        ))
    };
    let conn: Connection = open_reader(path)?;
    let snapshot = conn.unchecked_transaction().map_err(|_| cannot())?;
    read(&mut Tx::on(&snapshot)).map_err(|_| cannot())?.ok_or_else(|| {
        StartError::new(format!("The database {} holds no installation; restore a backup of it.", path.display()))
    })
}
