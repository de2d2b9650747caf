//! Generated policies and requests, in words that belong to neither engine.

use std::iter::repeat_with;

use fastrand::Rng;

/// Names of folders and secrets: twins by their beginning, a star, and one that no pattern has.
const NAMES: [&str; 5] = ["a", "ab", "b", "*", "other"];
const TAGS: [(&str, &str); 4] = [("team", "x"), ("team", "y"), ("zone", "x"), ("zone", "y")];
pub(crate) const ACTIONS: [&str; 14] = [
    "list",
    "read",
    "write",
    "rotate",
    "delete",
    "destroy",
    "share",
    "manage-identities",
    "manage-policy",
    "manage-environments",
    "manage-keys",
    "read-audit",
    "approve",
    "operate",
];
/// The table of the product.
pub(crate) const ROLES: [(&str, &[&str]); 6] = [
    ("super_admin", &ACTIONS),
    (
        "service_admin",
        &["list", "read", "write", "rotate", "delete", "share", "approve", "read-audit", "manage-identities"],
    ),
    ("service_user", &["list", "read"]),
    ("publisher", &["list", "write"]),
    ("operator", &["operate", "manage-keys"]),
    ("auditor", &["list", "read-audit"]),
];

/// A policy with everybody whom it is about.
#[derive(Debug)]
pub(crate) struct World {
    /// Each known principal, and whether it is disabled.
    pub(crate) known: Vec<(Who, bool)>,
    pub(crate) groups: Vec<Vec<Who>>,
    pub(crate) lines: Vec<Line>,
    /// The limits of the narrow credentials.
    pub(crate) credentials: Vec<Vec<Limit>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Person(u8),
    Service(u8),
    Stranger,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Party {
    One(Who),
    Group(u8),
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u8,
    pub(crate) party: Party,
    pub(crate) gives: Gives,
    pub(crate) reach: Reach,
    pub(crate) start: Option<u64>,
    pub(crate) end: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum Gives {
    Role(usize),
    Actions { deny: bool, actions: Vec<&'static str>, tags: Vec<(&'static str, &'static str)> },
}

#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) environment: Option<u8>,
    /// `None` is `*`.
    pub(crate) segments: Vec<Option<&'static str>>,
    pub(crate) below: bool,
}

#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) actions: Vec<&'static str>,
    pub(crate) reach: Reach,
}

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) environment: u8,
    pub(crate) names: Vec<&'static str>,
    pub(crate) tags: Vec<(&'static str, &'static str)>,
    pub(crate) service_only: bool,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) who: Who,
    /// The number of the narrow credential, if it is one.
    pub(crate) credential: Option<usize>,
    pub(crate) action: &'static str,
    pub(crate) secret: Secret,
    pub(crate) now: u64,
}

pub(crate) const EVERYBODY: [Who; 7] =
    [Who::Person(0), Who::Person(1), Who::Person(2), Who::Service(0), Who::Service(1), Who::Service(2), Who::Stranger];

impl World {
    pub(crate) fn generate(rng: &mut Rng) -> Self {
        let mut known: Vec<_> = EVERYBODY.iter().map(|who| (*who, rng.u8(..10) == 0)).collect();
        known.retain(|(who, _)| *who != Who::Stranger && rng.u8(..12) != 0);
        let member = |rng: &mut Rng| EVERYBODY[rng.usize(..6)];
        let group = |rng: &mut Rng| (0..rng.usize(..4)).map(|_| member(rng)).collect();
        let groups = repeat_with(|| group(rng)).take(3).collect();
        let lines = (0..rng.u8(1..16)).map(|number| Line::generate(rng, number)).collect();
        let limits = |rng: &mut Rng| (0..rng.usize(..3)).map(|_| Limit::generate(rng)).collect();
        let credentials = repeat_with(|| limits(rng)).take(2).collect();
        Self { known, groups, lines, credentials }
    }

    /// A request that is often close to a line.
    pub(crate) fn request(&self, rng: &mut Rng) -> Request {
        let line = rng.choice(&self.lines);
        let near = line.filter(|_| rng.u8(..8) != 0);
        let mut who = EVERYBODY[rng.usize(..EVERYBODY.len())];
        let mut action = ACTIONS[rng.usize(..ACTIONS.len())];
        let mut secret = Secret::generate(rng);
        let mut now = rng.u64(..12);
        if let Some(line) = near {
            who = match line.party {
                Party::One(one) => one,
                Party::Group(group) => rng.choice(&self.groups[usize::from(group)]).copied().unwrap_or(who),
            };
            let (actions, tags) = match &line.gives {
                Gives::Role(role) => (ROLES[*role].1, [].as_slice()),
                Gives::Actions { actions, tags, .. } => (actions.as_slice(), tags.as_slice()),
            };
            if rng.u8(..8) != 0 {
                action = rng.choice(actions).copied().unwrap_or(action);
            }
            if rng.u8(..8) != 0 {
                secret.place_in(&line.reach, rng);
            }
            if rng.u8(..4) != 0 {
                secret.tags.retain(|(key, _)| tags.iter().all(|(own, _)| own != key));
                secret.tags.extend(tags);
            }
            // At the seconds around the beginning and the end.
            if let Some(edge) = rng.choice([line.start, line.end]).flatten() {
                now = (edge + rng.u64(..3)).saturating_sub(1);
            }
        }
        let credential = (rng.u8(..4) == 0).then(|| rng.usize(..self.credentials.len()));
        Request { who, credential, action, secret, now }
    }
}

impl Line {
    fn generate(rng: &mut Rng, number: u8) -> Self {
        let party = if rng.u8(..3) == 0 { Party::Group(rng.u8(..3)) } else { Party::One(EVERYBODY[rng.usize(..7)]) };
        let mut reach = Reach::generate(rng);
        let gives = if rng.u8(..4) == 0 {
            let role = rng.usize(..ROLES.len());
            if matches!(ROLES[role].0, "super_admin" | "operator") {
                reach = Reach { environment: None, segments: Vec::new(), below: true };
            }
            Gives::Role(role)
        } else {
            let many = if rng.bool() { 0 } else { rng.usize(1..3) };
            Gives::Actions { deny: rng.u8(..3) == 0, actions: some_actions(rng), tags: some_tags(rng, many) }
        };
        let start = (rng.u8(..4) == 0).then(|| rng.u64(1..8));
        let end = (rng.u8(..4) == 0).then(|| start.unwrap_or(0) + rng.u64(1..6));
        Self { number, party, gives, reach, start, end }
    }
}

impl Reach {
    fn generate(rng: &mut Rng) -> Self {
        let environment = rng.bool().then(|| rng.u8(..2));
        let below = rng.bool();
        let many = rng.usize(usize::from(!below)..4);
        let segment = |rng: &mut Rng| (rng.u8(..3) != 0).then(|| NAMES[rng.usize(..4)]);
        Self { environment, segments: (0..many).map(|_| segment(rng)).collect(), below }
    }
}

impl Limit {
    fn generate(rng: &mut Rng) -> Self {
        Self { actions: some_actions(rng), reach: Reach::generate(rng) }
    }
}

impl Secret {
    pub(crate) fn generate(rng: &mut Rng) -> Self {
        let names = (0..rng.usize(1..5)).map(|_| NAMES[rng.usize(..NAMES.len())]).collect();
        let many = rng.usize(..3);
        Self { environment: rng.u8(..2), names, tags: some_tags(rng, many), service_only: rng.u8(..6) == 0 }
    }

    /// Moves it to where a reach is, or nearly.
    fn place_in(&mut self, reach: &Reach, rng: &mut Rng) {
        self.environment = reach.environment.unwrap_or(self.environment);
        let any = |rng: &mut Rng| NAMES[rng.usize(..NAMES.len())];
        self.names = reach.segments.iter().map(|segment| segment.unwrap_or_else(|| any(rng))).collect();
        let more = if reach.below { rng.usize(..3) } else { usize::from(rng.u8(..6) == 0) };
        self.names.extend(repeat_with(|| any(rng)).take(more));
        if self.names.is_empty() {
            self.names.push(any(rng));
        }
    }
}

fn some_actions(rng: &mut Rng) -> Vec<&'static str> {
    let most = rng.u8(1..6);
    ACTIONS.into_iter().filter(|_| rng.u8(..6) < most).collect()
}

/// One value for each key.
fn some_tags(rng: &mut Rng, many: usize) -> Vec<(&'static str, &'static str)> {
    let mut tags: Vec<(&str, &str)> = Vec::new();
    for _ in 0..many {
        let (key, value) = TAGS[rng.usize(..TAGS.len())];
        if tags.iter().all(|(own, _)| *own != key) {
            tags.push((key, value));
        }
    }
    tags
}
