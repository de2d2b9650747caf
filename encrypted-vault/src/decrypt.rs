//! Opening of rows: the only place where a value exists in plain form, and for one request only.

use shared_proto::envelope::open;
use shared_proto::secret::SecretValue;

use crate::grant::{Authority, DecryptGrant, ReadRefusal};
use crate::keys::StorageKeys;
use crate::store::Row;

/// Why a row was not opened.
pub enum NotOpened {
    /// The right ended while the request waited.
    Refused(ReadRefusal),
    /// The row does not open. The grant is returned for one more try with the row that is in the database now.
    Row(DecryptGrant),
}

/// Opens rows with the vault's storage keys and the release key of a grant.
pub struct Opener<'a> {
    storage: &'a StorageKeys,
    authority: &'a Authority,
}

impl<'a> Opener<'a> {
    /// An opener with these storage keys, which asks this authority once more.
    pub fn new(storage: &'a StorageKeys, authority: &'a Authority) -> Self {
        Self { storage, authority }
    }

    /// Opens the version that the grant names, if the grant is still valid at this moment. While a root key is rotated,
    /// a row has wrapped keys of several epochs. The wrong ones cannot be unwrapped.
    ///
    /// # Errors
    /// The right has ended, or the row does not open, whatever the reason.
    pub fn open(&self, grant: DecryptGrant, row: &Row) -> Result<SecretValue, NotOpened> {
        grant.look_again(self.authority).map_err(NotOpened::Refused)?;
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
        Err(NotOpened::Row(grant))
    }
}
