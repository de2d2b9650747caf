//! Kinds of secrets, and the class that sets how often each is rotated.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared_proto::Malformed;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident, $text:literal, $capitals:literal, $class:ident;)*) => {
        /// The kind of a secret: what its value is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SecretKind {
            $($(#[$doc])* $variant,)*
        }

        impl SecretKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name of the kind: `api-key`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The name in capitals, as Keeper writes it: `API_KEY`.
            pub fn as_capitals(self) -> &'static str {
                match self { $(Self::$variant => $capitals),* }
            }

            fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class),* }
            }
        }
    };
}

kinds! {
    /// A password of a person or an account.
    Password, "password", "PASSWORD", Medium;
    /// A key that an API wants to see.
    ApiKey, "api-key", "API_KEY", Medium;
    /// A token by which a service is known elsewhere.
    ServiceToken, "service-token", "SERVICE_TOKEN", Medium;
    /// An SSH key, private or public.
    SshKey, "ssh-key", "SSH_KEY", Medium;
    /// An X.509 certificate with its chain, and its private key if it is kept here.
    Certificate, "certificate", "CERTIFICATE", High;
    /// An account at a database. It has fields.
    Database, "database", "DATABASE", High;
    /// An access to a virtual private network. It has fields.
    Vpn, "vpn", "VPN", High;
    /// A client of an OAuth server. It has fields.
    OauthClient, "oauth-client", "OAUTH_CLIENT", Medium;
    /// A JSON web token.
    Jwt, "jwt", "JWT", Medium;
    /// A secret that a web application signs or encrypts its sessions with.
    SessionSecret, "session-secret", "SESSION_SECRET", Medium;
    /// An address that is called, or the secret that such calls are signed with. It has fields.
    Webhook, "webhook", "WEBHOOK", Medium;
    /// A key that data is encrypted with.
    EncryptionKey, "encryption-key", "ENCRYPTION_KEY", High;
    /// A key that data is signed with.
    SigningKey, "signing-key", "SIGNING_KEY", High;
    /// A key that backups are encrypted with.
    BackupKey, "backup-key", "BACKUP_KEY", High;
    /// A JSON document.
    Json, "json", "JSON", Low;
    /// A YAML document.
    Yaml, "yaml", "YAML", Low;
    /// A text.
    Text, "text", "TEXT", Low;
    /// Bytes.
    Binary, "binary", "BINARY", Low;
}

impl fmt::Display for SecretKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for SecretKind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let named = |kind: &&Self| kind.as_str() == text || kind.as_capitals() == text;
        Self::ALL.iter().find(named).copied().ok_or(Malformed("not a kind of secrets"))
    }
}

impl Serialize for SecretKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SecretKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(Malformed::into_name_error)
    }
}

#[cfg(feature = "openapi")]
fn described() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    let names = |name: fn(SecretKind) -> &'static str| SecretKind::ALL.iter().copied().map(name).collect::<Vec<_>>();
    let all = [names(SecretKind::as_str), names(SecretKind::as_capitals)].concat();
    shared_proto::schema::text(&format!("^({})$", all.join("|")))
}
shared_proto::schema::described!(SecretKind, described());

/// The class of a secret. It sets the rotation period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Rotated every 90 days.
    High,
    /// Rotated every 180 days.
    Medium,
    /// Rotated once a year.
    Low,
}

impl Class {
    /// The class of a secret that was given none. In a development environment all are low.
    pub fn default_of(kind: SecretKind, development: bool) -> Self {
        if development { Self::Low } else { kind.class() }
    }

    /// The rotation period in days.
    pub const fn rotation_days(self) -> u16 {
        match self {
            Self::High => 90,
            Self::Medium => 180,
            Self::Low => 365,
        }
    }

    /// The name of the class.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let all = [Self::High, Self::Medium, Self::Low];
        all.into_iter().find(|class| class.as_str() == text).ok_or(Malformed("not a class of secrets"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_read_from_its_name_and_from_capitals_and_from_nothing_else() {
        for kind in SecretKind::ALL {
            let capitals = kind.as_str().to_ascii_uppercase().replace('-', "_");
            assert_eq!(kind.as_capitals(), capitals);
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(capitals.parse(), Ok(*kind));
            assert_eq!(serde_json::from_str::<SecretKind>(&format!("\"{capitals}\"")).unwrap(), *kind);
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{kind}\""));
        }
        for wrong in ["", "Api-Key", "api_key", "API-KEY", "apikey", "api-key ", "API_Key", "token"] {
            assert!(wrong.parse::<SecretKind>().is_err(), "{wrong:?}");
        }
        let error = serde_json::from_str::<SecretKind>("\"HUNTER2\"").unwrap_err();
        assert!(!error.to_string().contains("HUNTER2"), "{error}");
    }

    #[test]
    fn class_follows_from_the_kind_and_is_low_in_development() {
        assert_eq!(SecretKind::ALL.len(), 18);
        let high: Vec<_> =
            SecretKind::ALL.iter().filter(|kind| Class::default_of(**kind, false) == Class::High).collect();
        assert_eq!(
            high.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
            ["certificate", "database", "vpn", "encryption-key", "signing-key", "backup-key"]
        );
        assert_eq!(Class::default_of(SecretKind::ApiKey, false).rotation_days(), 180);
        assert_eq!(Class::default_of(SecretKind::Yaml, false).rotation_days(), 365);
        assert!(SecretKind::ALL.iter().all(|kind| Class::default_of(*kind, true).rotation_days() == 365));
        for class in [Class::High, Class::Medium, Class::Low] {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{class}\""));
        }
        assert_eq!(Class::High.rotation_days(), 90);
    }
}
