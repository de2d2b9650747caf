//! The JSON bodies of requests and answers about people and enrolment codes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::{CredentialId, PersonId, ServiceId, Subject};
use zeroize::Zeroizing;

use crate::id::EnrolmentId;
use crate::name::{AccountName, DisplayName, EmailAddress};

/// Body of `POST /api/people`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreatePerson {
    /// The name of the account, which never changes.
    pub name: AccountName,
    /// The name for people; the name of the account by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub display_name: Option<DisplayName>,
    /// The e-mail address. Nothing is sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub email: Option<EmailAddress>,
}

/// Body of `PATCH /api/people/{person_id}`. A member that is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePerson {
    /// The name for people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub display_name: Option<DisplayName>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub email: Option<EmailAddress>,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonDetails {
    /// The id, which is the `sub` of tokens.
    pub person_id: PersonId,
    /// The name of the account.
    pub name: AccountName,
    /// The name for people.
    pub display_name: DisplayName,
    /// The e-mail address. Absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// When the person was made (Unix seconds).
    pub created_at: u64,
    /// When the person was disabled (Unix seconds). Absent if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
    /// When the password was set (Unix seconds). Absent before the first login and after a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_changed_at: Option<u64>,
    /// True if one-time codes are asked for at the login.
    pub totp: bool,
}

/// Answer of `GET /api/people`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonList {
    /// The people, ordered by id.
    pub people: Vec<PersonDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Body of `POST /api/enrolments`. It names a person or a service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateEnrolment {
    /// The person who signs on for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub person_id: Option<PersonId>,
    /// The service that gets a credential.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub service_id: Option<ServiceId>,
    /// For how many minutes the code counts, 1 to 60; 15 by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 60))]
    pub minutes: Option<u64>,
    /// The only address from which it is redeemed; any by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub address: Option<IpAddr>,
    /// The name of the service's credential.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub credential_name: Option<DisplayName>,
    /// When the service's credential ends (Unix seconds), at most a year from now. Required for a service.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub credential_expires_at: Option<u64>,
}

/// A new enrolment code. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewEnrolment {
    /// Its id.
    pub enrolment_id: EnrolmentId,
    /// The code, which is shown this once.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub enrolment_code: Zeroizing<String>,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
    /// The manager's address, to be handed over with the code.
    pub url: String,
    /// SHA-256 of the CA's certificate in hexadecimal, by which the first connection is pinned. Absent without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_sha256: Option<String>,
}

/// An enrolment code that was not redeemed, without the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolmentDetails {
    /// Its id.
    pub enrolment_id: EnrolmentId,
    /// The principal that it is for.
    pub subject: Subject,
    /// The author. Absent for an operator on the manager's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Subject>,
    /// The only address from which it is redeemed. Absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub address: Option<IpAddr>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
}

/// Answer of `GET /api/enrolments`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolmentList {
    /// The codes, ordered by id.
    pub enrolments: Vec<EnrolmentDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Body of `POST /api/enrolments:redeem`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RedeemEnrolment {
    /// The code.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 128))]
    pub code: Zeroizing<String>,
    /// The password that a person chooses. A service sends none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 512))]
    pub password: Option<Zeroizing<String>>,
}

/// Answer of `POST /api/enrolments:redeem`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RedeemedEnrolment {
    /// The person or service.
    pub subject: Subject,
    /// Its name.
    pub name: AccountName,
    /// For a service: the id of its new credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<CredentialId>,
    /// For a service: the credential, which is shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub credential: Option<Zeroizing<String>>,
    /// For a service: when the credential ends (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(NewEnrolment: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(RedeemEnrolment: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(RedeemedEnrolment: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
}
