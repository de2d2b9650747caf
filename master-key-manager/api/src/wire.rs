//! The JSON bodies of the manager's requests and answers.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::secret::ValueEncoding;
use zeroize::Zeroizing;

use crate::cursor::VersionCursor;
use crate::end::end;
use crate::id::ApprovalId;
use crate::name::{EnvironmentName, Note, SecretPath, UserLabel};

/// Body of `POST /api/keys`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreKey {
    /// A label for the submitter. Never an identity.
    pub user_id: UserLabel,
    /// The value, at most 1 MiB after decoding.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 1_398_104))]
    pub key_data: Zeroizing<String>,
    /// Name of the secret in the environment; `unnamed/…` by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub path: Option<SecretPath>,
    /// Required outside development mode, where `dev` is the default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment: Option<EnvironmentName>,
    /// Encoding of `key_data`; text by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub encoding: Option<ValueEncoding>,
    /// Whether an access token for the new version is wanted; true by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub token: Option<bool>,
}

/// An issued access token. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuedToken {
    /// The compact JWT.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub access_token: Zeroizing<String>,
    /// `Bearer`.
    pub token_type: String,
    /// Its id, for revocation.
    pub jti: TokenId,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
}

/// Answer to [`StoreKey`].
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredKeyAnswer {
    /// `Key stored successfully`.
    pub message: String,
    /// The secret.
    pub key_id: SecretId,
    /// The version just written.
    pub version: Version,
    /// Environment.
    pub environment: EnvironmentName,
    /// Name in the environment.
    pub path: SecretPath,
    /// Encoding of the value in answers.
    pub encoding: ValueEncoding,
    /// The token, unless `token` was false.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = IssuedTokenIfAny))]
    pub token: Option<IssuedToken>,
}

/// The members of [`IssuedToken`], all of them or none. It exists for its schema.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it exists for its schema")]
struct IssuedTokenIfAny {
    /// The compact JWT.
    #[schema(required = false)]
    access_token: String,
    /// `Bearer`.
    #[schema(required = false)]
    token_type: String,
    /// Its id, for revocation.
    #[schema(required = false)]
    jti: String,
    /// When it ends (Unix seconds).
    #[schema(required = false)]
    expires_at: u64,
}

/// A version that a token opens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenedVersion {
    /// The secret.
    pub key_id: SecretId,
    /// The version that the token was made for.
    pub version: Version,
    /// Number of the envelope that the version points to. The token and the vault name this one.
    pub envelope: Version,
}

/// A token that was made and has not expired. The token itself is not kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenSummary {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub sub: Subject,
    /// The label of the subject, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The credential that it was made with.
    pub client_id: CredentialId,
    /// Environment.
    pub environment: EnvironmentName,
    /// The versions that it opens.
    pub grants: Vec<OpenedVersion>,
    /// When it was made (Unix seconds).
    pub issued_at: u64,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
    /// Whether this token was revoked by its id.
    pub revoked: bool,
}

/// Answer of `GET /api/tokens`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// A page of tokens, ordered by id.
    pub tokens: Vec<TokenSummary>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The target of a revocation: body of `POST /api/revocations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Revoke {
    /// One token.
    Token {
        /// Its id.
        jti: TokenId,
    },
    /// All tokens of a subject.
    Subject {
        /// Its label.
        user_id: UserLabel,
    },
    /// All tokens made with a credential. The credential itself stays enabled.
    Credential {
        /// The credential.
        client_id: CredentialId,
    },
    /// A credential, permanently, and all tokens made with it.
    DisableCredential {
        /// The credential. The last enabled one of an administrator is refused.
        client_id: CredentialId,
    },
    /// Every grant of a secret.
    Secret {
        /// The secret.
        key_id: SecretId,
    },
    /// Every grant of a version, and of all versions that point to the same envelope.
    Version {
        /// The secret.
        key_id: SecretId,
        /// The version.
        version: Version,
    },
    /// All tokens signed by a key, permanently.
    SigningKey {
        /// The key.
        #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
        kid: Thumbprint,
    },
    /// All tokens.
    All {},
}

/// Progress of a revocation or destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RevocationStatus {
    /// The vault has signed that it is applied durably.
    Revoked,
    /// It is recorded and will reach the vault. Until then tokens may still be accepted.
    Pending,
}

/// Answer of a revocation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationAnswer {
    /// `revoked` only after the vault has signed it.
    pub status: RevocationStatus,
    /// The event's number, of several the first; `null` if no token had to be revoked, or while the manager may not number
    /// events.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub sequence: Option<u64>,
}

/// Body of `POST /api/keys/{key_id}/destroy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Destroy {
    /// 1 to 64 versions.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub versions: Vec<Version>,
}

/// Progress of a destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DestructionStatus {
    /// The vault has signed that the envelopes are erased.
    Destroyed,
    /// It is recorded and will reach the vault. Until then tokens may still open the envelopes.
    Pending,
    /// No envelope is erased, because other versions point to all of them.
    Kept,
    /// Nothing is destroyed before somebody else has approved it.
    AwaitsApproval,
}

/// Answer to [`Destroy`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DestroyAnswer {
    /// `destroyed` only after the vault has signed it.
    pub status: DestructionStatus,
    /// The numbers of the events, one for each envelope that is erased; empty while the manager may not number events.
    pub sequences: Vec<u64>,
    /// The versions whose envelope stays at the vault, because other versions point to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Version>,
    /// The approval that it awaits. Absent where it awaits none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
}

/// Body of `POST /api/secrets/{key_id}:rollback`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The committed version whose value is wanted again.
    pub version: Version,
    /// The current version, if the rollback shall be refused once there is another one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub if_version: Option<Version>,
    /// A note about the new version.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub note: Option<Note>,
    /// When the new version ends (Unix seconds). By default after the rotation period, and with the version that it points to at
    /// the latest. A certificate and a JSON web token end by themselves in any case.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "end")]
    pub expires_at: Option<u64>,
}

/// Answer to [`Rollback`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackAnswer {
    /// The secret.
    pub key_id: SecretId,
    /// The version just made.
    pub version: Version,
    /// Number of the envelope that it points to.
    pub envelope: Version,
    /// Environment.
    pub environment: EnvironmentName,
    /// Name in the environment.
    pub path: SecretPath,
    /// When the version ends (Unix seconds). Absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// One numbered event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventSummary {
    /// Its number.
    pub sequence: u64,
    /// Its kind.
    pub kind: String,
    /// When it was numbered (Unix seconds).
    pub issued_at: u64,
}

/// Answer of `GET /api/revocations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationList {
    /// Number of the newest event.
    pub newest: u64,
    /// Number of the newest event that the vault has signed as applied.
    pub applied: u64,
    /// The number of revocations that wait for a sequence number.
    pub unnumbered: u64,
    /// A page of events.
    pub events: Vec<EventSummary>,
}

/// State of a version in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum CatalogueState {
    /// The vault's receipt has not come yet.
    Pending,
    /// The vault has stored it.
    Committed,
    /// It never reached the vault and never will.
    Abandoned,
    /// It was destroyed.
    Destroyed,
}

/// A version of a secret, without its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionSummary {
    /// Its number.
    pub version: Version,
    /// Number of the envelope that it points to. It is an older one after a rollback.
    pub envelope: Version,
    /// Its state.
    pub state: CatalogueState,
    /// When it was made (Unix seconds).
    pub created_at: u64,
}

/// Body of `POST /api/reconcile`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// Whether found versions enter the catalogue (as `unnamed/…` when the secret is unknown).
    pub adopt: bool,
    /// `next` of the previous answer; the comparison starts at the beginning without it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<VersionCursor>,
}

/// A version that the vault has and the catalogue lacks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundVersion {
    /// Environment.
    pub environment_id: EnvironmentId,
    /// Secret.
    pub key_id: SecretId,
    /// Version.
    pub version: Version,
}

/// Answer to [`Reconcile`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReconcileAnswer {
    /// Versions that the vault has and the catalogue lacks.
    pub found: Vec<FoundVersion>,
    /// How many of them were added to the catalogue.
    pub adopted: u64,
    /// `after` of the next request; absent when the vault's whole inventory was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<VersionCursor>,
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    // What holds a value or a token cannot be printed or copied as a whole.
    assert_not_impl_any!(StoreKey: Debug, Display, Clone);
    assert_not_impl_any!(IssuedToken: Debug, Display, Clone);
    assert_not_impl_any!(StoredKeyAnswer: Debug, Display, Clone);
}
