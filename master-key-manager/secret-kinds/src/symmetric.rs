//! Symmetric keys: bytes, or their text in hex or base64.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::Refused;
use crate::key::KeyFacts;

/// 128 bits.
const FEWEST_BYTES: usize = 16;
/// Larger keys are no keys but files.
const MOST_BYTES: usize = 16 << 10;

pub(crate) fn check(value: &[u8]) -> Result<KeyFacts, Refused> {
    if value.len() > MOST_BYTES {
        return Err(Refused::new("a key has at most 16384 bytes"));
    }
    // A text with a line break behind it is a text, and another key for whoever reads it as bytes.
    let without_break = value.strip_suffix(b"\n").unwrap_or(value);
    if without_break.len() != value.len() && decoded(without_break).is_some() {
        return Err(Refused::new("the key ends with a line break, which is no part of it; leave it out"));
    }
    let bytes = decoded(value).map_or(value.len(), |bytes| bytes.len());
    if bytes < FEWEST_BYTES {
        return Err(Refused::new("a key has at least 128 bits"));
    }
    if value.iter().all(|byte| Some(byte) == value.first()) {
        return Err(Refused::new("all bytes of the key are the same"));
    }
    Ok(KeyFacts { bits: Some(bytes * 8), private: true, ..KeyFacts::default() })
}

fn decoded(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(value).ok()?;
    let base64 =
        || [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|form| form.decode(text).ok());
    hex::decode(text).ok().or_else(base64).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_a_key_is_that_of_its_bytes() {
        let bits = |value: &[u8]| check(value).ok().and_then(|facts| facts.bits);
        assert_eq!(bits("0123456789abcdef0123456789ABCDEF".as_bytes()), Some(128));
        assert_eq!(bits("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".as_bytes()), Some(256));
        assert_eq!(bits("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-_".as_bytes()), Some(264));
        assert_eq!(bits(&[7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 200]), Some(128));
        assert_eq!(bits("a passphrase of somebody".as_bytes()), Some(24 * 8));
        for bad in [
            "0123456789abcdef0123456789abcd",
            "short",
            "",
            "00000000000000000000000000000000",
            "AAECAwQFBgcICQoLDA0ODw==\n",
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(check(&vec![1; MOST_BYTES + 1]).is_err());
    }
}
