//! The store's database: opened by the service, replaced by a backup, and read beside a running service.

use std::path::{Path, PathBuf};

use manager_registry::RowKey;
use service_runtime::StartError;
use service_runtime::sql::{Database, Location, MovedInstallation, Tx, migrate_store};
use service_runtime::sqlite::restore;
use shared_proto::id::ManagerId;
use shared_proto::identity::Mode;

use super::SqlStore;
use super::environments::environments;
use super::installation::{installation, owner};
use super::rotation::key_facts;
use super::schema::SCHEMA;
use crate::{Environment, Installation, KeyFacts};

impl SqlStore {
    /// Opens the database of this manager, which `init` has made. The database of another one on a server is left alone,
    /// also its lease.
    ///
    /// # Errors
    /// Those of [`Database::open`], or it is of another manager or mode.
    pub fn open_of(location: &Location, id: ManagerId, mode: Mode) -> Result<Self, StartError> {
        if location.is_made()? {
            let owner = location.look(&SCHEMA, owner)?;
            if owner.is_some_and(|owner| owner != (id, mode.as_str().to_owned())) {
                return Err(StartError::new(format!(
                    "The database {location} is of another manager or of the other mode than the key folder; name this \
                     manager's."
                )));
            }
        }
        Self::open(location, false)
    }

    /// Tells whether a database that has tables holds an installation.
    ///
    /// # Errors
    /// It cannot be read, or is another service's.
    pub fn is_installed(location: &Location) -> Result<bool, StartError> {
        Ok(location.look(&SCHEMA, owner)?.is_some())
    }

    /// Opens the database, makes it if there is none and `make` says so, and brings it to the newest schema.
    ///
    /// # Errors
    /// Those of [`Database::open`].
    pub fn open(location: &Location, make: bool) -> Result<Self, StartError> {
        Database::open(location, &SCHEMA, make).map(Self::on)
    }

    /// Replaces the database, which no process may use, with a backup of this manager. Returns the path at which the
    /// replaced one is kept.
    ///
    /// # Errors
    /// Those of [`service_runtime::sqlite::restore`], or the backup is of another manager or mode.
    pub fn restore(backup: &Path, path: &Path, id: ManagerId, mode: Mode) -> Result<Option<PathBuf>, StartError> {
        restore(backup, path, SCHEMA.sqlite, |conn| {
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

    /// Copies the database of this manager to another place. Blocks the thread.
    ///
    /// # Errors
    /// Those of [`migrate_store`].
    pub fn migrate(from: MovedInstallation<'_>, to: MovedInstallation<'_>, id: ManagerId) -> Result<(), StartError> {
        migrate_store(from, to, &SCHEMA, |tx| {
            Ok(installation(tx)?.is_some_and(|found| (found.manager, found.mode) == (id, from.mode)))
        })
    }
}

/// The database's part of a report about keys, read beside a running service.
///
/// # Errors
/// The database cannot be read, or the service has not brought it to this schema yet.
pub fn read_key_facts(location: &Location, key: &RowKey) -> Result<KeyFacts, StartError> {
    location.look(&SCHEMA, |tx| key_facts(tx, key))?.ok_or_else(|| empty(location))
}

/// The installation that the database belongs to, with its environments, read beside a running service.
///
/// # Errors
/// Those of [`read_key_facts`].
pub fn read_owner(location: &Location, key: &RowKey) -> Result<(Installation, Vec<Environment>), StartError> {
    let found = location.look(&SCHEMA, |tx| match installation(tx)? {
        Some(found) => Ok(Some((found, environments(tx, key)?))),
        None => Ok(None),
    });
    found?.ok_or_else(|| empty(location))
}

fn empty(location: &Location) -> StartError {
    StartError::new(format!("The database {location} holds no installation; restore a backup of it."))
}
