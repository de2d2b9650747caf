//! Explanations say what the decision says.

use manager_policy::{
    Action, Effect, Holder, Line, MAX_NEAR_MISSES, Miss, Party, Period, Permission, Ruling, Scope, Why, decide,
    explain, who_can,
};
use proptest::prelude::*;

use crate::universe::{
    TIMES, action, actor, environment_of, facts, facts_of, group_of, holder, holders, may, path_of, permission, person,
    reach_of, scope, secret, secret_of, service, tags_of,
};

proptest! {
    #[test]
    fn explanation_agrees_with_the_decision(
        facts in facts(), holder in holder(), scope in scope(), secret in secret(), action in action(), now in 0..TIMES,
    ) {
        let actor = actor(holder);
        for (explanation, ruling) in [
            (explain(&facts, &actor, action, &scope, now), decide(&facts, &actor, action, &scope, now)),
            (explain(&facts, &actor, action, &secret, now), decide(&facts, &actor, action, &secret, now)),
        ] {
            prop_assert_eq!(explanation.ruling, ruling);
            let first = |effect| explanation.holding.iter().map(|one| one.line).find(|line| line.effect() == effect);
            match ruling {
                Ruling::Denied(Why::Unknown | Why::Disabled) => {}
                Ruling::Denied(Why::Line(line)) => prop_assert_eq!(first(Effect::Deny), Some(line)),
                Ruling::Denied(Why::NoLine) => prop_assert!(explanation.holding.is_empty()),
                Ruling::Denied(Why::ServiceOnly | Why::Limits) => {
                    prop_assert!(first(Effect::Deny).is_none() && first(Effect::Allow).is_some());
                }
                Ruling::Allowed(line) => {
                    prop_assert_eq!(first(Effect::Allow), Some(line));
                    prop_assert_eq!(first(Effect::Deny), None);
                }
            }
            for (near, miss) in &explanation.near_misses {
                prop_assert!(!explanation.holding.contains(near));
                prop_assert_eq!(*miss == Miss::Action, !near.line.actions().contains(action));
            }
        }
    }

    #[test]
    fn who_can_agrees_with_the_decision_for_everybody(
        facts in facts(), scope in scope(), secret in secret(), action in action(), now in 0..TIMES, page in 0..8_usize,
    ) {
        let mut all = holders();
        all.sort();
        let expected: Vec<_> = all.iter().copied().filter(|holder| may(&facts, &actor(*holder), action, &secret, now)).collect();
        let found: Vec<_> = who_can(&facts, action, &secret, None, now).collect();
        prop_assert_eq!(found.iter().map(|access| access.holder).collect::<Vec<_>>(), expected);
        for access in &found {
            let holding = explain(&facts, &actor(access.holder), action, &secret, now).holding;
            prop_assert_eq!(&access.through, &holding);
        }
        let first: Vec<_> = who_can(&facts, action, &secret, None, now).take(page).collect();
        let after = first.last().map(|access| access.holder);
        let rest = who_can(&facts, action, &secret, after, now);
        prop_assert_eq!(first.iter().cloned().chain(rest).skip(if after.is_none() { first.len() } else { 0 }).collect::<Vec<_>>(), found);
        let expected: Vec<_> = all.into_iter().filter(|holder| may(&facts, &actor(*holder), action, &scope, now)).collect();
        let found: Vec<_> = who_can(&facts, action, &scope, None, now).map(|access| access.holder).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn line_that_nearly_holds_is_explained_by_its_one_reason() {
    let party = Party::Principal(service(0));
    let line = |number, effect, actions: &[_], reach| permission(number, party, effect, actions, reach);
    let read = |number, reach| line(number, Effect::Allow, &[Action::Read], reach);
    let during = |from, to| Period::new(Some(from), Some(to)).unwrap();
    let facts = facts_of(
        [
            line(1, Effect::Allow, &[Action::List], reach_of(Some(0), "a/**")),
            read(2, reach_of(Some(1), "a/**")),
            read(3, reach_of(None, "ab/**")),
            Permission { condition: tags_of(&[("team", "x")]), ..read(4, reach_of(None, "a/**")) },
            Permission { period: during(6, 9), ..read(5, reach_of(None, "a/**")) },
            Permission { period: during(1, 5), ..read(6, reach_of(None, "a/**")) },
            Permission { period: during(1, 5), ..read(7, reach_of(None, "b")) },
            Permission { party: Party::Group(group_of(0)), ..read(8, reach_of(None, "*/b")) },
            Permission { party: Party::Group(group_of(1)), ..read(9, reach_of(None, "**")) },
        ]
        .map(Line::Permission),
    );
    let actor = actor(Holder::Principal(service(0)));
    let secret = secret_of(0, "a/b", &[("team", "y")]);
    let explanation = explain(&facts, &actor, Action::Read, &secret, 5);
    let groups: Vec<_> = explanation.holding.iter().map(|one| one.group).collect();
    assert_eq!(groups, [Some(group_of(0))]);
    let reasons: Vec<_> = explanation.near_misses.iter().map(|(_, miss)| *miss).collect();
    let expected = [Miss::Action, Miss::Environment, Miss::Path, Miss::Tags, Miss::NotYet(6), Miss::Ended(5)];
    assert_eq!(reasons, expected);
    let folder = Scope::Folder(environment_of(0), path_of("a"));
    let explanation = explain(&facts, &actor, Action::Read, &folder, 5);
    assert_eq!(explanation.ruling, Ruling::Denied(Why::NoLine));
    assert!(explanation.near_misses.iter().any(|(near, miss)| near.group.is_some() && *miss == Miss::OnlyPart));
}

#[test]
fn explanation_is_bounded_and_says_so() {
    let party = Party::Principal(person(0));
    let near =
        |number| Line::Permission(permission(number, party, Effect::Allow, &[Action::List], reach_of(None, "**")));
    let count = |many: u8| {
        let facts = facts_of((0..many).map(near));
        let explained = explain(&facts, &actor(Holder::Principal(person(0))), Action::Read, &Scope::Installation, 1)
            .near_misses
            .len();
        let more = explain(&facts, &actor(Holder::Principal(person(0))), Action::Read, &Scope::Installation, 1);
        (explained, more.more_near_misses)
    };
    assert_eq!(count(100), (MAX_NEAR_MISSES, false));
    assert_eq!(count(101), (MAX_NEAR_MISSES, true));
}
