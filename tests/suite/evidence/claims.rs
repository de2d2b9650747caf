//! SECURITY.md names the tests that keep its claims. They exist, and each control is named.

use std::collections::BTreeSet;
use std::fs;

use system_tests::repository;

#[test]
fn every_test_that_security_md_names_exists_and_every_drill_is_named() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let named: BTreeSet<String> = named_tests(&text);
    let existing = existing_tests();
    let missing: Vec<_> = named.difference(&existing).collect();
    assert!(missing.is_empty(), "SECURITY.md names tests that do not exist: {missing:?}");
    let forgotten: Vec<_> =
        existing.difference(&named).filter(|test| !test.starts_with("security::traces::")).collect();
    assert!(forgotten.is_empty(), "SECURITY.md does not name {forgotten:?}");
}

#[test]
fn every_claim_has_a_test_and_a_control() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    for claim in ["S1", "S2", "S3", "S4", "S7", "S10", "S11", "S12", "S15", "S16", "S17"] {
        let row = text.lines().find(|line| line.starts_with(&format!("| {claim} |")));
        let cells: Vec<&str> = row.unwrap_or_else(|| panic!("{claim} is missing")).split('|').collect();
        let (tests, control) = (named_tests(cells[5]), cells[6].trim());
        assert!(!tests.is_empty(), "{claim} has no test");
        // Nothing is claimed of both services together.
        let controlled = control.starts_with("inside: ") || !named_tests(control).is_empty() || claim == "S17";
        assert!(controlled, "{claim} has no control: {control}");
    }
}

/// What stands in backquotes and has the form of a test's path.
fn named_tests(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.starts_with("security::")).map(str::to_owned).collect()
}

/// The tests of the drills: the functions under a test attribute in `suite/security/`.
fn existing_tests() -> BTreeSet<String> {
    let folder = repository().join("tests/suite/security");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        for after in text.split("#[tokio::test]\n").skip(1).chain(text.split("#[test]\n").skip(1)) {
            let name = after.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
            found.insert(format!("security::{module}::{name}"));
        }
    }
    found
}
