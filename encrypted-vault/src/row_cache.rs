//! A cache of ciphertext rows. Revocation is checked separately, at each read.

use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;
use service_runtime::sql::StoreFault;
use shared_proto::id::{SecretId, Version};

use crate::store::{Row, VaultStore};

/// Rows of the database, with the recently read ones in memory.
pub struct RowCache {
    store: Arc<dyn VaultStore>,
    rows: Cache<(SecretId, Version), Arc<Row>>,
    seen: Mutex<Seen>,
}

/// What was destroyed when the cache was looked through last.
#[derive(Default)]
struct Seen {
    destroyed: usize,
    // There was more than before: a row that was being read then may have come in since.
    again: bool,
}

impl RowCache {
    /// Rows of `store`, of which at most `bytes` bytes are kept.
    pub fn new(store: Arc<dyn VaultStore>, bytes: u64) -> Self {
        let rows = Cache::builder().weigher(weight).max_capacity(bytes).build();
        Self { store, rows, seen: Mutex::default() }
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

    /// Forgets rows of versions that were destroyed since, of which there are `destroyed` in all, and frees the memory of
    /// forgotten rows. Called every second.
    pub fn sweep(&self, destroyed: usize, is_destroyed: impl Fn(SecretId, Version) -> bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_more = seen.destroyed != destroyed;
        if is_more || seen.again {
            let erased =
                self.rows.iter().map(|(place, _)| *place).filter(|(secret, version)| is_destroyed(*secret, *version));
            self.forget(erased);
        }
        *seen = Seen { destroyed, again: is_more };
        self.rows.run_pending_tasks();
    }
}

fn weight(_: &(SecretId, Version), row: &Arc<Row>) -> u32 {
    // An entry takes about a kilobyte besides its ciphertext.
    u32::try_from(row.ciphertext.bytes.len() + 1024).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use service_runtime::sql::Location;
    use shared_proto::encoding::Bytes;
    use shared_proto::envelope::Ciphertext;
    use shared_proto::id::{EnvironmentId, VaultId};
    use shared_proto::identity::Mode;
    use shared_proto::wire::vault::VersionName;

    use super::*;
    use crate::store::{NewEvent, NewRow, SqlStore, WrappedKey};

    #[tokio::test]
    async fn destroyed_row_leaves_memory_also_when_it_was_being_read_meanwhile_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (location, vault) = (Location::File(dir.path().join("vault.db")), VaultId::generate());
        SqlStore::create(&location, vault, Mode::Development).unwrap();
        let store: Arc<dyn VaultStore> = Arc::new(SqlStore::open(&location, vault, Mode::Development).unwrap());
        let (environment, dead, other) = (EnvironmentId::generate(), SecretId::generate(), SecretId::generate());
        let row = |secret_id| NewRow {
            name: VersionName { environment, secret_id, version: Version::FIRST },
            digest: Bytes([1; 32]),
            ciphertext: Ciphertext::new(Bytes([2; 32]), Bytes([3; 12]), vec![4; 80]).unwrap(),
            key: WrappedKey { epoch: 1, storage_key: 1, stored: Bytes([5; 48]) },
            fingerprint: None,
        };
        store.insert(vec![row(dead), row(other)], 1).await.unwrap();
        let cache = RowCache::new(Arc::clone(&store), 1 << 20);
        let late = cache.get(dead, Version::FIRST).await.unwrap().unwrap();
        cache.get(other, Version::FIRST).await.unwrap().unwrap();
        let destroys = Some(row(dead).name);
        store.append_events(vec![NewEvent { after: 0, seq: 1, compact: String::new(), destroys }], 2).await.unwrap();

        let is_dead = |secret, _| secret == dead;
        let has = |secret| cache.rows.contains_key(&(secret, Version::FIRST));
        cache.sweep(0, is_dead);
        assert!(has(dead), "nobody said that anything was destroyed");
        cache.sweep(1, is_dead);
        assert!(!has(dead) && has(other));
        cache.rows.insert((dead, Version::FIRST), late);
        cache.sweep(1, is_dead);
        assert!(!has(dead) && has(other));
        assert!(cache.get(dead, Version::FIRST).await.unwrap().is_none());
    }
}
