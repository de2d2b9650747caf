//! The records of the registry, as the database holds them: JSON under a kind and an id.

use serde::{Deserialize, Serialize};
use shared_proto::Rejected;
use shared_proto::encoding::from_json;
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, SecretId, ServiceId};

use crate::approval::Approval;
use crate::credential::{Credential, Uses};
use crate::incident::Incident;
use crate::lines::{Permission, RoleAssignment};
use crate::place::Place;
use crate::principals::{Group, Person, Service};
use crate::renewal::{Renewal, RenewalId};
use crate::settings::{Settings, SettingsId};
use crate::sign_on::{Enrolment, EnvironmentRules, SignOn};
use crate::tagged_rows::{TaggedRows, TaggedRowsId};
use crate::{Change, Snapshot};
use manager_api::id::{ApprovalId, AssignmentId, EnrolmentId, GroupId, IncidentId, PermissionId, SignOnId, UsesId};

macro_rules! records {
    ($($(#[$doc:meta])* $kind:ident $text:literal, $id:ident: $Id:ident, $one:ident, $all:ident;)+) => {
        /// The kind of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $text)] $kind,)+
        }

        impl Kind {
            /// Its name in the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $text,)+
                }
            }

            /// The kind with a name.
            ///
            /// # Errors
            /// There is none.
            pub fn parse(text: &str) -> Result<Self, Rejected> {
                match text {
                    $($text => Ok(Self::$kind),)+
                    _ => Err(Rejected),
                }
            }
        }

        /// A record of the registry.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Record {
            $($(#[$doc])* #[serde(rename = $text)] $kind($kind),)+
        }

        impl Record {
            /// Its name.
            pub fn name(&self) -> RecordName {
                match self {
                    $(Self::$kind(record) => RecordName::from(record.$id),)+
                }
            }
        }

        $(
            impl From<$Id> for RecordName {
                fn from(id: $Id) -> Self {
                    Self { kind: Kind::$kind, id: id.to_string() }
                }
            }

            impl From<$kind> for Record {
                fn from(record: $kind) -> Self {
                    Self::$kind(record)
                }
            }

            impl From<$kind> for Change {
                fn from(record: $kind) -> Self {
                    Record::from(record).into()
                }
            }
        )+

        impl Snapshot {
            $(
                #[doc = concat!("The ", $text, " with an id.")]
                pub fn $one(&self, id: $Id) -> Option<&$kind> {
                    match self.record(&RecordName::from(id))? {
                        Record::$kind(record) => Some(record),
                        _ => None,
                    }
                }

                #[doc = concat!("Every ", $text, ", ordered by the text of its id.")]
                pub fn $all(&self) -> impl Iterator<Item = &$kind> {
                    self.of_kind(Kind::$kind).filter_map(|record| match record {
                        Record::$kind(record) => Some(record),
                        _ => None,
                    })
                }
            )+
        }
    };
}

records! {
    /// A service.
    Service "service", service_id: ServiceId, service, services;
    /// A person.
    Person "person", person_id: PersonId, person, people;
    /// A credential of a principal.
    Credential "credential", credential_id: CredentialId, credential, credentials;
    /// The count of the uses of a credential that has a maximum of them.
    Uses "uses", uses_id: UsesId, uses, all_uses;
    /// A group of principals.
    Group "group", group_id: GroupId, group, groups;
    /// A role assignment.
    RoleAssignment "role-assignment", assignment_id: AssignmentId, assignment, assignments;
    /// A permission.
    Permission "permission", permission_id: PermissionId, permission, permissions;
    /// Settings of the installation.
    Settings "settings", settings_id: SettingsId, settings, all_settings;
    /// The means by which a person signs on.
    SignOn "sign-on", sign_on_id: SignOnId, sign_on, sign_ons;
    /// A code that was not redeemed.
    Enrolment "enrolment", enrolment_id: EnrolmentId, enrolment, enrolments;
    /// The rules of an environment.
    EnvironmentRules "environment-rules", environment_id: EnvironmentId, environment_rules, all_environment_rules;
    /// The newest change of the place of a secret.
    Place "place", secret_id: SecretId, place, places;
    /// An act that awaits approval, or did.
    Approval "approval", approval_id: ApprovalId, approval, approvals;
    /// The compromise or the loss of a secret.
    Incident "incident", incident_id: IncidentId, incident, incidents;
    /// The rows of one sort, which bear tags.
    TaggedRows "tagged-rows", tagged_rows_id: TaggedRowsId, tagged_rows, all_tagged_rows;
    /// The newest renewal of rows.
    Renewal "renewal", renewal_id: RenewalId, renewal, renewals;
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

impl From<Record> for Change {
    fn from(record: Record) -> Self {
        Self { name: record.name(), after: Some(record) }
    }
}

impl From<RecordName> for Change {
    /// The removal of a record.
    fn from(name: RecordName) -> Self {
        Self { name, after: None }
    }
}

impl Kind {
    /// Tells whether policy is decided from records of this kind, for others than the one whom a record is about.
    pub const fn is_policy(self) -> bool {
        match self {
            Self::Service
            | Self::Person
            | Self::Group
            | Self::RoleAssignment
            | Self::Permission
            | Self::EnvironmentRules => true,
            Self::Credential
            | Self::Uses
            | Self::Settings
            | Self::TaggedRows
            | Self::SignOn
            | Self::Enrolment
            | Self::Place
            | Self::Approval
            | Self::Incident
            | Self::Renewal => false,
        }
    }
}

impl Kind {
    /// Tells whether records of this kind are lines or groups, of which former versions are shown and restored.
    pub const fn is_versioned(self) -> bool {
        match self {
            Self::Group | Self::RoleAssignment | Self::Permission => true,
            Self::Service
            | Self::Person
            | Self::Credential
            | Self::Uses
            | Self::Settings
            | Self::TaggedRows
            | Self::SignOn
            | Self::Enrolment
            | Self::EnvironmentRules
            | Self::Place
            | Self::Approval
            | Self::Incident
            | Self::Renewal => false,
        }
    }
}

impl Record {
    /// The name that only one record of its kind has.
    pub(crate) fn unique_name(&self) -> Option<&str> {
        match self {
            Self::Service(service) => Some(service.name.as_str()),
            Self::Person(person) => Some(person.name.as_str()),
            Self::Group(group) => Some(group.name.as_str()),
            Self::Credential(_)
            | Self::Uses(_)
            | Self::RoleAssignment(_)
            | Self::Permission(_)
            | Self::Settings(_)
            | Self::TaggedRows(_)
            | Self::SignOn(_)
            | Self::Enrolment(_)
            | Self::EnvironmentRules(_)
            | Self::Place(_)
            | Self::Approval(_)
            | Self::Incident(_)
            | Self::Renewal(_) => None,
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
