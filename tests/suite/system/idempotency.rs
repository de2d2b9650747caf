//! `Idempotency-Key`: a repeat gets the same id and version, and a new token.

use futures_util::future::join_all;
use serde_json::{Value, json};
use system_tests::{Answer, Installation, Stored};

async fn submit(installation: &Installation, key: &str, body: &Value) -> Answer {
    let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin());
    call.header("idempotency-key", key).json(body).send().await
}

fn body(value: &str) -> Value {
    json!({"user_id": "user123", "key_data": value, "path": "db/password", "environment": "dev"})
}

#[tokio::test]
async fn repeat_gets_the_same_version_and_a_new_token_and_another_body_is_refused() {
    let installation = Installation::running().await;
    let first = Stored::of(&submit(&installation, "k1", &body("one")).await);
    let again = Stored::of(&submit(&installation, "k1", &body("one")).await);
    assert_eq!((&again.key_id, again.version), (&first.key_id, first.version));
    assert_ne!(again.jti, first.jti);
    assert!(installation.opens(&first).await && installation.opens(&again).await);

    submit(&installation, "k1", &body("two")).await.expect_code("idempotency_mismatch");
    let other = Stored::of(&submit(&installation, "k2", &body("two")).await);
    assert_eq!((&other.key_id, other.version), (&first.key_id, 2));
}

#[tokio::test]
async fn repeats_at_the_same_time_write_one_version() {
    let installation = Installation::running().await;
    let document = body("one");
    for answer in join_all((0..8).map(|_| submit(&installation, "k1", &document))).await {
        assert_eq!(answer.expect(201).number("version"), 1);
    }
    assert_eq!(Stored::of(&submit(&installation, "k2", &document).await).version, 2);
}

#[tokio::test]
async fn after_a_restart_the_repeat_is_told_what_the_first_one_wrote_and_gets_no_token() {
    let mut installation = Installation::running().await;
    let first = Stored::of(&submit(&installation, "k1", &body("one")).await);
    installation.restart_manager().await;
    for value in ["one", "two"] {
        let answer = submit(&installation, "k1", &body(value)).await;
        answer.expect_code("idempotency_unknown");
        assert_eq!((answer.text("key_id"), answer.number("version")), (first.key_id.clone(), 1));
        assert!(answer.json().get("access_token").is_none());
    }
}

#[tokio::test]
async fn stranger_may_not_use_the_header_and_odd_keys_are_refused() {
    let installation = Installation::running().await;
    let call = installation.manager.call("POST", "/api/keys").header("idempotency-key", "k1");
    let anonymous = json!({"user_id": "user123", "key_data": "one"});
    call.json(&anonymous).send().await.expect_code("idempotency_forbidden");
    for key in ["", &"k".repeat(129), "with space", "ümlaut"] {
        submit(&installation, key, &body("one")).await.expect_code("parameter_invalid");
    }
    Stored::of(&submit(&installation, &"k".repeat(128), &body("one")).await);
}
