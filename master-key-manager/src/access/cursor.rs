//! Cursors of the list of secrets. A page may end behind secrets that its caller may not see, so a cursor says nothing
//! to anybody but the manager, and nothing to it from another caller.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use manager_api::cursor::SecretCursor;
use service_runtime::Refusal;
use shared_proto::encoding::{b64, from_b64, lp};
use shared_proto::id::{SecretId, Subject, Version};
use zeroize::Zeroizing;

use super::Caller;

/// Encrypts cursors under a key of the key folder.
pub struct CursorKey(Zeroizing<[u8; 32]>);

impl CursorKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }

    /// The cursor of a page that ends with a version, for one caller.
    ///
    /// # Errors
    /// A defect.
    pub fn seal(&self, caller: &Caller, (secret, version): (SecretId, Version)) -> Result<SecretCursor, Refusal> {
        let defect = || Refusal::internal("a cursor cannot be made");
        let mut text = [secret.as_bytes().as_slice(), &version.get().to_be_bytes()].concat();
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| defect())?;
        let nonce = key.seal_in_place_append_tag(holder(caller), &mut text).map_err(|_| defect())?;
        SecretCursor::parse(b64(&[nonce.as_ref().as_slice(), &text].concat())).map_err(|_| defect())
    }

    /// The version of a cursor.
    ///
    /// # Errors
    /// It is not one that this caller was given.
    pub fn open(&self, caller: &Caller, cursor: &SecretCursor) -> Result<(SecretId, Version), Refusal> {
        let other = || Refusal::parameter("`after` is the `next` of an earlier page.");
        self.read(caller, cursor).ok_or_else(other)
    }

    fn read(&self, caller: &Caller, cursor: &SecretCursor) -> Option<(SecretId, Version)> {
        let bytes = from_b64(cursor.as_str()).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let (secret, version) = key.open_in_place(nonce, holder(caller), &mut text).ok()?.split_first_chunk::<16>()?;
        let number = u64::from_be_bytes(version.try_into().ok()?);
        Some((SecretId::from_bytes(*secret), Version::new(number).ok()?))
    }
}

fn holder(caller: &Caller) -> Aad<Vec<u8>> {
    let subject = caller.subject().as_ref().map_or_else(String::new, Subject::to_string);
    Aad::from(lp(&[b"splitvault cursor 1", subject.as_bytes()]))
}
