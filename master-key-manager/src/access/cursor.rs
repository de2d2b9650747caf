//! Cursors of lists that callers see a part of. A page may end behind things that its caller may not see, so a cursor
//! says nothing to anybody but the manager, and nothing to it from another caller.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use manager_api::cursor::{AuditCursor, SecretCursor};
use manager_store::Position;
use service_runtime::Refusal;
use service_runtime::audit::AuditPlace;
use shared_proto::encoding::{b64, from_b64, lp};
use shared_proto::id::{EnvironmentId, SecretId, Subject};
use zeroize::Zeroizing;

use super::Caller;

/// Encrypts cursors under a key of the key folder.
pub struct CursorKey(Zeroizing<[u8; 32]>);

/// The lists that cursors are of. One of another list is nothing.
const SECRETS: &[u8] = b"splitvault cursor 2";
const AUDIT: &[u8] = b"splitvault audit cursor 1";
/// The kinds of positions.
const PATH: u8 = 0;
const TIME: u8 = 1;
/// Cursors are multiples of this long.
const STEP: usize = 64;
/// The longest text of a position: a path, and a sign behind it.
const MOST_TEXT: u16 = 520;
/// Secrets by the time at which they are due.
pub const DUE: &[u8] = b"splitvault due cursor 1";
/// Notices by their numbers, of no secret.
pub const NOTICES: &[u8] = b"splitvault notice cursor 1";

impl CursorKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }

    /// The cursor of a page of a list that ends at a position, for one caller.
    ///
    /// # Errors
    /// A defect.
    pub fn seal(&self, caller: &Caller, list: &str, position: &Position) -> Result<SecretCursor, Refusal> {
        let text = written(position).ok_or_else(defect)?;
        SecretCursor::parse(self.encrypt(holder(SECRETS, caller, list), text)?).map_err(|_| defect())
    }

    /// The position of a cursor.
    ///
    /// # Errors
    /// It is not one that this caller was given for this list.
    pub fn open(&self, caller: &Caller, list: &str, cursor: &SecretCursor) -> Result<Position, Refusal> {
        let text = self.decrypt(holder(SECRETS, caller, list), cursor.as_str());
        text.and_then(|text| read(&text)).ok_or_else(other)
    }

    /// The cursor of a page of a list in the order of a number and secrets, for one caller.
    ///
    /// # Errors
    /// A defect.
    pub fn seal_number(
        &self,
        list: &[u8],
        caller: &Caller,
        (number, secret): (u64, SecretId),
    ) -> Result<SecretCursor, Refusal> {
        let mut text = [secret.as_bytes().as_slice(), &number.to_be_bytes()].concat();
        text.resize(STEP, 0);
        SecretCursor::parse(self.encrypt(holder(list, caller, ""), text)?).map_err(|_| defect())
    }

    /// The number and the secret of a cursor.
    ///
    /// # Errors
    /// It is not one that this caller was given for this list.
    pub fn open_number(&self, list: &[u8], caller: &Caller, cursor: &SecretCursor) -> Result<(u64, SecretId), Refusal> {
        let read = || {
            let text = self.decrypt(holder(list, caller, ""), cursor.as_str())?;
            let (secret, rest) = text.split_first_chunk::<16>()?;
            let (number, _) = rest.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*number), SecretId::from_bytes(*secret)))
        };
        read().ok_or_else(other)
    }

    /// The cursor of a page of audit lines, for one caller.
    ///
    /// # Errors
    /// A defect.
    pub fn seal_place(&self, caller: &Caller, place: AuditPlace) -> Result<AuditCursor, Refusal> {
        let text = self.encrypt(holder(AUDIT, caller, ""), place.to_bytes().to_vec())?;
        AuditCursor::parse(text).map_err(|_| defect())
    }

    /// The place of a cursor.
    ///
    /// # Errors
    /// It is not one that this caller was given.
    pub fn open_place(&self, caller: &Caller, cursor: &AuditCursor) -> Result<AuditPlace, Refusal> {
        let text = self.decrypt(holder(AUDIT, caller, ""), cursor.as_str());
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

fn holder(kind: &[u8], caller: &Caller, list: &str) -> Aad<Vec<u8>> {
    let subject = caller.subject().as_ref().map_or_else(String::new, Subject::to_string);
    if list.is_empty() {
        Aad::from(lp(&[kind, subject.as_bytes()]))
    } else {
        Aad::from(lp(&[kind, subject.as_bytes(), list.as_bytes()]))
    }
}

/// The bytes of a position. Their number says little about the path in it, which the caller may not be allowed to know.
fn written(position: &Position) -> Option<Vec<u8>> {
    let (kind, id, text) = match position {
        Position::Path(environment, path) => (PATH, environment.as_bytes(), path.as_bytes().to_vec()),
        Position::Time(time, secret) => (TIME, secret.as_bytes(), time.to_be_bytes().to_vec()),
    };
    let length = u16::try_from(text.len()).ok().filter(|length| *length <= MOST_TEXT)?;
    let mut bytes = [[kind].as_slice(), id.as_slice(), length.to_be_bytes().as_slice(), &text].concat();
    bytes.resize(bytes.len().next_multiple_of(STEP), 0);
    Some(bytes)
}

fn read(bytes: &[u8]) -> Option<Position> {
    let (kind, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let text = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    match *kind {
        PATH => {
            let path = String::from_utf8(text.to_vec()).ok()?;
            Some(Position::Path(EnvironmentId::from_bytes(*id), path))
        }
        TIME => Some(Position::Time(u64::from_be_bytes(text.try_into().ok()?), SecretId::from_bytes(*id))),
        _ => None,
    }
}

fn defect() -> Refusal {
    Refusal::internal("a cursor cannot be made")
}

fn other() -> Refusal {
    Refusal::parameter("`after` is the `next` of an earlier page.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_reads_back_and_its_length_says_little() {
        let (environment, secret) = (EnvironmentId::generate(), SecretId::generate());
        for position in [
            Position::Path(environment, "a/b".to_owned()),
            Position::Path(environment, "é".repeat(257)),
            Position::Time(u64::MAX, secret),
        ] {
            assert_eq!(read(&written(&position).unwrap()), Some(position));
        }
        let length = |path: usize| written(&Position::Path(environment, "a".repeat(path))).map(|bytes| bytes.len());
        assert_eq!([1, 45, 46, 520, 521].map(length), [Some(64), Some(64), Some(128), Some(576), None]);
        assert_eq!(read(&[2; 64]), None);
        assert_eq!(read(&[0; 18]), None);
    }
}
