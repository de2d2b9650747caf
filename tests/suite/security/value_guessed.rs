//! S3, S7 and S11 with guesses: whoever has one half, and good ideas of the values, is not told which are right, nor
//! which versions have the same value.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use system_tests::Installation;
use system_tests::loot::{Piece, add_tokens};
use system_tests::thief::{Report, rob_with};
use tempfile::TempDir;

use super::treasure::{Treasure, all_open, hide_at, random_word, tokens};

const WHOLE_MANAGER: [Piece; 2] = [Piece::ManagerData, Piece::ManagerKeys];
const WHOLE_VAULT: [Piece; 3] = [Piece::VaultData, Piece::VaultKeys, Piece::VaultRuntime];

#[tokio::test]
async fn stolen_vault_with_all_traffic_tells_no_guess_and_no_equality() {
    let (installation, treasures) = hidden("", "").await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_VAULT);
    installation.steal(loot.path(), &[Piece::Traffic]);
    let report = guess(loot.path(), &treasures);
    assert!(report.count("inners_unwrapped") >= 2 * treasures.len() as u64, "{:?}", report.pieces);
    assert_eq!((report.guessed.as_slice(), report.alike.as_slice()), ([].as_slice(), [].as_slice()));

    // Control: the key of the manager that the fingerprint key is made of.
    let name = "credential-hmac.key";
    fs::copy(installation.manager.keys().join(name), loot.path().join(name)).unwrap();
    let report = guess(loot.path(), &treasures);
    assert_guessed(&report, &treasures);
    assert_eq!(report.alike.len(), 1, "the two of the same environment: {:?}", report.alike);
}

#[tokio::test]
async fn control_fingerprints_that_are_not_bound_show_which_values_are_the_same() {
    let (installation, treasures) = hidden("unbound_header", "unbound_header").await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_VAULT);
    let report = guess(loot.path(), &treasures);
    assert_eq!(report.alike.iter().map(Vec::len).collect::<Vec<_>>(), [3], "{:?}", report.alike);
    assert_eq!(report.guessed, [], "and still no guess");
}

#[tokio::test]
async fn stolen_manager_with_every_token_and_all_traffic_tells_no_guess() {
    let (report, _loot, treasures) = steal_manager("").await;
    assert!(report.count("wrapped_keys") >= 2 * treasures.len() as u64, "{:?}", report.pieces);
    assert_eq!((report.guessed.as_slice(), report.alike.as_slice()), ([].as_slice(), [].as_slice()));
}

#[tokio::test]
async fn control_transfer_keys_kept_by_the_manager_tell_every_guess() {
    let (report, _loot, treasures) = steal_manager("keep_transfer_key").await;
    assert_guessed(&report, &treasures);
}

#[tokio::test]
async fn control_fingerprints_kept_outside_their_transfer_key_tell_every_guess() {
    let (report, _loot, treasures) = steal_manager("bare_fingerprint").await;
    assert_guessed(&report, &treasures);
}

#[tokio::test]
async fn stolen_manager_and_vault_database_tell_no_guess_without_the_vaults_key_files() {
    let (installation, treasures) = hidden("", "").await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_MANAGER);
    installation.steal(loot.path(), &[Piece::VaultData]);
    add_tokens(loot.path(), tokens(&treasures));
    let report = guess(loot.path(), &treasures);
    assert_eq!((report.guessed.as_slice(), report.alike.as_slice()), ([].as_slice(), [].as_slice()));

    // Control: the storage key, as if it lay in the database.
    let storage_key = installation.vault.keys().join("storage-keys/1.key");
    fs::copy(&storage_key, loot.path().join("vault-data/storage.key")).unwrap();
    assert_guessed(&guess(loot.path(), &treasures), &treasures);
}

#[tokio::test]
async fn control_fingerprints_that_the_vault_keeps_in_clear_tell_every_guess_to_the_managers_thief() {
    let (installation, treasures) = hidden("clear_fingerprint", "").await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_MANAGER);
    installation.steal(loot.path(), &[Piece::VaultData]);
    assert_guessed(&guess(loot.path(), &treasures), &treasures);
}

/// An installation with four values, three of which are the same; two of these are in one environment.
async fn hidden(vault: &str, manager: &str) -> (Installation, Vec<Treasure>) {
    let installation = Installation::builder().production().apart().recorded().sabotaged(vault, manager);
    let installation = installation.running().await;
    let (same, other) = (random_word(), random_word());
    let mut treasures = Vec::new();
    for (environment, value) in [("dev", &same), ("dev", &same), ("staging", &same), ("production", &other)] {
        let path = format!("vaulted/{}", random_word());
        treasures.push(hide_at(&installation, environment, &path, value).await);
    }
    all_open(&installation, &treasures).await;
    (installation, treasures)
}

async fn steal_manager(switches: &str) -> (Report, TempDir, Vec<Treasure>) {
    let (mut installation, treasures) = hidden("", switches).await;
    // Also what it leaves when it ends.
    installation.manager.stop().await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_MANAGER);
    installation.steal(loot.path(), &[Piece::Traffic]);
    add_tokens(loot.path(), tokens(&treasures));
    let report = guess(loot.path(), &treasures);
    (report, loot, treasures)
}

/// What the thief finds who tests every right value, and wrong ones.
fn guess(loot: &Path, treasures: &[Treasure]) -> Report {
    let list = tempfile::NamedTempFile::new().unwrap();
    let right = treasures.iter().map(|treasure| treasure.value.clone());
    let lines: Vec<String> = right.chain([random_word(), "hunter2".to_owned()]).collect();
    fs::write(list.path(), lines.join("\n")).unwrap();
    rob_with("guesses", loot, &["--guesses", list.path().to_str().unwrap()])
}

/// Checks that the thief knows of exactly the right guesses that they are right.
fn assert_guessed(report: &Report, treasures: &[Treasure]) {
    let mut expected: Vec<_> = treasures
        .iter()
        .map(|treasure| {
            let value = STANDARD.encode(treasure.value.as_bytes());
            (treasure.stored.key_id.clone(), treasure.stored.version, value)
        })
        .collect();
    let guessed = report.guessed.iter();
    let mut found: Vec<_> = guessed.map(|one| (one.secret_id.clone(), one.version, one.value_b64.clone())).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "notes of the thief: {:?}", report.notes);
}
