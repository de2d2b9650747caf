//! SECURITY.md names the tests that keep its claims. They exist, and each control is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use system_tests::repository;

#[test]
fn every_test_that_security_md_names_exists_and_every_drill_is_named() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let named: BTreeSet<String> = named_tests(&text);
    let existing = existing_tests();
    let missing: Vec<_> = named.difference(&existing).collect();
    assert!(missing.is_empty(), "SECURITY.md names tests that do not exist: {missing:?}");
    let drill = |test: &&String| test.starts_with("security::") && !test.starts_with("security::traces::");
    let forgotten: Vec<_> = existing.difference(&named).filter(drill).collect();
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
    let is_test = |name: &&str| FOLDERS.iter().any(|(kind, _)| name.starts_with(&format!("{kind}::")));
    quoted.filter(is_test).map(str::to_owned).collect()
}

/// Where tests lie that keep a claim.
const FOLDERS: [(&str, &str); 3] = [
    ("security", "tests/suite/security"),
    ("system", "tests/suite/system"),
    ("transport", "service-runtime/tests/transport"),
];

/// The functions under a test attribute in these folders.
fn existing_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (kind, folder) in FOLDERS {
        collect(&repository().join(folder), kind, &mut found);
    }
    found
}

fn collect(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, &format!("{module}::{stem}"), found);
            continue;
        }
        let module = if stem == "mod" { module.to_owned() } else { format!("{module}::{stem}") };
        let text = fs::read_to_string(path).unwrap();
        for after in
            ["#[tokio::test", "#[actix_web::test", "#[test]\n"].iter().flat_map(|kind| text.split(kind).skip(1))
        {
            let name = after.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
            found.insert(format!("{module}::{name}"));
        }
    }
}
