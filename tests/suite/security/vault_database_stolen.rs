//! S1: the thief has the vault's database, its write-ahead log, its audit log, and backups of the database.

use system_tests::loot::{Piece, add_tokens};
use system_tests::thief::rob;
use system_tests::{Engine, Installation};

use super::treasure::{all_open, assert_no_name, assert_no_value, assert_opened, hide, kept, tokens};

#[tokio::test]
async fn stolen_vault_database_and_its_backups_give_no_value_and_no_name() {
    let installation = Installation::builder().production().apart().running().await;
    let treasures = hide(&installation).await;
    all_open(&installation, &treasures).await;
    installation.revoke(&treasures[0].stored.jti).await;

    let loot = tempfile::tempdir().unwrap();
    let backup = installation.folder().join("vault.backup");
    installation.vault.back_up(&backup);
    installation.steal(loot.path(), &[Piece::VaultData]);
    let log = if Engine::of_tests() == Engine::Sqlite { "vault.db-wal" } else { "server/pg_wal" };
    assert!(loot.path().join("vault-data").join(log).exists(), "the log of a running vault belongs to the loot");
    std::fs::copy(&backup, loot.path().join("vault.backup")).unwrap();
    let report = rob("S1", loot.path());
    assert_eq!(report.count("envelopes"), kept(&treasures).len() as u64);
    assert_no_value(&report, loot.path(), &treasures);
    assert_no_name(&report, loot.path(), &treasures);

    // Control: the same thief with what was missing.
    installation.steal(loot.path(), &[Piece::VaultKeys, Piece::VaultRuntime]);
    add_tokens(loot.path(), tokens(&treasures[..2]));
    assert_opened(&rob("S1 control", loot.path()), &treasures[..2]);
}
