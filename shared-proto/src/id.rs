//! Opaque ids: 16 random bytes, in JSON with a prefix for each kind.
//!
//! They are made and parsed only by this macro; the manager declares the kinds that only it knows. An id of one kind
//! cannot be used as another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Malformed;

/// Ids of some kinds, with all that an id has. Each crate declares the kinds that it knows; it depends on `serde`.
#[macro_export]
#[doc(hidden)]
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The prefix of the JSON form.
            pub const PREFIX: &'static str = $prefix;

            /// A new random id.
            pub fn generate() -> Self {
                Self($crate::encoding::random())
            }

            /// The id with these raw bytes, as read from a database.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The 22 characters without the prefix, the form in token claims.
            pub fn bare(&self) -> String {
                $crate::encoding::b64(&self.0)
            }

            /// The inverse of [`Self::bare`].
            pub fn from_bare(text: &str) -> Result<Self, $crate::Malformed> {
                $crate::encoding::from_b64_exact(text).map(Self).map_err(|_| $crate::Malformed("not an id"))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{}{}", $prefix, $crate::encoding::b64(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, formatter)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Malformed;

            fn from_str(text: &str) -> Result<Self, $crate::Malformed> {
                text.strip_prefix($prefix)
                    .and_then(|bare| Self::from_bare(bare).ok())
                    .ok_or($crate::Malformed(concat!("not an id of the form ", $prefix, "…")))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        $crate::schema::described!($name, $crate::schema::text(concat!("^", $prefix, "[A-Za-z0-9_-]{21}[AQgw]$")));

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub use ids;

ids! {
    /// A manager installation.
    ManagerId = "mgr_";
    /// A vault installation; also the audience of access tokens, commands and events.
    VaultId = "vlt_";
    /// An environment.
    EnvironmentId = "env_";
    /// A secret: `key_id` in JSON.
    SecretId = "sec_";
    /// A person.
    PersonId = "usr_";
    /// A service, as a subject of policy.
    ServiceId = "svc_";
    /// A service credential.
    CredentialId = "crd_";
    /// An access token or command (`jti`); it has no prefix.
    TokenId = "";
}

/// The holder of a token (`sub`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// A person.
    Person(PersonId),
    /// A service.
    Service(ServiceId),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => id.fmt(formatter),
            Self::Service(id) => id.fmt(formatter),
        }
    }
}

impl FromStr for Subject {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse()
            .map(Self::Person)
            .or_else(|_| text.parse().map(Self::Service))
            .map_err(|_| Malformed("not an id of a person or a service"))
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

crate::schema::described!(Subject, crate::schema::text("^(usr|svc)_[A-Za-z0-9_-]{21}[AQgw]$"));

/// The largest version, 2^53 − 1: every JSON reader keeps it exact.
pub const MAX_VERSION: u64 = (1 << 53) - 1;

/// The number of a version of a secret, 1 to [`MAX_VERSION`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The first version of every secret.
    pub const FIRST: Self = Self(1);
    /// The highest number that a version can have.
    pub const LAST: Self = Self(MAX_VERSION);

    /// `number` as a version.
    pub fn new(number: u64) -> Result<Self, Malformed> {
        if (1..=MAX_VERSION).contains(&number) { Ok(Self(number)) } else { Err(Malformed("not a version number")) }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next one.
    pub fn next(self) -> Result<Self, Malformed> {
        Self::new(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

crate::schema::described!(Version, crate::schema::integer(Version::FIRST.get(), MAX_VERSION));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_one_kind_is_refused_as_another() {
        let id = SecretId::generate();
        assert_eq!(id.to_string().parse::<SecretId>().unwrap(), id);
        assert!(id.to_string().parse::<EnvironmentId>().is_err());
        assert!(id.bare().parse::<SecretId>().is_err());
        for broken in
            ["sec_", "sec_AAAAAAAAAAAAAAAAAAAAAB", "sec_AAAAAAAAAAAAAAAAAAAAAA=", "SEC_AAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert!(broken.parse::<SecretId>().is_err(), "{broken}");
        }
    }

    #[test]
    fn versions_outside_their_range_are_refused() {
        for text in ["0", "-1", "1.0", "1e3", "9007199254740992", "\"1\""] {
            assert!(serde_json::from_str::<Version>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Version>("9007199254740991").unwrap().get(), MAX_VERSION);
    }
}
