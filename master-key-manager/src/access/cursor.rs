//! Cursors of lists that callers see a part of. A page may end behind things that its caller may not see, so a cursor
//! says nothing to anybody but the manager, and nothing to it from another caller.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use manager_api::cursor::{AuditCursor, SecretCursor};
use service_runtime::Refusal;
use service_runtime::audit::AuditPlace;
use shared_proto::encoding::{b64, from_b64, lp};
use shared_proto::id::{SecretId, Subject, Version};
use zeroize::Zeroizing;

use super::Caller;

/// Encrypts cursors under a key of the key folder.
pub struct CursorKey(Zeroizing<[u8; 32]>);

/// The lists that cursors are of. One of another list is nothing.
const SECRETS: &[u8] = b"splitvault cursor 1";
const AUDIT: &[u8] = b"splitvault audit cursor 1";

impl CursorKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }

    /// The cursor of a page that ends with a version, for one caller.
    ///
    /// # Errors
    /// A defect.
    pub fn seal(&self, caller: &Caller, (secret, version): (SecretId, Version)) -> Result<SecretCursor, Refusal> {
        let text = [secret.as_bytes().as_slice(), &version.get().to_be_bytes()].concat();
        SecretCursor::parse(self.encrypt(holder(SECRETS, caller), text)?).map_err(|_| defect())
    }

    /// The version of a cursor.
    ///
    /// # Errors
    /// It is not one that this caller was given.
    pub fn open(&self, caller: &Caller, cursor: &SecretCursor) -> Result<(SecretId, Version), Refusal> {
        let read = || {
            let text = self.decrypt(holder(SECRETS, caller), cursor.as_str())?;
            let (secret, version) = text.split_first_chunk::<16>()?;
            let number = u64::from_be_bytes(version.try_into().ok()?);
            Some((SecretId::from_bytes(*secret), Version::new(number).ok()?))
        };
        read().ok_or_else(other)
    }

    /// The cursor of a page of audit lines, for one caller.
    ///
    /// # Errors
    /// A defect.
    pub fn seal_place(&self, caller: &Caller, place: AuditPlace) -> Result<AuditCursor, Refusal> {
        let text = self.encrypt(holder(AUDIT, caller), place.to_bytes().to_vec())?;
        AuditCursor::parse(text).map_err(|_| defect())
    }

    /// The place of a cursor.
    ///
    /// # Errors
    /// It is not one that this caller was given.
    pub fn open_place(&self, caller: &Caller, cursor: &AuditCursor) -> Result<AuditPlace, Refusal> {
        let text = self.decrypt(holder(AUDIT, caller), cursor.as_str());
        let bytes = text.and_then(|text| text.try_into().ok()).ok_or_else(other)?;
        Ok(AuditPlace::from_bytes(bytes))
    }

    fn encrypt(&self, holder: Aad<Vec<u8>>, mut text: Vec<u8>) -> Result<String, Refusal> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| defect())?;
        let nonce = key.seal_in_place_append_tag(holder, &mut text).map_err(|_| defect())?;
        Ok(b64(&[nonce.as_ref().as_slice(), &text].concat()))
    }

    fn decrypt(&self, holder: Aad<Vec<u8>>, cursor: &str) -> Option<Vec<u8>> {
        let bytes = from_b64(cursor).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        Some(key.open_in_place(nonce, holder, &mut text).ok()?.to_vec())
    }
}

fn holder(list: &[u8], caller: &Caller) -> Aad<Vec<u8>> {
    let subject = caller.subject().as_ref().map_or_else(String::new, Subject::to_string);
    Aad::from(lp(&[list, subject.as_bytes()]))
}

fn defect() -> Refusal {
    Refusal::internal("a cursor cannot be made")
}

fn other() -> Refusal {
    Refusal::parameter("`after` is the `next` of an earlier page.")
}
