//! Requests for access tokens, as bodies of `POST /api/tokens` and inside `authorization_details` of `/oauth/token`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::{present, read_from_objects_only};
use shared_proto::id::{SecretId, Version};

use crate::name::{EnvironmentName, SecretPath, UserLabel};
use crate::wire::IssuedToken;

/// A name that points to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The newest committed version.
    Current,
    /// The version before it.
    Previous,
    /// The next version, during a rotation.
    Pending,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::Current, Self::Previous, Self::Pending];

    /// The name of the stage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or(Malformed("not a stage"))
    }
}

/// A secret that a token is wanted for: by id, or by environment and path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct SecretRequest {
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub key_id: Option<SecretId>,
    /// The environment of the path.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment: Option<EnvironmentName>,
    /// The path. Dots mean slashes, too, if it has no slash. If the caller may read two secrets by it, it names none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub path: Option<SecretPath>,
    /// The version, instead of a stage.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub version: Option<Version>,
    /// The stage; `current` by default. The others are refused until versions have them.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub stage: Option<Stage>,
}

/// Body of `POST /api/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MintToken {
    /// 1 to 64 different secrets of one environment.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub secrets: Vec<SecretRequest>,
    /// Label of the token's subject; the caller by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub user_id: Option<UserLabel>,
    /// Life in seconds, 1 to 2,700; the configured life by default. The token never outlives the seal key.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 2700))]
    pub life_seconds: Option<u64>,
}

/// Answer to [`MintToken`].
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MintAnswer {
    /// The token.
    #[serde(flatten)]
    pub token: IssuedToken,
    /// The secrets that it opens, in the order of the request.
    pub secrets: Vec<GrantedSecret>,
    /// The vault's address: where the token opens them. Absent from a manager of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_url: Option<String>,
}

/// A secret that a token opens, with its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantedSecret {
    /// The secret.
    pub key_id: SecretId,
    /// The version that the token was made for.
    pub version: Version,
    /// Number of the envelope that the version points to. The token and the vault name this one.
    pub envelope: Version,
    /// The path, as it was asked for. Absent for a secret that was asked for by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<SecretPath>,
    /// When the version ends (Unix seconds). Absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// True if the version has expired. Its environment warns, and does not refuse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

/// A checked [`SecretRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSecret {
    /// The secret.
    pub target: SecretTarget,
    /// Its version.
    pub version: WantedVersion,
}

/// A secret by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretTarget {
    /// Its id.
    Id(SecretId),
    /// Its environment and path.
    Path(EnvironmentName, SecretPath),
}

/// The version that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WantedVersion {
    /// The one with this number.
    Number(Version),
    /// The one with this stage.
    Stage(Stage),
}

impl SecretRequest {
    /// The current version of a secret.
    pub fn id(key_id: SecretId) -> Self {
        Self { key_id: Some(key_id), ..Self::default() }
    }

    /// The current version of the secret at a path.
    pub fn path(environment: EnvironmentName, path: SecretPath) -> Self {
        Self { environment: Some(environment), path: Some(path), ..Self::default() }
    }

    /// The same secret in another version.
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        Self { version: Some(version), ..self }
    }
}

impl WantedSecret {
    /// The path by which it is asked for.
    pub fn path(&self) -> Option<&SecretPath> {
        match &self.target {
            SecretTarget::Path(_, path) => Some(path),
            SecretTarget::Id(_) => None,
        }
    }
}

impl TryFrom<SecretRequest> for WantedSecret {
    type Error = Malformed;

    fn try_from(request: SecretRequest) -> Result<Self, Malformed> {
        let target = match (request.key_id, request.environment, request.path) {
            (Some(id), None, None) => SecretTarget::Id(id),
            (None, Some(environment), Some(path)) => SecretTarget::Path(environment, path),
            _ => return Err(Malformed("A secret has either key_id, or environment and path.")),
        };
        let version = match (request.version, request.stage) {
            (Some(number), None) => WantedVersion::Number(number),
            (None, stage) => WantedVersion::Stage(stage.unwrap_or(Stage::Current)),
            (Some(_), Some(_)) => return Err(Malformed("A secret has either version or stage.")),
        };
        Ok(Self { target, version })
    }
}

// Also inside lists: a derived reader alone would accept an array, member by position.
read_from_objects_only!(SecretRequest);

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(MintAnswer: Debug, Display, Clone);

    #[test]
    fn secret_is_named_in_one_way_and_version_in_one_way() {
        let (id, version) = (SecretId::from_bytes([1; 16]), Version::FIRST);
        let (environment, path) = (EnvironmentName::parse("dev").unwrap(), SecretPath::parse("a.b").unwrap());
        let by_path = SecretRequest::path(environment.clone(), path.clone());
        let wanted = |request: SecretRequest| WantedSecret::try_from(request);
        let current = WantedVersion::Stage(Stage::Current);
        assert_eq!(wanted(SecretRequest::id(id)), Ok(WantedSecret { target: SecretTarget::Id(id), version: current }));
        let numbered = wanted(by_path.clone().version(version)).unwrap();
        assert_eq!((numbered.version, numbered.path()), (WantedVersion::Number(version), Some(&path)));
        for wrong in [
            SecretRequest::default(),
            SecretRequest { key_id: Some(id), ..by_path.clone() },
            SecretRequest { environment: None, ..by_path.clone() },
            SecretRequest { path: None, ..by_path.clone() },
            SecretRequest { environment: Some(environment), ..SecretRequest::id(id) },
            SecretRequest { stage: Some(Stage::Current), ..by_path.version(version) },
        ] {
            assert!(wanted(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
