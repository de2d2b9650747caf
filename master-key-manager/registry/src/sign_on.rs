//! What people sign on with, and codes that were not redeemed yet.

use core::fmt;
use core::net::IpAddr;

use manager_api::environments::ExpiredVersions;
use manager_api::id::{EnrolmentId, SignOnId};
use manager_api::name::DisplayName;
use serde::{Deserialize, Serialize};
use shared_proto::encoding::Bytes;
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, Subject};

/// The means by which a person signs on. All of it depends on the sign-on key of the key folder, and opens nothing without it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOn {
    /// Its id, with the bytes of the person's.
    pub sign_on_id: SignOnId,
    /// The keyed hash of the password, as a PHC string. Absent before the first login and after a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// When the password was set (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_changed_at: Option<u64>,
    /// The sealed seed of the authenticator. Absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Bytes<48>>,
    /// A sealed seed that no code has confirmed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_seed: Option<Bytes<48>>,
    /// The newest step of a one-time code that was used. It outlives the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_step: Option<u64>,
    /// The keyed hashes of recovery codes that were not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery: Vec<Bytes<32>>,
}

/// A code that makes a first login of a person, or a credential of a service. It is removed when it is redeemed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Its id.
    pub enrolment_id: EnrolmentId,
    /// The keyed hash of the code.
    pub hmac: Bytes<32>,
    /// The principal that it is for.
    pub subject: Subject,
    /// The terms of the credential that it makes; absent for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialTerms>,
    /// The only address from which it is redeemed; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The author. Absent for an operator on the manager's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Subject>,
    /// The session or credential with which that was done. Absent for an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_credential: Option<CredentialId>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
}

/// The terms of a credential that is made by a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialTerms {
    /// Its id, which is chosen beforehand, so that no repeat makes two.
    pub credential_id: CredentialId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
}

/// Settings of an environment that decide who may do something there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRules {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// True if people read there only after a login with two factors.
    #[serde(default)]
    pub require_mfa: bool,
    /// The days for which a deleted secret can be taken back; absent for [`EnvironmentRules::DELETION_DAYS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_days: Option<u16>,
    /// True if a second administrator approves that a secret is destroyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroy_needs_approval: bool,
    /// The rule about versions that have expired.
    #[serde(default, skip_serializing_if = "ExpiredVersions::is_warn")]
    pub expired_versions: ExpiredVersions,
    /// The least strength of passwords that are written there, 0 to 4.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_password_strength: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(value: &u8) -> bool {
    *value == 0
}

impl EnvironmentRules {
    /// The days for which a deleted secret can be taken back, where nothing else is said.
    pub const DELETION_DAYS: u16 = 30;

    /// Those of an environment about which nothing is said.
    pub const fn new(environment_id: EnvironmentId) -> Self {
        Self {
            environment_id,
            require_mfa: false,
            deletion_days: None,
            destroy_needs_approval: false,
            expired_versions: ExpiredVersions::Warn,
            min_password_strength: 0,
        }
    }

    /// The days for which a deleted secret can be taken back.
    pub fn deletion_days(&self) -> u16 {
        self.deletion_days.unwrap_or(Self::DELETION_DAYS)
    }
}

impl SignOn {
    /// That of a person who cannot sign on yet.
    pub fn new(person: PersonId) -> Self {
        Self {
            sign_on_id: Self::id_of(person),
            password: None,
            password_changed_at: None,
            seed: None,
            offered_seed: None,
            last_step: None,
            recovery: Vec::new(),
        }
    }

    /// The id of a person's record.
    pub fn id_of(person: PersonId) -> SignOnId {
        SignOnId::from_bytes(*person.as_bytes())
    }

    /// The record after a reset: nothing signs on with it any more. The last step stays, so that a code that somebody saw
    /// is not used with a seed that is put back.
    #[must_use]
    pub fn reset(&self) -> Self {
        let person = PersonId::from_bytes(*self.sign_on_id.as_bytes());
        Self { last_step: self.last_step, ..Self::new(person) }
    }
}

impl fmt::Debug for SignOn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SignOn({})", self.sign_on_id)
    }
}

impl Enrolment {
    /// Tells whether it counts at a time.
    pub fn is_open_at(&self, now: u64) -> bool {
        now < self.expires_at
    }
}
