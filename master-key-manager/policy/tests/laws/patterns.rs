//! Patterns against a reading of their grammar that is slow and plain.

use manager_api::name::SecretPath;
use manager_policy::{MAX_PATTERN_BYTES, MAX_PATTERN_SEGMENTS, PathPattern};
use proptest::prelude::*;

/// Tells whether a pattern, as it is written, fits a path.
fn fits(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        (["**"], below) => !below.is_empty(),
        (["*", rest @ ..], [_, names @ ..]) => fits(rest, names),
        ([own, rest @ ..], [name, names @ ..]) => own == name && fits(rest, names),
        ([], names) => names.is_empty(),
        (_, []) => false,
    }
}

/// All sequences of up to `most` of these words.
fn sequences(words: &[&'static str], most: usize) -> Vec<Vec<&'static str>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..most {
        let to = all.len();
        for place in from..to {
            for word in words {
                all.push([all[place].as_slice(), &[*word]].concat());
            }
        }
        from = to;
    }
    all
}

/// Every pattern of up to three segments, against every path that could tell two of them apart: with a name that no
/// pattern has, and two segments longer.
#[test]
fn containment_is_what_matching_says() {
    let mut texts = sequences(&["a", "b", "*"], 2);
    texts.extend(texts.clone().into_iter().map(|segments| [segments.as_slice(), &["**"]].concat()));
    texts.retain(|segments| !segments.is_empty());
    let paths: Vec<_> = sequences(&["a", "b", "c"], 4).into_iter().filter(|names| !names.is_empty()).collect();
    let parsed: Vec<PathPattern> = texts.iter().map(|segments| segments.join("/").parse().unwrap()).collect();
    let sets: Vec<Vec<bool>> = parsed
        .iter()
        .map(|pattern| {
            let of = |names: &Vec<&str>| pattern.matches(&SecretPath::parse(names.join("/")).unwrap());
            paths.iter().map(of).collect()
        })
        .collect();
    for (segments, set) in texts.iter().zip(&sets) {
        for (names, matched) in paths.iter().zip(set) {
            assert_eq!(*matched, fits(segments, names), "{segments:?} {names:?}");
        }
    }
    for (one, these) in parsed.iter().zip(&sets) {
        for (other, those) in parsed.iter().zip(&sets) {
            let inside = these.iter().zip(those).all(|(this, that)| *this || !*that);
            assert_eq!(one.contains(other), inside, "{one} contains {other}");
            let meets = these.iter().zip(those).any(|(this, that)| *this && *that);
            assert_eq!(one.meets(other), meets, "{one} meets {other}");
            assert_eq!(one == other, these == those, "each set of paths has one spelling");
        }
    }
}

#[test]
fn pattern_that_is_not_of_the_grammar_is_refused() {
    let bad = [
        "", "/", "/a", "a/", "a//b", "a*", "*a", "a/b*", "**a", "a**", "***", "**/a", "a/**/b", "/**", "a/***",
        "a/./b", "..", "%", "%2", "%2a", "%41", "a%2Fb", "%00", "a:b", "a#b", "a@b", "dev:a", "a\\b", "a\0",
        "e\u{301}", "?\n",
    ];
    for text in bad {
        assert!(text.parse::<PathPattern>().is_err(), "{text:?}");
    }
    for text in
        ["*", "**", "a", "a b", "*/**", "*/*/a", "%2A", "%2A%2A", "a/%25%23%40%3A", "ünïcode/é", "[a]", "a?", "{a,b}"]
    {
        assert_eq!(text.parse::<PathPattern>().unwrap().to_string(), text);
    }
}

#[test]
fn star_of_a_name_is_no_star_of_a_pattern() {
    let [star, other] = ["*", "a"].map(|text| SecretPath::parse(text).unwrap());
    let escaped: PathPattern = "%2A".parse().unwrap();
    assert!(escaped.matches(&star) && !escaped.matches(&other));
    assert_eq!(escaped, PathPattern::exact(&star));
    assert!("*".parse::<PathPattern>().unwrap().contains(&escaped));
    assert!(!escaped.contains(&"*".parse().unwrap()));
    let below = PathPattern::below(&star);
    assert_eq!(below.to_string(), "%2A/**");
    assert!(!below.matches(&SecretPath::parse("a/b").unwrap()));
}

#[test]
fn patterns_have_the_bounds_of_paths() {
    let longest = SecretPath::parse("*".repeat(512)).unwrap();
    let text = format!("{}/**", PathPattern::exact(&longest));
    assert_eq!(text.len(), MAX_PATTERN_BYTES);
    assert!(text.parse::<PathPattern>().is_ok());
    for too_long in ["a".repeat(513), "%2A".repeat(513), format!("{text}*"), "é".repeat(257)] {
        assert!(too_long.parse::<PathPattern>().is_err());
    }
    let stars = |many: usize| vec!["*"; many].join("/").parse::<PathPattern>();
    assert!(stars(MAX_PATTERN_SEGMENTS).is_ok() && stars(MAX_PATTERN_SEGMENTS + 1).is_err());
    let most = SecretPath::parse(vec!["a"; MAX_PATTERN_SEGMENTS].join("/")).unwrap();
    assert!(stars(MAX_PATTERN_SEGMENTS).unwrap().matches(&most));
}

#[test]
fn folder_holds_what_is_below_it_and_no_twin() {
    let folder: PathPattern = "prod/app/**".parse().unwrap();
    for below in ["prod/app/key", "prod/app/db/key"] {
        assert!(folder.matches(&SecretPath::parse(below).unwrap()), "{below}");
    }
    let others =
        ["prod/app", "prod/app-admin", "prod/app-admin/key", "prod", "prod/App/key", "prod/app /key", "app/key"];
    for other in others.into_iter().chain(["prod/app\u{200b}/key", "prod/аpp/key"]) {
        assert!(!folder.matches(&SecretPath::parse(other).unwrap()), "{other}");
    }
}

proptest! {
    #[test]
    fn any_path_has_a_pattern_of_its_own(names in prop::collection::vec("[a-c*%#@: .]{1,4}", 1..5)) {
        if let Ok(path) = SecretPath::parse(names.join("/")) {
            for pattern in [PathPattern::exact(&path), PathPattern::below(&path)] {
                prop_assert_eq!(pattern.to_string().parse::<PathPattern>(), Ok(pattern.clone()));
            }
            prop_assert!(PathPattern::exact(&path).matches(&path) && !PathPattern::below(&path).matches(&path));
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "[ab*/%2A:\\PC]{0,12}") {
        if let Ok(pattern) = text.parse::<PathPattern>() {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }
}
