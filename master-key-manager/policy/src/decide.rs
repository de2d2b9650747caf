//! The facts of the policy, and the decision over them.

use shared_proto::id::{CredentialId, Subject};

use crate::{Action, Actions, Scope};

/// The number of a state of the policy. Each change raises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyEpoch(pub u64);

/// The callers that a line of the policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A principal.
    Principal(Subject),
    /// Everybody without a credential.
    Stranger,
}

/// A caller whose credential was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The caller.
    pub holder: Holder,
    /// The credential, which is checked again in the transaction that acts.
    pub credential: CredentialId,
}

/// A line of the policy: it allows a holder some actions in a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The callers that may.
    pub holder: Holder,
    /// The actions that they may do.
    pub actions: Actions,
    /// Where.
    pub scope: Scope,
}

/// All that decisions are made from, as it was at one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The epoch.
    pub epoch: PolicyEpoch,
    /// The lines of the policy.
    pub lines: Vec<Line>,
}

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling<'a> {
    /// Allowed by this line.
    Allowed(&'a Line),
    /// No line allows it.
    Denied,
}

/// Decides whether an actor may do something in the whole of a scope.
pub fn decide<'a>(facts: &'a Facts, actor: &Actor, action: Action, target: &Scope) -> Ruling<'a> {
    let allows =
        |line: &&Line| line.holder == actor.holder && line.actions.contains(action) && line.scope.contains(target);
    facts.lines.iter().find(allows).map_or(Ruling::Denied, Ruling::Allowed)
}
