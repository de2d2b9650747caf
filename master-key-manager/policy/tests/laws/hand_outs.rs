//! Nobody hands out more than he holds.

use std::sync::Arc;

use manager_api::id::AssignmentId;
use manager_policy::{
    Action, Actions, Actor, Assignment, Effect, Excess, Facts, Holder, Limit, Line, LineId, Party, Period, Permission,
    PolicyEpoch, Reach, Role, State, may_act_for, may_hand_out,
};
use proptest::prelude::*;

use crate::changes::edit;
use crate::universe::{
    TIMES, actor, all_that_he_may, facts, facts_of, group_of, holder, holders, limits, note, permission, person,
    reach_of, secret, service, tags_of, with_lines,
};

fn role(number: u8, party: Party, role: Role, reach: Reach) -> Line {
    let id = AssignmentId::from_bytes([number; 16]);
    Line::Assignment(Assignment::new(id, (party, role), reach, Period::ALWAYS, note()).unwrap())
}

/// Adds lines to the facts.
fn more(facts: &Facts, lines: impl IntoIterator<Item = Line>) -> Facts {
    let own = facts.state().lines.iter().cloned();
    with_lines(facts, own.chain(lines.into_iter().map(Arc::new)).collect())
}

fn changed(facts: &Facts, change: impl FnOnce(&mut State)) -> Facts {
    let mut state = facts.state().clone();
    change(&mut state);
    Facts::new(PolicyEpoch(2), state)
}

proptest! {
    /// At any later time, to any secret. The first service has much, so that many changes are let through.
    #[test]
    fn nobody_gains_what_he_who_makes_the_change_lacks(
        facts in facts(), edit in edit(), holder in prop_oneof![Just(Holder::Principal(service(0))), holder()],
        much in prop_oneof![Just("**"), Just("a/**"), Just("*/**")],
        limits in prop_oneof![3 => Just(None), 1 => limits()],
        secrets in prop::collection::vec(secret(), 1..6), now in 0..TIMES,
    ) {
        let wide = permission(1, Party::Principal(service(0)), Effect::Allow, Action::ALL, reach_of(None, much));
        let before = more(&facts, [Line::Permission(wide)]);
        let after = edit.apply(&before);
        let maker = Actor { limits, ..actor(holder) };
        if may_hand_out(&before, &after, &maker, now).is_ok() {
            for mut secret in secrets {
                secret.service_only = false;
                for later in now..2 * TIMES {
                    let held = all_that_he_may(&before, &maker, &secret, later);
                    for holder in holders() {
                        let [old, new] = [&before, &after].map(|facts| all_that_he_may(facts, &actor(holder), &secret, later));
                        prop_assert!(new.without(old).without(held).is_empty(), "{:?} at {}", holder, later);
                    }
                }
            }
        }
    }

    #[test]
    fn who_acts_for_another_holds_what_that_one_may(
        facts in facts(), holder in holder(), secret in secret(), now in 0..TIMES,
    ) {
        let own = role(1, Party::Principal(service(0)), Role::SuperAdmin, Reach::everything());
        let facts = more(&facts, [own]);
        for subject in [service(1), person(0), person(1)] {
            if may_act_for(&facts, &actor(holder), subject, now).is_ok() && !secret.service_only {
                let theirs = all_that_he_may(&facts, &actor(Holder::Principal(subject)), &secret, now);
                prop_assert!(theirs.without(all_that_he_may(&facts, &actor(holder), &secret, now)).is_empty());
            }
        }
    }

    #[test]
    fn taking_away_needs_no_right(facts in facts(), holder in holder(), now in 0..TIMES) {
        let fewer = changed(&facts, |state| {
            state.lines.retain(|line| line.effect() == Effect::Deny);
            state.principals.iter_mut().for_each(|principal| principal.disabled = true);
        });
        prop_assert_eq!(may_hand_out(&facts, &fewer, &actor(holder), now), Ok(()));
        let denies = permission(1, Party::Group(group_of(0)), Effect::Deny, Action::ALL, Reach::everything());
        prop_assert_eq!(may_hand_out(&facts, &more(&facts, [Line::Permission(denies)]), &actor(holder), now), Ok(()));
    }
}

/// The first service is the administrator of `a` in the first environment.
fn team() -> (Facts, Actor) {
    let facts = facts_of([role(1, Party::Principal(service(0)), Role::ServiceAdmin, reach_of(Some(0), "a/**"))]);
    (facts, actor(Holder::Principal(service(0))))
}

fn to_the_other(number: u8, effect: Effect, actions: &[Action], reach: Reach) -> Permission {
    permission(number, Party::Principal(service(1)), effect, actions, reach)
}

#[test]
fn administrator_of_a_folder_hands_out_its_rights_and_no_others() {
    let (facts, admin) = team();
    let granted = |line: Permission| may_hand_out(&facts, &more(&facts, [Line::Permission(line)]), &admin, 5);
    let read = |reach| to_the_other(9, Effect::Allow, &[Action::List, Action::Read], reach);
    for inside in ["a/**", "a/b", "a/*", "a/b/**", "a/*/b/**"] {
        assert_eq!(granted(read(reach_of(Some(0), inside))), Ok(()), "{inside}");
    }
    for outside in ["**", "a", "ab/**", "*/b", "*", "b/**"] {
        assert!(granted(read(reach_of(Some(0), outside))).is_err(), "{outside}");
    }
    assert!(granted(read(reach_of(Some(1), "a/**"))).is_err() && granted(read(reach_of(None, "a/**"))).is_err());
    let destroy = to_the_other(9, Effect::Allow, &[Action::Read, Action::Destroy], reach_of(Some(0), "a/b"));
    let id = LineId::Permission(destroy.id);
    assert_eq!(granted(destroy), Err(Excess { line: id, action: Action::Destroy }));
    let assigned = |given| {
        let line = role(
            9,
            Party::Principal(service(1)),
            given,
            if given.is_for_everything() { Reach::everything() } else { reach_of(Some(0), "a/**") },
        );
        may_hand_out(&facts, &more(&facts, [line]), &admin, 5).is_ok()
    };
    let given: Vec<_> = Role::ALL.iter().filter(|role| assigned(**role)).map(|role| role.as_str()).collect();
    assert_eq!(given, ["service_admin", "service_user", "publisher", "auditor"]);
}

#[test]
fn joining_a_group_hands_out_what_its_members_may() {
    let (facts, admin) = team();
    let group = |reach| permission(9, Party::Group(group_of(0)), Effect::Allow, &[Action::Read], reach);
    for (reach, expected) in [(reach_of(Some(0), "a/b/**"), true), (reach_of(Some(0), "b/**"), false)] {
        let before = more(&facts, [Line::Permission(group(reach))]);
        let before = changed(&before, |state| state.groups[0].members = vec![person(0)]);
        let after = changed(&before, |state| state.groups[0].members.push(service(1)));
        assert_eq!(may_hand_out(&before, &after, &admin, 5).is_ok(), expected);
        assert_eq!(may_hand_out(&after, &before, &admin, 5), Ok(()), "leaving takes away");
    }
    let denies = permission(9, Party::Group(group_of(0)), Effect::Deny, &[Action::Read], reach_of(Some(0), "b"));
    let before = more(&facts, [Line::Permission(denies)]);
    let without = changed(&before, |state| state.groups[0].members.retain(|member| *member == service(0)));
    assert!(may_hand_out(&before, &without, &admin, 5).is_err(), "leaving what denies gives");
    let gone = changed(&before, |state| state.groups.clear());
    assert!(may_hand_out(&before, &gone, &admin, 5).is_err(), "so does the end of the group");
}

#[test]
fn removing_what_denies_hands_out_what_it_denied() {
    let (facts, admin) = team();
    for (reach, expected) in [(reach_of(Some(0), "a/b"), true), (reach_of(Some(0), "b"), false)] {
        let deny =
            |reach: &Reach, actions: &[Action]| Line::Permission(to_the_other(9, Effect::Deny, actions, reach.clone()));
        let before = more(&facts, [deny(&reach, &[Action::Read, Action::Write])]);
        let narrower = more(&facts, [deny(&reach, &[Action::Write])]);
        assert_eq!(may_hand_out(&before, &facts, &admin, 5).is_ok(), expected);
        assert_eq!(may_hand_out(&before, &narrower, &admin, 5).is_ok(), expected);
        assert_eq!(may_hand_out(&narrower, &before, &admin, 5), Ok(()));
    }
    let mine = Line::Permission(permission(
        9,
        Party::Principal(service(0)),
        Effect::Deny,
        &[Action::Read],
        reach_of(Some(0), "a/b"),
    ));
    let before = more(&facts, [mine]);
    assert!(may_hand_out(&before, &facts, &admin, 5).is_err(), "nobody frees himself");
    let read = Line::Permission(to_the_other(8, Effect::Allow, &[Action::Read], reach_of(Some(0), "a/**")));
    assert!(may_hand_out(&before, &more(&before, [read]), &admin, 5).is_err(), "what he is denied is not his to give");
}

#[test]
fn right_is_handed_out_no_longer_than_it_is_held() {
    let during = |from, to| Period::new(Some(from), to).unwrap();
    let base = permission(1, Party::Principal(service(0)), Effect::Allow, &[Action::Read], reach_of(None, "a"));
    let admin = actor(Holder::Principal(service(0)));
    let facts = facts_of([Line::Permission(Permission { period: during(2, Some(8)), ..base.clone() })]);
    let granted = |period, now| {
        let line = to_the_other(9, Effect::Allow, &[Action::Read], reach_of(None, "a"));
        may_hand_out(&facts, &more(&facts, [Line::Permission(Permission { period, ..line })]), &admin, now).is_ok()
    };
    assert!(granted(during(0, Some(8)), 5) && granted(during(6, Some(7)), 2));
    assert!(!granted(during(0, Some(9)), 5) && !granted(Period::ALWAYS, 5));
    assert!(!granted(during(6, Some(7)), 1), "he does not hold it yet");
    assert!(granted(during(0, Some(4)), 5), "what is over gives nothing");
    let later = Line::Permission(Permission {
        effect: Effect::Deny,
        period: during(7, None),
        ..permission(2, base.party, Effect::Deny, &[Action::Read], reach_of(None, "**"))
    });
    let facts = more(&facts, [later]);
    let line = |end| Permission {
        period: during(0, Some(end)),
        ..to_the_other(9, Effect::Allow, &[Action::Read], reach_of(None, "a"))
    };
    let granted = |end| may_hand_out(&facts, &more(&facts, [Line::Permission(line(end))]), &admin, 5).is_ok();
    assert!(granted(7) && !granted(8));
}

#[test]
fn right_under_a_condition_is_handed_out_under_it() {
    let base = permission(1, Party::Principal(service(0)), Effect::Allow, &[Action::Read], reach_of(None, "**"));
    let denied = permission(2, Party::Principal(service(0)), Effect::Deny, &[Action::Read], reach_of(None, "a/**"));
    let facts = facts_of([
        Line::Permission(Permission { condition: tags_of(&[("team", "x")]), ..base }),
        Line::Permission(Permission { condition: tags_of(&[("zone", "y")]), ..denied }),
    ]);
    let granted = |tags: &[(&str, &str)], pattern| {
        let line = Permission {
            condition: tags_of(tags),
            ..to_the_other(9, Effect::Allow, &[Action::Read], reach_of(None, pattern))
        };
        may_hand_out(&facts, &more(&facts, [Line::Permission(line)]), &actor(Holder::Principal(service(0))), 5).is_ok()
    };
    assert!(granted(&[("team", "x")], "b/**") && granted(&[("team", "x"), ("zone", "y")], "b/**"));
    assert!(!granted(&[], "b/**") && !granted(&[("team", "y")], "b/**"));
    assert!(!granted(&[("team", "x")], "a/**"), "a secret with the other tag may be there");
    assert!(granted(&[("team", "x"), ("zone", "x")], "a/**"), "no secret has both values");
}

/// By somebody who holds nothing.
#[test]
fn line_that_changes_hands_out_what_is_new_of_it() {
    let during = |end| Period::new(Some(0), end).unwrap();
    let old = to_the_other(9, Effect::Allow, &[Action::List, Action::Read], reach_of(None, "a/**"));
    let old = Permission { period: during(Some(10)), condition: tags_of(&[("team", "x")]), ..old };
    let nobody = actor(Holder::Principal(service(2)));
    let with = |line: &Permission| facts_of([Line::Permission(line.clone())]);
    let changed = |new: &Permission| may_hand_out(&with(&old), &with(new), &nobody, 5).is_ok();
    let actions = |actions: &[Action]| actions.iter().copied().collect();
    assert!(changed(&Permission { period: during(Some(8)), ..old.clone() }));
    assert!(changed(&Permission { reach: reach_of(Some(0), "a/b"), ..old.clone() }));
    assert!(changed(&Permission { condition: tags_of(&[("team", "x"), ("zone", "y")]), ..old.clone() }));
    assert!(changed(&Permission { actions: actions(&[Action::List]), ..old.clone() }));
    assert!(!changed(&Permission { party: Party::Principal(service(0)), ..old.clone() }));
    assert!(!changed(&Permission { period: during(Some(11)), ..old.clone() }));
    assert!(!changed(&Permission { reach: reach_of(None, "**"), ..old.clone() }));
    assert!(!changed(&Permission { condition: tags_of(&[]), ..old.clone() }));
    assert!(!changed(&Permission { actions: actions(&[Action::List, Action::Write]), ..old.clone() }));
}

#[test]
fn narrower_credential_hands_out_less() {
    let (facts, admin) = team();
    let limit = Limit { actions: Actions::from_iter([Action::Read]), reach: reach_of(None, "a/b") };
    let limited = Actor { limits: Some([limit].into()), ..admin };
    let granted = |action, pattern| {
        let line = to_the_other(9, Effect::Allow, &[action], reach_of(Some(0), pattern));
        may_hand_out(&facts, &more(&facts, [Line::Permission(line)]), &limited, 5).is_ok()
    };
    assert!(granted(Action::Read, "a/b") && !granted(Action::Read, "a/*") && !granted(Action::List, "a/b"));
}

#[test]
fn person_hands_out_reading_that_includes_secrets_for_services_only() {
    let admin = role(1, Party::Principal(person(0)), Role::SuperAdmin, Reach::everything());
    let facts = facts_of([admin]);
    let line = to_the_other(9, Effect::Allow, &[Action::Read], reach_of(Some(0), "a/**"));
    assert_eq!(
        may_hand_out(&facts, &more(&facts, [Line::Permission(line)]), &actor(Holder::Principal(person(0))), 5),
        Ok(())
    );
}

#[test]
fn acting_for_a_principal_needs_all_that_it_may() {
    let (facts, admin) = team();
    assert_eq!(may_act_for(&facts, &admin, service(1), 5), Ok(()), "it may nothing");
    let with = |reach| more(&facts, [Line::Permission(to_the_other(9, Effect::Allow, &[Action::Read], reach))]);
    assert_eq!(may_act_for(&with(reach_of(Some(0), "a/b")), &admin, service(1), 5), Ok(()));
    assert!(may_act_for(&with(reach_of(Some(0), "b")), &admin, service(1), 5).is_err());
    let group = permission(9, Party::Group(group_of(0)), Effect::Allow, &[Action::Read], reach_of(Some(0), "b"));
    let facts = more(&facts, [Line::Permission(Permission { party: Party::Group(group_of(0)), ..group })]);
    let facts = changed(&facts, |state| state.groups[0].members = vec![service(1)]);
    assert!(may_act_for(&facts, &admin, service(1), 5).is_err(), "also through a group");
    let disabled = changed(&facts, |state| {
        state.principals.iter_mut().for_each(|principal| principal.disabled = principal.id == service(1));
    });
    let enabled =
        changed(&disabled, |state| state.principals.iter_mut().for_each(|principal| principal.disabled = false));
    assert!(may_hand_out(&disabled, &enabled, &admin, 5).is_err(), "enabling gives back");
    assert_eq!(may_hand_out(&enabled, &disabled, &admin, 5), Ok(()));
}
