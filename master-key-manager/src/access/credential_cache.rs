//! Credentials in memory, so that authenticating a request needs no read of the database.
//!
//! Guarantees that a disabled credential is gone from here before the call of this process that disabled it returns,
//! and after the next [`CredentialCache::refresh`] when another process did. Only enabled ones are kept: a disabled and
//! an unknown one take the same way to the database. What acts for a caller looks at the credential itself, in its
//! transaction.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use manager_store::{CredentialRow, FoundCredential, IdentityStore};
use service_runtime::sql::StoreFault;

/// The enabled credentials that this process has used, by their keyed hash.
pub struct CredentialCache {
    store: Arc<dyn IdentityStore>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    rows: HashMap<[u8; 32], CredentialRow>,
    /// Changes of this process that `rows` know of.
    changes: u64,
    /// Generation of the database that `rows` are of.
    generation: u64,
}

/// Far more than services have; about 200 bytes each.
const MOST: usize = 10_000;

impl CredentialCache {
    /// An empty cache of this store.
    pub fn new(store: Arc<dyn IdentityStore>) -> Self {
        Self { store, state: RwLock::default() }
    }

    /// The credential with this keyed hash.
    ///
    /// # Errors
    /// It is not in memory, and the database cannot be read.
    pub async fn credential(&self, hmac: [u8; 32]) -> Result<Option<CredentialRow>, StoreFault> {
        // Before the database is read: what is changed meanwhile makes the answer useless for later.
        let changes = self.store.credential_changes();
        if let Some(known) = self.known(&hmac, changes) {
            return Ok(Some(known));
        }
        let found = self.store.credential(hmac).await?;
        self.keep(&found, changes);
        Ok(found.row)
    }

    /// Forgets all credentials if another process has disabled one.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreFault> {
        let generation = self.store.credential_generation().await?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if generation > state.generation {
            *state = State { rows: HashMap::new(), generation, ..*state };
        }
        Ok(())
    }

    fn known(&self, hmac: &[u8; 32], changes: u64) -> Option<CredentialRow> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.rows.get(hmac).filter(|_| state.changes == changes).cloned()
    }

    /// Keeps an enabled credential, unless something newer is known.
    fn keep(&self, found: &FoundCredential, changes: u64) {
        let generation = found.generation;
        let Some(row) = found.row.as_ref().filter(|row| !row.disabled) else { return };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if changes < state.changes || generation < state.generation {
            return;
        }
        if (changes, generation) != (state.changes, state.generation) {
            *state = State { rows: HashMap::new(), changes, generation };
        }
        if state.rows.len() < MOST {
            state.rows.insert(row.hmac, row.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use manager_api::name::UserLabel;
    use manager_policy::{Operate, Permit, Share};
    use manager_store::{Acted, NewCredential, Stored};
    use shared_proto::id::{CredentialId, ServiceId, Subject};
    use tokio::sync::Notify;

    use super::*;

    /// The table of credentials, with one row, as two processes share it.
    struct Table {
        found: Mutex<FoundCredential>,
        changes: AtomicU64,
        reads: AtomicU64,
        /// The next answer waits for this, with what was read before.
        held: Mutex<Option<Arc<Notify>>>,
    }

    const HMAC: [u8; 32] = [7; 32];

    impl Table {
        fn new() -> Arc<Self> {
            let subject = Subject::Service(ServiceId::generate());
            let row = CredentialRow { id: CredentialId::generate(), subject, hmac: HMAC, disabled: false };
            let found = Mutex::new(FoundCredential { row: Some(row), generation: 1 });
            Arc::new(Self { found, changes: AtomicU64::new(0), reads: AtomicU64::new(0), held: Mutex::default() })
        }

        fn disable(&self) {
            let mut found = self.found.lock().unwrap();
            found.generation += 1;
            found.row.as_mut().unwrap().disabled = true;
        }

        fn reads(&self) -> u64 {
            self.reads.load(Ordering::SeqCst)
        }
    }

    #[async_trait]
    impl IdentityStore for Table {
        async fn credential(&self, _hmac: [u8; 32]) -> Stored<FoundCredential> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            let found = self.found.lock().unwrap().clone();
            let held = self.held.lock().unwrap().take();
            if let Some(held) = held {
                held.notified().await;
            }
            Ok(found)
        }

        async fn credential_generation(&self) -> Stored<u64> {
            Ok(self.found.lock().unwrap().generation)
        }

        fn credential_changes(&self) -> u64 {
            self.changes.load(Ordering::SeqCst)
        }

        async fn reset_administrator(&self, _credential: NewCredential, _now: u64) -> Stored<()> {
            Err(StoreFault::Unavailable)
        }

        async fn look_again(&self, _permit: &Permit<Operate>) -> Acted<()> {
            Err(StoreFault::Unavailable.into())
        }

        async fn subject_of(&self, _permit: &Permit<Share>, _label: UserLabel) -> Acted<Option<Subject>> {
            Err(StoreFault::Unavailable.into())
        }
    }

    async fn is_enabled(cache: &CredentialCache) -> bool {
        cache.credential(HMAC).await.unwrap().is_some_and(|row| !row.disabled)
    }

    #[tokio::test]
    async fn enabled_credential_is_read_once_and_a_disabled_one_each_time() {
        let table = Table::new();
        let cache = CredentialCache::new(table.clone());
        assert!(is_enabled(&cache).await && is_enabled(&cache).await);
        assert_eq!(table.reads(), 1);
        table.disable();
        table.changes.fetch_add(1, Ordering::SeqCst);
        assert!(!is_enabled(&cache).await && !is_enabled(&cache).await);
        assert_eq!(table.reads(), 3);
    }

    #[tokio::test]
    async fn credential_that_another_process_disabled_is_forgotten_at_the_next_refresh() {
        let table = Table::new();
        let cache = CredentialCache::new(table.clone());
        assert!(is_enabled(&cache).await);
        cache.refresh().await.unwrap();
        assert!(is_enabled(&cache).await);
        assert_eq!(table.reads(), 1);
        table.disable();
        cache.refresh().await.unwrap();
        assert!(!is_enabled(&cache).await);
    }

    /// It was read while it was enabled, and the answer comes when the change is known.
    #[tokio::test]
    async fn credential_that_was_read_before_a_change_is_not_kept_after_it() {
        for same_process in [true, false] {
            let table = Table::new();
            let cache = CredentialCache::new(table.clone());
            let held = Arc::new(Notify::new());
            *table.held.lock().unwrap() = Some(held.clone());
            let change = async {
                table.disable();
                if same_process {
                    table.changes.fetch_add(1, Ordering::SeqCst);
                } else {
                    cache.refresh().await.unwrap();
                }
                held.notify_one();
            };
            let (stale, ()) = tokio::join!(is_enabled(&cache), change);
            assert!(stale, "the control: the read is older than the change");
            assert!(!is_enabled(&cache).await, "{same_process}");
        }
    }
}
