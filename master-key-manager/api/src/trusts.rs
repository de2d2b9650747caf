//! Trusts: external issuers whose tokens stand for a service.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::{present, read_from_objects_only};
use shared_proto::id::{CredentialId, ServiceId};

use crate::name::DisplayName;

/// The conditions under which tokens of an issuer stand for a service, as they are defined and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct TrustDefinition {
    /// The kind of issuer, which decides what is too broad.
    pub kind: IssuerKind,
    /// The issuer: `iss` of its tokens. With SPIFFE the trust domain, `spiffe://example.org`.
    pub issuer: String,
    /// The audience: the only `aud` of its tokens.
    pub audience: String,
    /// The source of its keys.
    pub keys: KeySource,
    /// The claims that a token must have, all of them.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 16))]
    pub claims: Vec<RequiredClaim>,
}

/// The kinds of issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IssuerKind {
    /// GitHub Actions.
    GithubActions,
    /// GitLab CI.
    Gitlab,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// JWT-SVIDs of a SPIFFE trust domain.
    Spiffe,
    /// Any other issuer.
    Generic,
}

/// The source of an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// The address of a key set. The manager fetches it.
    Url(String),
    /// A key set (JSON text) that the administrator pins.
    Pinned(String),
}

/// A claim that a token must have: either `exact` or `prefix`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct RequiredClaim {
    /// The claim's name, or a JSON pointer (RFC 6901) to a nested one, such as `/kubernetes.io/namespace`.
    pub claim: String,
    /// The whole value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub exact: Option<String>,
    /// The beginning of the value. It ends with `/` or `:`, so that `prod/app` does not admit `prod/app-admin`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub prefix: Option<String>,
}

/// Body of `POST /api/trusts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTrust {
    /// A name for people.
    pub name: DisplayName,
    /// The service that a token stands for. It never changes.
    pub service_id: ServiceId,
    /// The tokens that count.
    pub trust: TrustDefinition,
}

/// Body of `PATCH /api/trusts/{trust_id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeTrust {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub name: Option<DisplayName>,
    /// The tokens that count from now on, instead of the former ones. Access tokens that were made by the trust are
    /// revoked.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub trust: Option<TrustDefinition>,
}

/// A trust.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustDetails {
    /// Its id, which is the `client_id` of the access tokens that are made by it.
    pub trust_id: CredentialId,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// The service that a token stands for.
    pub service_id: ServiceId,
    /// The tokens that count.
    pub trust: TrustDefinition,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
}

/// Answer of `GET /api/trusts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustList {
    /// A page of trusts, ordered by id.
    pub trusts: Vec<TrustDetails>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Body of `POST /api/trusts/{trust_id}:dry-run`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DryRunTrust {
    /// A token of the issuer.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 16_384))]
    pub jwt: zeroize::Zeroizing<String>,
}

/// Answer to [`DryRunTrust`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustDryRunAnswer {
    /// True if the token would be admitted now.
    pub admitted: bool,
    /// The service that it would stand for.
    pub service_id: ServiceId,
    /// Each check, in order. Without a right signature nothing in the token is looked at.
    pub checks: Vec<TrustCheck>,
}

/// A check of a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustCheck {
    /// Its name: `trust`, `form`, `signature`, `issuer`, `audience`, `time`, `pull request`, or that of a claim.
    pub check: String,
    /// Why it fails. Absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl RequiredClaim {
    /// A claim with this value.
    pub fn exact(claim: &str, value: &str) -> Self {
        Self { claim: claim.to_owned(), exact: Some(value.to_owned()), prefix: None }
    }

    /// A claim with this beginning.
    pub fn prefix(claim: &str, prefix: &str) -> Self {
        Self { claim: claim.to_owned(), exact: None, prefix: Some(prefix.to_owned()) }
    }
}

// An array in the place of an object would be read by position.
read_from_objects_only!(TrustDefinition, RequiredClaim);
