//! The reasons for a decision, line by line, and everybody who may do something.

use std::collections::BTreeSet;

use manager_api::id::GroupId;

use crate::decide::{decide_region, rights};
use crate::region::{Miss, Region};
use crate::{Action, Actor, Facts, Holder, Line, Party, Period, Ruling, Target};

/// The most lines of an [`Explanation`] that nearly hold.
pub const MAX_NEAR_MISSES: usize = 100;

/// A decision with the lines that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The decision, with the line that decided.
    pub ruling: Ruling<'a>,
    /// The lines that hold, by id.
    pub holding: Vec<Considered<'a>>,
    /// The lines that would hold but for one reason, by id; [`MAX_NEAR_MISSES`] at most.
    pub near_misses: Vec<(Considered<'a>, Miss)>,
    /// Says that there are more of them.
    pub more_near_misses: bool,
}

/// A line about a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Considered<'a> {
    /// The line.
    pub line: &'a Line,
    /// The group through which it is about the caller.
    pub group: Option<GroupId>,
}

/// A holder who may do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access<'a> {
    /// The holder.
    pub holder: Holder,
    /// The lines that allow it to him, by id.
    pub through: Vec<Considered<'a>>,
}

/// Decides as [`crate::decide`] does, and says which lines hold, which nearly do, and why they do not.
///
/// Looks at every line of the caller and his groups, once.
pub fn explain<'a, 't>(
    facts: &'a Facts,
    actor: &Actor,
    action: Action,
    target: impl Into<Target<'t>>,
    now: u64,
) -> Explanation<'a> {
    let region = target.into().region();
    let (ruling, _) = decide_region(facts, actor, action, region, now);
    let (mut holding, mut near_misses) = (Vec::new(), Vec::new());
    for considered in considered(facts, actor.holder) {
        let other_action = (!considered.line.actions().contains(action)).then_some(Miss::Action);
        let mut misses = other_action.into_iter().chain(region.misses(considered.line, Period::second(now)));
        match (misses.next(), misses.next()) {
            (None, _) => holding.push(considered),
            (Some(miss), None) => near_misses.push((considered, miss)),
            (Some(_), Some(_)) => {}
        }
    }
    holding.sort_unstable_by_key(|considered| considered.line.id());
    near_misses.sort_unstable_by_key(|(considered, _)| considered.line.id());
    let more_near_misses = near_misses.len() > MAX_NEAR_MISSES;
    near_misses.truncate(MAX_NEAR_MISSES);
    Explanation { ruling, holding, near_misses, more_near_misses }
}

/// Everybody who may do something, to a secret or in the whole of a scope, in order, each with the lines that allow it.
///
/// The limits of credentials are not looked at: they belong to a request. Each holder is decided when he is asked for,
/// at the cost of a decision, and `after` skips those up to a holder, so that a caller can take pages. Finding the
/// holders takes as long as there are lines with the environment and first name of the target, and members of their
/// groups.
pub fn who_can<'a, 't>(
    facts: &'a Facts,
    action: Action,
    target: impl Into<Target<'t>>,
    after: Option<Holder>,
    now: u64,
) -> impl Iterator<Item = Access<'a>> {
    let region = target.into().region();
    let mut holders = BTreeSet::new();
    for line in facts.near_all(region).filter(|line| allows(line, action, &region, now)) {
        match line.party() {
            Party::Principal(subject) => holders.extend([Holder::Principal(subject)]),
            Party::Group(group) => holders.extend(facts.members(group).map(Holder::Principal)),
            Party::Strangers => holders.extend([Holder::Stranger]),
        }
    }
    let rest = holders.into_iter().filter(move |holder| after.is_none_or(|after| *holder > after));
    rest.filter(move |holder| rights(facts, *holder, region, now).contains(action)).map(move |holder| {
        let mut through: Vec<_> = considered(facts, holder).collect();
        through.retain(|considered| allows(considered.line, action, &region, now));
        through.sort_unstable_by_key(|considered| considered.line.id());
        Access { holder, through }
    })
}

fn allows(line: &Line, action: Action, region: &Region<'_>, now: u64) -> bool {
    line.allows() && line.actions().contains(action) && line.period().contains(now) && region.is_place_of(line)
}

/// The lines about a holder. One that is about two of his groups does not exist: a line has one party.
fn considered(facts: &Facts, holder: Holder) -> impl Iterator<Item = Considered<'_>> {
    facts.parties(holder).flat_map(|party| {
        let group = match party {
            Party::Group(group) => Some(group),
            Party::Principal(_) | Party::Strangers => None,
        };
        facts.lines_of(party).map(move |line| Considered { line, group })
    })
}
