//! Groups and lines as answers show them.

use manager_api::groups::GroupDetails;
use manager_api::lines::{AssignmentDetails, PermissionDetails, TermsDetails};
use manager_api::name::EnvironmentName;
use manager_registry::{Group, Permission, RoleAssignment, Terms};
use shared_proto::id::EnvironmentId;

use super::PolicyKeeper;

impl PolicyKeeper {
    /// A role assignment; its reason and author only if they are the caller's to see.
    pub(super) fn assignment_details(&self, line: &RoleAssignment, with_origin: bool) -> AssignmentDetails {
        AssignmentDetails {
            assignment_id: line.assignment_id,
            party: line.party,
            role: line.role,
            environment: self.name_of(line.environment),
            environment_id: line.environment,
            pattern: line.pattern.clone(),
            terms: terms(&line.terms, with_origin),
        }
    }

    /// A permission; its reason and author only if they are the caller's to see.
    pub(super) fn permission_details(&self, line: &Permission, with_origin: bool) -> PermissionDetails {
        PermissionDetails {
            permission_id: line.permission_id,
            party: line.party,
            effect: line.effect,
            actions: line.actions,
            environment: self.name_of(line.environment),
            environment_id: line.environment,
            pattern: line.pattern.clone(),
            tags: line.tags.clone(),
            terms: terms(&line.terms, with_origin),
        }
    }

    /// The name of the environment of a line. None is ever deleted, but a restored database may lack one.
    fn name_of(&self, environment: Option<EnvironmentId>) -> Option<EnvironmentName> {
        self.environments.with_id(environment?).map(|known| known.name)
    }
}

/// A group, without its members.
pub(super) fn group_details(group: &Group) -> GroupDetails {
    GroupDetails {
        group_id: group.group_id,
        member_count: group.members.len(),
        name: group.name.clone(),
        description: group.description.clone(),
        created_at: group.created_at,
    }
}

fn terms(terms: &Terms, with_origin: bool) -> TermsDetails {
    TermsDetails {
        starts_at: terms.starts_at,
        ends_at: terms.ends_at,
        reason: terms.reason.clone().filter(|_| with_origin),
        author: terms.author.filter(|_| with_origin),
        created_at: terms.created_at,
    }
}
