//! What an impostor between the services says about revocations, and databases that one or both services lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use shared_proto::event::event_hash;
use system_tests::proxy::{Exchange, Verdict};
use system_tests::{Call, Installation, wait_until};

#[tokio::test]
async fn revocation_that_only_an_impostor_confirms_stays_pending_until_the_vault_signs() {
    let stranger = Installation::builder().recorded().running().await;
    let installation = Installation::builder().recorded().running().await;
    let (first, second) = (installation.store("first").await, installation.store("second").await);
    installation.revoke(&first.jti).await;
    stranger.revoke(&stranger.store("other").await.jti).await;
    let genuine = last_answer(&installation, "push");
    let foreign = last_answer(&stranger, "push");

    let forgeries: [Forge; 6] = [
        |_, old, _| old.clone(),
        |_, _, foreign| foreign.clone(),
        |request, _, foreign| change(foreign, |feed| feed["nonce"] = request["nonce"].clone()),
        // With everything right but the signature: of another state, of another vault, none.
        as_if_applied,
        |request, old, foreign| {
            change(&as_if_applied(request, old, foreign), |feed| {
                feed["signature"] = foreign["feed"]["signature"].clone();
            })
        },
        |request, old, foreign| {
            change(&as_if_applied(request, old, foreign), |feed| {
                feed.as_object_mut().unwrap().remove("signature");
            })
        },
    ];
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    installation.proxy().rule(move |exchange| {
        if !matches!(exchange.op().as_str(), "push" | "poll") {
            return Verdict::Pass;
        }
        let request: Value = serde_json::from_slice(&exchange.request).unwrap();
        let forge = forgeries[count.fetch_add(1, Ordering::Relaxed) % forgeries.len()];
        let mut answer = forge(&request, &genuine, &foreign);
        let status = if exchange.op() == "push" { 202 } else { 200 };
        if exchange.op() == "poll" {
            answer["statements"] = json!([]);
        }
        Verdict::Answer(status, answer)
    });

    let path = format!("/api/tokens/{}", second.jti);
    let answer = installation.admin_call("DELETE", &path, None).await.expect(202);
    assert_eq!(answer.text("status"), "pending");
    wait_until("every forgery was told twice", async || told.load(Ordering::Relaxed) > 2 * forgeries.len()).await;
    let state = installation.admin_call("GET", "/api/revocations", None).await.expect(200).json();
    assert_eq!((&state["newest"], &state["applied"]), (&json!(2), &json!(1)));
    let again = installation.admin_call("DELETE", &path, None).await.expect(202);
    assert_eq!(again.text("status"), "pending");
    assert!(installation.opens(&second).await, "the vault was told nothing");

    installation.proxy().pass();
    installation.revoke(&second.jti).await;
    assert!(!installation.opens(&second).await && !installation.opens(&first).await);
}

#[tokio::test]
async fn recorded_answer_to_a_poll_says_nothing_about_now() {
    let installation = Installation::builder().recorded().running().await;
    let stored = installation.store("value").await;
    let recorded = last_answer(&installation, "poll");
    installation.proxy().rule(move |exchange| match exchange.op().as_str() {
        "poll" => Verdict::Answer(200, recorded.clone()),
        _ => Verdict::DropRequest,
    });
    let answer = installation.admin_call("DELETE", &format!("/api/tokens/{}", stored.jti), None).await.expect(202);
    assert_eq!(answer.text("status"), "pending");
    wait_until("the manager does not count on the vault", async || !installation.manager.is_ready().await).await;
    let refused = installation.submit(json!({"key_data": "value"})).await;
    refused.expect_code("unavailable");

    installation.proxy().pass();
    installation.ready().await;
    installation.revoke(&stored.jti).await;
    assert!(!installation.opens(&stored).await);
}

#[tokio::test]
async fn replayed_poll_that_names_no_event_opens_no_restored_vault() {
    let mut installation = Installation::builder().recorded().running().await;
    let stored = installation.store("value").await;
    let backup = installation.folder().join("vault.backup");
    installation.vault.back_up(&backup);
    let polls = || installation.proxy().exchanges().into_iter().filter(|one| one.op() == "poll").collect::<Vec<_>>();
    // Commands live for a minute: this one is good until the end of the test.
    let poll = polls().pop().unwrap();
    let document: Value = serde_json::from_slice(&poll.request).unwrap();
    assert!(document["newest"] == json!(0) && document["seal_key"].is_string(), "{document}");
    installation.revoke(&stored.jti).await;

    // To a vault that knows more, it changes nothing.
    replay(&installation, &poll).await;
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");

    installation.manager.stop().await;
    installation.vault.stop().await;
    installation.vault.restore(&backup);
    installation.vault.start().await;
    replay(&installation, &poll).await;
    installation.read(&stored.key_id, &stored.token).await.expect_code("revocations_behind");
    assert!(!installation.vault.is_ready().await);

    installation.manager.start().await;
    installation.ready().await;
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
}

#[tokio::test]
async fn control_poll_of_now_opens_a_restored_vault() {
    let mut installation = Installation::builder().recorded().running().await;
    let backup = installation.folder().join("vault.backup");
    installation.vault.back_up(&backup);
    let stored = installation.store("value").await;
    installation.revoke(&stored.jti).await;
    installation.vault.stop().await;
    installation.vault.restore(&backup);
    installation.vault.start().await;
    wait_until("the vault is ready", async || installation.vault.is_ready().await).await;
}

#[tokio::test]
async fn manager_restored_to_an_earlier_day_takes_its_events_back_and_revokes_nothing_else() {
    let mut installation = Installation::running().await;
    let (revoked, kept) = (installation.store("revoked").await, installation.store("kept").await);
    let backup = installation.folder().join("manager.backup");
    installation.manager.back_up(&backup);
    installation.revoke(&revoked.jti).await;
    let forgotten = installation.store("written after the backup").await;

    installation.manager.stop().await;
    installation.manager.restore(&backup);
    installation.manager.start().await;
    installation.ready().await;
    assert!(!installation.opens(&revoked).await);
    assert!(installation.opens(&kept).await && installation.opens(&forgotten).await);
    let state = installation.admin_call("GET", "/api/revocations", None).await.expect(200).json();
    assert_eq!((&state["newest"], &state["applied"], &state["unnumbered"]), (&json!(1), &json!(1), &json!(0)));
    let tokens = installation.admin_call("GET", "/api/tokens", None).await.expect(200).json();
    for token in tokens["tokens"].as_array().unwrap() {
        assert_eq!(token["revoked"], json!(token["jti"] == json!(revoked.jti)), "{token}");
    }

    let answer = installation.admin_call("DELETE", &format!("/api/tokens/{}", kept.jti), None).await.expect(200);
    assert_eq!((answer.text("status"), answer.number("sequence")), ("revoked".to_owned(), 2));
    assert!(!installation.opens(&kept).await);
}

#[tokio::test]
async fn revocation_asked_of_a_restored_manager_before_it_caught_up_waits_for_its_number() {
    let mut installation = Installation::builder().recorded().running().await;
    let (first, second) = (installation.store("first").await, installation.store("second").await);
    let backup = installation.folder().join("manager.backup");
    installation.manager.back_up(&backup);
    installation.revoke(&first.jti).await;
    installation.manager.stop().await;
    installation.manager.restore(&backup);
    installation.proxy().rule(|_| Verdict::DropRequest);
    installation.manager.start().await;

    let path = format!("/api/tokens/{}", second.jti);
    let answer = installation.admin_call("DELETE", &path, None).await.expect(202);
    assert_eq!(answer.json(), json!({"status": "pending", "sequence": null}), "no number before the vault's is known");
    installation.mint(&[(&second.key_id, 0)]).await.expect_code("unavailable");
    installation.proxy().pass();
    installation.ready().await;
    wait_until("the second revocation has reached the vault", async || !installation.opens(&second).await).await;
    assert!(!installation.opens(&first).await);
    let state = installation.admin_call("GET", "/api/revocations", None).await.expect(200).json();
    assert_eq!(state["newest"], json!(2), "{state}");
}

#[tokio::test]
async fn token_revoked_after_the_backups_of_both_services_stays_dead_when_both_are_restored() {
    let mut installation = Installation::running().await;
    let (revoked, kept) = (installation.store("revoked").await, installation.store("kept").await);
    let (vault, manager) = (installation.folder().join("vault.backup"), installation.folder().join("manager.backup"));
    installation.vault.back_up(&vault);
    installation.manager.back_up(&manager);
    installation.revoke(&revoked.jti).await;

    installation.manager.stop().await;
    installation.vault.stop().await;
    installation.vault.restore(&vault);
    installation.manager.restore(&manager);
    installation.start().await;
    // Nobody remembers the revocation; every token from before is dead with its seal key.
    for stored in [&revoked, &kept] {
        installation.read(&stored.key_id, &stored.token).await.expect_code("seal_key_unknown");
    }
    let minted = installation.mint(&[(&kept.key_id, 0)]).await.expect(201);
    installation.read(&kept.key_id, &minted.text("access_token")).await.expect(200);
    let path = format!("/api/tokens/{}", minted.text("jti"));
    let answer = installation.admin_call("DELETE", &path, None).await.expect(200);
    assert_eq!((answer.text("status"), answer.number("sequence")), ("revoked".to_owned(), 1));
    installation.read(&kept.key_id, &minted.text("access_token")).await.expect_code("token_invalid");
}

/// What an impostor makes of the request, a genuine older answer, and a genuine answer of another vault.
type Forge = fn(&Value, &Value, &Value) -> Value;

/// The feed state that the vault would sign if it had applied what is pushed: the impostor sees the events.
fn as_if_applied(request: &Value, old: &Value, _foreign: &Value) -> Value {
    change(old, |feed| {
        feed["nonce"] = request["nonce"].clone();
        if let Some(event) = request["events"].as_array().and_then(|events| events.last()) {
            feed["applied"] = 2.into();
            feed["event_hash"] = json!(event_hash(event.as_str().unwrap()));
        }
    })
}

fn change(answer: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut answer = answer.clone();
    change(&mut answer["feed"]);
    answer
}

/// The newest answer of the vault to a command of this kind.
fn last_answer(installation: &Installation, op: &str) -> Value {
    let exchanges = installation.proxy().exchanges();
    let last = exchanges.iter().rev().find(|exchange| exchange.op() == op && (200..300).contains(&exchange.status));
    serde_json::from_slice(&last.unwrap().answer).unwrap()
}

/// Sends a recorded request to the vault again, as it was. The vault takes it for what it is: a good command.
async fn replay(installation: &Installation, exchange: &Exchange) {
    let mut call = Call::new(installation.vault.port(), &exchange.method, &exchange.path);
    for (name, value) in exchange.headers.iter().filter(|(name, _)| name == "authorization" || name == "content-type") {
        call = call.header(name, value);
    }
    call.body(exchange.request.clone()).send().await.expect(200);
}
