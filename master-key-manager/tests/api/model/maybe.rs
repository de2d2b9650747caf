//! The states that are possible, as far as somebody outside can know: an act of which the outcome was not told was done or not.

use super::acts::Act;
use super::world::{Said, State, World, refused};

/// A state that may be, and the versions that the parts of the last act made on the way to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Maybe {
    pub(super) world: World,
    pub(super) made: Vec<Option<u64>>,
}

/// The obstacle to an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing: there is one right answer.
    None,
    /// A fault. The same refusals count, and those of which the caller does not learn what became of the act.
    Fault,
    /// Another caller. What is refused because of him has a code of its own.
    Other,
}

impl Maybe {
    pub(super) fn of(world: World) -> Self {
        Self { world, made: Vec::new() }
    }

    /// The states that may be after a part of an act of which this was said. None: it must not have been said.
    pub(super) fn after(&self, part: &Act, said: &Said, trouble: Trouble) -> Vec<Self> {
        let mut world = self.world.clone();
        let expected = world.apply(part);
        let as_done = |mut world: World, version: Option<u64>| {
            let is_new = world.secrets.len() > self.world.secrets.len();
            if let Some(newest) = world.secrets.last_mut().filter(|_| is_new) {
                newest.id.clone_from(&said.id);
            }
            self.with(world, version)
        };
        if said.is_as(&expected) {
            return vec![if said.is_done() {
                as_done(world, said.version)
            } else {
                self.with(self.world.clone(), None)
            }];
        }
        let is_conflict = trouble == Trouble::Other && is_because_of_another(part, &said.code);
        let is_unclear = trouble != Trouble::None && said.is_unclear();
        if !(is_conflict || is_unclear) {
            return Vec::new();
        }
        let mut all = vec![self.with(self.world.clone(), None)];
        if let Act::Create { path, team, .. } = part {
            // It has the rules of the create before it has the value.
            let mut taken = self.world.clone();
            if taken.at(path).is_some_and(|secret| taken.take_over(secret, *team)) {
                all.push(self.with(taken, None));
            }
        }
        let mut given_up = self.world.clone();
        if given_up.give_up(part).is_some() {
            all.push(self.with(given_up, None));
        }
        // What is called unavailable is not done, and never will be.
        if expected.is_done() && said.code != "unavailable" && is_unclear {
            all.push(self.with(world, expected.version));
        }
        all
    }

    /// The states that may be after the whole act.
    pub(super) fn after_all(&self, parts: &[Act], said: &[Said], trouble: Trouble) -> Vec<Self> {
        let mut all = vec![Self::of(self.world.clone())];
        for (part, said) in parts.iter().zip(said) {
            all = unique(all.iter().flat_map(|maybe| maybe.after(part, said, trouble)));
        }
        all
    }

    /// The states that may be after the same act was asked for once more under its key; `forgotten` if the process that knew its
    /// body is gone.
    pub(super) fn repeated(&self, parts: &[Act], said: &[Said], forgotten: bool) -> Vec<Self> {
        let mut all = vec![Self::of(self.world.clone())];
        for ((part, said), made) in parts.iter().zip(said).zip(&self.made) {
            let next = |maybe: &Self| match made.filter(|_| part.writes()) {
                None => maybe.after(part, said, Trouble::None),
                Some(version) => {
                    let fits = said.is_as(&maybe.world.told_again(part, version, forgotten));
                    fits.then(|| maybe.with(maybe.world.clone(), Some(version))).into_iter().collect()
                }
            };
            all = all.iter().flat_map(next).collect();
        }
        all
    }

    fn with(&self, world: World, made: Option<u64>) -> Self {
        Self { world, made: self.made.iter().copied().chain([made]).collect() }
    }
}

/// The refusals of an act that another one interrupted, which would not be said of either before or after it.
fn is_because_of_another(part: &Act, code: &str) -> bool {
    match code {
        "unavailable" => true,
        // It goes by the version that it has seen.
        "version_conflict" => matches!(part, Act::Rotate { .. } | Act::Change { .. }),
        _ => false,
    }
}

impl World {
    /// The answer to a repeat, about a version that was made.
    fn told_again(&self, part: &Act, version: u64, forgotten: bool) -> Said {
        let path = match part {
            Act::Create { path, .. } | Act::Put { path, .. } => self.at(path),
            _ => None,
        };
        let Some(secret) = part.secret().or(path).and_then(|secret| self.secrets.get(secret)) else {
            return refused("secret_not_found");
        };
        match secret.versions.get(&version).map(|version| version.state) {
            Some(State::Committed) if forgotten => refused("idempotency_unknown"),
            Some(State::Committed) => Said { code: String::new(), version: Some(version), id: None },
            Some(State::Destroyed | State::Abandoned) | None => refused("secret_not_found"),
        }
    }
}

/// Without those that are there twice.
pub(super) fn unique(all: impl Iterator<Item = Maybe>) -> Vec<Maybe> {
    let mut found: Vec<Maybe> = Vec::new();
    for maybe in all {
        if !found.contains(&maybe) {
            found.push(maybe);
        }
    }
    found
}
