//! Principals and groups.

use manager_api::id::GroupId;
use manager_api::name::{AccountName, Description, DisplayName, EmailAddress};
use manager_api::policy::{PartyId, PatternText};
use serde::{Deserialize, Serialize};
use shared_proto::id::{EnvironmentId, PersonId, ServiceId, Subject};

/// A service: a program that reads or writes secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its id.
    pub service_id: ServiceId,
    /// Its name, which no other service has.
    pub name: AccountName,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The principal or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PartyId>,
    /// The secrets that it says it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<RequiredKeys>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When what it needs was approved (Unix seconds). Absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<u64>,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

/// Secrets that a service needs: those of an environment whose path fits a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredKeys {
    /// The environment.
    pub environment: EnvironmentId,
    /// The paths.
    pub pattern: PatternText,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Its id.
    pub person_id: PersonId,
    /// The name of its account, which no other person has.
    pub name: AccountName,
    /// Its name for people.
    pub display_name: DisplayName,
    /// Its e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

/// A group: a flat set of principals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its id.
    pub group_id: GroupId,
    /// Its name, which no other group has.
    pub name: AccountName,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Its members, each once, in order.
    pub members: Vec<Subject>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
}

impl Service {
    /// A new service with a name.
    pub fn new(service_id: ServiceId, name: AccountName, created_at: u64) -> Self {
        Self {
            service_id,
            name,
            description: None,
            owner: None,
            required: Vec::new(),
            created_at,
            approved_at: None,
            disabled_at: None,
        }
    }

    /// The name of the service that `init` makes.
    pub const ADMINISTRATOR: &'static str = "administrator";

    /// Its subject.
    pub fn subject(&self) -> Subject {
        Subject::Service(self.service_id)
    }
}

impl Person {
    /// Its subject.
    pub fn subject(&self) -> Subject {
        Subject::Person(self.person_id)
    }
}
