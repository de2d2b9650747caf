//! The facts of the policy, with indexes, so that a decision looks at few lines.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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
    /// Set for one that may do nothing.
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
    indexed: Arc<Indexed>,
}

/// A state with its indexes. All epochs in which it held share it.
#[derive(Debug, PartialEq, Eq)]
struct Indexed {
    state: State,
    /// Those that are known; true for one that is disabled.
    principals: HashMap<Subject, bool>,
    groups: HashMap<Subject, Vec<GroupId>>,
    members: HashMap<GroupId, Vec<Subject>>,
    by_party: HashMap<Party, Lines>,
    all: Lines,
}

/// Lines in the order of their keys, and then of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<(Key, Arc<Line>)>);

/// A hash of the environment and the first name of a pattern, of which either may be missing. That two have the same
/// one costs a look at a line that does not hold.
pub(crate) type Key = u64;

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
        let all = Lines::sorted(state.lines.iter().map(|line| (key_of(line), Arc::clone(line))).collect());
        let mut by_party: HashMap<Party, Lines> = HashMap::new();
        for (key, line) in &all.0 {
            // In the order of all lines, which is that of each party's.
            by_party.entry(line.party()).or_default().0.push((*key, Arc::clone(line)));
        }
        Self { epoch, indexed: Arc::new(Indexed { state, principals, groups, members, by_party, all }) }
    }

    /// The same facts at another epoch, which changed none of them. Takes no time.
    #[must_use]
    pub fn at(&self, epoch: PolicyEpoch) -> Self {
        Self { epoch, indexed: Arc::clone(&self.indexed) }
    }

    /// Tells whether these facts share their state with others, so that no decision differs.
    pub fn share(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.indexed, &other.indexed)
    }

    /// The epoch.
    pub fn epoch(&self) -> PolicyEpoch {
        self.epoch
    }

    /// The state that these are the facts of.
    pub fn state(&self) -> &State {
        &self.indexed.state
    }

    /// The members of a group, as often as they were named.
    pub fn members(&self, group: GroupId) -> impl Iterator<Item = Subject> {
        self.indexed.members.get(&group).into_iter().flatten().copied()
    }

    /// The groups of a principal, each once.
    pub fn groups_of(&self, principal: Subject) -> &[GroupId] {
        self.indexed.groups.get(&principal).map_or(&[], Vec::as_slice)
    }

    /// Tells whether a condition of some line names this key. A change of another tag changes no decision.
    pub fn name_tag(&self, key: &TagKey) -> bool {
        let conditions = self.indexed.state.lines.iter().filter_map(|line| line.condition());
        conditions.into_iter().any(|tags| tags.get(key).is_some())
    }

    /// Tells whether a decision about a secret may change when these facts of it do.
    pub fn tell_apart(&self, before: &SecretFacts, after: &SecretFacts) -> bool {
        let place = |secret: &SecretFacts| (secret.id, secret.environment, secret.service_only);
        let tags = || before.tags.iter().chain(after.tags.iter());
        place(before) != place(after)
            || before.path != after.path
            || tags().any(|(key, _)| before.tags.get(key) != after.tags.get(key) && self.name_tag(key))
    }

    /// All principals that are known or a member of a group, some more than once.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.indexed.principals.keys().chain(self.indexed.groups.keys()).copied()
    }

    /// Tells whether a holder is known and not disabled.
    pub(crate) fn standing(&self, holder: Holder) -> Standing {
        match holder {
            Holder::Stranger => Standing::Enabled,
            Holder::Principal(subject) => match self.indexed.principals.get(&subject) {
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

    /// All lines about a principal, by itself and by its groups.
    pub fn lines_about(&self, principal: Subject) -> impl Iterator<Item = &Line> {
        self.parties(Holder::Principal(principal)).flat_map(|party| self.lines_of(party))
    }

    /// All lines about a party.
    pub(crate) fn lines_of(&self, party: Party) -> impl Iterator<Item = &Line> {
        self.keyed_lines_of(party).map(|(_, line)| line.as_ref())
    }

    /// The same with their keys.
    pub(crate) fn keyed_lines_of(&self, party: Party) -> impl Iterator<Item = &(Key, Arc<Line>)> {
        self.indexed.by_party.get(&party).into_iter().flat_map(|lines| lines.0.iter())
    }

    /// The lines about a holder that may hold for a region.
    pub(crate) fn near(&self, holder: Holder, region: Region<'_>) -> impl Iterator<Item = &Line> {
        let (keys, parties) = (keys_of(region), self.parties(holder));
        parties.filter_map(|party| self.indexed.by_party.get(&party)).flat_map(move |lines| lines.with_keys(keys))
    }

    /// The lines about anybody that may hold for a region.
    pub(crate) fn near_all(&self, region: Region<'_>) -> impl Iterator<Item = &Line> {
        self.indexed.all.with_keys(keys_of(region))
    }
}

/// The state of a holder, without which no line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Enabled,
    Disabled,
    Unknown,
}

impl Lines {
    pub(crate) fn sorted(mut lines: Vec<(Key, Arc<Line>)>) -> Self {
        lines.sort_unstable_by_key(|(key, line)| (*key, line.id()));
        Self(lines)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().map(|(_, line)| line.as_ref())
    }

    /// The lines that may hold for a region.
    pub(crate) fn near(&self, region: Region<'_>) -> impl Iterator<Item = &Line> {
        self.with_keys(keys_of(region))
    }

    fn with_keys(&self, keys: Option<[Key; 4]>) -> impl Iterator<Item = &Line> {
        let parts = keys.map_or([self.0.as_slice(), &[], &[], &[]], |keys| keys.map(|key| self.with_key(key)));
        parts.into_iter().flatten().map(|(_, line)| line.as_ref())
    }

    fn with_key(&self, wanted: Key) -> &[(Key, Arc<Line>)] {
        let from = self.0.partition_point(|(key, _)| *key < wanted);
        let rest = self.0.get(from..).unwrap_or_default();
        rest.get(..rest.partition_point(|(key, _)| *key == wanted)).unwrap_or_default()
    }
}

fn key_of(line: &Line) -> Key {
    let reach = line.reach();
    key(reach.environment, reach.pattern.shape().first())
}

/// The keys of all lines that may hold for a region; `None` if lines with any key may.
fn keys_of(region: Region<'_>) -> Option<[Key; 4]> {
    let (environment, name) = (Some(region.environment?), Some(region.shape.first()?));
    Some([key(None, None), key(None, name), key(environment, None), key(environment, name)])
}

fn key(environment: Option<EnvironmentId>, first: Option<&str>) -> Key {
    let mut hasher = DefaultHasher::new();
    (environment, first).hash(&mut hasher);
    hasher.finish()
}
