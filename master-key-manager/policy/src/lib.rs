//! The rights of callers: actions, scopes, the facts of policy, and permits, which only a decision makes.
//!
//! Guarantees that the decision depends on its arguments only, and that what no line of the policy allows is denied. An
//! empty policy allows nobody. The crate has no I/O and no clock: the facts are loaded elsewhere, and the transaction
//! that acts compares what a permit was decided from.

mod action;
mod decide;
mod permit;
mod scope;

pub use self::action::{
    Action, ActionType, Actions, Approve, Delete, Destroy, List, ManageEnvironments, ManageIdentities, ManageKeys,
    ManagePolicy, Operate, Read, ReadAudit, Rotate, Share, Write,
};
pub use self::decide::{Actor, Facts, Holder, Line, PolicyEpoch, Ruling, decide};
pub use self::permit::{AnyAction, Basis, Denied, Permit, Visible};
pub use self::scope::Scope;
