//! The rows of lists that a caller may see.

use std::collections::BTreeSet;
use std::sync::Arc;

use manager_api::name::SecretPath;
use manager_api::tags::Tags;
use shared_proto::id::EnvironmentId;

use crate::facts::{Lines, Standing};
use crate::pattern::Shape;
use crate::region::Region;
use crate::{Action, Actor, Basis, Facts, Limit, Line, LineId, Period, Target};

/// The secrets that a caller may list, or may do another action to.
///
/// A list asks the database for [`Visible::parts`], which may be more than is visible, and shows the rows that
/// [`Visible::shows_secret`] lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    basis: Basis,
    action: Action,
    /// The caller's lines about the action that hold now.
    lines: Lines,
    limits: Option<Arc<[Limit]>>,
}

/// Paths by which a database narrows a list down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The environment; `None` means all.
    pub environment: Option<EnvironmentId>,
    /// The beginning of the paths: empty, or ending with `/`; or the one path.
    pub beginning: String,
    /// Set if it is the one path.
    pub whole: bool,
}

impl Visible {
    /// The secrets that the policy lets an actor list now. There may be none.
    pub fn decide(facts: &Facts, actor: &Actor, now: u64) -> Self {
        Self::decide_about(facts, actor, Action::List, now)
    }

    /// The secrets and scopes in which the policy lets an actor do an action now. Many questions about one action are
    /// answered faster so than each by itself.
    pub fn decide_about(facts: &Facts, actor: &Actor, action: Action, now: u64) -> Self {
        let mut unchanged = Period::ALWAYS;
        let mut lines = Vec::new();
        if facts.standing(actor.holder) == Standing::Enabled {
            let own = facts.parties(actor.holder).flat_map(|party| facts.keyed_lines_of(party));
            for (key, line) in own.filter(|(_, line)| line.actions().contains(action)) {
                let around = line.period().unchanged_around(now);
                unchanged = unchanged.common(around).unwrap_or(around);
                if line.period().contains(now) {
                    lines.push((*key, Arc::clone(line)));
                }
            }
        }
        let (basis, limits) = (Basis::of(facts, actor, unchanged), actor.limits.clone());
        Self { basis, action, lines: Lines::sorted(lines), limits }
    }

    /// The ids of the lines that it was decided from.
    pub fn lines(&self) -> impl Iterator<Item = LineId> {
        self.lines.iter().map(Line::id)
    }

    /// The facts that it was decided from.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Tells whether a secret, or the whole of a scope, may be listed.
    pub fn shows<'t>(&self, target: impl Into<Target<'t>>) -> bool {
        self.shows_region(target.into().region())
    }

    /// Tells whether the secret at a place may be listed.
    pub fn shows_secret(&self, environment: EnvironmentId, path: &SecretPath, tags: &Tags) -> bool {
        self.shows_region(Region::place(environment, path, tags))
    }

    /// Tells whether the secret at a place may be listed if it has the right tags. What this says depends on nothing of the secret but
    /// its place.
    pub fn may_show(&self, environment: EnvironmentId, path: &SecretPath) -> bool {
        let region = Region::part(Some(environment), Shape::exact(path), None);
        let mut allowed = false;
        for line in self.lines.near(region).filter(|line| region.is_within(line)) {
            if !line.allows() && line.condition().is_none() {
                return false;
            }
            allowed |= line.allows();
        }
        allowed && self.is_within_limits(&region)
    }

    /// All paths that may be listed, and perhaps others. At most `most` parts, none of which lies in another.
    ///
    /// More parts are taken together as whole environments, and these as everything.
    pub fn parts(&self, most: usize) -> Vec<Part> {
        let own = self.lines.iter().filter(|line| line.allows()).map(Part::of);
        let parts: BTreeSet<Part> = match &self.limits {
            None => own.collect(),
            Some(limits) => {
                let listing = limits.iter().filter(|limit| limit.actions.contains(self.action));
                let limits: Vec<_> = listing.map(|limit| Part::of_reach(&limit.reach)).collect();
                own.flat_map(|part| limits.iter().filter_map(move |limit| part.common(limit))).collect()
            }
        };
        let parts = largest(parts);
        if parts.len() <= most {
            return parts;
        }
        let whole = |part: Part| Part { beginning: String::new(), whole: false, ..part };
        let environments = largest(parts.into_iter().map(whole).collect());
        if environments.len() <= most {
            return environments;
        }
        vec![Part { environment: None, beginning: String::new(), whole: false }]
    }

    fn shows_region(&self, region: Region<'_>) -> bool {
        let mut allowed = false;
        for line in self.lines.near(region).filter(|line| region.is_place_of(line)) {
            if !line.allows() {
                return false;
            }
            allowed = true;
        }
        allowed && self.is_within_limits(&region)
    }

    fn is_within_limits(&self, region: &Region<'_>) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.iter().any(|limit| limit.covers(self.action, region)))
    }
}

impl Part {
    /// Tells whether a secret lies in it.
    pub fn contains(&self, environment: EnvironmentId, path: &SecretPath) -> bool {
        let path = path.as_str();
        self.environment.is_none_or(|own| own == environment)
            && if self.whole { path == self.beginning } else { path.starts_with(&self.beginning) }
    }

    /// The first text, in order of bytes, after all that begin with the part's beginning; `None` if there is none.
    /// So the paths are `beginning <= path AND path < after`.
    pub fn after(&self) -> Option<String> {
        // The byte after `/` is `0`.
        self.beginning.strip_suffix('/').map(|folder| format!("{folder}0"))
    }

    fn of(line: &Line) -> Self {
        Self::of_reach(line.reach())
    }

    fn of_reach(reach: &crate::Reach) -> Self {
        let (beginning, whole) = reach.pattern.beginning();
        Self { environment: reach.environment, beginning, whole }
    }

    fn holds(&self, other: &Self) -> bool {
        let begins = if self.whole {
            other.whole && self.beginning == other.beginning
        } else {
            other.beginning.starts_with(&self.beginning)
        };
        begins && self.environment.is_none_or(|own| other.environment == Some(own))
    }

    fn common(&self, other: &Self) -> Option<Self> {
        let environment = match (self.environment, other.environment) {
            (Some(one), Some(two)) if one != two => return None,
            (one, two) => one.or(two),
        };
        let [one, two] = [self, other].map(|part| Self { environment, ..part.clone() });
        if one.holds(&two) {
            return Some(two);
        }
        two.holds(&one).then_some(one)
    }
}

/// The parts that lie in no other.
fn largest(parts: BTreeSet<Part>) -> Vec<Part> {
    let (everywhere, some): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.environment.is_none());
    let everywhere = first_of_each(everywhere);
    let held = |part: &Part| {
        // All that begins with a beginning follows it, and nothing of that was kept.
        let after = everywhere.partition_point(|one| (&one.beginning, one.whole) <= (&part.beginning, part.whole));
        after.checked_sub(1).and_then(|last| everywhere.get(last)).is_some_and(|last| last.holds(part))
    };
    let some = first_of_each(some.into_iter().filter(|part| !held(part)).collect());
    everywhere.into_iter().chain(some).collect()
}

/// Without the parts that lie in one before them. Each follows those that hold it, and nothing else lies between.
fn first_of_each(parts: Vec<Part>) -> Vec<Part> {
    let mut kept: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        if !kept.last().is_some_and(|last| last.holds(&part)) {
            kept.push(part);
        }
    }
    kept
}
