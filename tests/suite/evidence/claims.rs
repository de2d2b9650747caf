//! SECURITY.md names the tests that keep its claims. They are executed, and so is each control.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use system_tests::repository;

#[test]
fn every_test_that_security_md_names_exists_and_every_drill_is_named() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let named: BTreeSet<String> = named_tests(&text);
    let existing = existing_tests();
    let missing: Vec<_> = named.difference(&existing).collect();
    assert!(missing.is_empty(), "SECURITY.md names tests that do not exist: {missing:?}");
    for (kind, _) in FOLDERS {
        assert!(named.iter().any(|test| test.starts_with(&format!("{kind}::"))), "none of {kind} is named");
    }
    let absent: Vec<_> = named_files(&text).into_iter().filter(|file| !repository().join(file).exists()).collect();
    assert!(absent.is_empty(), "SECURITY.md names files that do not exist: {absent:?}");
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
        if claim != "S17" {
            assert_eq!(fault_of_control(claim, &tests, control), None, "{claim}: {control}");
        }
    }
}

#[test]
fn control_that_is_only_words_is_none() {
    let tests = |name: &str| BTreeSet::from([name.to_owned()]);
    let stolen =
        tests("security::vault_database_stolen::stolen_vault_database_and_its_backups_give_no_value_and_no_name");
    assert_eq!(fault_of_control("S1", &stolen, "inside: anything"), None);
    for (claim, tests, control) in [
        ("S3", &stolen, "inside: of another claim"),
        (
            "S1",
            &tests("security::both_stolen::both_services_stolen_open_everything_and_the_readme_says_so"),
            "inside: x",
        ),
        ("S1", &stolen, "some words"),
        ("S1", &stolen, "`security::both_stolen::both_services_stolen_open_everything_and_the_readme_says_so`"),
    ] {
        assert!(fault_of_control(claim, tests, control).is_some(), "{claim} {control}");
    }
}

/// What is wrong with a control: it has to be a test named `control_…`, or stand inside one of the tests, where the thief
/// of the claim's control opens what he must.
fn fault_of_control(claim: &str, tests: &BTreeSet<String>, control: &str) -> Option<String> {
    if control.starts_with("inside: ") {
        let opened = format!("assert_opened(&rob(\"{claim} control\"");
        let found = tests.iter().any(|test| source_of(test).is_some_and(|body| body.contains(&opened)));
        return (!found).then(|| format!("no test of it has {opened}"));
    }
    let named = named_tests(control);
    if named.is_empty() {
        return Some("it names no test".to_owned());
    }
    let wrong = |test: &&String| {
        let is_control = test.rsplit("::").next().is_some_and(|name| name.starts_with("control_"));
        !is_control || source_of(test).is_none_or(|body| !body.contains("assert"))
    };
    named.iter().find(wrong).map(|test| format!("{test} is no control, or asserts nothing"))
}

/// The text of a test, up to the next one.
fn source_of(test: &str) -> Option<String> {
    let (module, name) = test.rsplit_once("::")?;
    let (kind, rest) = module.split_once("::")?;
    let (_, folder) = FOLDERS.iter().find(|(known, _)| *known == kind)?;
    let path = repository().join(folder).join(format!("{}.rs", rest.replace("::", "/")));
    let text = fs::read_to_string(path).ok()?;
    let body = text.split(&format!("fn {name}(")).nth(1)?;
    body.split("\n}\n").next().map(str::to_owned)
}

/// What stands in backquotes and has the form of a test's path.
fn named_tests(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_test = |name: &&str| FOLDERS.iter().any(|(kind, _)| name.starts_with(&format!("{kind}::")));
    quoted.filter(is_test).map(str::to_owned).collect()
}

/// What stands in backquotes and has the form of a file's path.
fn named_files(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.contains('/') && !name.starts_with('/') && !name.contains([' ', ':'])).collect()
}

/// Where tests lie that keep a claim.
const FOLDERS: [(&str, &str); 6] = [
    ("security", "tests/suite/security"),
    ("system", "tests/suite/system"),
    ("transport", "service-runtime/tests/transport"),
    ("audit", "service-runtime/src/audit"),
    ("vault", "encrypted-vault/tests/suite"),
    ("manager", "master-key-manager/tests/api"),
];

/// The tests that are executed: those of this binary as it lists them, and the functions under a test attribute in the
/// folders of the other binaries.
fn existing_tests() -> BTreeSet<String> {
    let list = |more: &[&str]| {
        let arguments = ["--list", "--format", "terse"].iter().chain(more);
        let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(list(&["--ignored"]), BTreeSet::new(), "a test that is not executed keeps nothing");
    let mut found = list(&[]);
    found.retain(|name| !name.starts_with("evidence::"));
    for (kind, folder) in &FOLDERS[2..] {
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
