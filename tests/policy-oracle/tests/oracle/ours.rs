//! The world as facts of the policy.

use std::sync::Arc;

use manager_api::id::{AssignmentId, GroupId, PermissionId};
use manager_api::name::{SecretPath, TagKey, TagValue};
use manager_api::tags::Tags;
use manager_policy::{
    Action, Actions, Actor, Assignment, Effect, Facts, Group, Holder, Limit, Line, LineId, Note, Party, Period,
    Permission, PolicyEpoch, Principal, Reach, Role, Ruling, SecretFacts, State, Why, decide,
};
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, SecretId, ServiceId, Subject};

use crate::world::{self, Gives, Request, Secret, Who, World};

/// The decision, with the number of the line that made it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Allowed(String),
    DeniedBy(String),
    Denied,
}

pub(crate) fn facts(world: &World) -> Facts {
    let state = State {
        principals: world
            .known
            .iter()
            .map(|(who, disabled)| Principal { id: subject(*who), disabled: *disabled })
            .collect(),
        groups: (0_u8..)
            .zip(&world.groups)
            .map(|(number, members)| Group {
                id: GroupId::from_bytes([number; 16]),
                members: members.iter().map(|who| subject(*who)).collect(),
            })
            .collect(),
        lines: world.lines.iter().map(|line| Arc::new(self::line(line))).collect(),
    };
    Facts::new(PolicyEpoch(1), state)
}

pub(crate) fn decided(facts: &Facts, world: &World, request: &Request) -> Decided {
    let action = Action::parse(request.action).unwrap();
    let number = |line: &Line| match line.id() {
        LineId::Permission(id) => id.as_bytes()[0].to_string(),
        LineId::Assignment(id) => id.as_bytes()[0].to_string(),
    };
    match decide(facts, &actor(world, request), action, &secret(&request.secret), request.now) {
        Ruling::Allowed(line) => Decided::Allowed(number(line)),
        Ruling::Denied(Why::Line(line)) => Decided::DeniedBy(number(line)),
        Ruling::Denied(_) => Decided::Denied,
    }
}

pub(crate) fn actor(world: &World, request: &Request) -> Actor {
    let limit = |limit: &world::Limit| Limit { actions: actions(&limit.actions), reach: reach(&limit.reach) };
    let limits = request.credential.map(|number| world.credentials[number].iter().map(limit).collect());
    Actor { holder: holder(request.who), credential: CredentialId::from_bytes([0; 16]), limits, ends_at: None }
}

pub(crate) fn secret(secret: &Secret) -> SecretFacts {
    SecretFacts {
        id: SecretId::from_bytes([0; 16]),
        environment: EnvironmentId::from_bytes([secret.environment; 16]),
        path: SecretPath::parse(secret.names.join("/")).unwrap(),
        tags: tags(&secret.tags),
        service_only: secret.service_only,
        number: 0,
    }
}

fn line(line: &world::Line) -> Line {
    let party = match line.party {
        world::Party::One(Who::Stranger) => Party::Strangers,
        world::Party::One(who) => Party::Principal(subject(who)),
        world::Party::Group(group) => Party::Group(GroupId::from_bytes([group; 16])),
    };
    let (reach, period) = (reach(&line.reach), Period::new(line.start, line.end).unwrap());
    let note = Note { author: None, reason: None };
    match &line.gives {
        Gives::Role(role) => {
            let (id, role) = (AssignmentId::from_bytes([line.number; 16]), Role::parse(world::ROLES[*role].0).unwrap());
            Line::Assignment(Assignment::new(id, (party, role), reach, period, note).unwrap())
        }
        Gives::Actions { deny, actions, tags } => Line::Permission(Permission {
            id: PermissionId::from_bytes([line.number; 16]),
            party,
            effect: if *deny { Effect::Deny } else { Effect::Allow },
            actions: self::actions(actions),
            reach,
            condition: self::tags(tags),
            period,
            note,
        }),
    }
}

fn reach(reach: &world::Reach) -> Reach {
    // As a user writes it: the star of a name is escaped.
    let segment = |segment: Option<&str>| segment.map_or("*".to_owned(), |name| name.replace('*', "%2A"));
    let mut segments: Vec<_> = reach.segments.iter().copied().map(segment).collect();
    segments.extend(reach.below.then(|| "**".to_owned()));
    let environment = reach.environment.map(|number| EnvironmentId::from_bytes([number; 16]));
    Reach { environment, pattern: segments.join("/").parse().unwrap() }
}

fn actions(words: &[&str]) -> Actions {
    words.iter().map(|word| Action::parse(word).unwrap()).collect()
}

fn tags(tags: &[(&str, &str)]) -> Tags {
    Tags::new(tags.iter().map(|(key, value)| (TagKey::parse(*key).unwrap(), TagValue::parse(*value).unwrap()))).unwrap()
}

fn holder(who: Who) -> Holder {
    match who {
        Who::Stranger => Holder::Stranger,
        Who::Person(_) | Who::Service(_) => Holder::Principal(subject(who)),
    }
}

fn subject(who: Who) -> Subject {
    match who {
        Who::Person(number) => Subject::Person(PersonId::from_bytes([number; 16])),
        Who::Service(number) => Subject::Service(ServiceId::from_bytes([number; 16])),
        Who::Stranger => unreachable!("a stranger has no subject"),
    }
}
