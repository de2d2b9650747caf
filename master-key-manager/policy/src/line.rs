//! Lines of the policy: permissions and role assignments.

use std::fmt;

use manager_api::id::{AssignmentId, GroupId, PermissionId};
use manager_api::name::Reason;
use manager_api::tags::Tags;
use shared_proto::Malformed;
use shared_proto::id::Subject;

use crate::region::Region;
use crate::{Actions, Effect, Period, Reach, Role};

/// The id of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LineId {
    /// The id of a permission.
    Permission(PermissionId),
    /// The id of a role assignment.
    Assignment(AssignmentId),
}

/// The callers that a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// One principal.
    Principal(Subject),
    /// The members of a group.
    Group(GroupId),
    /// Everybody without a credential.
    Strangers,
}

/// The origin of a line. It has no part in decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The principal that made the line; `None` for what the installation has by itself.
    pub author: Option<Subject>,
    /// The reason for it.
    pub reason: Option<Reason>,
}

/// A line that allows or denies actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Its id.
    pub id: PermissionId,
    /// The callers.
    pub party: Party,
    /// The effect.
    pub effect: Effect,
    /// The actions.
    pub actions: Actions,
    /// The secrets that it holds for.
    pub reach: Reach,
    /// The tags that a secret must have; none for all secrets.
    pub condition: Tags,
    /// The time in which it holds.
    pub period: Period,
    /// Its origin.
    pub note: Note,
}

/// A line that gives a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    id: AssignmentId,
    party: Party,
    role: Role,
    reach: Reach,
    period: Period,
    note: Note,
}

impl Assignment {
    /// An assignment of a role.
    ///
    /// # Errors
    /// The role is only given for the whole installation, and the reach is a part of it.
    pub fn new(
        id: AssignmentId,
        (party, role): (Party, Role),
        reach: Reach,
        period: Period,
        note: Note,
    ) -> Result<Self, Malformed> {
        if role.is_for_everything() && !reach.is_everything() {
            return Err(Malformed("super_admin and operator are given for all environments and paths"));
        }
        Ok(Self { id, party, role, reach, period, note })
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }
}

/// A line of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A permission.
    Permission(Permission),
    /// A role assignment.
    Assignment(Assignment),
}

impl Line {
    /// Its id.
    pub fn id(&self) -> LineId {
        match self {
            Self::Permission(line) => LineId::Permission(line.id),
            Self::Assignment(line) => LineId::Assignment(line.id),
        }
    }

    /// The callers that it is about.
    pub fn party(&self) -> Party {
        match self {
            Self::Permission(line) => line.party,
            Self::Assignment(line) => line.party,
        }
    }

    /// The effect on its actions.
    pub fn effect(&self) -> Effect {
        match self {
            Self::Permission(line) => line.effect,
            Self::Assignment(_) => Effect::Allow,
        }
    }

    /// The actions that it allows or denies.
    pub fn actions(&self) -> Actions {
        match self {
            Self::Permission(line) => line.actions,
            Self::Assignment(line) => line.role.actions(),
        }
    }

    /// The secrets that it holds for.
    pub fn reach(&self) -> &Reach {
        match self {
            Self::Permission(line) => &line.reach,
            Self::Assignment(line) => &line.reach,
        }
    }

    /// The tags that a secret must have; `None` if it holds for all secrets of its reach.
    pub fn condition(&self) -> Option<&Tags> {
        match self {
            Self::Permission(line) => Some(&line.condition).filter(|tags| !tags.is_empty()),
            Self::Assignment(_) => None,
        }
    }

    /// The time in which it holds.
    pub fn period(&self) -> Period {
        match self {
            Self::Permission(line) => line.period,
            Self::Assignment(line) => line.period,
        }
    }

    /// Its origin.
    pub fn note(&self) -> &Note {
        match self {
            Self::Permission(line) => &line.note,
            Self::Assignment(line) => &line.note,
        }
    }

    pub(crate) fn allows(&self) -> bool {
        self.effect() == Effect::Allow
    }

    /// The secrets that it holds for.
    pub(crate) fn region(&self) -> Region<'_> {
        let Reach { environment, pattern } = self.reach();
        Region::part(*environment, pattern.shape(), self.condition())
    }
}

impl fmt::Display for LineId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission(id) => id.fmt(formatter),
            Self::Assignment(id) => id.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_for_the_whole_installation_is_given_for_nothing_less() {
        let part = Reach { environment: None, pattern: "prod/**".parse().unwrap() };
        let assigned = |role, reach: &Reach| {
            let note = Note { author: None, reason: None };
            let to = (Party::Strangers, role);
            Assignment::new(AssignmentId::from_bytes([0; 16]), to, reach.clone(), Period::ALWAYS, note).is_ok()
        };
        let partly: Vec<_> =
            Role::ALL.iter().filter(|role| assigned(**role, &part)).map(|role| role.as_str()).collect();
        assert_eq!(partly, ["service_admin", "service_user", "publisher", "auditor"]);
        assert!(Role::ALL.iter().all(|role| assigned(*role, &Reach::everything())));
    }
}
