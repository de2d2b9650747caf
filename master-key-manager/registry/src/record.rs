//! The records of registry, as the database holds them: JSON under a kind and an id.

use serde::{Deserialize, Serialize};
use shared_proto::Rejected;
use shared_proto::encoding::{Bytes, from_json};
use shared_proto::id::{CredentialId, ServiceId, Subject};

use crate::Change;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// The kind of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[$doc])* $name,)+
        }

        impl Kind {
            /// Its name in the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The kind with a name.
            ///
            /// # Errors
            /// There is none.
            pub fn parse(text: &str) -> Result<Self, Rejected> {
                match text {
                    $($text => Ok(Self::$name),)+
                    _ => Err(Rejected),
                }
            }
        }
    };
}

kinds! {
    /// A service.
    Service = "service";
    /// A credential of a service.
    Credential = "credential";
}

/// The name of a record: its kind and its id in that kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordName {
    /// The kind.
    pub kind: Kind,
    /// The id, as text.
    pub id: String,
}

/// A record as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRecord {
    /// Its name.
    pub name: RecordName,
    /// Its JSON text.
    pub body: String,
}

/// A record of registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// A service.
    Service(Service),
    /// A credential of a service.
    Credential(Credential),
}

/// A service: a program that reads or writes secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its id.
    pub service_id: ServiceId,
    /// Its name, which no other service has.
    pub name: String,
    /// Whether it may do everything. The first service of an installation is the administrator.
    pub is_administrator: bool,
    /// When it was made (Unix seconds).
    pub created_at: u64,
}

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Its id.
    pub credential_id: CredentialId,
    /// The principal that it stands for.
    pub subject: Subject,
    /// The keyed hash of the opaque credential. Absent for the one that stands for callers without a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<Bytes<32>>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

impl Service {
    /// The service of an installation's administrator.
    pub fn administrator(service_id: ServiceId, created_at: u64) -> Self {
        Self { service_id, name: "administrator".to_owned(), is_administrator: true, created_at }
    }
}

impl Credential {
    /// A new credential of a service; without a hash the one that stands for strangers.
    pub fn new(credential_id: CredentialId, subject: Subject, hmac: Option<[u8; 32]>, created_at: u64) -> Self {
        Self { credential_id, subject, hmac: hmac.map(Bytes), created_at, disabled_at: None }
    }
}

impl From<Record> for Change {
    fn from(record: Record) -> Self {
        Self { name: record.name(), after: Some(record) }
    }
}

impl Record {
    /// Its name.
    pub fn name(&self) -> RecordName {
        match self {
            Self::Service(service) => RecordName { kind: Kind::Service, id: service.service_id.to_string() },
            Self::Credential(credential) => RecordName::credential(credential.credential_id),
        }
    }

    /// The record as the database holds it.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(crate) fn write(&self) -> Result<WrittenRecord, Rejected> {
        Ok(WrittenRecord { name: self.name(), body: serde_json::to_string(self).map_err(|_| Rejected)? })
    }
}

impl RecordName {
    /// The name of a credential's record.
    pub fn credential(id: CredentialId) -> Self {
        Self { kind: Kind::Credential, id: id.to_string() }
    }
}

impl WrittenRecord {
    /// The record.
    ///
    /// # Errors
    /// The text is not a record, or one with another name.
    pub(crate) fn read(&self) -> Result<Record, Rejected> {
        let record: Record = from_json(self.body.as_bytes()).map_err(|_| Rejected)?;
        if record.name() == self.name { Ok(record) } else { Err(Rejected) }
    }
}
