//! Lists show what may be listed.

use manager_policy::{Action, Actions, Actor, Effect, Holder, Limit, Line, Party, Permission, Visible};
use proptest::prelude::*;

use crate::universe::{
    TIMES, actor, facts, facts_of, holder, limits, may, permission, reach_of, scope, secret, secret_of, service,
    tags_of,
};

proptest! {
    #[test]
    fn list_shows_what_may_be_listed_and_nothing_else(
        facts in facts(), limits in limits(), holder in holder(), scope in scope(),
        secrets in prop::collection::vec(secret(), 1..9), now in 0..TIMES, most in 0..5_usize,
    ) {
        let actor = Actor { limits, ..actor(holder) };
        let visible = Visible::decide(&facts, &actor, now);
        prop_assert_eq!(visible.shows(&scope), may(&facts, &actor, Action::List, &scope, now));
        prop_assert_eq!(visible.basis().epoch(), facts.epoch());
        let (few, all) = (visible.parts(most), visible.parts(99));
        prop_assert!(few.len() <= most.max(1));
        for secret in &secrets {
            let shown = visible.shows(secret);
            prop_assert_eq!(shown, may(&facts, &actor, Action::List, secret, now));
            prop_assert_eq!(shown, visible.shows_secret(secret.environment, &secret.path, &secret.tags));
            // Only a tag keeps from him what lies at a place that he may see.
            prop_assert!(!shown || visible.may_show(secret.environment, &secret.path));
            let (environment, path) = (secret.environment, &secret.path);
            for parts in [&few, &all] {
                prop_assert!(!shown || parts.iter().any(|part| part.contains(environment, path)));
            }
        }
    }

    #[test]
    fn parts_are_ranges_of_paths_that_do_not_overlap(
        facts in facts(), limits in limits(), holder in holder(), secret in secret(), now in 0..TIMES,
    ) {
        let parts = Visible::decide(&facts, &Actor { limits, ..actor(holder) }, now).parts(99);
        let (environment, path) = (secret.environment, &secret.path);
        let holding: Vec<_> = parts.iter().filter(|part| part.contains(environment, path)).collect();
        // Two parts hold a path only if one is of all environments and longer than the other.
        prop_assert!(holding.len() <= 2);
        prop_assert!(holding.iter().filter(|part| part.environment.is_none()).count() <= 1);
        for part in &parts {
            let in_range = part.beginning.as_str() <= path.as_str()
                && part.after().is_none_or(|after| path.as_str() < after.as_str());
            let here = part.environment.is_none_or(|own| own == environment);
            prop_assert_eq!(part.contains(environment, path), here && if part.whole { path.as_str() == part.beginning } else { in_range });
        }
    }
}

#[test]
fn database_is_asked_for_the_folders_that_are_allowed() {
    let party = Party::Principal(service(0));
    let list = |number, effect, reach| permission(number, party, effect, &[Action::List], reach);
    let facts = facts_of(
        [
            list(1, Effect::Allow, reach_of(Some(0), "a/**")),
            list(2, Effect::Allow, reach_of(Some(0), "a/b/**")),
            list(3, Effect::Allow, reach_of(Some(0), "b")),
            list(4, Effect::Allow, reach_of(None, "ab/*/b")),
            list(5, Effect::Deny, reach_of(None, "a/b/**")),
            Permission { condition: tags_of(&[("team", "x")]), ..list(6, Effect::Allow, reach_of(Some(1), "c/**")) },
        ]
        .map(Line::Permission),
    );
    let visible = Visible::decide(&facts, &actor(Holder::Principal(service(0))), 1);
    let shown = |parts: Vec<manager_policy::Part>| {
        parts.iter().map(|part| (part.environment.is_some(), part.beginning.clone(), part.whole)).collect::<Vec<_>>()
    };
    let part = |some, beginning: &str, whole| (some, beginning.to_owned(), whole);
    let expected = [part(false, "ab/", false), part(true, "a/", false), part(true, "b", true), part(true, "c/", false)];
    assert_eq!(shown(visible.parts(4)), expected);
    assert_eq!(shown(visible.parts(3)), [part(false, "", false)]);
    let limit = |reach| Limit { actions: Actions::from_iter([Action::List]), reach };
    let limits = [limit(reach_of(None, "a/c/**")), limit(reach_of(Some(1), "c/d")), limit(reach_of(Some(0), "z/**"))];
    let limited = Actor { limits: Some(limits.into()), ..actor(Holder::Principal(service(0))) };
    let unlimited = Actor { limits: Some([limit(reach_of(None, "**"))].into()), ..limited.clone() };
    assert_eq!(shown(Visible::decide(&facts, &unlimited, 1).parts(4)), expected, "a wide one does not ask for more");
    let expected = [part(true, "a/c/", false), part(true, "c/d", true)];
    assert_eq!(shown(Visible::decide(&facts, &limited, 1).parts(4)), expected, "a narrow credential asks for less");
    assert!(visible.shows(&secret_of(0, "a/c", &[])) && !visible.shows(&secret_of(0, "a/b/c", &[])));
    assert!(visible.shows(&secret_of(1, "c/a", &[("team", "x")])) && !visible.shows(&secret_of(1, "c/a", &[])));
}
