//! The JSON bodies of requests and answers about environments.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::EnvironmentId;

use crate::name::{DisplayName, EnvironmentName};

/// Body of `POST /api/environments`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateEnvironment {
    /// Its name, which never changes.
    pub name: EnvironmentName,
    /// Its name for people; the name by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub display_name: Option<DisplayName>,
    /// The longest life of a token, 1 to 2,700 seconds; 2,700 by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 2700))]
    pub max_token_life_seconds: Option<u64>,
    /// The id of an environment that a restored database lacks and whose root key is in the key folder. A new id and a
    /// new root key by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment_id: Option<EnvironmentId>,
}

/// Body of `PATCH /api/environments/{name}`. A setting that is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeEnvironment {
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub display_name: Option<DisplayName>,
    /// The longest life of a token, 1 to 2,700 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 2700))]
    pub max_token_life_seconds: Option<u64>,
    /// True if people read there only after a login with two factors.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub require_mfa: Option<bool>,
    /// The days for which a deleted secret can be taken back, 7 to 365.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 7, maximum = 365))]
    pub deletion_days: Option<u16>,
    /// True if a secret is destroyed only when a second principal has approved it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub destroy_needs_approval: Option<bool>,
    /// The rule about versions that have expired.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub expired_versions: Option<ExpiredVersions>,
    /// The least strength of passwords that are written there, 0 (any) to 4, as `strength` tells it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 4))]
    pub min_password_strength: Option<u8>,
}

/// The answer to a request for a token that opens an expired version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExpiredVersions {
    /// The token is made, and the answer says that the version has expired.
    #[default]
    Warn,
    /// The token is not made, and no token outlives a version.
    Refuse,
}

impl ExpiredVersions {
    /// True for the default.
    pub fn is_warn(&self) -> bool {
        *self == Self::Warn
    }
}

/// An environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvironmentDetails {
    /// Its id.
    pub environment_id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// Its name for people.
    pub display_name: DisplayName,
    /// Its number among the environments, from 1.
    pub ordinal: u32,
    /// The longest life of a token, in seconds.
    pub max_token_life_seconds: u64,
    /// True if people read there only after a login with two factors.
    #[serde(default)]
    pub require_mfa: bool,
    /// The days for which a deleted secret can be taken back.
    pub deletion_days: u16,
    /// True if a secret is destroyed only when a second principal has approved it.
    #[serde(default)]
    pub destroy_needs_approval: bool,
    /// The rule about versions that have expired.
    #[serde(default)]
    pub expired_versions: ExpiredVersions,
    /// The least strength of passwords that are written there, 0 (any) to 4.
    #[serde(default)]
    pub min_password_strength: u8,
    /// When it was frozen (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_at: Option<u64>,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// The epoch of the root key that new versions are sealed with. Absent while it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_key_epoch: Option<u32>,
}

/// Answer of `GET /api/environments`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvironmentList {
    /// The environments, ordered by name.
    pub environments: Vec<EnvironmentDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
