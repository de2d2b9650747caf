//! Everybody who loses a right is found.

use manager_policy::{Action, Holder, may_lose};
use proptest::prelude::*;

use crate::changes::edit;
use crate::universe::{TIMES, actor, all_that_he_may, facts, holders, secret};

proptest! {
    #[test]
    fn whoever_is_not_named_keeps_his_rights_at_all_times(
        before in facts(), edit in edit(), secrets in prop::collection::vec(secret(), 1..6),
    ) {
        let after = edit.apply(&before);
        for action in [Action::Read, Action::List, Action::Write] {
            let losers = may_lose(&before, &after, action);
            for holder in holders() {
                let Holder::Principal(subject) = holder else { continue };
                for secret in secrets.iter().filter(|_| !losers.contains(&subject)) {
                    for now in 0..2 * TIMES {
                        let [old, new] = [&before, &after].map(|facts| all_that_he_may(facts, &actor(holder), secret, now));
                        prop_assert!(!old.without(new).contains(action), "{:?} of {:?} at {}", action, holder, now);
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_is_named_when_nothing_changes(facts in facts()) {
        prop_assert!(may_lose(&facts, &facts.clone(), Action::Read).is_empty());
    }
}
