//! The thief reads every table of both databases, and the drills fill them: what a feature keeps in a table of its own is stolen
//! with the rest.

use system_tests::loot::Piece;
use system_tests::thief::{Report, rob};
use system_tests::{Engine, Installation, Service, wait_until};

use super::treasure::{assert_no_value, hide};

/// Tables that are empty in an installation that works, or are so again soon, and why.
const EMPTY: [(&str, &str); 5] = [
    ("pending_revocations", "revocations wait there while the vault is away"),
    ("root_key_rotations", "has rows while a root key is exchanged"),
    ("lacking_envelopes", "names what a vault lost with a restore"),
    ("credentials", "an earlier release kept them there"),
    ("retired_epochs", "has rows after a root key was exchanged"),
];

/// The index of names on SQLite. It is virtual, and the thief's SQLite may not know its kind; its rows lie in plain tables beside
/// it.
const VIRTUAL: &str = "search_names";

#[tokio::test]
async fn thief_looks_at_every_table_of_both_services_and_the_drills_leave_none_empty() {
    let mut installation = Installation::builder().production().apart().running().await;
    let treasures = hide(&installation).await;
    // Notices are made at a start, and hourly.
    installation.restart_manager().await;
    let manager = &installation.manager;
    wait_until("notices are made", async || manager.ask("SELECT count(*) FROM notices") > 0).await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &[Piece::ManagerData, Piece::VaultData]);
    let report = rob("tables", loot.path());
    assert_no_value(&report, loot.path(), &treasures);
    for (service, folder) in [(manager, "manager-data"), (&installation.vault, "vault-data")] {
        assert_eq!(unread(service, &report, folder), [""; 0], "in {folder}; fill what is empty in lives.rs");
    }
    let (skipped, notes) = match Engine::of_tests() {
        Engine::Sqlite => (vec![VIRTUAL], 1),
        Engine::Postgres => (Vec::new(), 0),
    };
    assert_eq!(report.skipped.get("manager-data").cloned().unwrap_or_default(), skipped);
    assert_eq!((report.skipped.get("vault-data"), report.notes.len()), (None, notes), "{:?}", report.notes);

    // The control: tables that the thief was not told of, or that he did not read, also when he says that he passed them over.
    let mut less = report.clone();
    let folder = "manager-data".to_owned();
    less.skipped.entry(folder.clone()).or_default().push("versions".to_owned());
    let tables = less.tables.get_mut(&folder).unwrap();
    tables.retain(|table, _| !["rotations", "search_names_data", "versions"].contains(&table.as_str()));
    tables.insert("notices".to_owned(), 0);
    let mut expected = vec!["notices is empty", "rotations was not looked at", "versions was not looked at"];
    if Engine::of_tests() == Engine::Sqlite {
        expected.splice(2..2, ["nothing beside search_names was looked at", "search_names_data was not looked at"]);
    }
    assert_eq!(unread(manager, &less, &folder), expected);
}

/// What is wrong with the tables that the thief says he looked at in the database of a service.
fn unread(service: &Service, report: &Report, folder: &str) -> Vec<String> {
    let (looked_at, tables) = (&report.tables[folder], service.tables());
    assert!(tables.len() > 5, "{tables:?}");
    let wrong = |table: &String| match looked_at.get(table) {
        None if table == VIRTUAL => {
            let rows = looked_at.get(&format!("{VIRTUAL}_data")).copied().unwrap_or_default();
            (rows == 0).then(|| format!("nothing beside {VIRTUAL} was looked at"))
        }
        None => Some(format!("{table} was not looked at")),
        Some(0) if !EMPTY.iter().any(|(name, _)| name == table) => Some(format!("{table} is empty")),
        Some(_) => None,
    };
    tables.iter().filter_map(wrong).collect()
}
