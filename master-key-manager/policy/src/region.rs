//! Regions: what a decision is about, as the lines of the policy see it.
//!
//! An act is about one secret whose place and tags are known, or about a whole part of the installation. Guarantees
//! that a decision about a part is sound: a line that allows must hold for all of it, a line that denies need only
//! touch it. What is not known (tags, a secret's place) is taken for what denies.

use manager_api::name::SecretPath;
use manager_api::tags::Tags;
use shared_proto::id::{EnvironmentId, SecretId};

use crate::pattern::Shape;
use crate::{Line, Period, Scope};

/// A secret, as decisions see it. It need not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// Its id.
    pub id: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: SecretPath,
    /// Its tags, all of them.
    pub tags: Tags,
    /// Set for a secret that people never read.
    pub service_only: bool,
    /// The number of the change by which it has these facts; 0 for those that it was made with.
    pub number: u64,
}

/// Something that an act is about.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The whole of a scope, also what nobody has thought of.
    Scope(&'a Scope),
    /// A secret whose facts are known.
    Secret(&'a SecretFacts),
}

impl<'a> From<&'a Scope> for Target<'a> {
    fn from(scope: &'a Scope) -> Self {
        Self::Scope(scope)
    }
}

impl<'a> From<&'a SecretFacts> for Target<'a> {
    fn from(secret: &'a SecretFacts) -> Self {
        Self::Secret(secret)
    }
}

/// A set of secrets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region<'a> {
    /// `None` means all environments.
    pub(crate) environment: Option<EnvironmentId>,
    pub(crate) shape: Shape<'a>,
    /// Tags that all its secrets have.
    tags: Option<&'a Tags>,
    /// Says that they have no others.
    tags_are_known: bool,
    /// Says that none of them is for services only.
    may_people: bool,
}

/// A reason why a line does not hold for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It does not name the action.
    Action,
    /// It is about another environment.
    Environment,
    /// Its pattern does not match the path.
    Path,
    /// It allows the action in a part of the scope only.
    OnlyPart,
    /// The secret lacks a tag of its condition, or the tags are not known.
    Tags,
    /// It begins at this time.
    NotYet(u64),
    /// It has ended at this time.
    Ended(u64),
}

impl<'a> Region<'a> {
    /// The secrets of these environments and paths with these tags, and perhaps others.
    pub(crate) fn part(environment: Option<EnvironmentId>, shape: Shape<'a>, tags: Option<&'a Tags>) -> Self {
        Self { environment, shape, tags, tags_are_known: false, may_people: false }
    }

    /// The secret at a place.
    pub(crate) fn place(environment: EnvironmentId, path: &'a SecretPath, tags: &'a Tags) -> Self {
        let shape = Shape::exact(path);
        Self { environment: Some(environment), shape, tags: Some(tags), tags_are_known: true, may_people: true }
    }

    /// The same secrets, none of which is kept from people.
    pub(crate) fn for_people(self) -> Self {
        Self { may_people: true, ..self }
    }

    /// The same secrets, which are kept from people.
    pub(crate) fn for_services_only(self) -> Self {
        Self { may_people: false, ..self }
    }

    /// Tells whether people may read every one of them, if a line allows.
    pub(crate) fn may_people(&self) -> bool {
        self.may_people
    }

    /// Tells whether all secrets of another region are in this one.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.environment.is_none_or(|own| other.environment == Some(own))
            && self.shape.contains(other.shape)
            && self.tags.is_none_or(|own| other.have(own))
    }

    /// Tells whether all its secrets have these tags, as far as is known.
    fn have(&self, condition: &Tags) -> bool {
        self.tags.is_some_and(|tags| tags.contain(condition))
    }

    /// Tells whether none of its secrets has these tags.
    fn lack(&self, condition: &Tags) -> bool {
        condition.iter().any(|(key, value)| match self.tags.and_then(|tags| tags.get(key)) {
            Some(own) => own != value,
            None => self.tags_are_known,
        })
    }

    /// The reasons why a line does not hold for this region during all of a period: a line that allows, for every
    /// secret and second of it; a line that denies, for any.
    pub(crate) fn misses(&self, line: &Line, during: Period) -> impl Iterator<Item = Miss> {
        let place = PLACE_CHECKS.iter().filter_map(move |check| check(self, line));
        place.chain(std::iter::once_with(move || check_period(line, during)).flatten())
    }

    /// The same for the place and the tags alone.
    pub(crate) fn is_place_of(&self, line: &Line) -> bool {
        PLACE_CHECKS.iter().all(|check| check(self, line).is_none())
    }

    /// The same for the environments and paths alone, whatever tags the line names.
    pub(crate) fn is_within(&self, line: &Line) -> bool {
        check_environment(self, line).is_none() && check_path(self, line).is_none()
    }
}

const PLACE_CHECKS: [fn(&Region<'_>, &Line) -> Option<Miss>; 3] = [check_environment, check_path, check_tags];

fn check_environment(region: &Region<'_>, line: &Line) -> Option<Miss> {
    match (line.reach().environment, region.environment) {
        (Some(own), Some(asked)) => (own != asked).then_some(Miss::Environment),
        (Some(_), None) => line.allows().then_some(Miss::OnlyPart),
        (None, _) => None,
    }
}

fn check_path(region: &Region<'_>, line: &Line) -> Option<Miss> {
    let own = line.reach().pattern.shape();
    if own.contains(region.shape) {
        return None;
    }
    match (own.meets(region.shape), line.allows()) {
        (true, true) => Some(Miss::OnlyPart),
        (true, false) => None,
        (false, _) => Some(Miss::Path),
    }
}

fn check_tags(region: &Region<'_>, line: &Line) -> Option<Miss> {
    let condition = line.condition()?;
    let holds = if line.allows() { region.have(condition) } else { !region.lack(condition) };
    (!holds).then_some(Miss::Tags)
}

fn check_period(line: &Line, during: Period) -> Option<Miss> {
    let own = line.period();
    if let Some(end) = own.end().filter(|end| *end <= during.start()) {
        return Some(Miss::Ended(end));
    }
    let [begins_in_time, lasts] = if line.allows() {
        [own.start() <= during.start(), own.outlasts(during)]
    } else {
        [!during.is_over(own.start()), true]
    };
    match (begins_in_time, lasts, own.end()) {
        (false, _, _) => Some(Miss::NotYet(own.start())),
        (true, false, Some(end)) => Some(Miss::Ended(end)),
        (true, _, _) => None,
    }
}
