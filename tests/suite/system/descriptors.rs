//! A service may open no further file or connection: it says so, does what needs none, and goes on when it may again.

use serde_json::json;
use system_tests::http::Connection;
use system_tests::{Installation, wait_until};

#[tokio::test]
async fn vault_without_descriptors_says_so_reads_on_and_acknowledges_no_revocation() {
    let installation = Installation::running().await;
    let (stored, victim) = (installation.store("value").await, installation.store("victim").await);
    // New connections are not taken from now on; this one stays.
    let mut connection = Connection::open(installation.vault.port()).await;
    let ready = || installation.vault.call("GET", "/health/ready");
    connection.send(ready()).await.expect(200);
    wait_until("it is noticed", async || {
        // Again and again: what it closes meanwhile, as the connection of an earlier request, would be free.
        installation.vault.take_free_descriptors();
        connection.send(ready()).await.body.starts_with(b"descriptors")
    })
    .await;

    let read = || installation.vault.call("GET", &format!("/api/keys/{}", stored.key_id)).bearer(&stored.token);
    let opened = connection.send(read()).await.expect(200);
    let request = json!(opened.header("x-request-id").unwrap());
    let audited = installation.vault.audit().iter().any(|line| line["request_id"] == request);
    assert!(audited, "released with its audit line");
    let answer = installation.admin_call("DELETE", &format!("/api/tokens/{}", victim.jti), None).await.expect(202);
    assert_eq!(answer.text("status"), "pending", "the mark needs a file");

    installation.vault.limit_descriptors(1_024);
    installation.ready().await;
    installation.revoke(&victim.jti).await;
    assert!(installation.opens(&stored).await && !installation.opens(&victim).await);
    assert!(!installation.vault.log().contains("panicked"));
}

#[tokio::test]
async fn manager_without_descriptors_says_so_and_goes_on_when_it_has_some() {
    let installation = Installation::running().await;
    let mut connection = Connection::open(installation.manager.port()).await;
    let ready = || installation.manager.call("GET", "/health/ready");
    connection.send(ready()).await.expect(200);
    wait_until("it is noticed", async || {
        // Again and again: what it closes meanwhile, as the connection of an earlier request, would be free.
        installation.manager.take_free_descriptors();
        connection.send(ready()).await.body.starts_with(b"descriptors")
    })
    .await;
    installation.manager.limit_descriptors(1_024);
    installation.ready().await;
    let stored = installation.store("value").await;
    assert!(installation.opens(&stored).await);
    assert!(!installation.manager.log().contains("panicked"));
}
