//! The store on SQLite: one file, `manager.db`, one writer with group commit, several readers of snapshots.

mod catalogue;
mod credential_cache;
mod credentials;
mod events;
mod identity;
mod rotation;
mod rows;
mod schema;
mod tokens;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use service_runtime::StartError;
use service_runtime::sql::{Database, Faults, SqlError, Tx};
use service_runtime::sqlite::{Readers, Writer, migrate, open_writer, restore};
use shared_proto::id::ManagerId;
use shared_proto::identity::Mode;

use self::credential_cache::CredentialCache;
use self::credentials::is_enabled;
pub use self::rotation::{read_key_facts, read_owner};
use super::{ActError, Acted, Actor, ManagerStore, Stored};

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    sql: Database,
    // The same database, for the areas that do not use `sql` yet.
    writer: Writer,
    readers: Readers,
    enabled: CredentialCache,
}

/// Readers beyond the number of cores would only wait for each other.
const READERS: usize = 4;

impl SqliteStore {
    /// Opens the database, makes it if there is none, and brings it to the newest schema.
    ///
    /// # Errors
    /// It cannot be opened, is open to others, damaged or newer than the program, or SQLite is too old.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let mut conn = open_writer(path)?;
        migrate(&mut conn, schema::STEPS)?;
        let writer = Writer::spawn(conn)?;
        let readers = Readers::open(path, READERS, writer.health())?;
        let sql = Database::sqlite(writer.clone(), readers.clone());
        Ok(Self { sql, writer, readers, enabled: CredentialCache::default() })
    }

    /// The same store with planned faults. For tests.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { sql: self.sql.with_faults(faults), ..self }
    }

    /// Replaces the database, which no process may use, with a backup of this manager. Returns the path at which the
    /// replaced one is kept.
    ///
    /// # Errors
    /// Those of [`service_runtime::sqlite::restore`], or the backup is of another manager or mode.
    pub fn restore(backup: &Path, path: &Path, id: ManagerId, mode: Mode) -> Result<Option<PathBuf>, StartError> {
        restore(backup, path, schema::STEPS, |conn| {
            let found = identity::installation(conn).ok().flatten();
            if found.is_some_and(|found| (found.manager, found.mode) == (id, mode)) {
                return Ok(());
            }
            Err(StartError::new(format!(
                "{} is of another manager or of the other mode than the key folder; choose a backup of this manager.",
                backup.display()
            )))
        })
    }

    /// A job that writes in the name of `actor`, if its credential is still enabled.
    async fn write_as<T, F>(&self, name: &'static str, actor: Actor, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let allowed = self.sql.write(name, move |tx| allow(tx, actor, &job));
        allowed.await?.ok_or(ActError::CredentialDisabled)
    }

    /// A job that reads in the name of `actor`, if its credential is still enabled.
    async fn read_as<T, F>(&self, name: &'static str, actor: Actor, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let allowed = self.sql.read(name, move |tx| allow(tx, actor, &job));
        allowed.await?.ok_or(ActError::CredentialDisabled)
    }

    /// A transaction that writes in the name of `actor`, if the actor still may.
    async fn write_for<T, F>(&self, actor: Actor, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer.run(move |conn| if_enabled(conn, actor, job)).await?.ok_or(ActError::CredentialDisabled)
    }

    /// A transaction that reads in the name of `actor`, if the actor still may.
    async fn read_for<T, F>(&self, actor: Actor, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.readers.read(move |conn| if_enabled(conn, actor, job)).await?.ok_or(ActError::CredentialDisabled)
    }

    /// A transaction that may disable credentials. The cached ones are forgotten when it is committed, before its
    /// caller gets the result.
    async fn write_credentials<T, F>(&self, job: F) -> Stored<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let forget = self.enabled.forget_when_dropped();
        let written = self.writer.run(move |conn| job(conn).map(|value| (value, forget))).await?;
        Ok(written.0)
    }
}

/// Checks the actor's credential and runs the job, in one transaction.
fn allow<T>(
    tx: &mut Tx<'_>,
    actor: Actor,
    job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>,
) -> Result<Option<T>, SqlError> {
    if is_enabled(tx, actor.credential())? { job(tx).map(Some) } else { Ok(None) }
}

/// The same for jobs that use the connection.
fn if_enabled<T>(
    conn: &Connection,
    actor: Actor,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    if is_enabled(&mut Tx::on(conn), actor.credential())? { job(conn).map(Some) } else { Ok(None) }
}

impl ManagerStore for SqliteStore {
    fn is_healthy(&self) -> bool {
        self.sql.is_healthy()
    }
}
