//! The check of a value against its kind.

use manager_api::kind::SecretKind;
use shared_proto::secret::MAX_VALUE_BYTES;

use crate::certificate::{self, CertificateFacts};
use crate::key::{self, KeyFacts};
use crate::{Refused, json, jwt, structured, text, yaml};

/// A value that is what its kind says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The end that the value itself has (Unix seconds).
    pub expires_at: Option<u64>,
    /// Whether it is valid now.
    pub validity: Validity,
    /// What is known of it.
    pub facts: Facts,
}

/// The validity of a value that has a beginning or an end. What follows from it is the environment's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is valid, or has no limits in time.
    Valid,
    /// It begins later.
    NotYet,
    /// It has ended.
    Ended,
}

/// What is known of a value. Nothing here is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Nothing.
    None,
    /// It is a signed JWT.
    Jwt,
    /// It is a key.
    Key(KeyFacts),
    /// It is a certificate.
    Certificate(Box<CertificateFacts>),
    /// It has these fields.
    Fields(Vec<&'static str>),
}

impl Validity {
    pub(crate) fn of(not_before: Option<u64>, ends: Option<u64>, now: u64) -> Self {
        if ends.is_some_and(|end| end <= now) {
            Self::Ended
        } else if not_before.is_some_and(|begin| begin > now) {
            Self::NotYet
        } else {
            Self::Valid
        }
    }
}

/// Checks a value at a time in Unix seconds.
///
/// # Errors
///
/// The value is not what its kind says. The sentence never quotes it.
pub fn check(kind: SecretKind, value: &[u8], now: u64) -> Result<Checked, Refused> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(Refused::new("a secret value is at most 1048576 bytes"));
    }
    let facts = match kind {
        SecretKind::Certificate => return certificate::check(value, now),
        SecretKind::Jwt => return jwt::check(value, now),
        SecretKind::Password | SecretKind::Text | SecretKind::Binary => Facts::None,
        SecretKind::ApiKey | SecretKind::ServiceToken => text::token(value).map(|_| Facts::None)?,
        SecretKind::SessionSecret => text::session_secret(value).map(|()| Facts::None)?,
        SecretKind::Json => json::check(value).map(|()| Facts::None)?,
        SecretKind::Yaml => yaml::check(value).map(|()| Facts::None)?,
        SecretKind::SshKey => Facts::Key(key::check_ssh(value)?),
        SecretKind::EncryptionKey | SecretKind::SigningKey | SecretKind::BackupKey => {
            Facts::Key(key::check_general(value)?)
        }
        SecretKind::Database | SecretKind::Vpn | SecretKind::OauthClient | SecretKind::Webhook => {
            Facts::Fields(structured::check(kind, value)?)
        }
    };
    Ok(Checked { expires_at: None, validity: Validity::Valid, facts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_one_piece_of_visible_characters() {
        for kind in [SecretKind::ApiKey, SecretKind::ServiceToken] {
            let reason = |value: &[u8]| check(kind, value, 0).err().map(|refused| refused.reason());
            assert_eq!(reason(b"sk_live_0123456789"), None);
            assert!(reason(b"sk_live\n").is_some_and(|reason| reason.contains("line break")));
            for bad in
                [&b""[..], b"a b", b"\xef\xbb\xbfabc", b"a\tb", "schlüssel".as_bytes(), b"\xff", &vec![b'a'; 16_385]]
            {
                assert!(reason(bad).is_some());
            }
        }
        assert!(check(SecretKind::SessionSecret, &[1; 16], 0).is_ok());
        assert!(check(SecretKind::SessionSecret, &[1; 15], 0).is_err());
        assert!(check(SecretKind::SessionSecret, b"0123456789abcdef\n", 0).is_err());
    }

    #[test]
    fn passwords_texts_and_bytes_are_taken_as_they_are() {
        for kind in [SecretKind::Password, SecretKind::Text, SecretKind::Binary] {
            for value in [&b""[..], b"\xff\0", b"a\r\n", &vec![b'x'; MAX_VALUE_BYTES]] {
                let checked = check(kind, value, 0).unwrap();
                assert_eq!((checked.expires_at, checked.validity, checked.facts), (None, Validity::Valid, Facts::None));
            }
            assert!(check(kind, &vec![b'x'; MAX_VALUE_BYTES + 1], 0).is_err());
        }
    }
}
