//! Registered public keys of services.

use serde::{Deserialize, Serialize};
use shared_proto::id::{CredentialId, ServiceId};
use shared_proto::jwk::Thumbprint;

use crate::lifetime::Lifetime;
use crate::name::DisplayName;

/// Body of `POST /api/services/{service_id}/keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterKey {
    /// A name for people.
    pub name: DisplayName,
    /// How long it lives: `90d`, `1y`, or a number of seconds; at most a year.
    pub expires_in: Lifetime,
    /// The public key, as a JWK: RSA of 2048 to 8192 bits, P-256 or Ed25519.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub jwk: serde_json::Map<String, serde_json::Value>,
}

/// A registered public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredKey {
    /// Its id, which is the `client_id` of the access tokens that are made with it.
    pub credential_id: CredentialId,
    /// The service that it stands for.
    pub service_id: ServiceId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// Its thumbprint (RFC 7638), by which an assertion may name it as `kid`.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub thumbprint: Thumbprint,
    /// The key, as a JWK.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub jwk: serde_json::Map<String, serde_json::Value>,
    /// When it was registered (Unix seconds).
    pub created_at: u64,
    /// When it ends by itself (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

/// Answer of `GET /api/services/{service_id}/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredKeyList {
    /// The keys of the service, also those that are disabled or have ended, ordered by id. There are at most 16.
    pub keys: Vec<RegisteredKey>,
}
