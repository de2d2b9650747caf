//! Each action as a type, so that a permit for one is not taken for another.

use manager_api::policy::Action;

/// The type of an action, by which permits are told apart.
pub trait ActionType: sealed::Sealed {
    /// The action.
    const ACTION: Action;
}

macro_rules! action_types {
    ($($(#[$doc:meta])+ $name:ident;)+) => {
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

action_types! {
    /// Sees that a secret exists: its path, versions and states, never a value.
    List;
    /// Gets tokens that open versions of a secret.
    Read;
    /// Stores versions of a secret.
    Write;
    /// Rotates a secret.
    Rotate;
    /// Deletes a secret for a time in which it can be recovered.
    Delete;
    /// Erases versions for ever.
    Destroy;
    /// Gives others access to a secret, and takes it away by revoking tokens.
    Share;
    /// Makes and disables principals and their credentials.
    ManageIdentities;
    /// Changes roles and permissions.
    ManagePolicy;
    /// Makes, freezes and disables environments.
    ManageEnvironments;
    /// Rotates and revokes the keys of the service.
    ManageKeys;
    /// Reads what happened: audit lines, the tokens that were made, revocations.
    ReadAudit;
    /// Approves what somebody else has asked for.
    Approve;
    /// Runs the service: compares it with the vault, repairs it after a restore.
    Operate;
}

mod sealed {
    pub trait Sealed {}
}
