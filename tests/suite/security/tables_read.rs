//! The thief reads every table of both databases, and the drills fill them: what a feature keeps in a table of its own is stolen
//! with the rest.

use std::collections::BTreeMap;

use system_tests::loot::Piece;
use system_tests::thief::rob;
use system_tests::{Installation, Service, wait_until};

use super::treasure::{assert_no_value, hide};

/// Tables that are empty in an installation that works, or are so again soon, and why.
const EMPTY: [(&str, &str); 5] = [
    ("pending_revocations", "revocations wait there while the vault is away"),
    ("root_key_rotations", "has rows while a root key is exchanged"),
    ("lacking_envelopes", "names what a vault lost with a restore"),
    ("credentials", "an earlier release kept them there"),
    ("retired_epochs", "has rows after a root key was exchanged"),
];

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
    for (service, folder) in [(&installation.manager, "manager-data"), (&installation.vault, "vault-data")] {
        let found = unread(service, &report.tables[folder]);
        assert_eq!(found, Vec::<String>::new(), "in {folder}; fill what is empty in lives.rs");
    }

    // The control: a table that the thief was not told of, and one that he did not read.
    let mut less = report.tables["manager-data"].clone();
    less.remove("rotations");
    less.insert("notices".to_owned(), 0);
    assert_eq!(unread(&installation.manager, &less), ["notices is empty", "rotations was not looked at"]);
}

/// What is wrong with the tables that a thief says he looked at.
fn unread(service: &Service, looked_at: &BTreeMap<String, u64>) -> Vec<String> {
    let tables = service.tables();
    assert!(tables.len() > 5, "{tables:?}");
    let may_be_empty = |table: &str| EMPTY.iter().any(|(name, _)| *name == table);
    let wrong = |table: String| match looked_at.get(&table) {
        None => Some(format!("{table} was not looked at")),
        Some(0) if !may_be_empty(&table) => Some(format!("{table} is empty")),
        Some(_) => None,
    };
    tables.into_iter().filter_map(wrong).collect()
}
