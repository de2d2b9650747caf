//! Cursor of a page of versions: the `after` of the next page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use shared_proto::Malformed;
use shared_proto::id::{SecretId, Version};

/// A secret, or one of its versions: `sec_…` or `sec_….7`. The next page begins after that version, or after all
/// versions of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionCursor {
    /// The secret.
    pub key_id: SecretId,
    /// The version; `None` means the last one.
    pub version: Option<Version>,
}

impl fmt::Display for VersionCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.key_id)?;
        self.version.map_or(Ok(()), |version| write!(formatter, ".{version}"))
    }
}

impl FromStr for VersionCursor {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let Some((key_id, version)) = text.split_once('.') else {
            return Ok(Self { key_id: text.parse()?, version: None });
        };
        let number = version.parse().map_err(|_| Malformed("a cursor ends in a version"))?;
        let cursor = Self { key_id: key_id.parse()?, version: Some(Version::new(number)?) };
        if cursor.to_string() == text { Ok(cursor) } else { Err(Malformed("a cursor has one form")) }
    }
}

impl Serialize for VersionCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

shared_proto::schema::described!(
    VersionCursor,
    shared_proto::schema::text("^sec_[A-Za-z0-9_-]{21}[AQgw](\\.[1-9][0-9]{0,15})?$")
);

macro_rules! sealed_cursor {
    ($(#[$doc:meta])* $name:ident, |$length:ident| $fits:expr, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub struct $name(String);

        impl $name {
            /// A cursor of this text.
            ///
            /// # Errors
            /// It has another form.
            pub fn parse(text: String) -> Result<Self, Malformed> {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                let $length = text.len();
                if $fits && text.bytes().all(fits) {
                    Ok(Self(text))
                } else {
                    Err(Malformed("a cursor is the next of an earlier page"))
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Not `Malformed`: that would be the refusal of a name.
                Self::parse(String::deserialize(deserializer)?).map_err(|_| D::Error::custom("not a cursor"))
            }
        }

        shared_proto::schema::described!($name, shared_proto::schema::text($pattern));
    };
}

sealed_cursor! {
    /// The place at which a page of the list of secrets ends. Only the manager can read it, and only for the caller whom it
    /// was given to, with the same order. It is 92 bytes, or more in steps of 64 where paths are long.
    SecretCursor, |length| (123..=806).contains(&length), "^[A-Za-z0-9_-]{123,806}$"
}

sealed_cursor! {
    /// The place at which a page of audit lines ends, as a [`SecretCursor`]. It is 44 bytes.
    AuditCursor, |length| length == 59, "^[A-Za-z0-9_-]{59}$"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_has_one_form() {
        let secret = SecretId::generate();
        for good in [secret.to_string(), format!("{secret}.1"), format!("{secret}.9007199254740991")] {
            assert_eq!(good.parse::<VersionCursor>().unwrap().to_string(), good);
        }
        for bad in
            ["", ".1", &format!("{secret}."), &format!("{secret}.0"), &format!("{secret}.01"), &format!("{secret}.+1")]
        {
            assert!(bad.parse::<VersionCursor>().is_err(), "{bad}");
        }
    }
}
