//! Opening a row: the only place where a value exists, and for one request only.

use shared_proto::Rejected;
use shared_proto::envelope::open;
use shared_proto::secret::SecretValue;

use crate::grant::DecryptGrant;
use crate::keys::StorageKeys;
use crate::store::Row;

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
    /// [`Rejected`], whatever the reason.
    #[expect(clippy::needless_pass_by_value, reason = "a grant is used up by opening")]
    pub fn open(&self, grant: DecryptGrant, row: &Row) -> Result<SecretValue, Rejected> {
        let header = grant.header();
        #[cfg(feature = "sabotage")]
        let header = crate::sabotage::header(header);
        let release_key = grant.release_key()?;
        for key in &row.keys {
            let inner = self.storage.load_inner(key.storage_key, &key.stored);
            if let Ok(value) = inner.and_then(|inner| open::open(&header, release_key, &inner, &row.ciphertext)) {
                return Ok(value);
            }
        }
        Err(Rejected)
    }
}
