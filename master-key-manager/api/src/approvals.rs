//! Requests and answers about acts that await the approval of somebody else.

use serde::{Deserialize, Serialize};
use shared_proto::id::{SecretId, Subject, Version};

use crate::id::ApprovalId;
use crate::name::{EnvironmentName, Reason, SecretPath};

/// The shortest time for which reading is approved, in seconds.
pub const MIN_READ_SECONDS: u64 = 60;
/// The longest time for which reading is approved, in seconds.
pub const MAX_READ_SECONDS: u64 = 86_400;

/// Body of `POST /api/approvals`: asks for tokens for a secret that requires approval.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AskApproval {
    /// The secret.
    pub key_id: SecretId,
    /// The time for which it is to be read, from the approval on: 60 to 86,400 seconds.
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 86400))]
    pub seconds: u64,
    /// The reason, which whoever decides is shown.
    pub reason: Reason,
}

/// The state of an act that awaits approval, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalState {
    /// Nobody has decided.
    Open,
    /// It is approved, and in force for its time.
    Approved,
    /// It is approved, and done.
    Used,
    /// Somebody who may approve it has refused it.
    Rejected,
    /// The one who asked has taken it back.
    Cancelled,
    /// It was approved, and somebody has ended that.
    Withdrawn,
    /// It ended by itself, or the secret is no longer what it was asked for.
    Ended,
}

/// The act that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalAct {
    /// A deleted secret is destroyed.
    Destroy,
    /// A version of a secret is destroyed.
    DestroyVersion,
    /// A secret that requires approval is read for some time.
    Read,
}

/// An act that awaits approval, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalDetails {
    /// Its id.
    pub approval_id: ApprovalId,
    /// The act.
    pub act: ApprovalAct,
    /// The secret.
    pub key_id: SecretId,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its path: the present one for those who may approve there, and for the one who asked the one of then. Absent for one who
    /// has decided and may approve there no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<SecretPath>,
    /// The version that is to be destroyed. Absent for another act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The time for which it is to be read (seconds). Absent for another act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The principal who asked.
    pub asked_by: Subject,
    /// The reason for it.
    pub reason: Reason,
    /// When it was asked for (Unix seconds).
    pub asked_at: u64,
    /// The end of the time in which it can be decided (Unix seconds).
    pub expires_at: u64,
    /// Its state.
    pub state: ApprovalState,
    /// The principal who decided. Absent while nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Subject>,
    /// When it was decided (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<u64>,
    /// The end of what was approved (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force_until: Option<u64>,
}

/// Answer of `GET /api/approvals`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalList {
    /// The caller's own, and those that he may decide or has decided, ordered by id.
    pub approvals: Vec<ApprovalDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
