//! The decision over an action of a caller.

use crate::facts::Standing;
use crate::region::Region;
use crate::{Action, Actions, Actor, Facts, Holder, Line, Period, Target};

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling<'a> {
    /// Allowed by this line.
    Allowed(&'a Line),
    /// Not allowed, for this reason.
    Denied(Why<'a>),
}

/// A reason why an action is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// The principal is not known.
    Unknown,
    /// The principal is disabled.
    Disabled,
    /// This line denies it.
    Line(&'a Line),
    /// No line allows it.
    NoLine,
    /// The secret is for services only, or may be, and the caller is a person.
    ServiceOnly,
    /// The credential is narrower than the rights of its holder.
    Limits,
}

/// Decides whether an actor may do something at a time: to a secret, or in the whole of a scope.
///
/// A line that denies wins over all that allow. Without a line that allows, the answer is no. About a whole scope, the
/// answer is yes only if one line allows all of it and no line denies any of it, so it is yes for each secret in it.
///
/// Of several lines that allow or deny, the one with the smallest id is named. A decision about a secret looks at those
/// lines of the caller and his groups that have its environment (or all) and its first name (or `*` or `**`); about a
/// scope, at all of theirs.
pub fn decide<'a, 't>(
    facts: &'a Facts,
    actor: &Actor,
    action: Action,
    target: impl Into<Target<'t>>,
    now: u64,
) -> Ruling<'a> {
    decide_region(facts, actor, action, target.into().region(), now).0
}

/// The ruling, and the time around `now` in which it is the same.
pub(crate) fn decide_region<'a>(
    facts: &'a Facts,
    actor: &Actor,
    action: Action,
    region: Region<'_>,
    now: u64,
) -> (Ruling<'a>, Period) {
    match facts.standing(actor.holder) {
        Standing::Enabled => {}
        Standing::Disabled => return (Ruling::Denied(Why::Disabled), Period::ALWAYS),
        Standing::Unknown => return (Ruling::Denied(Why::Unknown), Period::ALWAYS),
    }
    let (mut allows, mut denies): (Option<&Line>, Option<&Line>) = (None, None);
    let mut unchanged = Period::ALWAYS;
    for line in facts.near(actor.holder, region) {
        if !line.actions().contains(action) || !region.is_place_of(line) {
            continue;
        }
        let around = line.period().unchanged_around(now);
        unchanged = unchanged.common(around).unwrap_or(around);
        if line.period().contains(now) {
            let first = if line.allows() { &mut allows } else { &mut denies };
            *first = Some(first.filter(|known| known.id() < line.id()).unwrap_or(line));
        }
    }
    let ruling = match (denies, allows) {
        (Some(line), _) => Ruling::Denied(Why::Line(line)),
        (None, None) => Ruling::Denied(Why::NoLine),
        (None, Some(_)) if is_kept_from(actor.holder, action, &region) => Ruling::Denied(Why::ServiceOnly),
        (None, Some(_)) if !actor.is_within_limits(action, &region) => Ruling::Denied(Why::Limits),
        (None, Some(line)) => Ruling::Allowed(line),
    };
    (ruling, unchanged)
}

/// All actions that a holder may do now, whatever his credential is.
pub(crate) fn rights(facts: &Facts, holder: Holder, region: Region<'_>, now: u64) -> Actions {
    if !is_standing(facts, holder) {
        return Actions::NONE;
    }
    let (mut allowed, mut denied) = (Actions::NONE, Actions::NONE);
    for line in facts.near(holder, region) {
        if line.period().contains(now) && region.is_place_of(line) {
            let set = if line.allows() { &mut allowed } else { &mut denied };
            *set = set.with(line.actions());
        }
    }
    let kept = Action::ALL.iter().copied().filter(|action| is_kept_from(holder, *action, &region));
    allowed.without(denied).without(kept.collect())
}

/// Tells whether a holder is known and enabled.
pub(crate) fn is_standing(facts: &Facts, holder: Holder) -> bool {
    facts.standing(holder) == Standing::Enabled
}

/// Tells whether a secret of the region may be for services only, and the caller is a person who wants to read it.
fn is_kept_from(holder: Holder, action: Action, region: &Region<'_>) -> bool {
    action == Action::Read && holder.is_person() && !region.may_people()
}
