//! Answers about secrets that have the same value.

use serde::{Deserialize, Serialize};
use shared_proto::id::{SecretId, Version};

/// Answer of `GET /api/secrets/{key_id}:same-value`. It holds no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SameValueList {
    /// The secret that was asked about.
    pub key_id: SecretId,
    /// Its current version.
    pub version: Version,
    /// Versions of other secrets of its environment that the caller may read, and that have its value.
    pub same: Vec<SameValue>,
    /// How many versions could not be compared.
    pub unknown: u64,
    /// Cursor for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A version with the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SameValue {
    /// The secret.
    pub key_id: SecretId,
    /// The number of the envelope: of the version that the value was written with.
    pub envelope: Version,
}
