//! The least strength of passwords that an environment asks for.

use actix_web::http::Method;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Answer, Installed, Manager};

const WEAK: &str = "password1";
const STRONG: &str = "kX9#vTq2!mZ7pLw4";

async fn set(manager: &Manager, least: Value) -> Answer {
    manager.admin(Method::PATCH, "/api/environments/dev", Some(json!({"min_password_strength": least}))).await
}

fn document(password: &str) -> String {
    json!({"host": "db", "user": "app", "password": password}).to_string()
}

async fn create(manager: &Manager, path: &str, kind: &str, value: &str) -> Answer {
    let body = json!({"environment": "dev", "path": path, "kind": kind, "value": value, "token": false});
    manager.post("/api/secrets", body).await
}

#[track_caller]
fn is_weak(answer: Answer) {
    assert!(!answer.text.contains(WEAK), "{}", answer.text);
    answer.expect(400).refused("value_weak");
}

#[actix_web::test]
async fn every_way_to_write_a_weak_password_is_refused_where_an_environment_asks_for_more() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let word = create(&manager, "word", "password", WEAK).await.expect(201).member("key_id");
    let db = create(&manager, "db", "database", &document(WEAK)).await.expect(201).member("key_id");
    assert_eq!(set(&manager, json!(3)).await.expect(200).json()["min_password_strength"], 3);

    is_weak(create(&manager, "new", "password", WEAK).await);
    is_weak(create(&manager, "new-db", "database", &document(WEAK)).await);
    let address = |password: &str| json!({"url": format!("postgres://app:{password}@db/shop")}).to_string();
    for weak in [WEAK, "p%61ssword1"] {
        is_weak(create(&manager, "new-url", "database", &address(weak)).await);
    }
    let (of, versions) = (format!("/api/secrets/{word}"), format!("/api/secrets/{word}/versions"));
    is_weak(manager.admin(Method::PUT, &of, Some(json!({"value": WEAK}))).await);
    is_weak(manager.post(&versions, json!({"value": WEAK, "stage": "pending"})).await);
    is_weak(manager.store_value("word", WEAK).await);
    is_weak(manager.post(&format!("{of}:rotate"), json!({"value": WEAK})).await);
    is_weak(manager.post(&format!("/api/secrets/{db}:rotate"), json!({"value": document(WEAK)})).await);
    let operations = json!({"operations": [
        {"write": {"key_id": word, "body": {"value": WEAK}}},
        {"create": {"environment": "dev", "path": "bulk", "kind": "password", "value": WEAK}},
    ]});
    let bulk = manager.post("/api/secrets:bulk", operations).await.expect(200);
    assert_eq!(bulk.json()["refused"], 2);
    for dry_run in [true, false] {
        let import = json!({
            "format": "dotenv", "document": format!("A={WEAK}\nB={STRONG}\n"), "environment": "dev", "folder": "in",
            "kind": "password", "dry_run": dry_run,
        });
        let import = manager.post("/api/secrets:import", import).await.expect(200);
        let found = import.json();
        assert_eq!((&found["refused"], &found["created"]), (&json!(1), &json!(1)), "{found}");
        assert_eq!(found["secrets"][0]["error"]["code"], "value_weak");
        assert!(!import.text.contains(WEAK));
    }

    // What is no password, or strong, or was there before.
    manager.admin(Method::PUT, &of, Some(json!({"value": STRONG}))).await.expect(201);
    create(&manager, "text", "text", WEAK).await.expect(201);
    create(&manager, "url", "database", r#"{"url": "postgres://db/app"}"#).await.expect(201);
    create(&manager, "strong-url", "database", &address("kX9%23vTq2!mZ7pLw4")).await.expect(201);
    let filled = json!({"value": document("x"), "field": "password", "generate": {"form": "password"}});
    manager.post(&format!("/api/secrets/{db}:rotate"), filled).await.expect(201);
    manager.post(&format!("{of}:rollback"), json!({"version": 1})).await.expect(201);
    let elsewhere = json!({"environment": "staging", "path": "a", "kind": "password", "value": WEAK});
    manager.post("/api/secrets", elsewhere).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn what_is_made_is_strong_enough_or_is_not_made() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    set(&manager, json!(4)).await.expect(200);
    let make = async |path: &str, kind: &str, generate: Value| {
        let body = json!({"environment": "dev", "path": path, "kind": kind, "generate": generate});
        manager.post("/api/secrets", body).await
    };
    let short = json!({"form": "password", "length": 8});
    is_weak(make("short", "password", short.clone()).await);
    make("text", "text", short).await.expect(201);
    for (path, generate) in [
        ("long", json!({"form": "password"})),
        ("twelve", json!({"form": "password", "length": 12})),
        ("words", json!({"form": "passphrase"})),
        ("key", json!({"form": "key-256"})),
    ] {
        let made = make(path, "password", generate).await.expect(201).json();
        let value = installed.vault.open(made["token"]["access_token"].as_str().unwrap());
        assert_eq!(manager_secret_kinds::strength(value[0].expose()).score, 4, "{path}");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn the_rule_is_the_environments_and_is_changed_by_whoever_may_manage_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let show = async |manager: &Manager| {
        let shown = manager.admin(Method::GET, "/api/environments/dev", None).await.expect(200);
        shown.json()["min_password_strength"].clone()
    };
    assert_eq!(show(&manager).await, 0);
    for wrong in [json!(5), json!(-1), json!(null), json!("3")] {
        set(&manager, wrong).await.expect(400);
    }
    set(&manager, json!(2)).await.expect(200);
    let writer = manager.service("writer").await;
    manager.permit(&writer.id(), "allow", &["list", "write", "read", "share"], "**").await;
    let lower = Some(json!({"min_password_strength": 0}));
    manager.by(&writer, Method::PATCH, "/api/environments/dev", lower).await.expect(403).refused("not_permitted");
    manager.stop().await;
    let manager = installed.start().await;
    assert_eq!(show(&manager).await, 2, "it is kept");
    is_weak(create(&manager, "a", "password", WEAK).await);
    set(&manager, json!(0)).await.expect(200);
    create(&manager, "a", "password", WEAK).await.expect(201);
    manager.stop().await;
}
