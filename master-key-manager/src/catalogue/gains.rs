//! The rights that somebody gains by a change of a secret: its path, its tags or its audience.
//!
//! They are looked for before the registry is locked, beside the threads of requests: that takes as long as the policy is large,
//! and revocations wait for the lock. They are looked for once more only if the policy has changed meanwhile.

use std::sync::Arc;

use manager_policy::{Action, Facts, SecretFacts, may_gain};
use service_runtime::Refusal;
use service_runtime::tasks::blocking;

use crate::access::Caller;

/// The answer, with the facts that it was found in.
pub(super) struct Gains {
    facts: Arc<Facts>,
    before: SecretFacts,
    after: SecretFacts,
    is_gained: bool,
}

/// The rights that nobody gains by a change of somebody who may not share the secret.
const GAINS: [Action; 5] = [Action::Read, Action::Delete, Action::Destroy, Action::Share, Action::Approve];

impl Gains {
    /// Looks for them in the facts of a caller.
    ///
    /// # Errors
    /// The work broke down.
    pub(super) async fn of(caller: &Caller, before: SecretFacts, after: SecretFacts) -> Result<Self, Refusal> {
        let (facts, now) = (Arc::clone(caller.facts()), caller.now());
        let work = move || {
            let is_gained = is_gained(&facts, (&before, &after), now);
            Self { facts, before, after, is_gained }
        };
        blocking(work).await.map_err(|_| Refusal::internal("a task broke down"))
    }

    /// Tells whether somebody gains one, for the same caller at a later time.
    pub(super) fn are_given(&self, caller: &Caller) -> bool {
        // Later there are no seconds to look at that were not looked at before.
        if caller.facts().share(&self.facts) {
            return self.is_gained;
        }
        is_gained(caller.facts(), (&self.before, &self.after), caller.now())
    }
}

fn is_gained(facts: &Facts, (before, after): (&SecretFacts, &SecretFacts), now: u64) -> bool {
    GAINS.iter().any(|action| may_gain(facts, before, after, *action, now))
}
