//! Nobody hands out more than he holds.
//!
//! The author of a change of the policy, a group or a principal must hold every right that somebody gains by it: in all
//! of its reach, for its tags, and from now to its end. Guarantees that a change that is let through gives nobody a right
//! that the one who makes it lacks. Where that is not certain, as for a right that only several lines give together, the
//! change is refused.

use shared_proto::id::Subject;

use crate::decide::is_standing;
use crate::dry_run::{changed_lines, changed_principals};
use crate::region::Region;
use crate::{Action, Actions, Actor, Effect, Facts, Holder, Line, LineId, Party, Period};

/// A right that would be handed out by somebody who does not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of {line} is more than the caller holds", action.as_str())]
pub struct Excess {
    /// The line that gives the right, or that denies it before the change.
    pub line: LineId,
    /// The action that the caller lacks.
    pub action: Action,
}

/// Tells whether an actor holds all that a change of the policy, of groups or of principals hands out.
///
/// A right is handed out by a line that allows, when it is made or widened; by one that denies, when it is removed or
/// narrowed; by joining a group with the first, or leaving one with the second; and by enabling or entering a
/// principal. That people read no secret for services only does not keep a person from handing out `read`.
///
/// Takes as long as there are lines and principals, and for each line that is handed out a decision for each of its
/// actions.
///
/// # Errors
/// He does not hold this right.
pub fn may_hand_out(before: &Facts, after: &Facts, actor: &Actor, now: u64) -> Result<(), Excess> {
    for (old, new) in changed_lines(before, after) {
        if let Some(new) = new.filter(|line| line.allows()) {
            holds(before, actor, new, old, now)?;
        }
        if let Some(old) = old.filter(|line| !line.allows()) {
            holds(before, actor, old, new, now)?;
        }
    }
    for subject in changed_principals(before, after) {
        let holder = Holder::Principal(subject);
        let known: Vec<Party> = if is_standing(before, holder) { before.parties(holder).collect() } else { Vec::new() };
        let kept: Vec<Party> = after.parties(holder).collect();
        for gained in kept.iter().filter(|party| !known.contains(party)) {
            holds_all(before, actor, after.lines_of(*gained).filter(|line| line.allows()), now)?;
        }
        for left in known.iter().filter(|party| !kept.contains(party)) {
            holds_all(before, actor, before.lines_of(*left).filter(|line| !line.allows()), now)?;
        }
    }
    Ok(())
}

/// Tells whether an actor holds all that a principal is allowed, so that he may make, reset or map a credential for him.
///
/// Lines that deny something to the principal make it no less.
///
/// # Errors
/// He does not hold this right.
pub fn may_act_for(facts: &Facts, actor: &Actor, principal: Subject, now: u64) -> Result<(), Excess> {
    let parties = facts.parties(Holder::Principal(principal));
    let lines = parties.flat_map(|party| facts.lines_of(party)).filter(|line| line.allows());
    holds_all(facts, actor, lines, now)
}

fn holds_all<'a>(facts: &Facts, actor: &Actor, lines: impl Iterator<Item = &'a Line>, now: u64) -> Result<(), Excess> {
    for line in lines {
        holds(facts, actor, line, None, now)?;
    }
    Ok(())
}

/// Tells whether the actor holds what a line is about and the other version of the line is not.
fn holds(facts: &Facts, actor: &Actor, line: &Line, other: Option<&Line>, now: u64) -> Result<(), Excess> {
    let Some(rest) = Period::new(Some(now), line.period().end()).ok() else { return Ok(()) };
    let same = other.filter(|other| is_about_all_of(other, line)).map_or(Actions::NONE, Line::actions);
    let region = line.region().for_people();
    match line.actions().without(same).iter().find(|action| !holds_one(facts, actor, *action, region, rest)) {
        Some(action) => Err(Excess { line: line.id(), action }),
        None => Ok(()),
    }
}

/// Tells whether a line says the same as another one wherever and whenever that holds.
pub(crate) fn is_about_all_of(line: &Line, other: &Line) -> bool {
    (line.party(), line.effect()) == (other.party(), other.effect())
        && line.region().contains(&other.region())
        && line.period().start() <= other.period().start()
        && line.period().outlasts(other.period())
}

fn holds_one(facts: &Facts, actor: &Actor, action: Action, region: Region<'_>, during: Period) -> bool {
    let mut allowed = false;
    for line in facts.near(actor.holder, region).filter(|line| line.actions().contains(action)) {
        if region.misses(line, during).next().is_none() {
            match line.effect() {
                Effect::Allow => allowed = true,
                Effect::Deny => return false,
            }
        }
    }
    allowed && is_standing(facts, actor.holder) && actor.is_within_limits(action, &region)
}
