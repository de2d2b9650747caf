//! Requests for a value that the manager generates: `"generate": {…}` in place of `"value"`.
//!
//! Guarantees that each number lies in its bounds and each text keeps its rules. What depends on two members at once is
//! refused when the value is generated.

mod subject;
mod text;

use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::{present, read_from_objects_only};

pub use subject::{CertificateRequest, DnsName, IpName, MAX_SUBJECT_NAMES, SelfSigned, Subject, SubjectName, UriName};
pub use text::{CountryCode, Exclusions, KeyComment, KeyPrefix, Separator, SubjectText};

/// The value that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "form", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Generate {
    /// A password of random characters, with at least one of each class.
    Password {
        /// Its number of characters; 24 by default.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(value_type = u16, minimum = 8, maximum = 128, default = 24))]
        length: PasswordLength,
        /// The classes of its characters; all by default.
        #[serde(default)]
        classes: CharacterClasses,
        /// Characters that it must not have.
        #[serde(default)]
        exclude: Exclusions,
        /// Leaves out characters that look like others (`0O1lI|`).
        #[serde(default)]
        no_lookalikes: bool,
    },
    /// A password of words.
    Passphrase {
        /// Its number of words; 7 by default, which is 77 bits.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(value_type = u16, minimum = 5, maximum = 24, default = 7))]
        words: WordCount,
        /// The text between two words; `-` by default.
        #[serde(default)]
        separator: Separator,
        /// Begins each word with a capital letter.
        #[serde(default)]
        capitals: bool,
        /// Ends with a digit, for services that ask for one.
        #[serde(default)]
        digit: bool,
    },
    /// A key for an API: letters and digits, behind a prefix and before a checksum.
    ApiKey {
        /// The prefix, by which people and scanners know where the key belongs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        prefix: Option<KeyPrefix>,
        /// Its number of random characters; 40 by default.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(value_type = u16, minimum = 32, maximum = 128, default = 40))]
        length: ApiKeyLength,
        /// True if six characters of checksum follow; they do by default.
        #[serde(default = "yes")]
        #[cfg_attr(feature = "openapi", schema(default = true))]
        checksum: bool,
    },
    /// A key of 256 bits.
    #[serde(rename = "key-256")]
    Key256 {
        /// Its form; hex digits by default.
        #[serde(default)]
        encoding: KeyEncoding,
    },
    /// Random bytes as base64url.
    Token {
        /// Its number of random bytes; 32 by default.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(value_type = u16, minimum = 16, maximum = 128, default = 32))]
        bytes: TokenBytes,
        /// The prefix.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        prefix: Option<KeyPrefix>,
    },
    /// A random UUID (RFC 9562 version 4), 122 random bits.
    Uuid {},
    /// An SSH key pair. The value is the private key in the form of OpenSSH.
    SshKey {
        /// Its algorithm; `ed25519` by default.
        #[serde(default)]
        algorithm: SshAlgorithm,
        /// The comment behind the public key.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        comment: Option<KeyComment>,
    },
    /// A key pair. The value is the private key (PKCS#8), after its certificate if one was wanted.
    KeyPair {
        /// Its algorithm; `ec-p256` by default.
        #[serde(default)]
        algorithm: KeyPairAlgorithm,
        /// The certificate signing request that is wanted with it.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        request: Option<Box<CertificateRequest>>,
        /// The self-signed certificate that is wanted with it, instead of a request.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        self_signed: Option<Box<SelfSigned>>,
    },
}

/// A number in bounds, with a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Count<const LEAST: u16, const MOST: u16, const DEFAULT: u16>(u16);

/// The length of a password in characters.
pub type PasswordLength = Count<8, 128, 24>;
/// The words of a passphrase. Five of 2,048 are 55 bits, seven 77.
pub type WordCount = Count<5, 24, 7>;
/// The random characters of an API key. 32 of 62 are 190 bits.
pub type ApiKeyLength = Count<32, 128, 40>;
/// The random bytes of a token.
pub type TokenBytes = Count<16, 128, 32>;
/// The days of a self-signed certificate.
pub type CertificateDays = Count<1, 3650, 90>;

impl<const LEAST: u16, const MOST: u16, const DEFAULT: u16> Count<LEAST, MOST, DEFAULT> {
    /// The number, if it lies in the bounds.
    pub fn new(number: u16) -> Result<Self, Malformed> {
        let inside = (LEAST..=MOST).contains(&number);
        if inside { Ok(Self(number)) } else { Err(Malformed("a number of what is generated is out of its bounds")) }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl<const LEAST: u16, const MOST: u16, const DEFAULT: u16> Default for Count<LEAST, MOST, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de, const LEAST: u16, const MOST: u16, const DEFAULT: u16> Deserialize<'de> for Count<LEAST, MOST, DEFAULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u16::deserialize(deserializer)?).map_err(Malformed::into_name_error)
    }
}

/// The classes of characters of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
#[expect(clippy::struct_excessive_bools, reason = "each class is wanted or not")]
pub struct CharacterClasses {
    /// `a` to `z`.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub lower: bool,
    /// `A` to `Z`.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub upper: bool,
    /// `0` to `9`.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub digits: bool,
    /// The other visible characters of ASCII.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub symbols: bool,
}

impl Default for CharacterClasses {
    fn default() -> Self {
        Self { lower: true, upper: true, digits: true, symbols: true }
    }
}

/// The form of a key of 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// 64 hex digits.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64url without padding.
    Base64url,
}

/// The algorithm of an SSH key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SshAlgorithm {
    /// Ed25519.
    #[default]
    Ed25519,
    /// RSA with 3,072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4,096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// ECDSA on P-256.
    EcdsaP256,
}

/// The algorithm of a key pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeyPairAlgorithm {
    /// RSA with 3,072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4,096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// The curve P-256.
    #[default]
    EcP256,
    /// The curve P-384.
    EcP384,
    /// Ed25519.
    Ed25519,
}

// Also inside others: a derived reader alone would accept an array, member by position.
read_from_objects_only!(CharacterClasses);

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Generate> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn request_with_nothing_but_its_form_has_defaults() {
        let password = read(r#"{"form":"password"}"#).unwrap();
        let Generate::Password { length, classes, exclude, no_lookalikes } = password else { panic!() };
        assert_eq!((length.get(), exclude.as_str(), no_lookalikes), (24, "", false));
        assert!(classes.lower && classes.upper && classes.digits && classes.symbols);
        for form in ["passphrase", "api-key", "key-256", "token", "uuid", "ssh-key", "key-pair"] {
            let request = read(&format!("{{\"form\":\"{form}\"}}")).unwrap_or_else(|| panic!("{form}"));
            let again = serde_json::to_string(&request).unwrap();
            assert_eq!(read(&again), Some(request), "{again}");
        }
    }

    #[test]
    fn number_outside_its_bounds_and_member_of_another_form_are_refused() {
        for good in [
            r#"{"form":"password","length":8}"#,
            r#"{"form":"password","length":128,"classes":{"symbols":false},"exclude":"\"\\"}"#,
            r#"{"form":"api-key","prefix":"acme_live","length":32,"checksum":false}"#,
            r#"{"form":"ssh-key","algorithm":"rsa-4096","comment":"deploy@ci"}"#,
            r#"{"form":"key-pair","algorithm":"ec-p384","self_signed":{"names":[{"dns":"a.example"}],"days":3650}}"#,
        ] {
            assert!(read(good).is_some(), "{good}");
        }
        for bad in [
            r#"{"form":"password","length":7}"#,
            r#"{"form":"password","length":129}"#,
            r#"{"form":"password","length":null}"#,
            r#"{"form":"password","words":5}"#,
            r#"{"form":"password","classes":[true,true,true,true]}"#,
            r#"{"form":"passphrase","words":4}"#,
            r#"{"form":"api-key","length":31}"#,
            r#"{"form":"api-key","prefix":null}"#,
            r#"{"form":"api-key","prefix":"Acme-"}"#,
            r#"{"form":"uuid","length":8}"#,
            r#"{"form":"ssh-key","algorithm":"rsa-1024"}"#,
            r#"{"form":"key-pair","self_signed":{"days":0}}"#,
            r#"{"form":"jwt"}"#,
            r#"{"length":8}"#,
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
