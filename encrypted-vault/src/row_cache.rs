//! A cache of ciphertext rows. Revocation is checked separately, at each read.

use std::sync::Arc;

use moka::sync::Cache;
use service_runtime::sql::StoreFault;
use shared_proto::id::{SecretId, Version};

use crate::store::{Row, VaultStore};

/// Rows of the database, with the recently read ones in memory.
pub struct RowCache {
    store: Arc<dyn VaultStore>,
    rows: Cache<(SecretId, Version), Arc<Row>>,
}

impl RowCache {
    /// Rows of `store`, of which at most `bytes` bytes are kept.
    pub fn new(store: Arc<dyn VaultStore>, bytes: u64) -> Self {
        Self { store, rows: Cache::builder().weigher(weight).max_capacity(bytes).build() }
    }

    /// The row of a version, from memory or the database.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get(&self, secret: SecretId, version: Version) -> Result<Option<Arc<Row>>, StoreFault> {
        if let Some(row) = self.rows.get(&(secret, version)) {
            return Ok(Some(row));
        }
        let row = self.store.read(secret, version).await?.map(Arc::new);
        if let Some(row) = &row {
            self.rows.insert((secret, version), Arc::clone(row));
        }
        Ok(row)
    }

    /// The row of a version, from the database only.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get_fresh(&self, secret: SecretId, version: Version) -> Result<Option<Arc<Row>>, StoreFault> {
        self.forget(std::iter::once((secret, version)));
        self.get(secret, version).await
    }

    /// Forgets these rows: the next read takes them from the database.
    pub fn forget(&self, rows: impl Iterator<Item = (SecretId, Version)>) {
        rows.for_each(|row| self.rows.invalidate(&row));
    }

    /// Frees the memory of forgotten rows. Called every second.
    pub fn sweep(&self) {
        self.rows.run_pending_tasks();
    }
}

fn weight(_: &(SecretId, Version), row: &Arc<Row>) -> u32 {
    // An entry takes about a kilobyte besides its ciphertext.
    u32::try_from(row.ciphertext.bytes.len() + 1024).unwrap_or(u32::MAX)
}
