//! The disk of a manager was cloned, and the clone is started beside it.

use serde_json::json;
use system_tests::{Installation, Service, wait_until};

async fn says(service: &Service, word: &str) -> bool {
    service.readiness().await.first().is_some_and(|first| first == word)
}

#[tokio::test]
async fn cloned_manager_beside_the_first_is_noticed_by_all_three_and_nothing_is_minted() {
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    installation.manager.stop().await;
    let mut clone = installation.clone_manager();
    installation.manager.start().await;
    installation.ready().await;
    assert!(installation.opens(&stored).await);
    clone.start().await;
    for service in [&installation.vault, &installation.manager, &clone] {
        wait_until(&format!("{} says conflict", service.name()), async || says(service, "conflict").await).await;
    }
    installation.vault.has_logged("ALARM").await;
    let wish = json!({"secrets": [{"key_id": stored.key_id}]});
    let at_the_clone = clone.call("POST", "/api/tokens").bearer(&installation.admin()).json(&wish).send().await;
    at_the_clone.expect_code("unavailable");
    installation.mint(&[(&stored.key_id, 0)]).await.expect_code("unavailable");
    // What is revoked meanwhile is told as it is, and happens when one of them is gone and the vault starts anew.
    let path = format!("/api/tokens/{}", stored.jti);
    let answer = installation.admin_call("DELETE", &path, None).await.expect(202);
    assert_eq!(answer.text("status"), "pending");
    clone.stop().await;
    installation.restart_vault().await;
    wait_until("it is revoked", async || !installation.opens(&stored).await).await;
    installation.mint(&[(&stored.key_id, 0)]).await.expect(201);
}

#[tokio::test]
async fn manager_that_restarts_again_and_again_is_no_second_one() {
    let mut installation = Installation::running().await;
    for _ in 0..5 {
        installation.restart_manager().await;
        let stored = installation.store("value").await;
        assert!(installation.opens(&stored).await);
    }
    assert!(!installation.vault.log().contains("ALARM"));
}
