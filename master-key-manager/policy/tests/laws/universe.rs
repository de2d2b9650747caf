//! A world that is small enough that generated lines and secrets meet.

use std::sync::Arc;

use manager_api::id::{AssignmentId, GroupId, PermissionId};
use manager_api::name::{SecretPath, TagKey, TagValue};
use manager_api::tags::Tags;
use manager_policy::{
    Action, Actions, Actor, Assignment, Effect, Facts, Group, Holder, Limit, Line, Note, Party, PathPattern, Period,
    Permission, PolicyEpoch, Principal, Reach, Role, Ruling, Scope, SecretFacts, State, Target, decide,
};
use proptest::prelude::*;
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, SecretId, ServiceId, Subject};

pub(crate) const NAMES: [&str; 3] = ["a", "ab", "b"];
/// Times of the world: 0 to 9.
pub(crate) const TIMES: u64 = 10;

pub(crate) fn environment_of(number: u8) -> EnvironmentId {
    EnvironmentId::from_bytes([number; 16])
}

pub(crate) fn service(number: u8) -> Subject {
    Subject::Service(ServiceId::from_bytes([number; 16]))
}

pub(crate) fn person(number: u8) -> Subject {
    Subject::Person(PersonId::from_bytes([number; 16]))
}

pub(crate) fn group_of(number: u8) -> GroupId {
    GroupId::from_bytes([number; 16])
}

/// All callers; the last service and person are unknown to most policies.
pub(crate) fn holders() -> Vec<Holder> {
    let subjects = (0..3).flat_map(|number| [service(number), person(number)]);
    subjects.map(Holder::Principal).chain([Holder::Stranger]).collect()
}

pub(crate) fn actor(holder: Holder) -> Actor {
    Actor { holder, credential: CredentialId::from_bytes([7; 16]), limits: None, ends_at: None }
}

pub(crate) fn path_of(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

pub(crate) fn tags_of(pairs: &[(&str, &str)]) -> Tags {
    let pair = |(key, value): &(&str, &str)| (TagKey::parse(*key).unwrap(), TagValue::parse(*value).unwrap());
    Tags::new(pairs.iter().map(pair)).unwrap()
}

pub(crate) fn reach_of(environment: Option<u8>, pattern: &str) -> Reach {
    Reach { environment: environment.map(environment_of), pattern: pattern.parse().unwrap() }
}

pub(crate) fn secret_of(environment: u8, path: &str, tags: &[(&str, &str)]) -> SecretFacts {
    SecretFacts {
        id: SecretId::from_bytes([environment; 16]),
        environment: environment_of(environment),
        path: path_of(path),
        tags: tags_of(tags),
        service_only: false,
        number: 0,
    }
}

pub(crate) fn note() -> Note {
    Note { author: None, reason: None }
}

pub(crate) fn permission(number: u8, party: Party, effect: Effect, actions: &[Action], reach: Reach) -> Permission {
    Permission {
        id: PermissionId::from_bytes([number; 16]),
        party,
        effect,
        actions: actions.iter().copied().collect(),
        reach,
        condition: Tags::default(),
        period: Period::ALWAYS,
        note: note(),
    }
}

/// Everybody is known, and the first group has the first service and person.
pub(crate) fn facts_of(lines: impl IntoIterator<Item = Line>) -> Facts {
    let known = (0..3).flat_map(|number| [service(number), person(number)]);
    let state = State {
        principals: known.map(|id| Principal { id, disabled: false }).collect(),
        groups: vec![Group { id: group_of(0), members: vec![service(0), person(0)] }],
        lines: lines.into_iter().map(Arc::new).collect(),
    };
    Facts::new(PolicyEpoch(1), state)
}

pub(crate) fn may<'t>(facts: &Facts, actor: &Actor, action: Action, target: impl Into<Target<'t>>, now: u64) -> bool {
    matches!(decide(facts, actor, action, target, now), Ruling::Allowed(_))
}

pub(crate) fn all_that_he_may<'t>(facts: &Facts, actor: &Actor, target: impl Into<Target<'t>>, now: u64) -> Actions {
    let target = target.into();
    Action::ALL.iter().copied().filter(|action| may(facts, actor, *action, target, now)).collect()
}

/// Few enough that scopes meet. `a` and `ab` are twins by their beginning.
pub(crate) fn path() -> impl Strategy<Value = SecretPath> {
    prop::collection::vec(prop::sample::select(NAMES.as_slice()), 1..4).prop_map(|names| path_of(&names.join("/")))
}

pub(crate) fn pattern() -> impl Strategy<Value = PathPattern> {
    let segments = prop::collection::vec(prop::sample::select(vec!["a", "ab", "b", "*"]), 0..4);
    (segments, any::<bool>()).prop_map(|(mut segments, below)| {
        if below || segments.is_empty() {
            segments.push("**");
        }
        segments.join("/").parse().unwrap()
    })
}

pub(crate) fn environment() -> impl Strategy<Value = EnvironmentId> {
    (0..2_u8).prop_map(environment_of)
}

pub(crate) fn reach() -> impl Strategy<Value = Reach> {
    (prop::option::of(environment()), pattern()).prop_map(|(environment, pattern)| Reach { environment, pattern })
}

pub(crate) fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Installation),
        environment().prop_map(Scope::Environment),
        (environment(), path()).prop_map(|(environment, folder)| Scope::Folder(environment, folder)),
        (environment(), path()).prop_map(|(environment, path)| Scope::Path(environment, path)),
        reach().prop_map(Scope::Reach),
        (0..2_u8).prop_map(|number| Scope::Secret(SecretId::from_bytes([number; 16]))),
    ]
}

pub(crate) fn tags() -> impl Strategy<Value = Tags> {
    let value = || prop::option::of(prop::sample::select(vec!["x", "y"]));
    (value(), value()).prop_map(|(team, zone)| {
        let pairs = [("team", team), ("zone", zone)];
        tags_of(&pairs.iter().filter_map(|(key, value)| value.map(|value| (*key, value))).collect::<Vec<_>>())
    })
}

pub(crate) fn secret() -> impl Strategy<Value = SecretFacts> {
    (0..3_u8, environment(), path(), tags(), prop::bool::weighted(0.2)).prop_map(
        |(id, environment, path, tags, service_only)| {
            let id = SecretId::from_bytes([id; 16]);
            SecretFacts { id, environment, path, tags, service_only, number: 0 }
        },
    )
}

pub(crate) fn holder() -> impl Strategy<Value = Holder> {
    prop::sample::select(holders())
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    prop::sample::select(Action::ALL)
}

pub(crate) fn period() -> impl Strategy<Value = Period> {
    prop_oneof![
        3 => Just(Period::ALWAYS),
        2 => (0..TIMES, 1..TIMES).prop_map(|(start, length)| Period::new(Some(start), Some(start + length)).unwrap()),
        1 => (0..TIMES).prop_map(|start| Period::new(Some(start), None).unwrap()),
    ]
}

pub(crate) fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        4 => (0..2_u8).prop_map(|number| Party::Principal(service(number))),
        3 => (0..2_u8).prop_map(|number| Party::Principal(person(number))),
        3 => (0..2_u8).prop_map(|number| Party::Group(group_of(number))),
        1 => Just(Party::Strangers),
    ]
}

/// Many of the actions, so that lines meet.
pub(crate) fn actions() -> impl Strategy<Value = Actions> {
    prop::collection::vec(action(), 1..20).prop_map(Actions::from_iter)
}

fn condition() -> impl Strategy<Value = Tags> {
    prop_oneof![2 => Just(Tags::default()), 1 => tags()]
}

pub(crate) fn line_with(effect: impl Strategy<Value = Effect>) -> impl Strategy<Value = Line> {
    (any::<[u8; 16]>(), party(), effect, actions(), reach(), condition(), period()).prop_map(
        |(id, party, effect, actions, reach, condition, period)| {
            let id = PermissionId::from_bytes(id);
            Line::Permission(Permission { id, party, effect, actions, reach, condition, period, note: note() })
        },
    )
}

fn assignment() -> impl Strategy<Value = Line> {
    (any::<[u8; 16]>(), party(), prop::sample::select(Role::ALL), reach(), period()).prop_map(
        |(id, party, role, reach, period)| {
            let reach = if role.is_for_everything() { Reach::everything() } else { reach };
            let id = AssignmentId::from_bytes(id);
            Line::Assignment(Assignment::new(id, (party, role), reach, period, note()).unwrap())
        },
    )
}

pub(crate) fn line() -> impl Strategy<Value = Line> {
    let effect = prop_oneof![3 => Just(Effect::Allow), 1 => Just(Effect::Deny)];
    prop_oneof![4 => line_with(effect), 1 => assignment()]
}

pub(crate) fn state() -> impl Strategy<Value = State> {
    let principals = prop::collection::vec(prop::option::weighted(0.9, prop::bool::weighted(0.1)), 4);
    let members = || prop::collection::vec((0..2_u8, any::<bool>()), 0..4);
    (principals, members(), members(), prop::collection::vec(line(), 0..24)).prop_map(|(known, one, two, lines)| {
        let subjects = [service(0), service(1), person(0), person(1)].into_iter();
        let principals = subjects.zip(known).filter_map(|(id, known)| Some(Principal { id, disabled: known? }));
        let member = |(number, human): (u8, bool)| if human { person(number) } else { service(number) };
        let group = |number, members: Vec<_>| Group {
            id: group_of(number),
            members: members.into_iter().map(member).collect(),
        };
        State {
            principals: principals.collect(),
            groups: vec![group(0, one), group(1, two)],
            lines: lines.into_iter().map(Arc::new).collect(),
        }
    })
}

pub(crate) fn facts() -> impl Strategy<Value = Facts> {
    (any::<u64>(), state()).prop_map(|(epoch, state)| Facts::new(PolicyEpoch(epoch), state))
}

pub(crate) fn limits() -> impl Strategy<Value = Option<Arc<[Limit]>>> {
    let limit = (actions(), reach()).prop_map(|(actions, reach)| Limit { actions, reach });
    prop::option::of(prop::collection::vec(limit, 0..3).prop_map(Arc::from))
}

/// Facts with other lines, of the same epoch.
pub(crate) fn with_lines(facts: &Facts, lines: Vec<Arc<Line>>) -> Facts {
    Facts::new(facts.epoch(), State { lines, ..facts.state().clone() })
}
