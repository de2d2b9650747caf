//! Credentials in memory, so that authenticating a request needs no read of the database.
//!
//! Guarantees that a disabled credential is gone from here before the call that disabled it returns. Only enabled ones
//! are kept: a disabled and an unknown one take the same way to the database.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::store::CredentialRow;

/// The enabled credentials that were used, by their keyed hash. Clones share them.
#[derive(Clone, Default)]
pub(super) struct CredentialCache(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    rows: HashMap<[u8; 32], CredentialRow>,
    /// Grows with each change of the table.
    generation: u64,
}

/// Far more than services have; about 200 bytes each.
const MOST: usize = 10_000;

impl CredentialCache {
    pub(super) fn get(&self, hmac: &[u8; 32]) -> Option<CredentialRow> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).rows.get(hmac).cloned()
    }

    /// The generation of the table. Call it before the database is read.
    pub(super) fn generation(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// Keeps a row, unless the table has changed since `generation`.
    pub(super) fn keep(&self, row: &CredentialRow, generation: u64) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !row.disabled && state.generation == generation && state.rows.len() < MOST {
            state.rows.insert(row.hmac, row.clone());
        }
    }

    /// Forgets all credentials, because the table has changed.
    pub(super) fn forget(&self) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.generation += 1;
        state.rows.clear();
    }
}

// Nothing of the rows: they have the keyed hashes.
impl std::fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::id::{CredentialId, ServiceId, Subject};

    use super::*;

    fn row(disabled: bool) -> CredentialRow {
        let subject = Subject::Service(ServiceId::generate());
        CredentialRow { id: CredentialId::generate(), subject, hmac: [7; 32], disabled }
    }

    #[test]
    fn a_row_that_was_read_before_a_change_is_not_kept_after_it() {
        let enabled = CredentialCache::default();
        let before = enabled.generation();
        enabled.keep(&row(false), before);
        assert!(enabled.get(&[7; 32]).is_some());
        enabled.forget();
        assert_eq!(enabled.get(&[7; 32]), None);
        enabled.keep(&row(false), before);
        assert_eq!(enabled.get(&[7; 32]), None);
    }

    #[test]
    fn a_disabled_credential_is_not_kept() {
        let enabled = CredentialCache::default();
        enabled.keep(&row(true), enabled.generation());
        assert_eq!(enabled.get(&[7; 32]), None);
    }

    #[test]
    fn keyed_hashes_are_not_printed() {
        let enabled = CredentialCache::default();
        enabled.keep(&row(false), enabled.generation());
        assert_eq!(format!("{enabled:?}"), "CredentialCache { .. }");
    }
}
