//! The JSON bodies of requests and answers about role assignments and permissions.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::{EnvironmentId, Subject};

use crate::id::{AssignmentId, PermissionId};
use crate::name::{EnvironmentName, Reason};
use crate::policy::{Action, Actions, Effect, PartyId, PatternText, Role};
use crate::tags::Tags;
use crate::wire::RevocationStatus;

/// The most role assignments and permissions of an installation.
pub const MAX_LINES: usize = 100_000;
/// The most bytes of the tags of a condition, keys and values together. All lines are kept in memory.
pub const MAX_CONDITION_BYTES: usize = 2_048;
/// The latest start or end of a line: the end of the year 9999.
pub const MAX_SECOND: u64 = 253_402_300_799;

/// Body of `POST /api/roles`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AssignRole {
    /// The role.
    pub role: Role,
    /// The principal or group that gets it.
    pub party: PartyId,
    /// The environment; all of them if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment: Option<EnvironmentName>,
    /// The paths.
    pub pattern: PatternText,
    /// When it begins to hold (Unix seconds); at once by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(maximum = 253_402_300_799_u64))]
    pub starts_at: Option<u64>,
    /// When it ends (Unix seconds); never by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(maximum = 253_402_300_799_u64))]
    pub ends_at: Option<u64>,
    /// The reason for it.
    pub reason: Reason,
}

/// Body of `POST /api/permissions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreatePermission {
    /// The principal or group that it is about.
    pub party: PartyId,
    /// Its effect: it allows or denies.
    pub effect: Effect,
    /// The actions, one or more.
    pub actions: Actions,
    /// The environment; all of them if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment: Option<EnvironmentName>,
    /// The paths.
    pub pattern: PatternText,
    /// The tags that a secret must have, in 2,048 bytes; none by default, for all secrets.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// When it begins to hold (Unix seconds); at once by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(maximum = 253_402_300_799_u64))]
    pub starts_at: Option<u64>,
    /// When it ends (Unix seconds); never by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(maximum = 253_402_300_799_u64))]
    pub ends_at: Option<u64>,
    /// The reason for it.
    pub reason: Reason,
}

/// A role assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssignmentDetails {
    /// Its id.
    pub assignment_id: AssignmentId,
    /// The principal or group that has the role.
    pub party: PartyId,
    /// The role.
    pub role: Role,
    /// The environment. Absent for all, or if the database lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Its id. Absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// The paths.
    pub pattern: PatternText,
    /// Its time and origin.
    #[serde(flatten)]
    pub terms: TermsDetails,
}

/// A permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PermissionDetails {
    /// Its id.
    pub permission_id: PermissionId,
    /// The principal or group that it is about.
    pub party: PartyId,
    /// Its effect: it allows or denies.
    pub effect: Effect,
    /// The actions.
    pub actions: Actions,
    /// The environment. Absent for all, or if the database lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Its id. Absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// The paths.
    pub pattern: PatternText,
    /// The tags that a secret must have. Absent for all secrets.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Its time and origin.
    #[serde(flatten)]
    pub terms: TermsDetails,
}

/// The time and origin of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TermsDetails {
    /// When it begins to hold (Unix seconds). Absent if it always did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<u64>,
    /// When it ends (Unix seconds). Absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
    /// The reason for it. Absent if it has none, or is not the caller's to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The principal that made it. Absent for what the installation has by itself, or if it is not the caller's to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Subject>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
}

/// A role with its actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleDetails {
    /// The role.
    pub role: Role,
    /// The actions that it allows.
    pub actions: Vec<Action>,
    /// Set for a role that is only given for all environments and paths.
    pub for_everything: bool,
}

/// Answer of `GET /api/roles`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleList {
    /// All roles.
    pub roles: Vec<RoleDetails>,
    /// A page of role assignments, ordered by id.
    pub assignments: Vec<AssignmentDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of `GET /api/permissions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PermissionList {
    /// A page of permissions, ordered by id.
    pub permissions: Vec<PermissionDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of a change of principals or policy, which revokes what it takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeAnswer {
    /// `revoked` when the vault has signed all revocations that followed, also if there were none.
    pub status: RevocationStatus,
    /// The numbers of the revocations; empty if nothing was taken away, or while the manager may not number events.
    pub sequences: Vec<u64>,
}
