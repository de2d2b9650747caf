//! The store's database: made, opened by the service, replaced by a backup, and read beside a running service.

use std::path::{Path, PathBuf};
use std::thread;

use service_runtime::StartError;
use service_runtime::cli::runtime;
use service_runtime::sql::{Database, Location, MovedInstallation, SqlError, Tx, migrate_store};
use service_runtime::sqlite::restore;
use shared_proto::id::VaultId;
use shared_proto::identity::Mode;

use super::schema::SCHEMA;
use super::{SqlStore, installation, wrapped_keys};

impl SqlStore {
    /// Makes the database of a new vault: its tables, then its keys with `keys`, then the note of its owner. Blocks the
    /// thread.
    ///
    /// # Errors
    /// It exists for a vault, or cannot be used: no key is made. Or those of `keys`, or it cannot be written.
    pub fn create_with<T>(
        location: &Location,
        mode: Mode,
        keys: impl FnOnce() -> Result<(VaultId, T), StartError>,
    ) -> Result<T, StartError> {
        let database = Database::open(location, &SCHEMA, true)?;
        if location.look(&SCHEMA, installation::is_noted)? {
            return Err(StartError::new(format!(
                "The database {location} is of a vault already and is not overwritten; name an empty one."
            )));
        }
        let (id, made) = keys()?;
        Self::note(database, location, id, mode)?;
        Ok(made)
    }

    /// Makes the database of a vault that has its keys. Blocks the thread.
    ///
    /// # Errors
    /// It exists for another vault, or cannot be written.
    pub fn create(location: &Location, id: VaultId, mode: Mode) -> Result<(), StartError> {
        Self::note(Database::open(location, &SCHEMA, true)?, location, id, mode)
    }

    fn note(database: Database, location: &Location, id: VaultId, mode: Mode) -> Result<(), StartError> {
        // On a thread of its own, because the caller may be on one of a runtime.
        let making = move || {
            runtime()?.block_on(async {
                let noted = database.write("note", move |tx| installation::note(tx, id, mode)).await;
                database.close().await;
                noted.map_err(|fault| StartError::new(format!("{location} cannot be written ({fault}).")))
            })
        };
        let made = thread::scope(|scope| scope.spawn(making).join());
        made.unwrap_or_else(|_| Err(StartError::new(format!("{location} cannot be written."))))?;
        check_installation(location, id, mode)
    }

    /// Replaces the database, which no process may use, with a backup of this vault. Returns the path at which the
    /// replaced one is kept.
    ///
    /// # Errors
    /// Those of [`service_runtime::sqlite::restore`], or the backup is of another vault or mode.
    pub fn restore(backup: &Path, path: &Path, id: VaultId, mode: Mode) -> Result<Option<PathBuf>, StartError> {
        restore(backup, path, SCHEMA.sqlite, |conn| {
            check(&backup.display(), installation::is_of(&mut Tx::on(conn), id, mode))
        })
    }

    /// Copies the database of this vault to another place. Blocks the thread.
    ///
    /// # Errors
    /// Those of [`migrate_store`].
    pub fn migrate(from: MovedInstallation<'_>, to: MovedInstallation<'_>, id: VaultId) -> Result<(), StartError> {
        migrate_store(from, to, &SCHEMA, move |tx| installation::is_of(tx, id, from.mode))
    }

    /// Opens the database of this vault.
    ///
    /// # Errors
    /// Those of [`Database::open`], or it is of another vault or mode.
    pub fn open(location: &Location, id: VaultId, mode: Mode) -> Result<Self, StartError> {
        // The database of another vault on a server is left alone, also its lease.
        if location.file().is_none() && location.is_made()? {
            check_installation(location, id, mode)?;
        }
        let database = Database::open(location, &SCHEMA, false)?;
        check_installation(location, id, mode)?;
        Ok(Self::on(database))
    }

    /// The number of wrapped keys under each storage key. It can be read while the vault runs.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn count_by_storage_key(location: &Location) -> Result<Vec<(u32, u64)>, StartError> {
        location.look(&SCHEMA, wrapped_keys::count_by_storage_key)
    }
}

fn check_installation(location: &Location, id: VaultId, mode: Mode) -> Result<(), StartError> {
    check(location, Ok(location.look(&SCHEMA, move |tx| installation::is_of(tx, id, mode))?))
}

fn check(shown: &dyn std::fmt::Display, is_of: Result<bool, SqlError>) -> Result<(), StartError> {
    if is_of.map_err(|error| StartError::new(format!("{shown} cannot be read ({error}).")))? {
        return Ok(());
    }
    Err(StartError::new(format!(
        "{shown} belongs to another vault or to the other mode; each vault has a database and backups of its own."
    )))
}
