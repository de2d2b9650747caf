//! "Revoked" is told only when the vault refuses from then on, whatever happens to it in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use system_tests::faults::DiskFault;
use system_tests::proxy::Verdict;
use system_tests::{Engine, Installation, Stored, only_on, wait_until};

#[tokio::test]
async fn token_whose_signature_is_cached_is_refused_on_the_next_request_and_after_a_restart() {
    let mut installation = Installation::running().await;
    let tokens = installation.admin_call("GET", "/api/tokens", None).await.expect(200).json();
    assert_eq!(tokens["tokens"], json!([]));
    let mut dead = Vec::new();
    for kind in ["token", "version", "secret", "subject", "credential", "all"] {
        let bystander = installation.store("bystander").await;
        // The administrator's own credential would be disabled with its tokens.
        let hit = if kind == "credential" { strangers(&installation).await } else { installation.store("hit").await };
        let listed = installation.admin_call("GET", "/api/tokens", None).await.expect(200).json();
        let listed = listed["tokens"].as_array().unwrap().iter().find(|token| token["jti"] == json!(hit.jti));
        let what = match kind {
            "token" => json!({"kind": kind, "jti": hit.jti}),
            "version" => json!({"kind": kind, "key_id": hit.key_id, "version": 1}),
            "secret" => json!({"kind": kind, "key_id": hit.key_id}),
            "subject" => json!({"kind": kind, "user_id": "user123"}),
            "credential" => json!({"kind": kind, "client_id": listed.unwrap()["client_id"]}),
            _ => json!({"kind": "all"}),
        };
        for _ in 0..3 {
            assert!(installation.opens(&hit).await, "{kind}: its signature is in the cache now");
        }
        let answer = installation.admin_call("POST", "/api/revocations", Some(what)).await.expect(200);
        assert_eq!(answer.text("status"), "revoked");
        installation.read(&hit.key_id, &hit.token).await.expect_code("token_invalid");
        let narrow = matches!(kind, "token" | "version" | "secret" | "credential");
        assert_eq!(installation.opens(&bystander).await, narrow, "{kind}");
        let minted = installation.mint(&[(&hit.key_id, 0)]).await.expect(201);
        installation.read(&hit.key_id, &minted.text("access_token")).await.expect(200);
        dead.push(hit);
    }
    installation.restart_vault().await;
    all_refused(&installation, &dead).await;
    installation.vault.kill();
    installation.vault.start().await;
    all_refused(&installation, &dead).await;
}

#[tokio::test]
async fn vault_killed_between_applying_and_answering_refuses_from_its_start_on() {
    let mut installation = Installation::builder().recorded().running().await;
    let stored = installation.store("value").await;
    let reached = cut_off_after_push(&installation, Verdict::DropAnswer);
    let answer = revoke(&installation, &stored).await;
    assert_eq!((answer.0, answer.1["status"].as_str()), (202, Some("pending")), "nobody heard the vault");
    let has_applied = || installation.proxy().exchanges().iter().any(|one| one.op() == "push" && one.status == 202);
    wait_until("the vault applied it", async || reached.load(Ordering::Relaxed) && has_applied()).await;
    installation.vault.kill();
    installation.vault.start().await;
    all_refused(&installation, std::slice::from_ref(&stored)).await;
    let again = revoke(&installation, &stored).await;
    assert_eq!((again.0, again.1["status"].as_str()), (202, Some("pending")));

    installation.proxy().pass();
    installation.ready().await;
    wait_until("the manager heard of it", async || revoke(&installation, &stored).await.0 == 200).await;
    all_refused(&installation, &[stored]).await;
}

#[tokio::test]
async fn vault_killed_before_a_revocation_reached_it_is_not_said_to_have_revoked() {
    let mut installation = Installation::builder().recorded().running().await;
    let stored = installation.store("value").await;
    let reached = cut_off_after_push(&installation, Verdict::DropRequest);
    let answer = revoke(&installation, &stored).await;
    assert_eq!((answer.0, answer.1["status"].as_str()), (202, Some("pending")));
    wait_until("the revocation was sent", async || reached.load(Ordering::Relaxed)).await;
    installation.vault.kill();
    installation.vault.start().await;
    assert!(installation.opens(&stored).await, "pending means that it may still open");
    let again = revoke(&installation, &stored).await;
    assert_eq!((again.0, again.1["status"].as_str()), (202, Some("pending")));

    installation.proxy().pass();
    wait_until("the vault signs for it", async || revoke(&installation, &stored).await.0 == 200).await;
    all_refused(&installation, &[stored]).await;
}

#[tokio::test]
async fn vault_with_a_full_disk_revokes_nothing_is_never_said_to_have_and_recovers() {
    if !only_on(
        Engine::Sqlite,
        "a vault whose database is on a server keeps revocations there; database_down.rs fills that disk",
    ) {
        return;
    }
    let mut installation = Installation::builder().make();
    installation.vault.load_shims();
    installation.start().await;
    let (stored, other) = (installation.store("value").await, installation.store("other").await);
    assert!(installation.opens(&stored).await);

    installation.vault.break_disk(Some(DiskFault::Full));
    let answer = revoke(&installation, &stored).await;
    assert_eq!((answer.0, answer.1["status"].as_str()), (202, Some("pending")));
    let again = revoke(&installation, &stored).await;
    assert_eq!((again.0, again.1["status"].as_str()), (202, Some("pending")));
    let state = installation.admin_call("GET", "/api/revocations", None).await.expect(200).json();
    assert_eq!((state["newest"].as_u64().is_some_and(|newest| newest > 0), &state["applied"]), (true, &json!(0)));
    // Nothing is released without its audit line, and nothing is stored.
    installation.read(&other.key_id, &other.token).await.expect_code("audit_unavailable");
    let refused = installation.submit(json!({"key_data": "value"})).await;
    assert_eq!(refused.status, 503, "{refused}");
    // A vault that ends now has forgotten nothing that it signed for.
    assert!(installation.vault.is_running());

    installation.vault.break_disk(None);
    wait_until("the vault signs for it", async || revoke(&installation, &stored).await.0 == 200).await;
    all_refused(&installation, std::slice::from_ref(&stored)).await;
    wait_until("the vault reads and writes again", async || {
        installation.opens(&other).await && installation.submit(json!({"key_data": "value"})).await.status == 201
    })
    .await;
    installation.restart_vault().await;
    all_refused(&installation, &[stored]).await;
}

/// Passes everything until the first push; what happens to that one is said, and nothing passes after it.
fn cut_off_after_push(installation: &Installation, verdict: Verdict) -> Arc<AtomicBool> {
    let reached = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reached);
    let mut verdict = Some(verdict);
    installation.proxy().rule(move |exchange| match (exchange.op().as_str(), verdict.take()) {
        ("push", Some(verdict)) => {
            seen.store(true, Ordering::Relaxed);
            verdict
        }
        (_, Some(unused)) => {
            verdict = Some(unused);
            Verdict::Pass
        }
        (_, None) => Verdict::DropRequest,
    });
    reached
}

/// A secret that somebody without a credential stored.
async fn strangers(installation: &Installation) -> Stored {
    let call = installation.manager.call("POST", "/api/keys");
    Stored::of(&call.json(&json!({"user_id": "somebody", "key_data": "hit"})).send().await)
}

async fn revoke(installation: &Installation, stored: &Stored) -> (u16, Value) {
    let answer = installation.admin_call("DELETE", &format!("/api/tokens/{}", stored.jti), None).await;
    (answer.status, answer.json())
}

async fn all_refused(installation: &Installation, stored: &[Stored]) {
    for stored in stored {
        installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
    }
}
