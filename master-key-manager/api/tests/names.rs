//! Properties of the names that people choose: one spelling for each meaning.

use manager_api::name::{EnvironmentName, IdempotencyKey, SecretPath, UserLabel};
use proptest::prelude::*;
use shared_proto::credential::bearer_in;

fn path() -> impl Strategy<Value = String> {
    let odd =
        prop::sample::select(vec!["", ".", "..", "...", "a\\b", DECOMPOSED, "\u{e9}", "a\nb", "%2e%2e", " ", "\u{7f}"]);
    let segment = prop_oneof![2 => "[a-z0-9.]{1,4}".boxed(), 1 => odd.prop_map(str::to_owned).boxed()];
    prop::collection::vec(segment, 0..4).prop_map(|segments| segments.join("/"))
}

/// An accented letter in two characters: another normalization form than C.
const DECOMPOSED: &str = "e\u{301}";

proptest! {
    #[test]
    fn a_path_is_its_segments_and_nothing_else(text in path()) {
        let accepted = SecretPath::parse(text.as_str());
        let segments: Vec<&str> = text.split('/').collect();
        // A path is accepted exactly when each of its segments is a path.
        prop_assert_eq!(accepted.is_ok(), segments.iter().all(|segment| SecretPath::parse(*segment).is_ok()));
        if let Ok(path) = accepted {
            prop_assert_eq!(path.as_str(), text.as_str());
            prop_assert!(segments.iter().all(|segment| !["", ".", "..", DECOMPOSED].contains(segment)));
            prop_assert_eq!(SecretPath::parse(path.as_str()).unwrap(), path);
        }
    }

    #[test]
    fn names_are_taken_as_they_are_or_not_at_all(text in "\\PC{0,70}|[a-zA-Z0-9-]{0,70}") {
        if let Ok(name) = EnvironmentName::parse(text.as_str()) {
            prop_assert_eq!(name.as_str(), text.as_str());
            prop_assert!(text.len() <= 63 && text.to_lowercase() == text);
        }
        if let Ok(label) = UserLabel::parse(text.as_str()) {
            prop_assert_eq!(label.as_str(), text.as_str());
        }
        if let Ok(key) = IdempotencyKey::parse(text.as_str()) {
            let header = format!("Bearer {key}");
            prop_assert_eq!(bearer_in(&header), Some(text.as_str()));
        }
    }
}
