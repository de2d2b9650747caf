//! The environments that a caller may know of.

use std::collections::BTreeSet;

use shared_proto::id::EnvironmentId;

use crate::decide::is_standing;
use crate::{Actor, Basis, Facts, LineId, Period};

/// The environments in which a caller is allowed something, whatever it is. Of the others he does not learn that they
/// exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownEnvironments {
    basis: Basis,
    /// Those that lines name; `None` if one holds for all.
    lines: Option<BTreeSet<EnvironmentId>>,
    /// Those that limits of the credential name; `None` if it has none, or one holds for all.
    limits: Option<BTreeSet<EnvironmentId>>,
    /// The first of the lines.
    first: Vec<LineId>,
}

/// The most lines that are told of.
const MOST_LINES: usize = 8;

impl KnownEnvironments {
    /// The environments that an actor may know of now. There may be none.
    pub fn decide(facts: &Facts, actor: &Actor, now: u64) -> Self {
        let (mut unchanged, mut lines, mut first) = (Period::ALWAYS, Some(BTreeSet::new()), Vec::new());
        if is_standing(facts, actor.holder) {
            let own = facts.parties(actor.holder).flat_map(|party| facts.lines_of(party));
            for line in own.filter(|line| line.allows()) {
                let around = line.period().unchanged_around(now);
                unchanged = unchanged.common(around).unwrap_or(around);
                if line.period().contains(now) {
                    lines = lines.and_then(|known| with(known, line.reach().environment));
                    first.extend((first.len() < MOST_LINES).then(|| line.id()));
                }
            }
        }
        let limits = actor.limits.as_ref().and_then(|limits| {
            limits.iter().try_fold(BTreeSet::new(), |known, limit| with(known, limit.reach.environment))
        });
        Self { basis: Basis::of(facts, actor, unchanged), lines, limits, first }
    }

    /// The facts that it was decided from.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// The first of the lines that make them known.
    pub fn lines(&self) -> impl Iterator<Item = LineId> {
        self.first.iter().copied()
    }

    /// Tells whether an environment is among them.
    pub fn contain(&self, environment: EnvironmentId) -> bool {
        let has = |known: &Option<BTreeSet<EnvironmentId>>| known.as_ref().is_none_or(|one| one.contains(&environment));
        has(&self.lines) && has(&self.limits)
    }
}

/// The environments with one more; all of them are no set.
fn with(mut known: BTreeSet<EnvironmentId>, more: Option<EnvironmentId>) -> Option<BTreeSet<EnvironmentId>> {
    known.insert(more?);
    Some(known)
}
