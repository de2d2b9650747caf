//! Laws of every policy.

use manager_api::name::SecretPath;
use manager_policy::{
    Action, Actions, Actor, Facts, Holder, Line, List, Permit, PolicyEpoch, Ruling, Scope, Visible, Write, decide,
};
use proptest::prelude::*;
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, SecretId, ServiceId, Subject};

/// Few enough that scopes meet. `a` and `ab` are twins by their beginning.
fn path() -> impl Strategy<Value = SecretPath> {
    prop::collection::vec(prop::sample::select(vec!["a", "ab", "b"]), 1..4)
        .prop_filter_map("a path", |segments| SecretPath::parse(segments.join("/")).ok())
}

fn environment() -> impl Strategy<Value = EnvironmentId> {
    (0..2_u8).prop_map(|number| EnvironmentId::from_bytes([number; 16]))
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Installation),
        environment().prop_map(Scope::Environment),
        (environment(), path()).prop_map(|(environment, folder)| Scope::Folder(environment, folder)),
        (environment(), path()).prop_map(|(environment, path)| Scope::Path(environment, path)),
        (0..2_u8).prop_map(|number| Scope::Secret(SecretId::from_bytes([number; 16]))),
    ]
}

fn holder() -> impl Strategy<Value = Holder> {
    prop_oneof![
        Just(Holder::Stranger),
        (0..2_u8).prop_map(|number| Holder::Principal(Subject::Service(ServiceId::from_bytes([number; 16])))),
        (0..2_u8).prop_map(|number| Holder::Principal(Subject::Person(PersonId::from_bytes([number; 16])))),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop::sample::select(Action::ALL)
}

fn line() -> impl Strategy<Value = Line> {
    (holder(), prop::collection::vec(action(), 0..6), scope()).prop_map(|(holder, actions, scope)| Line {
        holder,
        actions: actions.into_iter().collect(),
        scope,
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    (any::<u64>(), prop::collection::vec(line(), 0..12))
        .prop_map(|(epoch, lines)| Facts { epoch: PolicyEpoch(epoch), lines })
}

fn actor(holder: Holder) -> Actor {
    Actor { holder, credential: CredentialId::from_bytes([7; 16]) }
}

proptest! {
    #[test]
    fn containment_is_a_partial_order_below_the_installation(a in scope(), b in scope(), c in scope()) {
        prop_assert!(a.contains(&a) && Scope::Installation.contains(&a));
        prop_assert!(!(a.contains(&b) && b.contains(&c)) || a.contains(&c));
        prop_assert!(!(a.contains(&b) && b.contains(&a)) || a == b);
    }

    #[test]
    fn scopes_of_two_environments_never_meet(scope in scope(), folder in path(), path in path()) {
        let [one, two] = [0, 1].map(|number| EnvironmentId::from_bytes([number; 16]));
        for wide in [Scope::Environment(one), Scope::Folder(one, folder.clone()), Scope::Path(one, folder.clone())] {
            for narrow in [Scope::Environment(two), Scope::Folder(two, path.clone()), Scope::Path(two, path.clone())] {
                prop_assert!(!wide.contains(&narrow) && !narrow.contains(&wide));
            }
        }
        prop_assert!(!scope.contains(&Scope::Installation) || scope == Scope::Installation);
    }

    #[test]
    fn what_no_line_allows_is_denied(facts in facts(), holder in holder(), action in action(), target in scope()) {
        let actor = actor(holder);
        let own = |line: &&Line| line.holder == holder;
        let others = Facts { lines: facts.lines.iter().filter(|line| !own(line)).cloned().collect(), ..facts.clone() };
        prop_assert_eq!(decide(&others, &actor, action, &target), Ruling::Denied);
        let without = |line: Line| Line {
            actions: Action::ALL.iter().copied().filter(|one| *one != action && line.actions.contains(*one)).collect(),
            ..line
        };
        let without = Facts { lines: facts.lines.iter().cloned().map(without).collect(), ..facts.clone() };
        prop_assert_eq!(decide(&without, &actor, action, &target), Ruling::Denied);
        let elsewhere = facts.lines.iter().filter(|line| !line.scope.contains(&target)).cloned().collect();
        let elsewhere = Facts { lines: elsewhere, ..facts.clone() };
        prop_assert_eq!(decide(&elsewhere, &actor, action, &target), Ruling::Denied);
        if let Ruling::Allowed(line) = decide(&facts, &actor, action, &target) {
            prop_assert!(line.holder == holder && line.actions.contains(action) && line.scope.contains(&target));
        }
    }

    #[test]
    fn right_in_a_scope_is_one_in_all_that_it_contains(
        facts in facts(), holder in holder(), action in action(), wide in scope(), narrow in scope(),
    ) {
        let allowed = |target| matches!(decide(&facts, &actor(holder), action, target), Ruling::Allowed(_));
        prop_assert!(!(wide.contains(&narrow) && allowed(&wide)) || allowed(&narrow));
    }

    #[test]
    fn administrator_may_all_whatever_else_the_policy_says(
        mut facts in facts(), holder in holder(), action in action(), target in scope(),
    ) {
        facts.lines.push(Line { holder, actions: Actions::ALL, scope: Scope::Installation });
        prop_assert!(matches!(decide(&facts, &actor(holder), action, &target), Ruling::Allowed(_)));
    }

    #[test]
    fn permit_is_for_its_scope_and_says_what_it_was_decided_from(
        facts in facts(), holder in holder(), scope in scope(), target in scope(),
    ) {
        let actor = actor(holder);
        let allowed = matches!(decide(&facts, &actor, Action::Write, &scope), Ruling::Allowed(_));
        let permit = Permit::<Write>::decide(&facts, &actor, scope.clone());
        prop_assert_eq!(permit.is_ok(), allowed);
        if let Ok(permit) = permit {
            let basis = permit.basis_for(&target);
            prop_assert_eq!(basis.is_some(), scope.contains(&target));
            prop_assert_eq!(permit.to_look().basis_for(&target), basis);
            let basis = permit.basis_for(&scope).unwrap();
            prop_assert_eq!((basis.credential(), basis.epoch()), (actor.credential, facts.epoch));
        }
    }

    #[test]
    fn list_shows_what_may_be_listed_and_nothing_else(facts in facts(), holder in holder(), target in scope()) {
        let actor = actor(holder);
        let visible = Visible::decide(&facts, &actor);
        prop_assert_eq!(visible.shows(&target), Permit::<List>::decide(&facts, &actor, target).is_ok());
        prop_assert_eq!(visible.basis().epoch(), facts.epoch);
    }
}

#[test]
fn folder_holds_what_is_below_it_and_no_twin() {
    let environment = EnvironmentId::from_bytes([0; 16]);
    let parse = |text: &str| SecretPath::parse(text).unwrap();
    let folder = Scope::Folder(environment, parse("prod/app"));
    for below in ["prod/app/key", "prod/app/db/key"] {
        assert!(folder.contains(&Scope::Path(environment, parse(below))), "{below}");
    }
    for other in
        ["prod/app", "prod/app-admin", "prod/app-admin/key", "prod", "prod/App/key", "prod/app /key", "app/key"]
    {
        assert!(!folder.contains(&Scope::Path(environment, parse(other))), "{other}");
        assert!(!folder.contains(&Scope::Folder(environment, parse(other))) || other == "prod/app", "{other}");
    }
}

#[test]
fn empty_policy_allows_nobody() {
    let facts = Facts { epoch: PolicyEpoch(1), lines: Vec::new() };
    for holder in [Holder::Stranger, Holder::Principal(Subject::Service(ServiceId::from_bytes([0; 16])))] {
        for action in Action::ALL {
            assert_eq!(decide(&facts, &actor(holder), *action, &Scope::Installation), Ruling::Denied);
        }
        assert!(!Visible::decide(&facts, &actor(holder)).shows(&Scope::Installation));
    }
}
