//! Service credentials, which are opaque, long-lived and valid at the manager only, and the `Authorization` header.

use zeroize::Zeroizing;

use crate::Malformed;
use crate::encoding::{b64, from_b64_secret, random, sha256};

/// The prefix of every credential, by which scanners find leaked ones.
pub const PREFIX: &str = "spv_";

/// A credential in plain form: 256 random bits. The checksum in its text form tells a typing error from a wrong
/// credential before any lookup. It protects nothing.
pub struct PlainCredential(Zeroizing<[u8; 32]>);

impl PlainCredential {
    /// A new random credential.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        const REFUSED: Malformed = Malformed("not a service credential");
        let body = text.strip_prefix(PREFIX).ok_or(REFUSED)?;
        let bytes = from_b64_secret::<36>(body).map_err(|_| REFUSED)?;
        let (key, checksum) = bytes.split_at(32);
        if !sha256(key).starts_with(checksum) {
            return Err(REFUSED);
        }
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(key);
        Ok(Self(out))
    }

    /// The text form, shown once when it is made.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 36]);
        let (key, checksum) = bytes.split_at_mut(32);
        key.copy_from_slice(&*self.0);
        checksum.copy_from_slice(sha256(&*self.0).split_at(4).0);
        Zeroizing::new(format!("{PREFIX}{}", *Zeroizing::new(b64(&*bytes))))
    }

    /// The 32 random bytes, to be hashed.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The credential or token in an `Authorization` header (RFC 9110 section 11.4): the scheme, one space or more, one word.
pub fn bearer_in(header: &str) -> Option<&str> {
    let (scheme, credential) = header.split_once(' ')?;
    let credential = credential.trim_start_matches(' ');
    // Without a way out in between: that is several bytes at once, and a token is long.
    let plain = credential.bytes().fold(!credential.is_empty(), |plain, byte| plain & byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && plain).then_some(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_word_after_bearer_is_a_credential() {
        assert_eq!(bearer_in("Bearer abc"), Some("abc"));
        assert_eq!(bearer_in("bEARER abc"), Some("abc"));
        assert_eq!(bearer_in("Bearer   abc"), Some("abc"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer  ", "Bearer\tabc", "Bearer abc ", "Bearer a b", "Bearer  a  b"] {
            assert_eq!(bearer_in(wrong), None, "{wrong:?}");
        }
        for wrong in ["Basic abc", "Basic  abc", "Bearer ä", " Bearer abc"] {
            assert_eq!(bearer_in(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_credential_reads_back_and_a_typing_error_is_seen() {
        let credential = PlainCredential::generate();
        let text = credential.expose_text();
        assert_eq!(PlainCredential::parse(&text).unwrap().expose(), credential.expose());
        let swapped: String = text.chars().rev().collect();
        assert!(PlainCredential::parse(&swapped).is_err());
        let mut typo = text.to_string().into_bytes();
        typo[10] = if typo[10] == b'A' { b'B' } else { b'A' };
        assert!(PlainCredential::parse(std::str::from_utf8(&typo).unwrap()).is_err());
    }
}
