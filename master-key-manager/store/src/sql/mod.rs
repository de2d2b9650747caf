//! The store on a database: statements, reading of rows, and the decisions between statements. They are written once
//! for all engines.

mod catalogue;
mod comparison;
mod destruction;
mod details;
mod due;
mod ends;
mod environments;
mod erasure;
mod events;
mod files;
mod history;
mod identity;
mod installation;
mod integrity;
mod notices;
mod outlived;
mod places;
mod placing;
mod pruning;
mod reconcile;
mod registry;
mod rotation;
mod rows;
pub mod schema;
mod search;
mod secret_rotation;
mod stages;
mod targets;
mod token_names;
mod tokens;
mod version_tags;
mod vouch;
mod with_entry;

use std::sync::Arc;

use async_trait::async_trait;
use manager_policy::Basis;
use manager_registry::RowKey;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{Database, Faults, SqlError, Tx};

pub use self::files::{read_key_facts, read_owner};
use self::registry::outdated;
use crate::{Acted, Bounds, ManagerStore};

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct SqlStore {
    sql: Database,
    /// Authenticates rows that decisions rest on.
    key: Arc<RowKey>,
    /// Of lists.
    bounds: Bounds,
}

impl SqlStore {
    /// A store on a database that has the newest [`schema`]. Its key is a new one: it knows no row that another store
    /// wrote, until it gets the key of the installation.
    pub fn on(database: Database) -> Self {
        Self { sql: database, key: Arc::new(RowKey::generate()), bounds: Bounds::default() }
    }

    /// The same store with the key that authenticates the rows of its installation.
    #[must_use]
    pub fn with_key(self, key: RowKey) -> Self {
        Self { key: Arc::new(key), ..self }
    }

    /// The same store with planned faults of its jobs, which have the names of its methods. For tests.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { sql: self.sql.with_faults(faults), ..self }
    }

    /// The same store with other bounds of its lists. For tests.
    #[must_use]
    pub fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    fn key(&self) -> Arc<RowKey> {
        Arc::clone(&self.key)
    }

    /// A job that writes for a permit, if what that was decided from is as it was.
    async fn write_as<T, F>(&self, name: &'static str, basis: Basis, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let allowed = self.sql.write(name, move |tx| allow(tx, basis, SystemClock.now(), &job));
        allowed.await?
    }

    /// A job that reads for a permit, if what that was decided from is as it was.
    async fn read_as<T, F>(&self, name: &'static str, basis: Basis, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let allowed = self.sql.read(name, move |tx| allow(tx, basis, SystemClock.now(), &job));
        allowed.await?
    }
}

/// Compares what a permit was decided from and runs the job, in one transaction.
fn allow<T>(
    tx: &mut Tx<'_>,
    basis: Basis,
    now: u64,
    job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>,
) -> Result<Acted<T>, SqlError> {
    match outdated(tx, basis, now)? {
        None => job(tx).map(Ok),
        Some(why) => Ok(Err(why)),
    }
}

#[async_trait]
impl ManagerStore for SqlStore {
    fn is_healthy(&self) -> bool {
        self.sql.is_healthy()
    }

    fn unfit_row(&self) -> Option<String> {
        self.key.unfit().map(str::to_owned)
    }

    async fn lost(&self) {
        self.sql.lost().await;
    }

    async fn close(&self) {
        self.sql.close().await;
    }
}
