//! API keys: `prefix_` + random letters and digits + six characters of checksum.
//!
//! The checksum is CRC-32 (the one of zip and Ethernet) over everything before it, in base 62 with six digits, the highest
//! first. So a scanner tells a key from a text that looks like one, and a form tells a typing error, without asking anybody.
//! It is no secret and proves nothing: anybody can compute it. The prefix is covered, so a key of another prefix is told, too.

use manager_api::generate::{ApiKeyLength, KeyPrefix};
use zeroize::Zeroizing;

use super::{Generated, PublicFacts, alphabet};
use crate::Refused;
use crate::random::{Pool, Random};

/// The longest API key: prefix, underscore, random characters, checksum.
pub const MAX_API_KEY_BYTES: usize = 24 + 1 + 128 + CHECKSUM_LENGTH;

/// Tells whether a text has the form of an API key that was made here, with its checksum.
pub fn verify(text: &str) -> bool {
    let Some(position) = text.len().checked_sub(CHECKSUM_LENGTH).filter(|_| text.len() <= MAX_API_KEY_BYTES) else {
        return false;
    };
    let Some((covered, checksum)) = text.split_at_checked(position) else { return false };
    let random = covered.rsplit_once('_').map_or(covered, |(_, random)| random);
    let prefix_in_form = covered.rsplit_once('_').is_none_or(|(prefix, _)| KeyPrefix::parse(prefix).is_ok());
    prefix_in_form
        && (32..=128).contains(&random.len())
        && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && checksum_of(covered) == checksum
}

pub(super) fn make(
    prefix: Option<&KeyPrefix>,
    length: ApiKeyLength,
    checksum: bool,
    random: &mut dyn Random,
) -> Result<Generated, Refused> {
    let mut value = Zeroizing::new(String::with_capacity(MAX_API_KEY_BYTES));
    if let Some(prefix) = prefix {
        value.push_str(prefix.as_str());
        value.push('_');
    }
    let count = usize::from(length.get());
    let mut pool = Pool::new(random);
    for _ in 0..count {
        value.push(char::from(*pool.one_of(alphabet::BASE62)?));
    }
    let checksum = checksum.then(|| checksum_of(&value));
    value.push_str(checksum.as_deref().unwrap_or_default());
    let bits = Some(alphabet::bits(count, alphabet::BASE62.len()));
    Ok(Generated { value, public: PublicFacts { checksum, bits, ..PublicFacts::default() } })
}

fn checksum_of(text: &str) -> String {
    let mut rest = crc32(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        let index = (rest % BASE) as usize;
        *digit = alphabet::BASE62.get(index).copied().unwrap_or(b'0');
        rest /= BASE;
    }
    digits.iter().copied().map(char::from).collect()
}

/// CRC-32 (ISO-HDLC), bit by bit: keys are short.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

const BASE: u32 = 62;
/// 62^6 is above 2^32.
const CHECKSUM_LENGTH: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::made;

    #[test]
    fn checksum_is_crc_32_in_base_62() {
        // The check value of the algorithm in catalogues of CRCs.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum_of("123456789"), "3jZRME");
        assert_eq!(crc32(b""), 0);
        assert_eq!(checksum_of(""), "000000");
    }

    #[test]
    fn key_is_verified_and_each_changed_character_is_found() {
        let key = made(r#"{"form":"api-key","prefix":"acme_live","length":32}"#, 5);
        assert!(key.value.starts_with("acme_live_") && key.value.len() == 10 + 32 + 6);
        assert!(verify(&key.value));
        assert_eq!(key.public.checksum.as_deref(), key.value.get(42..));
        for position in 0..key.value.len() {
            let mut changed = key.value.as_bytes().to_vec();
            changed[position] = if changed[position] == b'a' { b'b' } else { b'a' };
            assert!(!verify(std::str::from_utf8(&changed).unwrap()), "{position}");
        }
        let plain = made(r#"{"form":"api-key","checksum":false}"#, 5);
        assert!(plain.value.len() == 40 && !verify(&plain.value) && plain.public.checksum.is_none());
        assert!(verify(&made(r#"{"form":"api-key","length":128}"#, 6).value));
        for wrong in ["", "a", "000000", "é000000", &"a".repeat(500)] {
            assert!(!verify(wrong), "{wrong}");
        }
    }
}
