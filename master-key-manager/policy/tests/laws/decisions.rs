//! Laws of decisions and permits.

use std::sync::Arc;

use manager_policy::{
    Action, Actions, Actor, Effect, Facts, Holder, Line, Party, Permission, Permit, PolicyEpoch, Principal, Reach,
    Read, Ruling, Scope, State, Visible, Why, Write, decide, explain,
};
use proptest::prelude::*;
use shared_proto::id::Subject;

use crate::universe::{
    TIMES, action, actor, all_that_he_may, environment_of, facts, facts_of, group_of, holder, holders, limits,
    line_with, may, path_of, permission, person, reach_of, scope, secret, secret_of, service, tags_of, with_lines,
};

proptest! {
    #[test]
    fn what_denies_wins(facts in facts(), holder in holder(), secret in secret(), action in action(), now in 0..TIMES) {
        let party = match holder {
            Holder::Principal(subject) => Party::Principal(subject),
            Holder::Stranger => Party::Strangers,
        };
        let denies = permission(1, party, Effect::Deny, &[action], Reach::everything());
        let mut lines = facts.state().lines.clone();
        lines.push(Arc::new(Line::Permission(denies)));
        let facts = with_lines(&facts, lines);
        prop_assert!(!may(&facts, &actor(holder), action, &secret, now));
        prop_assert!(!may(&facts, &actor(holder), action, &Scope::Installation, now));
        prop_assert!(!may(&facts, &actor(holder), action, &Scope::Secret(secret.id), now));
    }

    #[test]
    fn line_that_decides_is_about_the_caller_the_action_and_the_time(
        facts in facts(), holder in holder(), scope in scope(), secret in secret(), action in action(), now in 0..TIMES,
    ) {
        let about = |line: &Line| {
            let party = match (line.party(), holder) {
                (Party::Principal(own), Holder::Principal(subject)) => own == subject,
                (Party::Group(group), Holder::Principal(subject)) => facts.groups_of(subject).contains(&group),
                (Party::Strangers, Holder::Stranger) => true,
                _ => false,
            };
            party && line.actions().contains(action) && line.period().contains(now)
        };
        for ruling in [
            decide(&facts, &actor(holder), action, &scope, now), decide(&facts, &actor(holder), action, &secret, now),
        ] {
            match ruling {
                Ruling::Allowed(line) => prop_assert!(about(line) && line.effect() == Effect::Allow),
                Ruling::Denied(Why::Line(line)) => prop_assert!(about(line) && line.effect() == Effect::Deny),
                Ruling::Denied(_) => {}
            }
        }
    }

    #[test]
    fn order_of_the_parts_of_a_policy_does_not_matter(
        facts in facts(), turn in 0..24_usize, reversed in any::<bool>(), holder in holder(), scope in scope(), secret in secret(), action in action(),
    ) {
        let mut state = facts.state().clone();
        let many = state.lines.len().max(1);
        state.lines.rotate_left(turn % many);
        if reversed {
            state.lines.reverse();
        }
        state.principals.reverse();
        state.groups.reverse();
        state.groups.iter_mut().for_each(|group| group.members.reverse());
        let other = Facts::new(facts.epoch(), state);
        let actor = actor(holder);
        prop_assert_eq!(decide(&facts, &actor, action, &scope, 5), decide(&other, &actor, action, &scope, 5));
        prop_assert_eq!(explain(&facts, &actor, action, &secret, 5), explain(&other, &actor, action, &secret, 5));
        prop_assert_eq!(Visible::decide(&facts, &actor, 5), Visible::decide(&other, &actor, 5));
    }

    #[test]
    fn one_more_line_that_allows_takes_nothing_away(
        facts in facts(), line in line_with(Just(Effect::Allow)), secret in secret(), scope in scope(), now in 0..TIMES,
    ) {
        let mut lines = facts.state().lines.clone();
        lines.push(Arc::new(line));
        let more = with_lines(&facts, lines);
        for actor in holders().into_iter().map(actor) {
            let lost = |old: Actions, new| old.without(new);
            prop_assert!(lost(all_that_he_may(&facts, &actor, &secret, now), all_that_he_may(&more, &actor, &secret, now)).is_empty());
            prop_assert!(lost(all_that_he_may(&facts, &actor, &scope, now), all_that_he_may(&more, &actor, &scope, now)).is_empty());
        }
    }

    #[test]
    fn one_line_less_that_denies_takes_nothing_away(
        facts in facts(), line in line_with(Just(Effect::Deny)), secret in secret(), scope in scope(), now in 0..TIMES,
    ) {
        let mut lines = facts.state().lines.clone();
        lines.push(Arc::new(line));
        let more = with_lines(&facts, lines);
        for actor in holders().into_iter().map(actor) {
            let lost = |old: Actions, new| old.without(new);
            prop_assert!(lost(all_that_he_may(&more, &actor, &secret, now), all_that_he_may(&facts, &actor, &secret, now)).is_empty());
            prop_assert!(lost(all_that_he_may(&more, &actor, &scope, now), all_that_he_may(&facts, &actor, &scope, now)).is_empty());
        }
    }

    /// For any id, tags and flags of the secret.
    #[test]
    fn right_in_a_scope_is_one_to_each_secret_in_it(
        facts in facts(), limits in limits(), wide in scope(), narrow in scope(), secret in secret(), now in 0..TIMES,
    ) {
        let here = Scope::Path(secret.environment, secret.path.clone());
        for holder in holders() {
            let actor = Actor { limits: limits.clone(), ..actor(holder) };
            let held = all_that_he_may(&facts, &actor, &wide, now);
            if wide.contains(&narrow) {
                prop_assert!(held.without(all_that_he_may(&facts, &actor, &narrow, now)).is_empty());
            }
            if wide.contains(&here) || wide == Scope::Secret(secret.id) {
                prop_assert!(held.without(all_that_he_may(&facts, &actor, &secret, now)).is_empty());
            }
        }
    }

    #[test]
    fn limits_of_a_credential_are_cut_out_of_the_rights(
        facts in facts(), limits in limits(), holder in holder(), secret in secret(), now in 0..TIMES,
    ) {
        let own = all_that_he_may(&facts, &actor(holder), &secret, now);
        let within = |action: &Action| limits.as_ref().is_none_or(|limits| limits.iter().any(|limit| {
            limit.actions.contains(*action)
                && limit.reach.environment.is_none_or(|environment| environment == secret.environment)
                && limit.reach.pattern.matches(&secret.path)
        }));
        let expected: Actions = own.iter().filter(within).collect();
        let limited = Actor { limits: limits.clone(), ..actor(holder) };
        prop_assert_eq!(all_that_he_may(&facts, &limited, &secret, now), expected);
    }

    #[test]
    fn who_is_unknown_or_disabled_may_nothing(facts in facts(), holder in holder(), secret in secret(), scope in scope(), now in 0..TIMES) {
        if let Holder::Principal(subject) = holder {
            let mut state = facts.state().clone();
            state.principals.retain(|principal| principal.id != subject);
            let unknown = Facts::new(facts.epoch(), state.clone());
            state.principals.extend([true, false].map(|disabled| Principal { id: subject, disabled }));
            let disabled = Facts::new(facts.epoch(), state);
            for facts in [unknown, disabled] {
                prop_assert!(all_that_he_may(&facts, &actor(holder), &secret, now).is_empty());
                prop_assert!(all_that_he_may(&facts, &actor(holder), &scope, now).is_empty());
                prop_assert!(Visible::decide(&facts, &actor(holder), now).parts(9).is_empty());
            }
        }
    }

    #[test]
    fn people_never_read_what_is_for_services_only(facts in facts(), holder in holder(), mut secret in secret(), now in 0..TIMES) {
        secret.service_only = false;
        let before = all_that_he_may(&facts, &actor(holder), &secret, now);
        secret.service_only = true;
        let after = all_that_he_may(&facts, &actor(holder), &secret, now);
        let kept = if matches!(holder, Holder::Principal(Subject::Person(_))) { Actions::from_iter([Action::Read]) } else { Actions::NONE };
        prop_assert_eq!(after, before.without(kept));
    }

    #[test]
    fn permit_is_for_its_target_and_says_what_it_was_decided_from(
        facts in facts(), holder in holder(), scope in scope(), target in scope(), now in 0..TIMES,
    ) {
        let actor = actor(holder);
        let allowed = may(&facts, &actor, Action::Write, &scope, now);
        let permit = Permit::<Write>::decide(&facts, &actor, &scope, now);
        prop_assert_eq!(permit.is_ok(), allowed);
        if let Ok(permit) = permit {
            let basis = permit.basis_for(&target);
            prop_assert_eq!(basis.is_some(), scope.contains(&target));
            prop_assert_eq!(permit.to_look().basis_for(&target), basis);
            let basis = permit.basis_for(&scope).unwrap();
            prop_assert_eq!((basis.credential(), basis.epoch()), (actor.credential, facts.epoch()));
        }
    }

    #[test]
    fn decision_is_the_same_at_every_time_at_which_its_basis_holds(
        facts in facts(), holder in holder(), scope in scope(), secret in secret(), now in 0..TIMES,
    ) {
        let actor = actor(holder);
        let visible = Visible::decide(&facts, &actor, now);
        let [at_scope, at_secret] = [
            Permit::<Read>::decide(&facts, &actor, &scope, now).ok().and_then(|permit| permit.basis_for(&scope)),
            Permit::<Read>::decide(&facts, &actor, &secret, now).ok().and_then(|permit| permit.basis_for(&Scope::Secret(secret.id))),
        ];
        prop_assert!(visible.basis().holds_at(now));
        for basis in [at_scope, at_secret].into_iter().flatten() {
            prop_assert!(basis.holds_at(now) && basis.valid_until().is_none_or(|end| now < end && !basis.holds_at(end)));
        }
        for later in 0..2 * TIMES {
            let holds = |basis: Option<manager_policy::Basis>| basis.is_some_and(|basis| basis.holds_at(later));
            prop_assert!(!holds(at_scope) || may(&facts, &actor, Action::Read, &scope, later));
            prop_assert!(!holds(at_secret) || may(&facts, &actor, Action::Read, &secret, later));
            let other = Visible::decide(&facts, &actor, later);
            prop_assert!(!holds(Some(visible.basis())) || visible.shows(&secret) == other.shows(&secret));
        }
    }
}

#[test]
fn empty_policy_allows_nobody() {
    for facts in [Facts::new(PolicyEpoch(1), State::default()), facts_of([])] {
        for actor in holders().into_iter().map(actor) {
            assert_eq!(all_that_he_may(&facts, &actor, &Scope::Installation, 1), Actions::NONE);
            assert_eq!(all_that_he_may(&facts, &actor, &secret_of(0, "a", &[]), 1), Actions::NONE);
            assert!(!Visible::decide(&facts, &actor, 1).shows(&Scope::Installation));
        }
    }
}

#[test]
fn permit_for_a_secret_is_for_its_id_and_its_path() {
    let party = Party::Principal(service(0));
    let facts =
        facts_of([Line::Permission(permission(1, party, Effect::Allow, &[Action::Write], reach_of(Some(0), "a/**")))]);
    let secret = secret_of(0, "a/b", &[]);
    let actor = actor(Holder::Principal(service(0)));
    let permit = Permit::<Write>::decide(&facts, &actor, &secret, 1).unwrap();
    let at = |environment, path| Scope::Path(environment_of(environment), path_of(path));
    assert!(permit.basis_for(&at(0, "a/b")).is_some() && permit.basis_for(&Scope::Secret(secret.id)).is_some());
    let others =
        [at(1, "a/b"), at(0, "a/c"), at(0, "a"), Scope::Installation, Scope::Secret(secret_of(1, "a", &[]).id)];
    for other in others.iter().chain(&[Scope::Folder(environment_of(0), path_of("a/b"))]) {
        assert_eq!(permit.basis_for(other), None, "{other:?}");
        assert_eq!(permit.to_look().basis_for(other), None, "{other:?}");
    }
}

#[test]
fn bases_of_two_callers_or_epochs_are_not_one() {
    let all = |number, party| {
        Line::Permission(permission(number, party, Effect::Allow, &[Action::Read], Reach::everything()))
    };
    let timed = |number, start, end| {
        let period = manager_policy::Period::new(Some(start), Some(end)).unwrap();
        let line =
            permission(number, Party::Principal(service(0)), Effect::Allow, &[Action::Read], reach_of(None, "a"));
        Line::Permission(Permission { period, ..line })
    };
    let facts = facts_of([all(1, Party::Principal(service(0))), timed(2, 3, 8), timed(3, 4, 20)]);
    let actor = actor(Holder::Principal(service(0)));
    let basis = |facts: &Facts, actor: &Actor, path, now| {
        let scope = Scope::Path(environment_of(0), path_of(path));
        Permit::<Read>::decide(facts, actor, &scope, now).unwrap().basis_for(&scope).unwrap()
    };
    let (one, two) = (basis(&facts, &actor, "a", 5), basis(&facts, &actor, "b", 5));
    assert_eq!((one.valid_until(), two.valid_until()), (Some(8), None));
    assert_eq!((one.holds_at(3), one.holds_at(4), one.holds_at(7), one.holds_at(8)), (false, true, true, false));
    assert_eq!((one.and(two), two.and(one)), (Some(one), Some(one)));
    assert_eq!(one.and(basis(&facts, &actor, "a", 9)), None, "the two never hold at one time");
    let newer = Facts::new(PolicyEpoch(2), facts.state().clone());
    assert_eq!(one.and(basis(&newer, &actor, "a", 5)), None);
    let other = Actor { credential: shared_proto::id::CredentialId::from_bytes([8; 16]), ..actor.clone() };
    assert_eq!(one.and(basis(&facts, &other, "a", 5)), None);
}

#[test]
fn permit_does_not_outlive_the_beginning_of_a_line_that_denies() {
    let line = |number, effect| permission(number, Party::Strangers, effect, &[Action::Read], Reach::everything());
    let period = manager_policy::Period::new(Some(8), None).unwrap();
    let denies = Permission { period, ..line(2, Effect::Deny) };
    let facts = facts_of([Line::Permission(line(1, Effect::Allow)), Line::Permission(denies)]);
    let permit = |now| Permit::<Read>::decide(&facts, &actor(Holder::Stranger), &Scope::Installation, now);
    let basis = permit(7).unwrap().basis_for(&Scope::Installation).unwrap();
    assert_eq!((basis.valid_until(), basis.holds_at(7), basis.holds_at(8)), (Some(8), true, false));
    assert!(permit(8).is_err());
}

/// A tag that is not known may be the one that denies, and is not the one that allows.
#[test]
fn condition_of_a_line_holds_for_secrets_with_all_its_tags() {
    let party = Party::Group(group_of(0));
    let on = |number, effect, reach, tags: &[(&str, &str)]| {
        let line = permission(number, party, effect, &[Action::Read], reach);
        Line::Permission(Permission { condition: tags_of(tags), ..line })
    };
    let facts = facts_of([
        on(1, Effect::Allow, reach_of(Some(0), "**"), &[("team", "x"), ("zone", "y")]),
        on(2, Effect::Allow, reach_of(Some(1), "**"), &[]),
        on(3, Effect::Deny, reach_of(Some(1), "b/**"), &[("team", "x")]),
    ]);
    let actor = actor(Holder::Principal(service(0)));
    let read =
        |environment, path, tags: &[_]| may(&facts, &actor, Action::Read, &secret_of(environment, path, tags), 1);
    assert!(
        read(0, "a", &[("team", "x"), ("zone", "y")]) && read(0, "a", &[("team", "x"), ("zone", "y"), ("more", "z")])
    );
    assert!(!read(0, "a", &[("team", "x")]) && !read(0, "a", &[("team", "x"), ("zone", "x")]) && !read(0, "a", &[]));
    assert!(read(1, "b/a", &[]) && read(1, "b/a", &[("team", "y")]) && !read(1, "b/a", &[("team", "x")]));
    let whole = |scope: &Scope| may(&facts, &actor, Action::Read, scope, 1);
    assert!(!whole(&Scope::Environment(environment_of(0))) && !whole(&Scope::Environment(environment_of(1))));
    assert!(
        whole(&Scope::Folder(environment_of(1), path_of("a")))
            && !whole(&Scope::Folder(environment_of(1), path_of("b")))
    );
    assert!(!may(
        &facts,
        &self::actor(Holder::Principal(person(0))),
        Action::Read,
        &Scope::Folder(environment_of(1), path_of("a")),
        1
    ));
}

#[test]
fn only_a_change_that_some_line_looks_at_tells_secrets_apart() {
    let line = permission(1, Party::Strangers, Effect::Deny, &[Action::Read], Reach::everything());
    let facts = facts_of([Line::Permission(Permission { condition: tags_of(&[("team", "x")]), ..line })]);
    let secret = secret_of(0, "a", &[("team", "x"), ("other", "x")]);
    assert!(!facts.tell_apart(&secret, &secret_of(0, "a", &[("team", "x"), ("other", "y"), ("third", "z")])));
    for other in [
        secret_of(0, "a", &[("team", "y"), ("other", "x")]),
        secret_of(0, "a", &[]),
        secret_of(0, "b", &[("team", "x")]),
    ] {
        assert!(facts.tell_apart(&secret, &other) && facts.tell_apart(&other, &secret));
    }
    let mut only = secret.clone();
    only.service_only = true;
    assert!(facts.tell_apart(&secret, &only));
}
