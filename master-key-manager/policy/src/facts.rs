//! The facts of the policy, with indexes, so that a decision looks at few lines.

use std::collections::HashMap;
use std::sync::Arc;

use manager_api::id::GroupId;
use manager_api::name::TagKey;
use shared_proto::id::{EnvironmentId, Subject};

use crate::region::Region;
use crate::{Holder, Line, Party, SecretFacts};

/// The number of a state of the policy. Each change raises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyEpoch(pub u64);

/// A person or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its id, which says whether it is a person or a service.
    pub id: Subject,
    /// Whether it is disabled: it may do nothing.
    pub disabled: bool,
}

/// A flat set of principals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its members.
    pub members: Vec<Subject>,
}

/// The policy as it is stored. The order of its parts has no meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// All principals. One that is missing may do nothing.
    pub principals: Vec<Principal>,
    /// All groups.
    pub groups: Vec<Group>,
    /// All lines.
    pub lines: Vec<Arc<Line>>,
}

/// All that decisions are made from, as it was at one epoch.
///
/// Building them takes `n log n` for `n` lines and memberships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    epoch: PolicyEpoch,
    state: State,
    /// Whether each is disabled.
    principals: HashMap<Subject, bool>,
    groups: HashMap<Subject, Vec<GroupId>>,
    members: HashMap<GroupId, Vec<Subject>>,
    by_party: HashMap<Party, Lines>,
    all: Lines,
}

/// Lines by environment and first name of their patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<Arc<Line>>);

impl Facts {
    /// The facts of a state of the policy.
    pub fn new(epoch: PolicyEpoch, state: State) -> Self {
        let mut principals: HashMap<Subject, bool> = HashMap::with_capacity(state.principals.len());
        for principal in &state.principals {
            // Two rows for one principal are a defect, and the one that denies counts.
            *principals.entry(principal.id).or_default() |= principal.disabled;
        }
        let mut members: HashMap<GroupId, Vec<Subject>> = HashMap::with_capacity(state.groups.len());
        let mut groups: HashMap<Subject, Vec<GroupId>> = HashMap::new();
        for group in &state.groups {
            for member in &group.members {
                groups.entry(*member).or_default().push(group.id);
                members.entry(group.id).or_default().push(*member);
            }
        }
        for sorted in groups.values_mut() {
            sorted.sort_unstable();
            sorted.dedup();
        }
        let mut by_party: HashMap<Party, Vec<Arc<Line>>> = HashMap::new();
        for line in &state.lines {
            by_party.entry(line.party()).or_default().push(Arc::clone(line));
        }
        let by_party = by_party.into_iter().map(|(party, lines)| (party, Lines::of(lines))).collect();
        let all = Lines::of(state.lines.clone());
        Self { epoch, state, principals, groups, members, by_party, all }
    }

    /// The epoch.
    pub fn epoch(&self) -> PolicyEpoch {
        self.epoch
    }

    /// The state that these are the facts of.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The members of a group, as often as they were named.
    pub fn members(&self, group: GroupId) -> impl Iterator<Item = Subject> {
        self.members.get(&group).into_iter().flatten().copied()
    }

    /// The groups of a principal, each once.
    pub fn groups_of(&self, principal: Subject) -> &[GroupId] {
        self.groups.get(&principal).map_or(&[], Vec::as_slice)
    }

    /// Whether a condition of some line names this key. A change of another tag changes no decision.
    pub fn name_tag(&self, key: &TagKey) -> bool {
        let conditions = self.state.lines.iter().filter_map(|line| line.condition());
        conditions.into_iter().any(|tags| tags.get(key).is_some())
    }

    /// Whether a decision about a secret may change when these facts of it do.
    pub fn tell_apart(&self, before: &SecretFacts, after: &SecretFacts) -> bool {
        let place = |secret: &SecretFacts| (secret.id, secret.environment, secret.service_only);
        let tags = || before.tags.iter().chain(after.tags.iter());
        place(before) != place(after)
            || before.path != after.path
            || tags().any(|(key, _)| before.tags.get(key) != after.tags.get(key) && self.name_tag(key))
    }

    /// All principals that are known or a member of a group, some more than once.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.principals.keys().chain(self.groups.keys()).copied()
    }

    /// Whether a holder is known and not disabled.
    pub(crate) fn standing(&self, holder: Holder) -> Standing {
        match holder {
            Holder::Stranger => Standing::Enabled,
            Holder::Principal(subject) => match self.principals.get(&subject) {
                Some(false) => Standing::Enabled,
                Some(true) => Standing::Disabled,
                None => Standing::Unknown,
            },
        }
    }

    /// The parties of a holder, with the groups through which he is of them.
    pub(crate) fn parties(&self, holder: Holder) -> impl Iterator<Item = Party> {
        let (own, groups) = match holder {
            Holder::Principal(subject) => (Party::Principal(subject), self.groups_of(subject)),
            Holder::Stranger => (Party::Strangers, &[][..]),
        };
        std::iter::once(own).chain(groups.iter().copied().map(Party::Group))
    }

    /// All lines about a party.
    pub(crate) fn lines_of(&self, party: Party) -> impl Iterator<Item = &Arc<Line>> {
        self.by_party.get(&party).into_iter().flat_map(|lines| lines.0.iter())
    }

    /// The lines about a holder that may hold for a region.
    pub(crate) fn near(&self, holder: Holder, region: Region<'_>) -> impl Iterator<Item = &Arc<Line>> {
        let parties = self.parties(holder).filter_map(|party| self.by_party.get(&party));
        parties.flat_map(move |lines| lines.near(region))
    }

    /// The lines about anybody that may hold for a region.
    pub(crate) fn near_all(&self, region: Region<'_>) -> impl Iterator<Item = &Arc<Line>> {
        self.all.near(region)
    }
}

/// Whether a holder may hold rights at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Enabled,
    Disabled,
    Unknown,
}

impl Lines {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.0.iter()
    }

    pub(crate) fn of(mut lines: Vec<Arc<Line>>) -> Self {
        lines.sort_unstable_by(|one, two| key(one).cmp(&key(two)).then_with(|| one.id().cmp(&two.id())));
        Self(lines)
    }

    /// The lines that may hold for a region. For a place, those with other environments and first names are skipped.
    pub(crate) fn near(&self, region: Region<'_>) -> impl Iterator<Item = &Arc<Line>> {
        let parts = match (region.environment, region.shape.first()) {
            (Some(environment), Some(name)) if self.0.len() > FEW => [
                self.with_key((None, None)),
                self.with_key((None, Some(name))),
                self.with_key((Some(environment), None)),
                self.with_key((Some(environment), Some(name))),
            ],
            _ => [self.0.as_slice(), &[], &[], &[]],
        };
        parts.into_iter().flatten()
    }

    fn with_key(&self, wanted: Key<'_>) -> &[Arc<Line>] {
        let from = self.0.partition_point(|line| key(line) < wanted);
        let rest = self.0.get(from..).unwrap_or_default();
        rest.get(..rest.partition_point(|line| key(line) == wanted)).unwrap_or_default()
    }
}

type Key<'a> = (Option<EnvironmentId>, Option<&'a str>);

fn key(line: &Line) -> Key<'_> {
    let reach = line.reach();
    (reach.environment, reach.pattern.shape().first())
}

/// So many lines are looked at faster than an index is.
const FEW: usize = 8;
