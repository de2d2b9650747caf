//! Store at the manager, read at the vault, revoke, destroy.

use serde_json::json;
use system_tests::{Installation, Stored, wait_until};

#[tokio::test]
async fn stranger_stores_and_reads_with_the_two_calls_of_the_original_idea() {
    let installation = Installation::running().await;
    let body = r#"{"user_id": "user123", "key_data": "super_secret_value"}"#;
    let call = installation.manager.call("POST", "/api/keys").header("content-type", "application/json").body(body);
    let answer = call.header("host", "localhost:8000").send().await.expect(201);
    assert_eq!(answer.text("message"), "Key stored successfully");
    assert_eq!(answer.text("token_type"), "Bearer");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let stored = Stored::of(&answer);
    assert_eq!(stored.version, 1);
    assert_eq!(answer.text("path"), format!("unnamed/{}", stored.key_id));

    let opened = installation.read(&stored.key_id, &stored.token).await.expect(200);
    assert_eq!(opened.text("decrypted_key"), "super_secret_value");
    assert_eq!(opened.number("version"), 1);
    assert_eq!(opened.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn revoked_token_is_refused_on_the_next_request_and_a_new_one_works() {
    let installation = Installation::running().await;
    let stored = installation.store("value").await;
    assert!(installation.opens(&stored).await);
    let revoked = installation.admin_call("DELETE", &format!("/api/tokens/{}", stored.jti), None).await;
    assert_eq!(revoked.expect(200).text("status"), "revoked");
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");

    let minted = installation.mint(&[(&stored.key_id, 0)]).await.expect(201);
    installation.read(&stored.key_id, &minted.text("access_token")).await.expect(200);
}

#[tokio::test]
async fn second_value_under_a_name_is_its_next_version_and_older_ones_stay_readable_by_token() {
    let installation = Installation::running().await;
    let first = installation.store_at("db/password", "one").await;
    let second = installation.store_at("db/password", "two").await;
    assert_eq!((&second.key_id, second.version), (&first.key_id, 2));

    let newest = installation.mint(&[(&first.key_id, 0)]).await.expect(201).text("access_token");
    let older = installation.mint(&[(&first.key_id, 1)]).await.expect(201).text("access_token");
    for (token, version, value) in [(&newest, 2, "two"), (&older, 1, "one"), (&first.token, 1, "one")] {
        let opened = installation.read(&first.key_id, token).await.expect(200);
        assert_eq!((opened.number("version"), opened.text("decrypted_key")), (version, value.to_owned()));
    }
    installation.mint(&[(&first.key_id, 3)]).await.expect_code("secret_not_found");
}

#[tokio::test]
async fn destroyed_version_is_gone_for_every_token_and_the_others_stay() {
    let installation = Installation::running().await;
    let first = installation.store_at("db/password", "one").await;
    let second = installation.store_at("db/password", "two").await;
    let path = format!("/api/keys/{}/destroy", first.key_id);
    wait_until("the vault signs for the destruction", async || {
        let answer = installation.admin_call("POST", &path, Some(json!({"versions": [1]}))).await;
        assert!(matches!(answer.status, 200 | 202), "{answer}");
        answer.text("status") == "destroyed"
    })
    .await;
    installation.read(&first.key_id, &first.token).await.expect_code("token_invalid");
    installation.mint(&[(&first.key_id, 1)]).await.expect_code("secret_not_found");
    assert!(installation.opens(&second).await);

    let third = installation.store_at("db/password", "three").await;
    assert_eq!(third.version, 3);
}

#[tokio::test]
async fn token_opens_what_it_names_and_nothing_else() {
    let installation = Installation::running().await;
    let (mine, other) = (installation.store("mine").await, installation.store("other").await);
    installation.read(&other.key_id, &mine.token).await.expect_code("secret_not_found");
    let batch = installation.vault.call("POST", "/api/keys:read").bearer(&mine.token);
    let answer = batch.json(&json!({"key_ids": [mine.key_id, other.key_id]})).send().await.expect(200).json();
    assert_eq!(answer["keys"][0]["decrypted_key"], "mine");
    assert_eq!(answer["keys"][1], json!({"key_id": other.key_id, "code": "secret_not_found"}));
}
