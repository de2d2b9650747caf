//! The worker of the storage key: wraps the rows of replaced keys with the newest one, retires keys without rows, and
//! destroys them when no backup within the retention time needs them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use service_runtime::StartError;
use service_runtime::files::destroy_private;
use service_runtime::key_slots::{KeyState, path_of, retire};
use service_runtime::sql::StoreFault;
use shared_proto::Rejected;

use super::KeyRotation;
use crate::keys::LoadedKeys;
use crate::store::{FingerprintOfRow, KeyOfRow, WrappedFingerprint, WrappedKey};

/// Rows in one transaction: writes wait for it, so it is short.
const AT_ONCE: usize = 256;
/// Seconds until rows that did not open are tried again.
const RETRY_SECONDS: u64 = 60;
/// Seconds between two passes when only the end of a retention time is awaited.
const IDLE_SECONDS: u64 = 60 * 60;

impl KeyRotation {
    /// Takes the steps that are due.
    pub(super) async fn turn_storage_key(self: &Arc<Self>) -> Result<(), StartError> {
        let boot = self.clock.boot();
        let keys = self.keys.current();
        if !keys.storage.has_others() || boot < self.next_pass.load(Ordering::SeqCst) {
            return Ok(());
        }
        // A write that is under way may still end under a key that was replaced: then this pass would not be the last.
        if self.keys.earlier_in_use() {
            return Ok(());
        }
        let failed = |fault: StoreFault| StartError::new(format!("{fault}."));
        let left = self.pass(&keys).await.map_err(failed)? + self.pass_fingerprints(&keys).await.map_err(failed)?;
        if left > 0 {
            self.next_pass.store(boot + RETRY_SECONDS, Ordering::SeqCst);
            return Err(StartError::new(format!(
                "{left} wrapped keys or fingerprints do not open with the storage key that they name; they were altered, or that key is gone."
            )));
        }
        let over = if self.statements.clock_is_confirmed() {
            keys.storage.retired_since(self.clock.now().saturating_sub(self.key_times.backup_retention))
        } else {
            Vec::new()
        };
        let replaced = keys.storage.replaced();
        if replaced.is_empty() && over.is_empty() {
            self.next_pass.store(boot + IDLE_SECONDS, Ordering::SeqCst);
            return Ok(());
        }
        let worker = Arc::clone(self);
        let settle = tokio::task::spawn_blocking(move || {
            let folder = worker.keys.storage_keys();
            worker.change(|_| {
                replaced.iter().try_for_each(|number| retire(&folder, "", *number))?;
                over.iter().try_for_each(|number| {
                    let path = path_of(&folder, "", *number, KeyState::Retired);
                    destroy_private(&path)
                        .map_err(|error| StartError::new(format!("{} cannot be destroyed ({error}).", path.display())))
                })?;
                tracing::info!(retired = ?replaced, destroyed = ?over, "nothing is under these storage keys any more");
                Ok(())
            })
        });
        settle.await.unwrap_or_else(|_| Err(StartError::new("The storage keys could not be settled.")))
    }

    /// Wraps every row with the newest key, and returns the number of rows that could not be.
    async fn pass(&self, keys: &LoadedKeys) -> Result<u64, StoreFault> {
        let (mut after, mut left) = (None, 0);
        loop {
            let page = self.store.not_under(keys.storage.newest(), after, AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(left) };
            after = Some((last.secret, last.version, last.key.epoch));
            let found = page.len();
            let exchanged: Vec<_> = page.into_iter().filter_map(|old| rewrapped(keys, old).ok()).collect();
            left += u64::try_from(found - exchanged.len()).unwrap_or(u64::MAX);
            self.store.exchange(exchanged).await?;
        }
    }

    /// As [`Self::pass`], with the fingerprints of the rows.
    async fn pass_fingerprints(&self, keys: &LoadedKeys) -> Result<u64, StoreFault> {
        let (mut after, mut left) = (None, 0);
        loop {
            let page = self.store.fingerprints_not_under(keys.storage.newest(), after, AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(left) };
            after = Some((last.secret, last.version));
            let found = page.len();
            let exchanged: Vec<_> = page.into_iter().filter_map(|old| rewrapped_fingerprint(keys, old).ok()).collect();
            left += u64::try_from(found - exchanged.len()).unwrap_or(u64::MAX);
            self.store.exchange_fingerprints(exchanged).await?;
        }
    }
}

fn rewrapped_fingerprint(
    keys: &LoadedKeys,
    old: FingerprintOfRow,
) -> Result<(FingerprintOfRow, WrappedFingerprint), Rejected> {
    let bound = keys.storage.load_fingerprint(old.fingerprint.storage_key, &old.fingerprint.stored)?;
    let (storage_key, stored) = keys.storage.store_fingerprint(&bound)?;
    Ok((old, WrappedFingerprint { storage_key, stored }))
}

fn rewrapped(keys: &LoadedKeys, old: KeyOfRow) -> Result<(KeyOfRow, WrappedKey), Rejected> {
    let inner = keys.storage.load_inner(old.key.storage_key, &old.key.stored)?;
    let (storage_key, stored) = keys.storage.store(&inner)?;
    Ok((old, WrappedKey { epoch: old.key.epoch, storage_key, stored }))
}
