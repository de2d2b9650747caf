//! The JSON bodies of questions about the policy, and of their answers.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::{SecretId, Subject};

use crate::id::{AssignmentId, GroupId, PermissionId};
use crate::lines::{AssignRole, AssignmentDetails, CreatePermission, PermissionDetails};
use crate::name::{EnvironmentName, SecretPath};
use crate::policy::{Action, Actions};

/// The most changes of a dry run.
pub const MAX_PROPOSED: usize = 100;
/// The most secrets that a dry run names.
pub const MAX_NAMED_SECRETS: usize = 500;
/// The most secrets below the folder of a dry run.
pub const MAX_SECRETS_BELOW: usize = 10_000;
/// The most differences in the answer of a dry run.
pub const MAX_DIFFERENCES: usize = 1_000;
/// The most lines of each kind in an explanation, and of one holder.
pub const MAX_SHOWN_LINES: usize = 100;

/// The target of a question: a secret by `key_id`, or by `environment` and `path`, also before it exists; everything
/// below a folder by `environment` and `under`; a whole `environment`; or, without any of them, the whole installation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyTarget {
    /// A secret.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub key_id: Option<SecretId>,
    /// An environment.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment: Option<EnvironmentName>,
    /// The path of a secret in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub path: Option<SecretPath>,
    /// A folder of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub under: Option<SecretPath>,
}

/// Body of `POST /api/permissions:explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The principal; the caller by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub principal: Option<Subject>,
    /// The action.
    pub action: Action,
    /// The target of the action.
    pub target: PolicyTarget,
}

/// Why the answer is yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// A line allows it.
    Allowed,
    /// The principal is not known.
    UnknownPrincipal,
    /// The principal is disabled.
    DisabledPrincipal,
    /// A line denies it.
    Denied,
    /// No line allows it.
    NoLine,
    /// The secret is for services only, or may be, and the principal is a person.
    ServiceOnly,
    /// The caller's credential is narrower than the rights of its principal.
    Limits,
}

/// A line of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LineDetails {
    /// A role assignment.
    RoleAssignment(AssignmentDetails),
    /// A permission.
    Permission(PermissionDetails),
}

/// A line about the principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsideredLine {
    /// The line.
    pub line: LineDetails,
    /// The group through which it is about the principal. Absent if it names the principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
}

/// The one reason why a line does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MissedBy {
    /// It does not name the action.
    Action,
    /// It is about another environment.
    Environment,
    /// Its pattern does not match the path.
    Path,
    /// It allows the action in a part only.
    OnlyPart,
    /// The secret lacks a tag.
    Tags,
    /// It begins later.
    NotYet,
    /// It has ended.
    Ended,
}

/// A line that nearly holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NearMiss {
    /// The line.
    pub line: LineDetails,
    /// The group through which it is about the principal. Absent if it names the principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// The one reason why it does not hold.
    pub missed_by: MissedBy,
}

/// Answer to [`Explain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The decision.
    pub allowed: bool,
    /// Why.
    pub because: Because,
    /// The line that decided. Absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<LineDetails>,
    /// The lines that hold, by id; 100 at most.
    pub holding: Vec<ConsideredLine>,
    /// The lines that would hold but for one reason, by id, as far as they are the caller's to see; 100 at most.
    pub near_misses: Vec<NearMiss>,
    /// Set if there are more lines of either kind.
    pub more: bool,
}

/// Body of `POST /api/permissions:who-can`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WhoCan {
    /// The action; `read` by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub action: Option<Action>,
    /// The target of the action.
    pub target: PolicyTarget,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Subject>,
    /// Principals of the page, 1 to 500; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 500))]
    pub limit: Option<usize>,
}

/// A line, by its id, and the group through which it is about a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Through {
    /// The permission. Absent for a role assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_id: Option<PermissionId>,
    /// The role assignment. Absent for a permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment_id: Option<AssignmentId>,
    /// The group. Absent if the line names the principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
}

/// Somebody who may do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessDetails {
    /// The principal. Absent for all callers without a credential, in development mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Subject>,
    /// The lines that allow it, by id; 100 at most.
    pub through: Vec<Through>,
    /// Set if there are more lines.
    pub more: bool,
}

/// Answer to [`WhoCan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessList {
    /// Everybody of the page, people first, each kind in the order of its ids.
    pub principals: Vec<AccessDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Subject>,
}

/// A change of a dry run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProposedChange {
    /// A role is assigned.
    AssignRole(AssignRole),
    /// A permission is made.
    CreatePermission(CreatePermission),
    /// A role assignment is deleted.
    UnassignRole {
        /// The role assignment.
        assignment_id: AssignmentId,
    },
    /// A permission is deleted.
    DeletePermission {
        /// The permission.
        permission_id: PermissionId,
    },
    /// A principal joins a group.
    AddMember {
        /// The group.
        group_id: GroupId,
        /// The principal.
        principal: Subject,
    },
    /// A principal leaves a group.
    RemoveMember {
        /// The group.
        group_id: GroupId,
        /// The principal.
        principal: Subject,
    },
    /// A principal is disabled.
    DisablePrincipal {
        /// The principal.
        principal: Subject,
    },
}

/// Body of `POST /api/permissions:dry-run`. It names secrets, or a folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DryRun {
    /// 1 to 100 changes, which are made one after the other.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub changes: Vec<ProposedChange>,
    /// 1 to 500 secrets, by id, or by environment and path.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 500))]
    pub secrets: Option<Vec<PolicyTarget>>,
    /// An environment, or a folder of it: the secrets below it that the caller may list, 10,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub below: Option<PolicyTarget>,
}

/// The actions that somebody gains and loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DifferenceDetails {
    /// The principal. Absent for all callers without a credential, in development mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Subject>,
    /// The secret. Absent for a place without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<SecretId>,
    /// The environment and path, for a secret that the caller may list or has named so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<SecretPath>,
    /// The actions that he may do only after the change.
    pub gains: Actions,
    /// The actions that he may do only before it.
    pub loses: Actions,
}

/// Answer to [`DryRun`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DryRunAnswer {
    /// The gains and losses, by principal and secret; 1,000 at most.
    pub differences: Vec<DifferenceDetails>,
    /// The number of all of them.
    pub total: usize,
    /// The number of secrets that were looked at.
    pub secrets: usize,
}
