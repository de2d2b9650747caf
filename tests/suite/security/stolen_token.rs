//! S10: an access token opens its grants until it expires or is revoked, and a restored database does not revive it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use system_tests::loot::{copy_tree, put_back};
use system_tests::{Installation, wait_until};

use super::treasure::{all_open, hide};

#[tokio::test]
async fn stolen_token_opens_its_grants_and_nothing_else() {
    let installation = Installation::builder().production().running().await;
    let treasures = hide(&installation).await;
    all_open(&installation, &treasures).await;
    for holder in &treasures {
        for other in treasures.iter().filter(|other| other.stored.key_id != holder.stored.key_id) {
            let answer = installation.read(&other.stored.key_id, &holder.stored.token).await;
            answer.expect_code("secret_not_found");
        }
    }
    // Two versions of one secret: each token opens its own.
    let newest = installation.read(&treasures[0].stored.key_id, &treasures[1].stored.token).await.expect(200);
    assert_eq!(newest.text("decrypted_key"), treasures[1].value);
}

#[tokio::test]
async fn token_is_dead_from_the_second_in_which_it_expires_also_when_it_was_in_use() {
    let installation = Installation::builder().production().running().await;
    let stored = installation.store("value").await;
    let wish = json!({"secrets": [{"key_id": stored.key_id}], "life_seconds": 2});
    let minted = installation.admin_call("POST", "/api/tokens", Some(wish)).await.expect(201);
    let (token, end) = (minted.text("access_token"), minted.number("expires_at"));
    installation.read(&stored.key_id, &token).await.expect(200);
    wait_until("the token expires", async || {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let answer = installation.read(&stored.key_id, &token).await;
        if answer.status == 200 {
            assert!(before < end, "it opened in second {before}, and its end is {end}");
            return false;
        }
        answer.expect_code("token_invalid");
        true
    })
    .await;
    assert!(installation.opens(&stored).await);
}

#[tokio::test]
async fn revoked_token_stays_dead_when_the_vaults_database_is_restored_from_before() {
    let mut installation = Installation::builder().production().running().await;
    let (revoked, other) = (installation.store("revoked").await, installation.store("other").await);
    let backup = installation.folder().join("vault.backup");
    installation.vault.back_up(&backup);
    assert!(installation.opens(&revoked).await);
    installation.revoke(&revoked.jti).await;
    assert!(!installation.opens(&revoked).await);

    installation.manager.stop().await;
    installation.vault.stop().await;
    installation.vault.restore(&backup);
    installation.vault.start().await;
    // Without the manager nobody knows what is revoked: nothing opens.
    for stored in [&revoked, &other] {
        installation.read(&stored.key_id, &stored.token).await.expect_code("revocations_behind");
    }
    assert!(!installation.vault.is_ready().await);

    installation.manager.start().await;
    installation.ready().await;
    installation.read(&revoked.key_id, &revoked.token).await.expect_code("token_invalid");
    installation.read(&other.key_id, &other.token).await.expect_code("seal_key_unknown");
    for stored in [&revoked, &other] {
        let minted = installation.mint(&[(&stored.key_id, 0)]).await.expect(201).text("access_token");
        installation.read(&stored.key_id, &minted).await.expect(200);
    }
}

/// A runtime directory that comes back with the database: the deployment that production refuses.
#[tokio::test]
async fn control_runtime_directory_in_the_backup_revives_the_revoked_token() {
    let mut installation = Installation::running().await;
    let revoked = installation.store("revoked").await;
    let (backup, runtime) = (installation.folder().join("vault.backup"), installation.folder().join("runtime.backup"));
    installation.vault.back_up(&backup);
    copy_tree(installation.runtime_dir(), &runtime);
    installation.revoke(&revoked.jti).await;
    assert!(!installation.opens(&revoked).await);

    installation.manager.stop().await;
    installation.vault.stop().await;
    installation.vault.restore(&backup);
    put_back(&runtime, installation.runtime_dir());
    installation.vault.start().await;
    assert!(installation.opens(&revoked).await, "the drill would not notice a missing mark");
}
