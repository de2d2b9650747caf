//! The storage keys, which wrap rows at rest. The highest one in use wraps new rows, and every existing one opens rows.

use std::collections::BTreeMap;
use std::path::Path;

use service_runtime::StartError;
use service_runtime::key_folder::refused;
use service_runtime::key_slots::{KeyState, load_numbered};
use shared_proto::Rejected;
use shared_proto::envelope::{BoundFingerprint, Inner, StoredFingerprint, StoredKey};
use shared_proto::secret::StorageKey;

/// The storage keys by number.
pub struct StorageKeys {
    keys: BTreeMap<u32, Held>,
    newest: u32,
}

struct Held {
    key: StorageKey,
    state: KeyState,
    since: u64,
}

impl StorageKeys {
    /// Reads the folder of storage keys.
    ///
    /// # Errors
    /// A file is not a storage key, or none is in use.
    pub(super) fn load(dir: &Path) -> Result<Self, StartError> {
        let mut keys = BTreeMap::new();
        for key in load_numbered(dir)? {
            if !key.scope.is_empty() {
                return Err(refused(dir, "storage keys are named <number>.key", "move other files away"));
            }
            let held = Held { key: StorageKey::from_bytes(key.key), state: key.state, since: key.since };
            keys.insert(key.number, held);
        }
        let in_use = keys.iter().rfind(|(_, held)| held.state == KeyState::Active);
        let Some((&newest, _)) = in_use else {
            return Err(refused(dir, "there is no storage key", "restore it from the backup"));
        };
        Ok(Self { keys, newest })
    }

    /// The form at rest of a wrapped key, and the number of the storage key that wraps it.
    pub fn store(&self, inner: &Inner) -> Result<(u32, StoredKey), Rejected> {
        let held = self.keys.get(&self.newest).ok_or(Rejected)?;
        Ok((self.newest, inner.store_with(&held.key)?))
    }

    /// The inverse of [`Self::store`].
    pub fn load_inner(&self, number: u32, stored: &StoredKey) -> Result<Inner, Rejected> {
        Inner::from_stored(&self.keys.get(&number).ok_or(Rejected)?.key, stored)
    }

    /// The form at rest of a bound fingerprint, and the number of the storage key that wraps it.
    pub fn store_fingerprint(&self, bound: &BoundFingerprint) -> Result<(u32, StoredFingerprint), Rejected> {
        let held = self.keys.get(&self.newest).ok_or(Rejected)?;
        Ok((self.newest, bound.store_with(&held.key)?))
    }

    /// The inverse of [`Self::store_fingerprint`].
    pub fn load_fingerprint(&self, number: u32, stored: &StoredFingerprint) -> Result<BoundFingerprint, Rejected> {
        BoundFingerprint::from_stored(&self.keys.get(&number).ok_or(Rejected)?.key, stored)
    }

    /// Whether rows can be under any key beside the newest.
    pub fn has_others(&self) -> bool {
        self.keys.iter().any(|(number, held)| *number != self.newest && held.state != KeyState::Unconfirmed)
    }

    /// The number of the key that wraps new rows.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// Numbers of the keys in use that a newer one has replaced.
    pub fn replaced(&self) -> Vec<u32> {
        let below = self.keys.range(..self.newest);
        below.filter(|(_, held)| held.state == KeyState::Active).map(|(number, _)| *number).collect()
    }

    /// Numbers of the keys that were retired at or before this time (Unix seconds).
    pub fn retired_since(&self, time: u64) -> Vec<u32> {
        let retired = self.keys.iter().filter(|(_, held)| held.state == KeyState::Retired && held.since <= time);
        retired.map(|(number, _)| *number).collect()
    }
}
