//! Values with references stay of their kind when these are filled in.

use manager_api::kind::SecretKind;
use manager_api::reference::Template;
use manager_secret_kinds::check;
use proptest::prelude::*;

use crate::tools::NOW;

/// Stands for a reference: hard to quote, and no YAML and no JSON by itself.
const FILLED: &str = "x: [\"\n# 'é\u{2028}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn value_that_is_filled_in_is_of_its_kind_and_its_surroundings_stay(
        yaml in "(sv://a/b|'sv://a/b'|\"\\$\\{sv://a/b\\}\"|[a-cé]|: |, |\n|\n  |- |[\\[\\]{}'\"&*!|>#?%]){1,12}",
        json in "\\[(\"sv://a/b\",|\"\\$\\{sv://a/b\\}[a-c]\",|\\{\"[a-c]\":\"sv://a/b\"\\},|[0-9],|\"\\\\n\",){0,6}\"\"\\]",
    ) {
        for (kind, text) in [(SecretKind::Yaml, yaml), (SecretKind::Json, json)] {
            let Ok(template) = Template::read(kind, &text) else { continue };
            let filled = template.fill(&text, |_| Some(FILLED)).unwrap();
            if check(kind, text.as_bytes(), NOW).is_ok() {
                let after = check(kind, filled.as_bytes(), NOW);
                prop_assert!(after.is_ok(), "{text:?} became {:?}: {after:?}", *filled);
                // Nothing is left to resolve where references were, and filling does not make new ones.
                // A scheme in the middle of a word is none before, and may be refused in the quoted scalar of after.
                if let Ok(again) = Template::read(kind, &filled) {
                    prop_assert!(again.references().is_empty(), "{text:?} became {:?}", *filled);
                }
            }
        }
    }
}
