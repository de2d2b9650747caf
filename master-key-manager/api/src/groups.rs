//! The JSON bodies of requests and answers about groups.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::Subject;

use crate::id::GroupId;
use crate::name::{AccountName, Description, Reason};

/// The most groups of an installation.
pub const MAX_GROUPS: usize = 10_000;
/// The most members of a group.
pub const MAX_MEMBERS: usize = 10_000;
/// The most principals that join a group at once.
pub const MAX_JOINING: usize = 500;

/// Body of `POST /api/groups`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateGroup {
    /// Its name, which no other group has.
    pub name: AccountName,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub description: Option<Description>,
    /// The reason for it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub reason: Option<Reason>,
}

/// Body of `PATCH /api/groups/{group_id}`. What is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeGroup {
    /// Its name, which no other group has.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub name: Option<AccountName>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub description: Option<Description>,
    /// The reason for the change.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub reason: Option<Reason>,
}

/// Body of `POST /api/groups/{group_id}/members`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddMembers {
    /// 1 to 500 principals. One that is a member already stays one.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 500))]
    pub principals: Vec<Subject>,
    /// The reason for the change.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub reason: Option<Reason>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupDetails {
    /// Its id.
    pub group_id: GroupId,
    /// Its name.
    pub name: AccountName,
    /// Its description. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The number of its members.
    pub member_count: usize,
    /// When it was made (Unix seconds).
    pub created_at: u64,
}

/// Answer of `GET /api/groups`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupList {
    /// The groups, ordered by id.
    pub groups: Vec<GroupDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of `GET /api/groups/{group_id}/members`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberList {
    /// The members: people first, each kind in the order of its ids.
    pub members: Vec<Subject>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
