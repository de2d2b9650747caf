//! Finding those from whom a change takes a right.

use std::collections::BTreeSet;

use shared_proto::id::Subject;

use crate::decide::is_standing;
use crate::dry_run::{changed_lines, changed_principals};
use crate::hand_out::is_about_all_of;
use crate::{Action, Effect, Facts, Holder, Line, Party};

/// The principals who may lose an action by a change of the policy, of groups or of principals: for some secret, at
/// some time. Everybody who does is among them.
///
/// A right is taken away by a line that allows, when it is removed or narrowed; by one that denies, when it is made or
/// widened; by leaving a group with the first, or joining one with the second; and by disabling or removing a principal.
/// That a line ends by itself is no change.
///
/// Takes as long as there are lines and principals.
pub fn may_lose(before: &Facts, after: &Facts, action: Action) -> BTreeSet<Subject> {
    let is = |line: &&Line, effect: Effect| line.effect() == effect && line.actions().contains(action);
    let says_as_much = |line: &Line, other: Option<&Line>| {
        other.is_some_and(|other| other.actions().contains(action) && is_about_all_of(other, line))
    };
    let mut losers = BTreeSet::new();
    for (old, new) in changed_lines(before, after) {
        if let Some(old) = old.filter(|line| is(line, Effect::Allow) && !says_as_much(line, new)) {
            losers.extend(of_party(before, old.party()));
        }
        if let Some(new) = new.filter(|line| is(line, Effect::Deny) && !says_as_much(line, old)) {
            losers.extend(of_party(after, new.party()));
        }
    }
    for subject in changed_principals(before, after) {
        let holder = Holder::Principal(subject);
        if !is_standing(before, holder) {
            continue;
        }
        let [old, new]: [Vec<Party>; 2] = [before, after].map(|facts| facts.parties(holder).collect());
        let left = old.iter().filter(|party| !new.contains(party)).flat_map(|party| before.lines_of(*party));
        let joined = new.iter().filter(|party| !old.contains(party)).flat_map(|party| after.lines_of(*party));
        let is_less = !is_standing(after, holder)
            || left.into_iter().any(|line| is(&line, Effect::Allow))
            || joined.into_iter().any(|line| is(&line, Effect::Deny));
        if is_less {
            losers.insert(subject);
        }
    }
    losers
}

fn of_party(facts: &Facts, party: Party) -> Vec<Subject> {
    match party {
        Party::Principal(subject) => vec![subject],
        Party::Group(group) => facts.members(group).collect(),
        Party::Strangers => Vec::new(),
    }
}
