//! The tables of `docs/policy.md` are what is decided.

use manager_policy::{
    Action, Actions, Actor, Assignment, Effect, Facts, Group, Holder, Line, LineId, Party, PathPattern, Period,
    Permission, PolicyEpoch, Principal, Reach, Role, Ruling, SecretFacts, State, Why, decide,
};
use shared_proto::id::{EnvironmentId, SecretId, Subject};

use crate::universe::{actor, environment_of, group_of, note, path_of, permission, person, service, tags_of};

/// The rows of the table with this head.
fn table(head: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let rows = guide.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let inside = row.trim_start_matches('|').trim_end().trim_end_matches('|').to_owned();
        inside.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "{head}");
    rows
}

/// The texts between backticks.
fn spelled(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn roles_of_the_guide_are_those_of_the_policy() {
    let rows = table("| role | actions | given for |");
    assert_eq!(rows.len(), Role::ALL.len());
    for (row, role) in rows.iter().zip(Role::ALL) {
        assert_eq!(spelled(&row[0]), [role.as_str()]);
        let words: Vec<_> = role.actions().iter().map(Action::as_str).collect();
        assert!(spelled(&row[1]) == words || (row[1] == "all" && role.actions() == Actions::ALL), "{row:?}");
        assert_eq!(row[2] == "everything", role.is_for_everything(), "{row:?}");
    }
}

#[test]
fn patterns_of_the_guide_match_what_it_says() {
    for row in table("| pattern | matches | does not match |") {
        let pattern: PathPattern = spelled(&row[0])[0].parse().unwrap();
        for (cell, matches) in [(&row[1], true), (&row[2], false)] {
            for path in spelled(cell) {
                assert_eq!(pattern.matches(&path_of(path)), matches, "{pattern} {path}");
            }
        }
    }
    for row in table("| not a pattern |") {
        assert!(spelled(&row[0])[0].parse::<PathPattern>().is_err(), "{row:?}");
    }
}

#[test]
fn example_of_the_guide_is_decided_as_it_says() {
    let lines: Vec<Line> =
        table("| line | party | gives | environment | pattern | tags | time |").iter().map(|row| line(row)).collect();
    let known = [subject("person anna"), subject("person ben"), subject("service billing"), subject("service backup")];
    let state = State {
        principals: known.map(|id| Principal { id, disabled: false }).to_vec(),
        groups: vec![Group { id: group_of(0), members: known[..2].to_vec() }],
        lines: lines.into_iter().map(Into::into).collect(),
    };
    let facts = Facts::new(PolicyEpoch(1), state);
    let rows = table("| who | action | secret | tags | at | answer | by |");
    for row in &rows {
        let [who, action, secret, tags, now, answer, by] = row.as_slice() else { panic!("{row:?}") };
        let (environment, path) = secret.split_once(':').unwrap();
        let secret = SecretFacts {
            id: SecretId::from_bytes([0; 16]),
            environment: environment_named(environment),
            path: path_of(path),
            tags: tags_of(&pairs(tags)),
            service_only: false,
            number: 0,
        };
        let caller: Actor = actor(Holder::Principal(subject(who)));
        let ruling = decide(&facts, &caller, Action::parse(action).unwrap(), &secret, now.parse().unwrap());
        let said = match ruling {
            Ruling::Allowed(line) => ("yes", number(line)),
            Ruling::Denied(Why::Line(line)) => ("no", number(line)),
            Ruling::Denied(Why::NoLine) => ("no", "no line".to_owned()),
            Ruling::Denied(Why::Unknown) => ("no", "unknown".to_owned()),
            Ruling::Denied(why @ (Why::Disabled | Why::ServiceOnly | Why::Limits)) => panic!("{row:?}: {why:?}"),
        };
        assert_eq!((answer.as_str(), by), (said.0, &said.1), "{row:?}");
    }
    assert!(rows.len() >= 18);
}

fn line(row: &[String]) -> Line {
    let [number, party, gives, environment, pattern, tags, time] = row else { panic!("{row:?}") };
    let number = number.parse().unwrap();
    let party = if party == "group team" { Party::Group(group_of(0)) } else { Party::Principal(subject(party)) };
    let environment = (environment != "*").then(|| environment_named(environment));
    let reach = Reach { environment, pattern: spelled(pattern)[0].parse().unwrap() };
    let period = time.split_once('–').map(|(from, to)| Period::new(from.parse().ok(), to.parse().ok()).unwrap());
    let period = period.unwrap_or(Period::ALWAYS);
    let (kind, what) = gives.split_once(' ').unwrap();
    let effect = match kind {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        "role" => {
            let id = manager_api::id::AssignmentId::from_bytes([number; 16]);
            let assignment = Assignment::new(id, (party, Role::parse(what).unwrap()), reach, period, note());
            return Line::Assignment(assignment.unwrap());
        }
        other => panic!("{other}"),
    };
    let line = permission(number, party, effect, &[Action::parse(what).unwrap()], reach);
    Line::Permission(Permission { condition: tags_of(&pairs(tags)), period, ..line })
}

fn number(line: &Line) -> String {
    match line.id() {
        LineId::Permission(id) => format!("line {}", id.as_bytes()[0]),
        LineId::Assignment(id) => format!("line {}", id.as_bytes()[0]),
    }
}

fn pairs(cell: &str) -> Vec<(&str, &str)> {
    spelled(cell).chunks(2).map(|pair| (pair[0], pair[1])).collect()
}

fn environment_named(name: &str) -> EnvironmentId {
    environment_of(["prod", "dev"].iter().position(|own| *own == name).unwrap().try_into().unwrap())
}

fn subject(name: &str) -> Subject {
    match name {
        "person anna" => person(0),
        "person ben" => person(1),
        "person eve" => person(2),
        "service billing" => service(0),
        "service backup" => service(1),
        other => panic!("{other}"),
    }
}
