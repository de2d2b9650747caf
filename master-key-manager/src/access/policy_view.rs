//! The facts of the policy in memory, from which every decision is made.
//!
//! Facts that are older than the database let nobody through: what acts compares their epoch in its transaction. They
//! are read again before the next request then, and when maintenance sees another epoch.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use manager_policy::Facts;
use manager_store::PolicyStore;
use service_runtime::sql::StoreFault;

/// The facts of the policy, as they were last read.
pub struct PolicyView {
    store: Arc<dyn PolicyStore>,
    facts: ArcSwapOption<Facts>,
}

impl PolicyView {
    /// A view of this store, which has read nothing.
    pub fn new(store: Arc<dyn PolicyStore>) -> Self {
        Self { store, facts: ArcSwapOption::empty() }
    }

    /// The facts.
    ///
    /// # Errors
    /// They are not in memory, and the database cannot be read.
    pub async fn facts(&self) -> Result<Arc<Facts>, StoreFault> {
        if let Some(known) = self.facts.load_full() {
            return Ok(known);
        }
        let read = Arc::new(self.store.facts().await?);
        self.facts.store(Some(Arc::clone(&read)));
        Ok(read)
    }

    /// Has the facts read again before the next decision.
    pub fn forget(&self) {
        self.facts.store(None);
    }

    /// Forgets the facts if the policy has changed since they were read.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreFault> {
        let epoch = self.store.policy_epoch().await?;
        if self.facts.load().as_ref().is_some_and(|known| known.epoch() != epoch) {
            self.forget();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use manager_policy::{PolicyEpoch, State};
    use manager_store::Stored;

    use super::*;

    /// The policy in the database, which has an epoch and no lines.
    struct Table {
        epoch: AtomicU64,
        reads: AtomicU64,
    }

    #[async_trait]
    impl PolicyStore for Table {
        async fn facts(&self) -> Stored<Facts> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Ok(Facts::new(self.policy_epoch().await?, State::default()))
        }

        async fn policy_epoch(&self) -> Stored<PolicyEpoch> {
            Ok(PolicyEpoch(self.epoch.load(Ordering::SeqCst)))
        }
    }

    #[tokio::test]
    async fn facts_are_read_once_for_each_epoch() {
        let table = Arc::new(Table { epoch: AtomicU64::new(1), reads: AtomicU64::new(0) });
        let view = PolicyView::new(table.clone());
        for epoch in 1..3 {
            table.epoch.store(epoch, Ordering::SeqCst);
            view.refresh().await.unwrap();
            for _ in 0..2 {
                assert_eq!(view.facts().await.unwrap().epoch(), PolicyEpoch(epoch));
                view.refresh().await.unwrap();
            }
            assert_eq!(table.reads.load(Ordering::SeqCst), epoch);
        }
        view.forget();
        view.facts().await.unwrap();
        assert_eq!(table.reads.load(Ordering::SeqCst), 3);
    }
}
