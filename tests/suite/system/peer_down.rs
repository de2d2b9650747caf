//! One service is down, or does not answer: what goes on, and what is told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system_tests::proxy::Verdict;
use system_tests::{Answer, Installation, Stored, wait_until};

fn body() -> Value {
    json!({"user_id": "user123", "key_data": "value", "path": "db/password", "environment": "dev"})
}

async fn submit(installation: &Installation, key: &str) -> Answer {
    let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin());
    call.header("idempotency-key", key).json(&body()).send().await
}

async fn states(installation: &Installation) -> Vec<String> {
    let secrets = installation.secrets().await;
    assert!(secrets.len() <= 1, "{secrets:?}");
    let Some((key_id, _)) = secrets.first() else { return Vec::new() };
    installation.versions(key_id).await.into_iter().map(|(_, state)| state).collect()
}

/// What a client with the same key does until it has an answer.
async fn repeat_until_stored(installation: &Installation, key: &str) -> Stored {
    let mut stored = None;
    wait_until("the repeat settles it", async || {
        let answer = submit(installation, key).await;
        assert!(matches!(answer.status, 201 | 503), "{answer}");
        stored = (answer.status == 201).then(|| Stored::of(&answer));
        stored.is_some()
    })
    .await;
    stored.unwrap()
}

#[tokio::test]
async fn write_while_the_vault_is_down_is_refused_quickly_and_can_be_repeated() {
    let mut installation = Installation::running().await;
    installation.vault.stop().await;
    for _ in 0..3 {
        let started = Instant::now();
        let answer = submit(&installation, "k1").await;
        assert!(matches!(answer.code().as_str(), "unavailable" | "outcome_unknown"), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    installation.vault.start().await;
    installation.ready().await;
    let stored = repeat_until_stored(&installation, "k1").await;
    assert_eq!(submit(&installation, "k1").await.expect(201).number("version"), stored.version);
    assert!(installation.opens(&stored).await);
    let committed = states(&installation).await.iter().filter(|state| *state == "committed").count();
    assert_eq!(committed, 1);
}

#[tokio::test]
async fn vault_that_hangs_gives_an_unknown_outcome_which_the_repeat_settles() {
    let installation = Installation::running().await;
    installation.vault.freeze(true);
    let answer = submit(&installation, "k1").await;
    answer.expect_code("outcome_unknown");
    installation.vault.freeze(false);
    let stored = repeat_until_stored(&installation, "k1").await;
    assert!(installation.opens(&stored).await);
    assert_eq!(states(&installation).await.iter().filter(|state| *state == "committed").count(), 1);
}

#[tokio::test]
async fn lost_answer_of_the_vault_is_settled_and_nothing_is_stored_twice() {
    let installation = Installation::builder().recorded().running().await;
    installation.proxy().rule(|exchange| match exchange.op().as_str() {
        "store" | "settle" => Verdict::DropAnswer,
        _ => Verdict::Pass,
    });
    let answer = submit(&installation, "k1").await;
    answer.expect_code("outcome_unknown");
    assert_eq!(states(&installation).await, ["pending"]);
    installation.proxy().pass();
    let stored = repeat_until_stored(&installation, "k1").await;
    assert_eq!(stored.version, 1, "the vault had it");
    assert!(installation.opens(&stored).await);
    assert_eq!(states(&installation).await, ["committed"]);
}

#[tokio::test]
async fn request_that_never_reached_the_vault_is_settled_as_abandoned_and_stored_anew() {
    let installation = Installation::builder().recorded().running().await;
    installation.proxy().rule(|exchange| match exchange.op().as_str() {
        "store" => Verdict::DropRequest,
        _ => Verdict::Pass,
    });
    let answer = submit(&installation, "k1").await;
    assert!(matches!(answer.code().as_str(), "unavailable" | "outcome_unknown"), "{answer}");
    wait_until("it is settled", async || states(&installation).await == ["abandoned"]).await;
    installation.proxy().pass();
    let stored = repeat_until_stored(&installation, "k1").await;
    assert_eq!(stored.version, 2, "a number is never used twice");
    assert_eq!(states(&installation).await, ["abandoned", "committed"]);
    installation.mint(&[(&stored.key_id, 1)]).await.expect_code("secret_not_found");
}

#[tokio::test]
async fn reading_goes_on_while_the_manager_is_down_and_after_a_restart_of_the_vault() {
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    installation.manager.kill();
    for _ in 0..3 {
        assert!(installation.opens(&stored).await);
    }
    installation.vault.restart().await;
    assert!(installation.opens(&stored).await, "its seal keys and its mark outlived the process");
    installation.manager.start().await;
    installation.ready().await;
    assert!(installation.opens(&installation.store("other").await).await);
}
