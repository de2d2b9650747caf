//! Kinds of secrets: what a value must be, and values that the manager makes.

use actix_web::http::Method;
use futures_util::future::{join, join_all};
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::places::{ask, service};
use crate::support::{Answer, Installed, Manager};

async fn create(manager: &Manager, path: &str, more: Value) -> Answer {
    let mut body = json!({"environment": "dev", "path": path});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manager.post("/api/secrets", body).await
}

fn opened(installed: &Installed, answer: &Answer) -> String {
    let token = answer.json()["token"]["access_token"].as_str().unwrap().to_owned();
    String::from_utf8(installed.vault.open(&token)[0].expose().to_vec()).unwrap()
}

#[actix_web::test]
async fn a_value_that_is_not_what_its_kind_says_is_refused_and_never_repeated() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let canary = "hunter2canary";
    for (kind, value) in [
        ("json", format!("{{\"a\": {canary}")),
        ("yaml", format!("a: [{canary}")),
        ("jwt", canary.to_owned()),
        ("certificate", format!("-----BEGIN CERTIFICATE-----\n{canary}\n-----END CERTIFICATE-----\n")),
        ("ssh-key", canary.to_owned()),
        ("api-key", format!("{canary} {canary}")),
        ("database", canary.to_owned()),
    ] {
        let refused = create(&manager, "bad", json!({"kind": kind, "value": value})).await.expect(400);
        assert!(!refused.text.contains(canary), "{}", refused.text);
        assert!(!refused.refused("value_invalid").member("detail").is_empty());
    }
    let made = create(&manager, "typed", json!({"kind": "json", "value": "{\"a\": 1}"})).await.expect(201);
    let secret = made.member("key_id");
    // Every way to write a version looks at the kind.
    let put = Some(json!({"value": canary}));
    manager.admin(Method::PUT, &format!("/api/secrets/{secret}"), put).await.expect(400).refused("value_invalid");
    manager.store_value("typed", canary).await.expect(400).refused("value_invalid");
    manager.store_value("typed", "{\"a\": 2}").await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn the_end_of_a_certificate_is_the_end_of_its_version_unless_an_earlier_one_is_given() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let pair = json!({"form": "key-pair", "self_signed": {"names": [{"dns": "a.example"}], "days": 30}});
    let made = create(&manager, "web", json!({"kind": "certificate", "generate": pair})).await.expect(201);
    let end = made.json()["expires_at"].as_u64().unwrap();
    let now = crate::support::now();
    assert!((now + 29 * 86_400..=now + 31 * 86_400).contains(&end), "{end}");
    let bundle = opened(&installed, &made);
    assert!(bundle.contains("BEGIN CERTIFICATE") && bundle.contains("PRIVATE KEY"));
    let public = &made.json()["public"];
    assert!(bundle.contains(public["certificate"].as_str().unwrap().trim_end()), "{public}");
    assert!(!made.text.contains("PRIVATE KEY"), "the value is not in the answer");
    let given = create(&manager, "web2", json!({"kind": "certificate", "value": bundle, "expires_at": now + 60}));
    assert_eq!(given.await.expect(201).json()["expires_at"], now + 60);
    manager.stop().await;
}

#[actix_web::test]
async fn a_value_is_made_for_whoever_may_write_and_shown_to_whoever_may_read() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let body = json!({"kind": "password", "generate": {"form": "password", "length": 40}});
    let made = create(&manager, "made", body).await.expect(201);
    let value = opened(&installed, &made);
    assert_eq!(value.len(), 40);
    assert!(!made.text.contains(&value) && made.json()["public"]["bits"].as_u64().unwrap() > 200, "{}", made.text);
    let secret = made.member("key_id");
    let writer = service(&manager, "writer", "made", &[Action::Write]).await;
    let next = Some(json!({"generate": {"form": "password"}}));
    let answer = ask(&manager, &writer, Method::PUT, &format!("/api/secrets/{secret}"), next.clone()).await.expect(201);
    assert_eq!(answer.json().get("token"), None);
    let other = service(&manager, "other", "else", &[Action::Write]).await;
    ask(&manager, &other, Method::PUT, &format!("/api/secrets/{secret}"), next).await.expect(404);
    for wrong in [
        json!({"kind": "json", "generate": {"form": "password"}}),
        json!({"generate": {"form": "password", "classes": {"lower": false, "upper": false, "digits": false, "symbols": false}}}),
    ] {
        create(&manager, "wrong", wrong).await.expect(400).refused("value_invalid");
    }
    for wrong in [
        json!({"value": "v", "generate": {"form": "uuid"}}),
        json!({"encoding": "base64", "generate": {"form": "uuid"}}),
        json!({}),
    ] {
        create(&manager, "wrong", wrong).await.expect(400).refused("parameter_invalid");
    }
    create(&manager, "wrong", json!({"generate": {"form": "uuid", "length": 8}}))
        .await
        .expect(400)
        .refused("body_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn a_caller_who_has_seen_another_version_has_no_value_made() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "doc", json!({"kind": "json", "value": "{}"})).await.expect(201).member("key_id");
    let put = async |seen: u64| {
        let body = json!({"generate": {"form": "password"}, "if_version": seen});
        manager.admin(Method::PUT, &format!("/api/secrets/{secret}"), Some(body)).await
    };
    // What is made is no JSON, which is noticed once it is there.
    put(1).await.expect(400).refused("value_invalid");
    put(7).await.expect(409).refused("version_conflict");
    manager.admin(Method::DELETE, &format!("/api/secrets/{secret}"), None).await.expect(200);
    put(7).await.expect(409).refused("secret_deleted");
    manager.stop().await;
}

#[actix_web::test]
async fn rsa_keys_of_one_caller_are_made_one_after_the_other_and_hold_up_nobody_else() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let writer = service(&manager, "writer", "keys/**", &[Action::Write]).await;
    let key = async |number: usize| {
        let generate = json!({"form": "key-pair", "algorithm": "rsa-4096"});
        let body = json!({"environment": "dev", "path": format!("keys/{number}"), "generate": generate});
        ask(&manager, &writer, Method::POST, "/api/secrets", Some(body)).await
    };
    let password = create(&manager, "made", json!({"generate": {"form": "password"}}));
    let (keys, password) = join(join_all((0..12).map(key)), password).await;
    password.expect(201);
    let made = keys.iter().filter(|answer| answer.status == 201).count();
    let refused: Vec<&Answer> = keys.iter().filter(|answer| answer.status == 429).collect();
    assert!(made >= 1 && !refused.is_empty() && made + refused.len() == keys.len(), "{made}, {}", refused.len());
    assert!(refused.iter().all(|answer| answer.text.contains("rate_limited")));
    key(99).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeat_with_the_same_key_makes_no_second_value() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    let body = json!({"environment": "dev", "path": "once", "generate": {"form": "token"}}).to_string();
    let mut values = Vec::new();
    for _ in 0..2 {
        let made = manager.send(Method::POST, "/api/secrets", &headers, Some(body.clone())).await.expect(201);
        assert_eq!(made.json()["version"], 1);
        values.push(opened(&installed, &made));
    }
    assert_eq!(values[0], values[1]);
    manager.stop().await;
}

#[actix_web::test]
async fn the_strength_of_a_given_password_is_told() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let score = async |path: &str, value: &str| {
        let made = create(&manager, path, json!({"kind": "password", "value": value})).await.expect(201);
        made.json()["strength"]["score"].as_u64().unwrap()
    };
    assert_eq!((score("weak", "password1").await, score("strong", "kX9#vTq2!mZ7pLw4").await), (0, 4));
    let other = create(&manager, "text", json!({"value": "password1"})).await.expect(201);
    assert_eq!(other.json().get("strength"), None);
    manager.stop().await;
}
