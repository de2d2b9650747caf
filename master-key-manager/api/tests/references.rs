//! References against the vectors that all languages share (`tests/references/`).

use std::collections::BTreeMap;

use manager_api::kind::SecretKind;
use manager_api::name::SecretPath;
use manager_api::path_key::PathKey;
use manager_api::reference::{FieldName, MAX_TARGETS, Reference, Template, references_in};
use manager_api::tokens::WantedVersion;
use serde::Deserialize;

const GRAMMAR: &str = include_str!("../../../tests/references/grammar.json");
const VALUES: &str = include_str!("../../../tests/references/values.json");
const PATHS: &str = include_str!("../../../tests/references/paths.json");

#[derive(Deserialize)]
struct Grammar {
    positive: Vec<Positive>,
    negative: Vec<Negative>,
}

#[derive(Deserialize)]
struct Positive {
    text: String,
    environment: String,
    path: String,
    field: Option<String>,
    version: Option<u64>,
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Negative {
    text: String,
    why: String,
}

#[derive(Deserialize)]
struct Values {
    known: BTreeMap<String, String>,
    cases: Vec<Case>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Case {
    kind: SecretKind,
    value: String,
    references: Vec<String>,
    filled: String,
}

#[derive(Deserialize)]
struct Refused {
    kind: SecretKind,
    value: String,
    why: String,
}

#[derive(Deserialize)]
struct Paths {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    path: String,
    key: String,
}

#[test]
fn texts_of_the_grammar_are_read_and_written_as_its_vectors_say() {
    let grammar: Grammar = serde_json::from_str(GRAMMAR).unwrap();
    for vector in &grammar.positive {
        let reference: Reference = vector.text.parse().unwrap_or_else(|error| panic!("{}: {error}", vector.text));
        assert_eq!((reference.environment.as_str(), reference.path.as_str()), (&*vector.environment, &*vector.path));
        assert_eq!(reference.field.as_ref().map(FieldName::as_str), vector.field.as_deref());
        let (version, stage) = match reference.version {
            None => (None, None),
            Some(WantedVersion::Number(number)) => (Some(number.get()), None),
            Some(WantedVersion::Stage(stage)) => (None, Some(stage.as_str())),
        };
        assert_eq!((version, stage), (vector.version, vector.stage.as_deref()), "{}", vector.text);
        assert_eq!(reference.to_string(), vector.text);
    }
    for Negative { text, why } in &grammar.negative {
        let error = text.parse::<Reference>().err().unwrap_or_else(|| panic!("{text:?} is read: {why}"));
        assert!(text.len() < 9 || !error.to_string().contains(&text[5..]), "{error}");
    }
    assert!(grammar.positive.len() >= 18 && grammar.negative.len() >= 40);
}

#[test]
fn references_are_found_and_filled_where_they_stand() {
    let values: Values = serde_json::from_str(VALUES).unwrap();
    let known: BTreeMap<Reference, String> =
        values.known.into_iter().map(|(reference, value)| (reference.parse().unwrap(), value)).collect();
    for Case { kind, value, references, filled } in values.cases {
        let template = Template::read(kind, &value).unwrap_or_else(|error| panic!("{value}: {error}"));
        let found: Vec<String> = template.references().into_iter().map(Reference::to_string).collect();
        assert_eq!(found, references, "{value}");
        let result = template.fill(&value, |reference| known.get(reference).map(String::as_str)).unwrap();
        assert_eq!(*result, filled, "{value}");
        let nothing_known = template.fill(&value, |_| None);
        assert_eq!(nothing_known.is_err(), !references.is_empty(), "{value}");
    }
    for Refused { kind, value, why } in values.refused {
        assert!(references_in(kind, &value).is_err(), "{value}: {why}");
    }
}

#[test]
fn dotted_and_slashed_paths_have_one_key() {
    let paths: Paths = serde_json::from_str(PATHS).unwrap();
    for Key { path, key } in paths.keys {
        let path = SecretPath::parse(path).unwrap();
        assert_eq!(PathKey::of(&path).as_str(), key);
        let reference = Reference::new("dev".parse().unwrap(), path);
        assert_eq!(reference.target().path.as_str(), key);
    }
}

#[test]
fn value_refers_to_at_most_64_secrets() {
    let value = |count: usize| {
        let strings: Vec<String> = (0..count).map(|number| format!("\"sv://dev/{number}\"")).collect();
        format!("[{}]", strings.join(","))
    };
    assert_eq!(references_in(SecretKind::Json, &value(MAX_TARGETS)).unwrap().len(), MAX_TARGETS);
    assert!(references_in(SecretKind::Json, &value(MAX_TARGETS + 1)).is_err());
    let fields: Vec<String> = (0..100).map(|number| format!("\"sv://dev/a#f{number}\"")).collect();
    assert_eq!(references_in(SecretKind::Json, &format!("[{}]", fields.join(","))).unwrap().len(), 100);
}

#[test]
fn many_references_to_a_large_value_are_refused_before_they_are_written_down() {
    let large = "x".repeat(1 << 19);
    let value = format!("[{}\"\"]", "\"sv://dev/a\",".repeat(1000));
    let template = Template::read(SecretKind::Json, &value).unwrap();
    assert!(template.fill(&value, |_| Some(&large)).is_err());
    assert!(template.fill(&value, |_| Some("small")).is_ok());
}
