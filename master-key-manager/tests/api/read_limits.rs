//! Limits of how often tokens are made for a secret.

use actix_web::http::Method;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::Fault;

use crate::oauth::{basic, details};
use crate::support::{Answer, Installed, Manager, Principal, StoreMood};

/// A manager with a secret `app/db` that has this limit.
async fn limited(limit: Value) -> (Installed, Manager, String) {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let mut new = json!({"environment": "dev", "path": "app/db", "value": "v", "token": false});
    if !limit.is_null() {
        new["rate_limit"] = limit;
    }
    let secret = manager.post("/api/secrets", new).await.expect(201).member("key_id");
    (installed, manager, secret)
}

async fn mint(manager: &Manager, who: &Principal, secrets: &[&str]) -> Answer {
    let secrets: Vec<Value> = secrets.iter().map(|secret| json!({"key_id": secret})).collect();
    manager.by(who, Method::POST, "/api/tokens", Some(json!({"secrets": secrets}))).await
}

async fn reader(manager: &Manager, name: &str) -> Principal {
    let reader = manager.service(name).await;
    manager.permit(&reader.id(), "allow", &["list", "read"], "app/**").await;
    reader
}

async fn change(manager: &Manager, who: &Principal, secret: &str, limit: Value) -> Answer {
    let body = Some(json!({"rate_limit": limit}));
    manager.by(who, Method::PATCH, &format!("/api/secrets/{secret}"), body).await
}

#[track_caller]
fn is_limited(answer: Answer) {
    let seconds: u64 = answer.headers.get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    answer.expect(429).refused("rate_limited");
}

#[actix_web::test]
async fn two_callers_share_a_limit_and_one_leaves_the_other_his_turn() {
    let (_installed, manager, secret) = limited(json!({"reads_per_minute": 2, "reads_per_minute_each": 1})).await;
    let [one, other, third] =
        [reader(&manager, "one").await, reader(&manager, "other").await, reader(&manager, "third").await];
    mint(&manager, &one, &[&secret]).await.expect(201);
    is_limited(mint(&manager, &one, &[&secret]).await);
    mint(&manager, &other, &[&secret]).await.expect(201);
    is_limited(mint(&manager, &third, &[&secret]).await);
    let by_path = json!({"secrets": [{"environment": "dev", "path": "app/db"}]});
    is_limited(manager.by(&third, Method::POST, "/api/tokens", Some(by_path)).await);
    manager.stop().await;
}

#[actix_web::test]
async fn who_may_not_read_neither_learns_of_a_limit_nor_takes_a_turn() {
    let (_installed, manager, secret) = limited(json!({"reads_per_minute": 1})).await;
    let (stranger, one) = (manager.service("stranger").await, reader(&manager, "one").await);
    for _ in 0..3 {
        mint(&manager, &stranger, &[&secret]).await.expect(404).refused("secret_not_found");
    }
    // Nor does what is refused for another reason, of somebody who may.
    mint(&manager, &one, &[&secret, &secret]).await.expect(400).refused("parameter_invalid");
    manager.faults.set(Fault::WritesFail);
    mint(&manager, &one, &[&secret]).await.expect(503);
    manager.faults.set(Fault::None);
    mint(&manager, &one, &[&secret]).await.expect(201);
    is_limited(mint(&manager, &one, &[&secret]).await);
    let hidden = mint(&manager, &stranger, &[&secret]).await.expect(404);
    let unknown = mint(&manager, &stranger, &["sec_AAAAAAAAAAAAAAAAAAAAAA"]).await.expect(404);
    assert_eq!(hidden.code(), unknown.code());
    manager.stop().await;
}

#[actix_web::test]
async fn every_way_to_a_token_counts() {
    let (_installed, manager, secret) = limited(json!({"reads_per_minute": 1})).await;
    let client = manager.reader_of("client", "dev", "app/**").await;
    let wanted = details(&json!([{"key_id": secret}]));
    let form = [("grant_type", "client_credentials"), ("authorization_details", wanted.as_str())];
    let authorization = basic(&client.service.to_string(), &client.credential);
    manager.ask_for_token(Some(&authorization), &form).await.expect(200);
    let refused = manager.ask_for_token(Some(&authorization), &form).await.expect(429);
    assert!(refused.headers.contains_key("retry-after") && refused.json()["error"] == "temporarily_unavailable");
    is_limited(manager.mint(&secret).await);
    // A write is written, and answered without a token.
    let of = format!("/api/secrets/{secret}");
    for value in ["w", "w"] {
        let bearer = format!("Bearer {}", manager.credential);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
        let written = manager.send(Method::PUT, &of, &headers, Some(json!({"value": value}).to_string())).await;
        let written = written.expect(201).json();
        assert!(written["version"] == 2 && written.get("token").is_none(), "{written}");
    }
    let same = manager.admin(Method::PUT, &of, Some(json!({"value": "w", "skip_unchanged": true}))).await.expect(200);
    assert!(same.json().get("token").is_none(), "{}", same.text);
    assert!(manager.store_value("app/db", "x").await.expect(201).json()["access_token"].is_null());
    let new = json!({"environment": "dev", "path": "app/new", "value": "v", "rate_limit": {"reads_per_minute": 1}});
    let new = manager.post("/api/secrets", new).await.expect(201).json();
    assert!(new["token"].is_object(), "its first turn: {new}");
    is_limited(manager.mint(new["key_id"].as_str().unwrap()).await);
    manager.stop().await;
}

#[actix_web::test]
async fn a_write_that_fails_takes_no_turn() {
    let (installed, manager, secret) = limited(json!({"reads_per_minute": 1})).await;
    let of = format!("/api/secrets/{secret}");
    installed.vault.state().store_mood = StoreMood::Garble;
    manager.admin(Method::PUT, &of, Some(json!({"value": "w"}))).await.expect(503);
    installed.vault.state().store_mood = StoreMood::Honest;
    let written = manager.admin(Method::PUT, &of, Some(json!({"value": "x"}))).await.expect(201);
    assert!(written.json()["token"].is_object(), "{}", written.text);
    is_limited(manager.mint(&secret).await);
    manager.stop().await;
}

#[actix_web::test]
async fn a_token_for_several_secrets_counts_for_each_or_for_none() {
    let (_installed, manager, rare) = limited(json!({"reads_per_minute": 1})).await;
    let new = json!({"environment": "dev", "path": "app/often", "value": "v", "token": false, "rate_limit": {"reads_per_minute": 2}});
    let often = manager.post("/api/secrets", new).await.expect(201).member("key_id");
    let one = reader(&manager, "one").await;
    mint(&manager, &one, &[&often, &rare]).await.expect(201);
    is_limited(mint(&manager, &one, &[&often, &rare]).await);
    mint(&manager, &one, &[&often]).await.expect(201);
    is_limited(mint(&manager, &one, &[&often]).await);
    manager.stop().await;
}

#[actix_web::test]
async fn a_writer_tightens_a_limit_and_whoever_may_share_lifts_it() {
    let (installed, manager, secret) = limited(json!(null)).await;
    let (one, writer) = (reader(&manager, "one").await, manager.service("writer").await);
    manager.permit(&writer.id(), "allow", &["list", "write"], "app/**").await;
    let few = json!({"reads_per_minute": 5, "reads_per_minute_each": 1});
    for wrong in [json!({"reads_per_minute": 0}), json!({"reads_per_minute": 2, "reads_per_minute_each": 3}), json!({})]
    {
        change(&manager, &writer, &secret, wrong).await.expect(400);
    }
    change(&manager, &one, &secret, few.clone()).await.expect(404).refused("secret_not_found");
    change(&manager, &writer, &secret, few.clone()).await.expect(200);
    mint(&manager, &one, &[&secret]).await.expect(201);
    is_limited(mint(&manager, &one, &[&secret]).await);
    for looser in
        [json!(null), json!({"reads_per_minute": 6}), json!({"reads_per_minute": 5, "reads_per_minute_each": 2})]
    {
        change(&manager, &writer, &secret, looser).await.expect(403).refused("not_permitted");
    }
    manager.stop().await;

    // The rule is kept, and what is counted begins anew.
    let manager = installed.start().await;
    let shown = manager.by(&one, Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(200).json();
    assert_eq!(shown["rate_limit"], few);
    mint(&manager, &one, &[&secret]).await.expect(201);
    is_limited(mint(&manager, &one, &[&secret]).await);
    let moved = Some(json!({"path": "app/moved"}));
    manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), moved).await.expect(200);
    is_limited(mint(&manager, &one, &[&secret]).await);

    manager.permit(&writer.id(), "allow", &["share", "read"], "app/**").await;
    change(&manager, &writer, &secret, json!(null)).await.expect(200);
    for _ in 0..3 {
        mint(&manager, &one, &[&secret]).await.expect(201);
    }
    let shown = manager.by(&one, Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(200).json();
    assert!(shown.get("rate_limit").is_none(), "{shown}");
    manager.stop().await;
}
