//! The rights of callers: roles, permissions, the facts of the policy, and permits, which only a decision makes.
//!
//! Guarantees that the decision depends on its arguments only, that a line that denies wins, and that what no line of
//! the policy allows is denied. An empty policy allows nobody. The crate has no I/O and no clock: the facts are loaded
//! elsewhere, the time is an argument, and the transaction that acts compares what a permit was decided from.
//!
//! `docs/policy.md` is the guide for users; its examples are tests of this crate.

mod action;
mod actor;
mod decide;
mod dry_run;
mod environments;
mod explain;
mod facts;
mod hand_out;
mod line;
mod move_secret;
mod pattern;
mod permit;
mod reach;
mod region;
mod scope;
mod take_away;
mod visible;

pub use manager_api::policy::{Action, Actions, Effect, MAX_PATTERN_BYTES, Role};

pub use self::action::{
    ActionType, Approve, Delete, Destroy, List, ManageEnvironments, ManageIdentities, ManageKeys, ManagePolicy,
    Operate, Read, ReadAudit, Rotate, Share, Write,
};
pub use self::actor::{Actor, Holder, Limit};
pub use self::decide::{Ruling, Why, decide};
pub use self::dry_run::{Difference, MAX_DRY_RUN, TooMuch, dry_run};
pub use self::environments::KnownEnvironments;
pub use self::explain::{Access, Considered, Explanation, MAX_NEAR_MISSES, explain, who_can};
pub use self::facts::{Facts, Group, PolicyEpoch, Principal, State};
pub use self::hand_out::{Excess, may_act_for, may_hand_out};
pub use self::line::{Assignment, Line, LineId, Note, Party, Permission};
pub use self::move_secret::may_gain;
pub use self::pattern::{MAX_PATTERN_SEGMENTS, PathPattern};
pub use self::permit::{AnyAction, Basis, Denied, Permit};
pub use self::reach::{Period, Reach};
pub use self::region::{Miss, SecretFacts, Target};
pub use self::scope::Scope;
pub use self::take_away::may_lose;
pub use self::visible::{Part, Visible};
