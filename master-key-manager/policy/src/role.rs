//! Roles: named sets of actions.

use crate::{Action, Actions};

/// A named set of actions, which a role assignment gives in a reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything, everywhere.
    SuperAdmin,
    /// Secrets of a team, and the services that use them. It destroys nothing.
    ServiceAdmin,
    /// Reads secrets.
    ServiceUser,
    /// Stores secrets and does not read them.
    Publisher,
    /// Runs the service and its keys. It has no action on a secret.
    Operator,
    /// Sees what exists and what happened, and no value.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Self] =
        &[Self::SuperAdmin, Self::ServiceAdmin, Self::ServiceUser, Self::Publisher, Self::Operator, Self::Auditor];

    /// The word of the policy for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SuperAdmin => "super_admin",
            Self::ServiceAdmin => "service_admin",
            Self::ServiceUser => "service_user",
            Self::Publisher => "publisher",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// The role with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == word)
    }

    /// The actions that it allows.
    pub fn actions(self) -> Actions {
        use Action::{
            Approve, Delete, List, ManageIdentities, ManageKeys, Operate, Read, ReadAudit, Rotate, Share, Write,
        };
        let set = |actions: &[Action]| actions.iter().copied().collect();
        match self {
            Self::SuperAdmin => Actions::ALL,
            Self::ServiceAdmin => {
                set(&[List, Read, Write, Rotate, Delete, Share, Approve, ReadAudit, ManageIdentities])
            }
            Self::ServiceUser => set(&[List, Read]),
            Self::Publisher => set(&[List, Write]),
            Self::Operator => set(&[Operate, ManageKeys]),
            Self::Auditor => set(&[List, ReadAudit]),
        }
    }

    /// Tells whether it is only given for the whole installation.
    pub const fn is_for_everything(self) -> bool {
        match self {
            Self::SuperAdmin | Self::Operator => true,
            Self::ServiceAdmin | Self::ServiceUser | Self::Publisher | Self::Auditor => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the product, typed once more.
    #[test]
    fn roles_have_the_actions_of_their_table() {
        let table = [
            ("service_admin", "list read write rotate delete share manage-identities read-audit approve"),
            ("service_user", "list read"),
            ("publisher", "list write"),
            ("operator", "manage-keys operate"),
            ("auditor", "list read-audit"),
        ];
        for (role, expected) in table {
            let words: Vec<_> = Role::parse(role).unwrap().actions().iter().map(Action::as_str).collect();
            assert_eq!(words.join(" "), expected, "{role}");
        }
        assert_eq!(Role::parse("super_admin").unwrap().actions(), Actions::ALL);
        assert_eq!(Role::ALL.len(), table.len() + 1);
    }
}
