//! Texts of what is generated: prefixes, separators, excluded characters, names of subjects.

use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::Malformed;

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $sentence:literal, $check:expr, $schema:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses a text and checks its rules.
            pub fn parse(text: impl Into<String>) -> Result<Self, Malformed> {
                let (text, keeps): (String, fn(&str) -> bool) = (text.into(), $check);
                if keeps(&text) { Ok(Self(text)) } else { Err(Malformed($sentence)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(Malformed::into_name_error)
            }
        }

        shared_proto::schema::described!($name, shared_proto::schema::text($schema));
    };
}
pub(super) use text_type;

text_type! {
    /// The prefix of a key: `acme_live`. An underscore follows it in the key.
    KeyPrefix, "a prefix has 1 to 24 of a-z, 0-9 and _, begins with a letter and does not end with _",
    |text| {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        (1..=24).contains(&text.len())
            && text.bytes().all(allowed)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('_')
    },
    "^[a-z]([a-z0-9_]{0,22}[a-z0-9])?$"
}
text_type! {
    /// Characters that a password must not have, in any order.
    #[derive(Default)]
    Exclusions, "excluded characters are at most 64 visible characters of ASCII",
    |text| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic()),
    "^[!-~]{0,64}$"
}
text_type! {
    /// The text between the words of a passphrase.
    Separator, "a separator is at most 3 visible characters of ASCII or spaces",
    |text| text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '),
    "^[ -~]{0,3}$"
}
text_type! {
    /// The comment of an SSH key, often an address.
    KeyComment, "a comment has 1 to 128 visible characters of ASCII or spaces, and no space at its ends",
    |text| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
            && text.trim() == text
    },
    "^[!-~]([ -~]{0,126}[!-~])?$"
}
text_type! {
    /// A part of the name of a certificate's subject (RFC 5280 appendix A: 64 characters).
    SubjectText, "a part of a subject has 1 to 64 characters, no control character and no space at its ends",
    |text| {
        (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
    },
    r"^\S(.{0,62}\S)?$"
}
text_type! {
    /// The country of a subject: two capital letters (ISO 3166).
    CountryCode, "a country is two capital letters",
    |text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
    "^[A-Z]{2}$"
}

impl Default for Separator {
    fn default() -> Self {
        Self("-".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_limits() {
        let long = "a".repeat(65);
        for good in ["a", "acme_live2", &"a".repeat(24)] {
            assert!(KeyPrefix::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "_a", "a_", "A", "1a", "a-b", &"a".repeat(25)] {
            assert!(KeyPrefix::parse(bad).is_err(), "{bad}");
        }
        assert!(Exclusions::parse("").is_ok() && Exclusions::parse(" ").is_err() && Exclusions::parse(&*long).is_err());
        assert!(Separator::parse("").is_ok() && Separator::parse(" - ").is_ok() && Separator::parse("----").is_err());
        assert!(Separator::parse("\n").is_err());
        assert!(
            KeyComment::parse("a b").is_ok() && KeyComment::parse("a\nb").is_err() && KeyComment::parse(" a").is_err()
        );
        assert!(SubjectText::parse("é".repeat(64)).is_ok() && SubjectText::parse(&*long).is_err());
        assert!(SubjectText::parse("a\0").is_err() && SubjectText::parse("").is_err());
        assert!(CountryCode::parse("DE").is_ok() && CountryCode::parse("de").is_err());
    }
}
