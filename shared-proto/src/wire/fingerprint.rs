//! The JSON bodies of commands about value fingerprints.

use serde::{Deserialize, Serialize};

use crate::comparison::{Comparison, ComparisonNonce};
use crate::encoding::{ByteString, Bytes, read_from_objects_only};
use crate::id::{EnvironmentId, SecretId, Version};
use crate::jwk::Thumbprint;

/// The most versions that a find command compares with one.
pub const MAX_OTHERS: usize = 100;

/// Body of a `compare` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The transfer key, encrypted to the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub transfer_key: ByteString,
    /// Thumbprint of the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub transport_kid: Thumbprint,
    /// Fresh randomness, answered under the comparison's signature.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: ComparisonNonce,
    /// 1 to 64 values.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub values: Vec<ValueToCompare>,
}

/// One value of a [`Compare`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct ValueToCompare {
    /// Environment of the version that it is compared with.
    pub environment: EnvironmentId,
    /// Secret.
    pub secret_id: SecretId,
    /// Version.
    pub version: Version,
    /// The value's fingerprint, bound to that version, under the transfer key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub fingerprint: Bytes<48>,
}

/// Body of a `find` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// The transfer key, encrypted to the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub transfer_key: ByteString,
    /// Thumbprint of the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub transport_kid: Thumbprint,
    /// Fresh randomness, answered under the comparison's signature.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: ComparisonNonce,
    /// The version that the others are compared with.
    pub one: VersionToCompare,
    /// 1 to 100 others.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub others: Vec<VersionToCompare>,
}

/// One version of a [`Find`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct VersionToCompare {
    /// Environment.
    pub environment: EnvironmentId,
    /// Secret.
    pub secret_id: SecretId,
    /// Version.
    pub version: Version,
    /// Its binding key under the transfer key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub binding_key: Bytes<40>,
}

/// Answer to [`Compare`] and [`Find`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ComparisonAnswer {
    /// The vault's signed results, in the order of the request.
    pub comparison: Comparison,
}

read_from_objects_only!(ValueToCompare, VersionToCompare);
