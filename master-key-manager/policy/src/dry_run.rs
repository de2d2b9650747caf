//! The consequences of a change: who gains and who loses what.

use std::collections::{BTreeMap, BTreeSet};

use shared_proto::id::Subject;

use crate::decide::rights;
use crate::{Actions, Facts, Holder, Line, LineId, Party, Target};

/// The most pairs of a dry run: holders that the change may concern, times targets. So many take about a second.
pub const MAX_DRY_RUN: usize = 250_000;

/// A holder whose rights to a target a change alters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The holder.
    pub holder: Holder,
    /// The place of the target among those that were asked about.
    pub target: usize,
    /// The actions that he may do only after the change.
    pub gains: Actions,
    /// The actions that he may do only before it.
    pub loses: Actions,
}

/// A dry run would look at more than [`MAX_DRY_RUN`] pairs of a holder and a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the change concerns too many principals for so many secrets; ask about fewer of these")]
pub struct TooMuch;

/// Compares what everybody may do to some secrets and scopes before and after a change, at one time, whatever their
/// credentials are.
///
/// Only holders are decided again whose lines, groups or state the change touches; the result is in their order.
/// Finding them takes as long as there are lines and principals.
///
/// # Errors
/// They are too many for so many targets.
pub fn dry_run(before: &Facts, after: &Facts, targets: &[Target<'_>], now: u64) -> Result<Vec<Difference>, TooMuch> {
    let holders = concerned(before, after);
    if holders.len().saturating_mul(targets.len()) > MAX_DRY_RUN {
        return Err(TooMuch);
    }
    let mut differences = Vec::new();
    for holder in holders {
        for (place, target) in targets.iter().enumerate() {
            let [old, new] = [before, after].map(|facts| rights(facts, holder, target.region(), now));
            if old != new {
                let (gains, loses) = (new.without(old), old.without(new));
                differences.push(Difference { holder, target: place, gains, loses });
            }
        }
    }
    Ok(differences)
}

/// A line before and after a change; one of them may be missing.
pub(crate) type Change<'a> = (Option<&'a Line>, Option<&'a Line>);

/// The lines that a change makes, alters or removes.
pub(crate) fn changed_lines<'a>(before: &'a Facts, after: &'a Facts) -> Vec<Change<'a>> {
    let mut by_id: BTreeMap<LineId, Change<'a>> = BTreeMap::new();
    for line in &before.state().lines {
        by_id.entry(line.id()).or_default().0 = Some(line);
    }
    for line in &after.state().lines {
        by_id.entry(line.id()).or_default().1 = Some(line);
    }
    by_id.into_values().filter(|(old, new)| old != new).collect()
}

/// The principals whose groups a change alters, or whether they are enabled.
pub(crate) fn changed_principals(before: &Facts, after: &Facts) -> BTreeSet<Subject> {
    let all = before.subjects().chain(after.subjects());
    all.filter(|subject| {
        let standing = |facts: &Facts| facts.standing(Holder::Principal(*subject));
        standing(before) != standing(after) || before.groups_of(*subject) != after.groups_of(*subject)
    })
    .collect()
}

fn concerned(before: &Facts, after: &Facts) -> BTreeSet<Holder> {
    let mut holders: BTreeSet<Holder> = changed_principals(before, after).into_iter().map(Holder::Principal).collect();
    for line in changed_lines(before, after).into_iter().flat_map(|(old, new)| old.into_iter().chain(new)) {
        match line.party() {
            Party::Principal(subject) => holders.extend([Holder::Principal(subject)]),
            Party::Strangers => holders.extend([Holder::Stranger]),
            Party::Group(group) => {
                let members = before.members(group).chain(after.members(group));
                holders.extend(members.map(Holder::Principal));
            }
        }
    }
    holders
}
