//! The JSON bodies of requests and answers about services and their credentials.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::{CredentialId, SecretId, ServiceId};
use zeroize::Zeroizing;

use crate::address::AddressRange;
use crate::id::PermissionId;
use crate::lifetime::Lifetime;
use crate::name::{AccountName, Description, DisplayName, EnvironmentName, Reason, SecretPath};
use crate::policy::{Actions, PartyId, PatternText};

/// Secrets that a service needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RequiredKey {
    /// Their environment.
    pub environment: EnvironmentName,
    /// Their paths.
    pub pattern: PatternText,
}

/// Body of `POST /api/services`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateService {
    /// Its name, which no other service has and which never changes.
    pub name: AccountName,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub description: Option<Description>,
    /// The principal or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner: Option<PartyId>,
    /// The secrets that it needs, up to 32 patterns. They give it nothing until they are approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 32))]
    pub required_keys: Vec<RequiredKey>,
}

/// Body of `PATCH /api/services/{service_id}`. What is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeService {
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub description: Option<Description>,
    /// The principal or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner: Option<PartyId>,
    /// The secrets that it needs, in place of those of before. The service is not approved afterwards; it keeps the
    /// permissions that it has.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(max_items = 32))]
    pub required_keys: Option<Vec<RequiredKey>>,
}

/// Body of `POST /api/services/{service_id}:approve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApproveService {
    /// The required keys that are approved, all or some, as the service names them. They are named so that nobody approves
    /// what he has not seen.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 32))]
    pub required_keys: Vec<RequiredKey>,
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub reason: Option<Reason>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceDetails {
    /// Its id, which is the `sub` of its tokens.
    pub service_id: ServiceId,
    /// Its name.
    pub name: AccountName,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The principal or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PartyId>,
    /// The secrets that it needs.
    pub required_keys: Vec<RequiredKey>,
    /// When it was registered (Unix seconds).
    pub created_at: u64,
    /// When all that it needs was approved (Unix seconds). Absent if that was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<u64>,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

/// Answer of `GET /api/services`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceList {
    /// The services, ordered by id.
    pub services: Vec<ServiceDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of `POST /api/services/{service_id}:approve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovedService {
    /// The service.
    pub service: ServiceDetails,
    /// The permissions that were made. What it was allowed already has none here.
    pub permissions: Vec<PermissionId>,
}

/// A secret that nobody but one service may read, beside administrators of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SoleSecret {
    /// The secret.
    pub key_id: SecretId,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its path.
    pub path: SecretPath,
}

/// Answer of `GET /api/services/{service_id}/sole-secrets`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SoleSecretList {
    /// The secrets, in the order of environment and path.
    pub secrets: Vec<SoleSecret>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A part of its service's rights that a credential keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CredentialLimit {
    /// The actions, one or more.
    pub actions: Actions,
    /// The environment; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment: Option<EnvironmentName>,
    /// The paths.
    pub pattern: PatternText,
}

/// Body of `POST /api/services/{service_id}/credentials`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateCredential {
    /// Its name.
    pub name: DisplayName,
    /// How long it lives: `90d`, `1y`, or a number of seconds; at most a year.
    pub expires_in: Lifetime,
    /// The addresses that it may be used from, up to 32 ranges; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 32))]
    pub allowed_addresses: Option<Vec<AddressRange>>,
    /// How many requests it may be used for, 1 to 1,000; not counted by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1000))]
    pub max_uses: Option<u64>,
    /// The parts of its service's rights that it keeps, up to 16; all of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 16))]
    pub limits: Option<Vec<CredentialLimit>>,
    /// The environment of requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub default_environment: Option<EnvironmentName>,
}

/// Answer that shows a new credential, once. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewCredential {
    /// The text that its service presents as a bearer. It is not shown again.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub credential: Zeroizing<String>,
    /// Its details.
    pub details: CredentialDetails,
}

/// A credential, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialDetails {
    /// Its id, which is the `client_id` of its tokens.
    pub credential_id: CredentialId,
    /// Its service.
    pub service_id: ServiceId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When it ends by itself (Unix seconds). Absent for one that the command line made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
    /// The hour in which it was used last (Unix seconds of its beginning). Absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
    /// The addresses that it may be used from. Absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_addresses: Option<Vec<AddressRange>>,
    /// How many requests it may be used for. Absent if they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    /// How many it was used for. Absent if they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// The parts of its service's rights that it keeps. Absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<CredentialLimit>>,
    /// The environment of requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_environment: Option<EnvironmentName>,
}

/// Answer of `GET /api/services/{service_id}/credentials`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialList {
    /// The credentials, ordered by id.
    pub credentials: Vec<CredentialDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Body of `POST /tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateServiceToken {
    /// The name of a service that is registered.
    pub service_name: AccountName,
    /// How long the credential lives: `90d`, `1y`, or a number of seconds; at most a year.
    pub expires_in: Lifetime,
}

/// Answer of `POST /tokens`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceToken {
    /// A credential of the service. It is not shown again.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Zeroizing<String>,
    /// The service.
    pub service_name: AccountName,
    /// Its id.
    pub service_id: ServiceId,
    /// The id of the credential.
    pub credential_id: CredentialId,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
}
