//! S3 and S4: the thief has a copy of all that the vault has, without or with tokens.

use std::fs;

use system_tests::loot::{Piece, add_tokens, copy_tree};
use system_tests::thief::rob;
use system_tests::{Engine, Installation};

use super::treasure::{Life, all_open, assert_no_name, assert_no_value, assert_opened, hide, kept, tokens};

const WHOLE_VAULT: [Piece; 3] = [Piece::VaultData, Piece::VaultKeys, Piece::VaultRuntime];

#[tokio::test]
async fn stolen_vault_without_a_token_gives_no_value_and_with_one_exactly_its_own() {
    let installation = Installation::builder().production().apart().running().await;
    let treasures = hide(&installation).await;
    all_open(&installation, &treasures).await;

    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_VAULT);
    let report = rob("S3", loot.path());
    // He can undo the storage layer, and that is all: of each row the wrapped key and the fingerprint. Pages of PostgreSQL have
    // them of the destroyed version, too, until they are written over.
    let rows = match Engine::of_tests() {
        Engine::Sqlite => kept(&treasures).len(),
        Engine::Postgres => treasures.len(),
    };
    assert_eq!(report.count("inners_unwrapped"), 2 * rows as u64);
    assert_no_value(&report, loot.path(), &treasures);
    assert_no_name(&report, loot.path(), &treasures);

    // Control: one token more.
    add_tokens(loot.path(), tokens(&treasures[3..4]));
    assert_opened(&rob("S3 control", loot.path()), &treasures[3..4]);
}

#[tokio::test]
async fn stolen_vault_with_all_traffic_and_tokens_of_destroyed_seal_keys_gives_no_value() {
    let mut installation = Installation::builder().production().apart().recorded().running().await;
    let treasures = hide(&installation).await;
    all_open(&installation, &treasures).await;

    // All seal keys are replaced, as after an hour: without their files a start makes new ones.
    installation.vault.stop().await;
    let kept = installation.folder().join("kept-seal-keys");
    copy_tree(installation.runtime_dir(), &kept);
    for file in fs::read_dir(installation.runtime_dir()).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("seal-") {
            fs::remove_file(path).unwrap();
        }
    }
    installation.vault.start().await;
    installation.ready().await;
    for treasure in &treasures {
        let answer = installation.read(&treasure.stored.key_id, &treasure.stored.token).await;
        // What was revoked is so before anybody looks for a seal key.
        answer.expect_code(if treasure.life == Life::Open { "seal_key_unknown" } else { "token_invalid" });
    }

    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &WHOLE_VAULT);
    installation.steal(loot.path(), &[Piece::Traffic]);
    add_tokens(loot.path(), tokens(&treasures));
    let report = rob("S4", loot.path());
    assert_eq!(report.count("tokens"), treasures.len() as u64);
    // The traffic has the destroyed one, too, as it was before.
    assert_eq!(report.count("envelopes"), treasures.len() as u64);
    assert!(report.count("transfer_keys") > 0, "the recorded transfer keys open with the stolen transport key");
    assert_no_value(&report, loot.path(), &treasures);

    // Control: seal keys that were kept.
    copy_tree(&kept, &loot.path().join("kept-seal-keys"));
    assert_opened(&rob("S4 control", loot.path()), &treasures);
}
