//! The actions that policy knows, each with a type, so that a permit for one is not taken for another.

/// The type of an action, by which permits are told apart.
pub trait ActionType: sealed::Sealed {
    /// The action.
    const ACTION: Action;
}

/// A set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions(u16);

impl Actions {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self((1 << Action::ALL.len()) - 1);

    /// Tells whether an action is in the set.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// The actions of both sets together.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The actions that are not in the other set.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Tells whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions, in the order of [`Action::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |set, action| set | action.bit()))
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])+ $name:ident $text:literal;)+) => {
        /// Something that a caller may do. No action implies another.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Action {
            $($(#[$doc])+ $name,)+
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word of the policy for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The action with this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|action| action.as_str() == word)
            }

            const fn bit(self) -> u16 {
                1 << (self as u8)
            }
        }

        $(
            $(#[$doc])+
            #[derive(Debug)]
            pub enum $name {}

            impl sealed::Sealed for $name {}

            impl ActionType for $name {
                const ACTION: Action = Action::$name;
            }
        )+
    };
}

actions! {
    /// Sees that a secret exists: its path, versions and states, never a value.
    List "list";
    /// Gets tokens that open versions of a secret.
    Read "read";
    /// Stores versions of a secret.
    Write "write";
    /// Rotates a secret.
    Rotate "rotate";
    /// Deletes a secret for a time in which it can be recovered.
    Delete "delete";
    /// Erases versions for ever.
    Destroy "destroy";
    /// Gives others access to a secret, and takes it away by revoking tokens.
    Share "share";
    /// Makes and disables principals and their credentials.
    ManageIdentities "manage-identities";
    /// Changes roles and permissions.
    ManagePolicy "manage-policy";
    /// Makes, freezes and disables environments.
    ManageEnvironments "manage-environments";
    /// Rotates and revokes the keys of the service.
    ManageKeys "manage-keys";
    /// Reads what happened: audit lines, the tokens that were made, revocations.
    ReadAudit "read-audit";
    /// Approves what somebody else has asked for.
    Approve "approve";
    /// Runs the service: compares it with the vault, repairs it after a restore.
    Operate "operate";
}

mod sealed {
    pub trait Sealed {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_has_the_actions_that_were_put_in_and_no_other() {
        for one in Action::ALL {
            let set: Actions = [*one].into_iter().collect();
            let found: Vec<_> = Action::ALL.iter().filter(|action| set.contains(**action)).collect();
            assert_eq!(found, [one]);
            assert!(Actions::ALL.contains(*one));
            assert_eq!(Actions::ALL.without(set).with(set), Actions::ALL);
            assert!(!Actions::ALL.without(set).contains(*one) && set.without(set).is_empty());
            assert_eq!(Action::parse(one.as_str()), Some(*one));
        }
        let none: Actions = [].into_iter().collect();
        assert_eq!((none, none.iter().next()), (Actions::NONE, None));
        assert_eq!(Action::ALL.iter().copied().collect::<Actions>(), Actions::ALL);
    }

    #[test]
    fn words_of_actions_are_those_of_the_policy() {
        let words: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let secrets = ["list", "read", "write", "rotate", "delete", "destroy", "share"];
        assert_eq!(words.get(..7), Some(&secrets[..]));
        let system = ["manage-identities", "manage-policy", "manage-environments", "manage-keys"];
        assert_eq!(words.get(7..11), Some(&system[..]));
        assert_eq!(words.get(11..), Some(&["read-audit", "approve", "operate"][..]));
    }
}
