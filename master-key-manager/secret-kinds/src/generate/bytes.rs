//! Random bytes in a text form: keys of 256 bits, tokens, UUIDs.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE_NO_PAD};
use manager_api::generate::{KeyEncoding, KeyPrefix, TokenBytes};
use zeroize::Zeroizing;

use super::Generated;
use crate::Refused;
use crate::random::Random;

pub(super) fn key_256(encoding: KeyEncoding, random: &mut dyn Random) -> Result<Generated, Refused> {
    let mut key = Zeroizing::new([0; 32]);
    random.fill(&mut *key)?;
    let value = match encoding {
        KeyEncoding::Hex => Zeroizing::new(hex::encode(*key)),
        KeyEncoding::Base64 => encoded(&STANDARD, "", &*key),
        KeyEncoding::Base64url => encoded(&URL_SAFE_NO_PAD, "", &*key),
    };
    Ok(Generated::symmetric(value, 256))
}

pub(super) fn token(
    bytes: TokenBytes,
    prefix: Option<&KeyPrefix>,
    random: &mut dyn Random,
) -> Result<Generated, Refused> {
    let mut token = Zeroizing::new(vec![0; usize::from(bytes.get())]);
    random.fill(&mut token)?;
    let prefix = prefix.map(|prefix| format!("{}_", prefix.as_str())).unwrap_or_default();
    Ok(Generated::symmetric(encoded(&URL_SAFE_NO_PAD, &prefix, &token), u32::from(bytes.get()) * 8))
}

/// A UUID of version 4 (RFC 9562 section 5.4).
pub(super) fn uuid(random: &mut dyn Random) -> Result<Generated, Refused> {
    let mut bytes = Zeroizing::new([0; 16]);
    random.fill(&mut *bytes)?;
    let number = u128::from_be_bytes(*bytes);
    let number = (number & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let digits = Zeroizing::new(format!("{number:032x}"));
    let mut value = Zeroizing::new(String::with_capacity(36));
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            value.push('-');
        }
        value.push(digit);
    }
    Ok(Generated::symmetric(value, 122))
}

fn encoded(form: &GeneralPurpose, prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    // Room for all of it, so that nothing moves and stays behind.
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + bytes.len() * 4 / 3 + 4));
    text.push_str(prefix);
    form.encode_string(bytes, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use crate::testing::made;

    #[test]
    fn bytes_come_in_the_form_that_was_asked_for() {
        let of = |text: &str| made(text, 9).value;
        assert_eq!(hex::decode(&*of(r#"{"form":"key-256"}"#)).unwrap().len(), 32);
        assert_eq!(of(r#"{"form":"key-256","encoding":"base64"}"#).len(), 44);
        assert_eq!(of(r#"{"form":"key-256","encoding":"base64url"}"#).len(), 43);
        assert_eq!(of(r#"{"form":"token","bytes":16}"#).len(), 22);
        let token = of(r#"{"form":"token","prefix":"acme"}"#);
        assert!(token.starts_with("acme_") && token.len() == 5 + 43);
    }

    #[test]
    fn uuid_has_version_4_and_its_variant() {
        for seed in 0..50 {
            let uuid = made(r#"{"form":"uuid"}"#, seed).value;
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            assert!(uuid.as_bytes()[14] == b'4' && b"89ab".contains(&uuid.as_bytes()[19]), "{}", *uuid);
        }
    }
}
