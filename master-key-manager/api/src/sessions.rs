//! The JSON bodies of requests and answers about logins, and about the caller himself.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, Subject};
use zeroize::Zeroizing;

use crate::id::GroupId;
use crate::name::{AccountName, DisplayName, EmailAddress};
use crate::policy::{PartyId, PatternText, Role};

/// Body of `POST /api/sessions`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// The name of the account.
    pub name: AccountName,
    /// The password.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 512))]
    pub password: Zeroizing<String>,
    /// The code that the authenticator shows, if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 16))]
    pub totp: Option<Zeroizing<String>>,
    /// A recovery code in place of it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 64))]
    pub recovery_code: Option<Zeroizing<String>>,
    /// The device code of an earlier login here. With it, failures of others do not slow this login down.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 128))]
    pub device_code: Option<Zeroizing<String>>,
}

/// A new session. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewSession {
    /// The session's id, which tokens name.
    pub session_id: CredentialId,
    /// The person.
    pub person_id: PersonId,
    /// The code that is sent as bearer from now on. It is shown this once.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_code: Zeroizing<String>,
    /// When it ends, used or not (Unix seconds). It also ends when it is not used for 30 minutes.
    pub expires_at: u64,
    /// True if the login had two factors.
    pub mfa: bool,
    /// True if nothing is allowed before an authenticator is set up, which administrators need.
    pub must_enrol_totp: bool,
    /// A code that lets nobody in, to be kept on this device for the next login.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub device_code: Zeroizing<String>,
}

/// Body of `POST /api/sessions:reauthenticate`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Reauthenticate {
    /// The password.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 512))]
    pub password: Zeroizing<String>,
    /// The code that the authenticator shows, if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 16))]
    pub totp: Option<Zeroizing<String>>,
    /// A recovery code in place of it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 64))]
    pub recovery_code: Option<Zeroizing<String>>,
    /// The device code of an earlier login here.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 128))]
    pub device_code: Option<Zeroizing<String>>,
}

/// A session, without its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionDetails {
    /// Its id.
    pub session_id: CredentialId,
    /// The person.
    pub person_id: PersonId,
    /// When it began (Unix seconds).
    pub created_at: u64,
    /// When the person last proved who he is (Unix seconds).
    pub authenticated_at: u64,
    /// When it ends, used or not (Unix seconds).
    pub expires_at: u64,
    /// True if the login had two factors.
    pub mfa: bool,
    /// True if the request came with it.
    pub current: bool,
}

/// Answer of `GET /api/sessions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionList {
    /// The sessions, at most 20, ordered by id.
    pub sessions: Vec<SessionDetails>,
}

/// Answer of `GET /api/me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// The principal, which is the `sub` of tokens.
    pub principal: Subject,
    /// Its name.
    pub name: AccountName,
    /// A person's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// A person's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// The groups that it is in.
    pub groups: Vec<MyGroup>,
    /// The roles that it has, by itself or by a group.
    pub roles: Vec<MyRole>,
    /// The credential or session that the request came with.
    pub client_id: CredentialId,
    /// When that ends (Unix seconds). Absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// How a person has signed on. Absent for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<MyLogin>,
    /// The vault's address for clients. Absent from a manager of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_url: Option<String>,
}

/// A group of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MyGroup {
    /// Its id.
    pub group_id: GroupId,
    /// Its name.
    pub name: AccountName,
}

/// A role of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MyRole {
    /// The role.
    pub role: Role,
    /// The environment; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// The paths.
    pub pattern: PatternText,
    /// The principal or group that has it.
    pub party: PartyId,
}

/// How a person has signed on, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MyLogin {
    /// When the person last proved who he is (Unix seconds).
    pub authenticated_at: u64,
    /// True if the login had two factors.
    pub mfa: bool,
    /// True if nothing is allowed before an authenticator is set up.
    pub must_enrol_totp: bool,
    /// True if there is an authenticator.
    pub totp: bool,
    /// The number of recovery codes that were not used.
    pub recovery_codes: usize,
}

/// Body of `POST /api/me/password`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password of before.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 512))]
    pub old_password: Zeroizing<String>,
    /// The new one: 12 characters or more, and not easy to guess.
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 12, max_length = 512))]
    pub new_password: Zeroizing<String>,
}

/// Answer of `POST /api/me/totp`: what an authenticator reads. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferedTotp {
    /// The seed as an `otpauth` address, for a QR code. It is shown this once.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Zeroizing<String>,
    /// The seed in base32.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub secret: Zeroizing<String>,
}

/// Body of `POST /api/me/totp:confirm`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// The code that the authenticator shows.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 16))]
    pub code: Zeroizing<String>,
}

/// New recovery codes. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryCodes {
    /// The codes, each for one login, which are shown this once.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub recovery_codes: Vec<Zeroizing<String>>,
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(CreateSession: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(NewSession: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(Reauthenticate: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(ChangePassword: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(OfferedTotp: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(ConfirmTotp: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(RecoveryCodes: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
}
