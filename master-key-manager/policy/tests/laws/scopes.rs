//! Containment of scopes.

use manager_policy::{PathPattern, Reach, Scope};
use proptest::prelude::*;

use crate::universe::{environment_of, path, reach, scope};

proptest! {
    #[test]
    fn containment_is_a_partial_order_below_the_installation(a in scope(), b in scope(), c in scope()) {
        prop_assert!(a.contains(&a) && Scope::Installation.contains(&a));
        prop_assert!(!(a.contains(&b) && b.contains(&c)) || a.contains(&c));
    }

    #[test]
    fn scopes_of_two_environments_never_meet(scope in scope(), folder in path(), path in path()) {
        let [one, two] = [0, 1].map(environment_of);
        for wide in [Scope::Environment(one), Scope::Folder(one, folder.clone()), Scope::Path(one, folder.clone())] {
            for narrow in [Scope::Environment(two), Scope::Folder(two, path.clone()), Scope::Path(two, path.clone())] {
                prop_assert!(!wide.contains(&narrow) && !narrow.contains(&wide));
            }
        }
        let everything = Scope::Reach(Reach::everything());
        prop_assert!(!scope.contains(&Scope::Installation) || [Scope::Installation, everything].contains(&scope));
    }

    #[test]
    fn scope_of_a_reach_is_that_of_its_folder_or_path(path in path(), other in scope(), reach in reach()) {
        let environment = environment_of(0);
        let of = |pattern| Scope::Reach(Reach { environment: Some(environment), pattern });
        for (scope, same) in [
            (Scope::Path(environment, path.clone()), of(PathPattern::exact(&path))),
            (Scope::Folder(environment, path.clone()), of(PathPattern::below(&path))),
            (Scope::Environment(environment), of(PathPattern::everything())),
        ] {
            prop_assert!(scope.contains(&same) && same.contains(&scope));
            prop_assert_eq!(scope.contains(&other), same.contains(&other));
        }
        if reach.environment == Some(environment) {
            prop_assert_eq!(Scope::Reach(reach.clone()).contains(&Scope::Path(environment, path.clone())), reach.pattern.matches(&path));
        }
    }
}
