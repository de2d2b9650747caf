//! The store on a database: statements, reading of rows, and the decisions between statements. They are written once
//! for all engines.

mod catalogue;
mod credentials;
mod destruction;
mod environments;
mod events;
mod files;
mod identity;
mod installation;
mod policy;
mod reconcile;
mod rotation;
mod rows;
pub mod schema;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use manager_policy::Basis;
use service_runtime::sql::{Database, Faults, SqlError, Tx};

pub use self::files::{read_key_facts, read_owner};
use self::policy::outdated;
use crate::{Acted, ManagerStore, Stored};

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct SqlStore {
    sql: Database,
    /// Of this process: transactions that may have disabled a credential and have ended.
    changes: Arc<AtomicU64>,
}

impl SqlStore {
    /// A store on a database that has the newest [`schema`].
    pub fn on(database: Database) -> Self {
        Self { sql: database, changes: Arc::default() }
    }

    /// The same store with planned faults of its jobs, which have the names of its methods. For tests.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { sql: self.sql.with_faults(faults), ..self }
    }

    /// A job that writes for a permit, if what that was decided from is as it was.
    async fn write_as<T, F>(&self, name: &'static str, basis: Basis, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let allowed = self.sql.write(name, move |tx| allow(tx, basis, &job));
        allowed.await?
    }

    /// A job that reads for a permit, if what that was decided from is as it was.
    async fn read_as<T, F>(&self, name: &'static str, basis: Basis, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let allowed = self.sql.read(name, move |tx| allow(tx, basis, &job));
        allowed.await?
    }

    /// A job that may disable credentials. It counts as a change when the outcome of its commit is there, before its
    /// caller hears of it.
    async fn write_credentials<T, F>(&self, name: &'static str, job: F) -> Stored<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        let changes = Arc::clone(&self.changes);
        let count = move || {
            changes.fetch_add(1, Ordering::SeqCst);
        };
        self.sql.write_then(name, job, count).await
    }
}

/// Compares what a permit was decided from and runs the job, in one transaction.
fn allow<T>(
    tx: &mut Tx<'_>,
    basis: Basis,
    job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>,
) -> Result<Acted<T>, SqlError> {
    match outdated(tx, basis)? {
        None => job(tx).map(Ok),
        Some(why) => Ok(Err(why)),
    }
}

#[async_trait]
impl ManagerStore for SqlStore {
    fn is_healthy(&self) -> bool {
        self.sql.is_healthy()
    }

    async fn lost(&self) {
        self.sql.lost().await;
    }

    async fn close(&self) {
        self.sql.close().await;
    }
}
