//! The JSON bodies of requests and answers about former versions of the policy.

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::id::{CredentialId, MAX_VERSION, Subject};

use crate::groups::GroupDetails;
use crate::name::Reason;
use crate::policy_questions::LineDetails;
use crate::wire::RevocationStatus;

/// The most changes of a version that a list shows.
pub const MAX_SHOWN_CHANGES: usize = 50;
/// The most principals in one answer for each thing that it names.
pub const MAX_SHOWN_PRINCIPALS: usize = 100;

/// The number of a version of the policy, in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionNumber(u64);

impl VersionNumber {
    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl std::str::FromStr for VersionNumber {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let number: u64 = text.parse().map_err(|_| NOT_A_NUMBER)?;
        if (1..=MAX_VERSION).contains(&number) && number.to_string() == text {
            Ok(Self(number))
        } else {
            Err(NOT_A_NUMBER)
        }
    }
}

const NOT_A_NUMBER: Malformed = Malformed("a version of the policy is a number");

shared_proto::schema::described!(VersionNumber, shared_proto::schema::text("^[1-9][0-9]{0,15}$"));

/// The one who made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum VersionAuthor {
    /// A caller.
    Caller {
        /// The principal.
        principal: Subject,
        /// The credential.
        client_id: CredentialId,
    },
    /// An operator on the manager's host.
    Operator,
    /// The service itself.
    Service,
}

/// A change of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum VersionChange {
    /// A line was made.
    LineMade {
        /// The line.
        line: LineDetails,
    },
    /// A line was deleted.
    LineDeleted {
        /// The line.
        line: LineDetails,
    },
    /// A group was made, changed or deleted.
    Group(GroupChange),
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupChange {
    /// The group before it. Absent if it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<GroupDetails>,
    /// The group after it. Absent if it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<GroupDetails>,
    /// Principals that joined; 100 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Subject>,
    /// Principals that left; 100 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Subject>,
}

/// A version of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyVersion {
    /// Its number. Numbers grow, and are not without gaps.
    pub number: u64,
    /// When it was made (Unix seconds).
    pub made_at: u64,
    /// Its author.
    pub author: VersionAuthor,
    /// Why. Absent if no reason was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Its changes; 50 at most.
    pub changes: Vec<VersionChange>,
    /// The number of all its changes.
    pub change_count: usize,
}

/// Answer of `GET /api/policy/versions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyVersionList {
    /// The versions, newest first.
    pub versions: Vec<PolicyVersion>,
    /// `after` of the next page, with older ones; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A group as it was, with its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FormerGroup {
    /// The group.
    #[serde(flatten)]
    pub group: GroupDetails,
    /// Its members; 100 at most.
    pub members: Vec<Subject>,
}

/// Answer of `GET /api/policy/versions/{number}`: a page of the groups, and then of the lines, as they were.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FormerPolicy {
    /// The version's number.
    pub number: u64,
    /// Groups, by id.
    pub groups: Vec<FormerGroup>,
    /// Role assignments, and then permissions, by id.
    pub lines: Vec<LineDetails>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Body of `POST /api/policy/versions/{number}:restore`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreVersion {
    /// The reason for it.
    pub reason: Reason,
}

/// Answer to [`RestoreVersion`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreAnswer {
    /// `revoked` when the vault has signed all revocations that followed, also if there were none.
    pub status: RevocationStatus,
    /// The numbers of the revocations; empty if nothing was taken away, or while the manager may not number events.
    pub sequences: Vec<u64>,
    /// The number of records that were changed.
    pub changes: usize,
    /// Principals that no longer exist, and are in no group and no line therefore; 100 at most.
    pub left_out: Vec<Subject>,
}
