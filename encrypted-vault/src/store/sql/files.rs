//! The store's SQLite file: made, opened by the service, replaced by a backup, and read beside a running service.

use std::path::{Path, PathBuf};

use service_runtime::StartError;
use service_runtime::sql::{Database, SqlError, Tx};
use service_runtime::sqlite::{Readers, Writer, check_version, migrate, open_reader, open_writer, restore};
use shared_proto::id::VaultId;
use shared_proto::identity::Mode;

use super::{SqlStore, installation, schema, wrapped_keys};

/// Connections that only read.
const READERS: usize = 4;

impl SqlStore {
    /// Makes the database of a new vault.
    ///
    /// # Errors
    /// It exists for another vault, or cannot be written.
    pub fn create(path: &Path, id: VaultId, mode: Mode) -> Result<(), StartError> {
        let mut conn = open_writer(path)?;
        migrate(&mut conn, schema::SQLITE)?;
        let mut tx = Tx::on(&conn);
        installation::note(&mut tx, id, mode)
            .map_err(|error| StartError::new(format!("{} cannot be written ({error}).", path.display())))?;
        check_installation(&mut tx, path, id, mode)
    }

    /// Replaces the database, which no process may use, with a backup of this vault. Returns the path at which the
    /// replaced one is kept.
    ///
    /// # Errors
    /// Those of [`service_runtime::sqlite::restore`], or the backup is of another vault or mode.
    pub fn restore(backup: &Path, path: &Path, id: VaultId, mode: Mode) -> Result<Option<PathBuf>, StartError> {
        restore(backup, path, schema::SQLITE, |conn| check_installation(&mut Tx::on(conn), backup, id, mode))
    }

    /// Opens the database of this vault.
    ///
    /// # Errors
    /// It is missing, of another vault or mode, from newer code, or SQLite is too old.
    pub fn open(path: &Path, id: VaultId, mode: Mode) -> Result<Self, StartError> {
        check_version()?;
        if !path.exists() {
            return Err(StartError::new(format!(
                "{} is missing; run `encrypted-vault init`, or `encrypted-vault restore` with a backup.",
                path.display()
            )));
        }
        let mut conn = open_writer(path)?;
        migrate(&mut conn, schema::SQLITE)?;
        check_installation(&mut Tx::on(&conn), path, id, mode)?;
        let writer = Writer::spawn(conn)?;
        let readers = Readers::open(path, READERS, writer.health())?;
        Ok(Self::on(Database::sqlite(writer, readers)))
    }

    /// The number of wrapped keys under each storage key. It can be read while the vault runs.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn count_by_storage_key(path: &Path) -> Result<Vec<(u32, u64)>, StartError> {
        let conn = open_reader(path)?;
        wrapped_keys::count_by_storage_key(&mut Tx::on(&conn)).map_err(|error| unreadable(path, error))
    }
}

fn check_installation(tx: &mut Tx<'_>, path: &Path, id: VaultId, mode: Mode) -> Result<(), StartError> {
    if installation::is_of(tx, id, mode).map_err(|error| unreadable(path, error))? {
        return Ok(());
    }
    Err(StartError::new(format!(
        "{} belongs to another vault or to the other mode; each vault has a data directory and backups of its own.",
        path.display()
    )))
}

fn unreadable(path: &Path, error: SqlError) -> StartError {
    StartError::new(format!("{} cannot be read ({error}).", path.display()))
}
