//! Requests and answers about deleting, taking back and destroying secrets.

use serde::{Deserialize, Serialize};
use shared_proto::id::SecretId;

use crate::id::ApprovalId;
use crate::name::Reason;
use crate::wire::RevocationStatus;

/// Body of `POST /api/secrets/{key_id}:destroy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DestroySecret {
    /// The reason. Where somebody else approves the act, he is shown it.
    pub reason: Reason,
}

/// Answer of `DELETE /api/secrets/{key_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedSecret {
    /// The secret.
    pub key_id: SecretId,
    /// When it was deleted (Unix seconds).
    pub deleted_at: u64,
    /// The time until which it can be taken back (Unix seconds).
    pub recoverable_until: u64,
    /// `revoked` when the vault has signed that its tokens are.
    pub status: RevocationStatus,
    /// The numbers of the revocations; empty while the manager may not number events.
    pub sequences: Vec<u64>,
}

/// Progress of the destruction of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ErasureStatus {
    /// The vault has signed that every envelope is erased.
    Destroyed,
    /// It is decided, and goes on by itself.
    Pending,
    /// Nothing is destroyed before somebody else has approved it.
    AwaitsApproval,
}

/// Answer of `POST /api/secrets/{key_id}:destroy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DestroyedSecret {
    /// The secret.
    pub key_id: SecretId,
    /// Its progress.
    pub status: ErasureStatus,
    /// The approval that it awaits. Absent where it awaits none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
}
