//! S7 and S11: the thief has all that the manager has; and also all tokens and traffic, with the exchange of every root
//! key (handout and rewrap), or the vault's database.

use std::path::Path;

use serde_json::Value;
use system_tests::loot::{Piece, add_tokens};
use system_tests::thief::{Report, rob};
use system_tests::{Installation, wait_until};
use tempfile::TempDir;

use super::treasure::{Treasure, all_open, assert_no_value, assert_opened, hide, kept, knows_names, tokens};

const WHOLE_MANAGER: [Piece; 2] = [Piece::ManagerData, Piece::ManagerKeys];

#[tokio::test]
async fn stolen_manager_with_every_token_and_all_traffic_gives_names_and_no_value() {
    let (report, loot, treasures) = steal_manager("").await;
    assert!(report.count("wrapped_keys") >= 2 * treasures.len() as u64, "of both epochs: {:?}", report.pieces);
    assert!(report.count("keys") >= 6, "root keys of both epochs of three environments: {:?}", report.pieces);
    assert_eq!(report.count("tokens"), treasures.len() as u64);
    // All were sent once. What was destroyed later is in the recording still.
    assert_eq!(report.count("envelopes"), treasures.len() as u64);
    assert!(report.count("registry_records") >= 12, "principals, credentials and policy: {:?}", report.pieces);
    assert!(report.count("credential_hashes") >= 3, "{:?}", report.pieces);
    assert_no_value(&report, loot.path(), &treasures);
    assert!(knows_names(&report, &kept(&treasures)), "{:?}", report.names);
}

#[tokio::test]
async fn control_transfer_keys_kept_by_the_manager_give_every_value() {
    let (report, _loot, treasures) = steal_manager("keep_transfer_key").await;
    assert_opened(&report, &treasures);
}

#[tokio::test]
async fn control_data_keys_kept_outside_their_transfer_key_give_every_value() {
    let (report, _loot, treasures) = steal_manager("bare_inner").await;
    assert_opened(&report, &treasures);
}

#[tokio::test]
async fn stolen_manager_and_vault_database_give_no_value_without_the_vaults_key_files() {
    let installation = Installation::builder().production().apart().running().await;
    let treasures = hide(&installation).await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_MANAGER);
    installation.steal(loot.path(), &[Piece::VaultData]);
    add_tokens(loot.path(), tokens(&treasures));
    let report = rob("S11", loot.path());
    assert_eq!(report.count("envelopes"), kept(&treasures).len() as u64);
    assert_no_value(&report, loot.path(), &treasures);
    assert!(knows_names(&report, &kept(&treasures)), "{:?}", report.names);

    // Control: the storage key, as if it lay in the database.
    let storage_key = installation.vault.keys().join("storage-keys/1.key");
    std::fs::copy(&storage_key, loot.path().join("vault-data/storage.key")).unwrap();
    assert_opened(&rob("S11 control", loot.path()), &kept(&treasures));
}

async fn steal_manager(switches: &str) -> (Report, TempDir, Vec<Treasure>) {
    let builder = Installation::builder().production().apart().recorded().sabotaged("", switches);
    let mut installation = builder.running().await;
    let treasures = hide(&installation).await;
    exchange_root_keys(&installation).await;
    all_open(&installation, &treasures).await;
    // Also what it leaves when it ends.
    installation.manager.stop().await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_MANAGER);
    installation.steal(loot.path(), &[Piece::Traffic]);
    add_tokens(loot.path(), tokens(&treasures));
    let report = rob("S7", loot.path());
    assert!(Path::new(loot.path()).join("traffic").read_dir().unwrap().count() > treasures.len());
    (report, loot, treasures)
}

/// Every environment gets a new root key, so that every row is handed out and wrapped anew over the recorded wire.
async fn exchange_root_keys(installation: &Installation) {
    for environment in ["dev", "staging", "production"] {
        // Not waited for inside the command: the proxy runs in this process.
        for step in [["root-key", environment].as_slice(), &["confirm-backup", "root-key", environment]] {
            installation.manager.run_well(&[&["rotate-keys", "--wait", "0"], step].concat());
        }
    }
    wait_until("everything is under the new root keys", async || {
        let report = installation.manager.run_well(&["rotate-keys", "--json", "status"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        let old = |row: &&Value| row["key"] == "root-key" && row["number"] == 1;
        report["keys"].as_array().unwrap().iter().filter(old).all(|row| row["under_it"] == 0)
    })
    .await;
}
