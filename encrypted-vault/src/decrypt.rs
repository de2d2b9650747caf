//! Opening a row: the only place where a value exists, and for one request only.

use shared_proto::envelope::open;
use shared_proto::secret::SecretValue;

use crate::grant::DecryptGrant;
use crate::keys::StorageKeys;
use crate::store::Row;

/// A row did not open. The grant is given back for one more try, with the row as it is in the database now.
pub struct NotOpened(pub DecryptGrant);

/// Opens rows with the vault's storage keys and the release key of a grant.
pub struct Opener<'a> {
    storage: &'a StorageKeys,
}

impl<'a> Opener<'a> {
    /// An opener with these storage keys.
    pub fn new(storage: &'a StorageKeys) -> Self {
        Self { storage }
    }

    /// Opens the version that the grant names. A row may be wrapped under several epochs of its root key while that is
    /// rotated; the wrong ones cannot be unwrapped.
    ///
    /// # Errors
    /// [`NotOpened`], whatever the reason.
    pub fn open(&self, grant: DecryptGrant, row: &Row) -> Result<SecretValue, NotOpened> {
        let header = grant.header();
        #[cfg(feature = "sabotage")]
        let header = crate::sabotage::header(header);
        for key in &row.keys {
            let Ok(release_key) = grant.release_key() else { break };
            let inner = self.storage.load_inner(key.storage_key, &key.stored);
            if let Ok(value) = inner.and_then(|inner| open::open(&header, release_key, &inner, &row.ciphertext)) {
                return Ok(value);
            }
        }
        Err(NotOpened(grant))
    }
}
