//! Many operations in one request.

use std::sync::Arc;

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::places::{ask, service};
use crate::support::{Answer, Installed, Manager};

pub(crate) const BULK: &str = "/api/secrets:bulk";

/// A request with a key, by the administrator.
pub(crate) async fn with_key(manager: &Manager, route: &str, key: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    manager.send(Method::POST, route, &headers, Some(body.to_string())).await
}

async fn made(manager: &Manager, path: &str) -> String {
    let body = json!({"environment": "dev", "path": path, "value": "v", "token": false});
    manager.post("/api/secrets", body).await.expect(201).member("key_id")
}

fn create(path: &str, value: &str) -> Value {
    json!({"create": {"environment": "dev", "path": path, "value": value, "token": false}})
}

fn write(secret: &str, value: &str) -> Value {
    json!({"write": {"key_id": secret, "body": {"value": value, "token": false}}})
}

/// Status and code of each result.
fn words(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap();
    let word = |result: &Value| format!("{} {}", result["status"], result["error"]["code"].as_str().unwrap_or("-"));
    results.iter().map(word).collect()
}

#[actix_web::test]
async fn operations_are_done_in_their_order_and_each_has_a_result() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (one, gone) = (made(&manager, "app/one").await, made(&manager, "app/gone").await);
    let named = json!({"key_id": one});
    let operations = json!([
        create("app/new", "n"),
        write(&one, "w"),
        {"write": {"key_id": one, "body": {"value": "x", "if_version": 1}}},
        {"change": {"key_id": one, "body": {"description": "d", "tags": {"team": "a"}}}},
        {"rollback": {"key_id": one, "body": {"version": 1, "note": "back"}}},
        {"destroy-versions": {"key_id": one, "body": {"versions": [2]}}},
        {"delete": named},
        {"delete": named},
        write(&one, "deleted"),
        {"undelete": named},
        {"undelete": named},
        {"destroy": {"key_id": one, "reason": "r"}},
        {"delete": {"key_id": gone, "reason": "r"}},
        {"destroy": {"key_id": gone, "reason": "r"}},
        create("app/one", "taken"),
        create("unnamed/x", "reserved"),
        {"write": {"key_id": one, "body": {}}},
        create("app/new.json", "n"),
        write("sec_00000000000000000000000000", "unknown"),
    ]);
    let answer = manager.post(BULK, json!({"operations": operations})).await;
    // An id out of form is one of a body out of form, of which nothing is done.
    answer.expect(400).refused("body_invalid");
    let mut operations = operations;
    operations.as_array_mut().unwrap().pop();
    let unknown = shared_proto::id::SecretId::generate().to_string();
    operations.as_array_mut().unwrap().push(write(&unknown, "unknown"));
    let answer = manager.post(BULK, json!({"operations": operations})).await.expect(200).json();
    let expected = [
        "201 -",
        "201 -",
        "409 version_conflict",
        "200 -",
        "201 -",
        "200 -",
        "200 -",
        "200 -",
        "409 secret_deleted",
        "200 -",
        "409 secret_not_deleted",
        "409 secret_not_deleted",
        "200 -",
        "200 -",
        "409 already_exists",
        "400 name_invalid",
        "400 parameter_invalid",
        "201 -",
        "404 secret_not_found",
    ];
    assert_eq!(words(&answer), expected);
    assert_eq!((&answer["done"], &answer["refused"]), (&json!(11), &json!(8)));
    let results = &answer["results"];
    assert_eq!(results[0]["written"]["path"], "app/new");
    assert_eq!((&results[1]["written"]["version"], &results[4]["rolled_back"]["version"]), (&json!(2), &json!(3)));
    assert!(results[0]["written"].get("access_token").is_none());
    assert_eq!(
        (&results[6]["deleted"]["key_id"], &results[13]["destroyed"]["status"]),
        (&json!(one), &json!("destroyed"))
    );
    let shown = manager.admin(Method::GET, &format!("/api/secrets/{one}"), None).await.expect(200).json();
    assert_eq!(
        (&shown["description"], &shown["state"], &shown["last_version"]),
        (&json!("d"), &json!("active"), &json!(3))
    );
    manager.stop().await;
}

#[actix_web::test]
async fn each_operation_is_decided_and_audited_as_its_own_route_would() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (own, other) = (made(&manager, "own/one").await, made(&manager, "other/one").await);
    let writer = service(&manager, "writer", "own/**", &[Action::Write]).await;
    let operations = json!([
        write(&own, "w"),
        write(&other, "w"),
        create("own/two", "v"),
        create("other/two", "v"),
        {"change": {"key_id": other, "body": {"description": "d"}}},
        {"rollback": {"key_id": other, "body": {"version": 1}}},
        {"delete": {"key_id": own}},
        {"undelete": {"key_id": own}},
        {"destroy": {"key_id": own, "reason": "r"}},
        {"destroy-versions": {"key_id": own, "body": {"versions": [1]}}},
    ]);
    let body = json!({"operations": operations});
    let answer = ask(&manager, &writer, Method::POST, BULK, Some(body)).await.expect(200).json();
    let mut expected = vec!["404 secret_not_found"; 10];
    (expected[0], expected[2]) = ("201 -", "201 -");
    assert_eq!(words(&answer), expected);
    manager.stop().await;
    let log = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    let lines = |action: &str, code: &str| {
        let line = |line: &&str| line.contains(&format!("\"{action}\"")) && line.contains(code);
        log.lines().filter(line).count()
    };
    for action in [
        "secret.update",
        "secret.create",
        "secret.change",
        "secret.rollback",
        "secret.delete",
        "secret.undelete",
        "secret.erase",
        "secret.destroy",
    ] {
        assert_eq!(lines(action, "secret_not_found"), 1, "{action}");
    }
    // Two before, two now.
    assert_eq!(lines("secret.store", "success"), 4);
    assert!(!log.contains("\"secret.bulk\""));
}

#[actix_web::test]
async fn repeat_under_the_same_key_does_nothing_twice_also_after_a_vault_that_was_lost_in_the_middle() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let one = made(&manager, "app/one").await;
    let operations: Vec<Value> = (0..4).map(|number| create(&format!("app/new-{number}"), "n")).collect();
    let all: Vec<Value> = operations.iter().cloned().chain([write(&one, "w")]).collect();
    let body = json!({"operations": all});
    let vault = Arc::clone(&installed.vault);
    manager.faults.after_calls("commit", 2, move || async move { vault.go_down().await });
    let first = with_key(&manager, BULK, "k", &body).await.expect(200).json();
    let (done, refused) = (first["done"].as_u64().unwrap(), first["refused"].as_u64().unwrap());
    assert_eq!((done, refused), (2, 3), "{first}");
    assert!(words(&first)[2..].iter().all(|word| word.starts_with("503 ")), "{first}");
    installed.vault.come_back().await;
    crate::support::until("all is done", async || {
        with_key(&manager, BULK, "k", &body).await.expect(200).json()["done"] == 5
    })
    .await;
    let again = with_key(&manager, BULK, "k", &body).await.expect(200).json();
    let place = |answer: &Value, number: usize| {
        let written = &answer["results"][number]["written"];
        (written["key_id"].clone(), written["version"].clone())
    };
    assert!((0..2).all(|number| place(&again, number) == place(&first, number)), "{again}");
    let committed = manager.versions().iter().filter(|version| version.state == "committed").count();
    assert_eq!(committed, 6);
    let other = json!({"operations": operations});
    with_key(&manager, BULK, "k", &other).await.expect(422).refused("idempotency_mismatch");
    manager.stop().await;
}

#[actix_web::test]
async fn number_of_operations_and_of_requests_is_bounded_and_each_operation_counts_as_a_request() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let one = made(&manager, "app/one").await;
    let operations = |count: usize| json!({"operations": vec![write(&one, "w"); count]});
    manager.post(BULK, operations(0)).await.expect(400).refused("body_invalid");
    manager.post(BULK, operations(101)).await.expect(400).refused("body_invalid");
    assert_eq!(manager.post(BULK, operations(1)).await.expect(200).json()["done"], 1);
    // The next request comes while the first one is under way.
    let writer = service(&manager, "writer", "app/**", &[Action::Write]).await;
    let first = ask(&manager, &writer, Method::POST, BULK, Some(operations(20)));
    let second = ask(&manager, &writer, Method::POST, BULK, Some(operations(20)));
    let (first, second) = futures_util::future::join(first, second).await;
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503], "{} {}", first.text, second.text);
    let slow = json!({"principal": {"per_second": 1, "burst": 4}});
    manager.admin(Method::PATCH, "/api/settings/rate-limits", Some(slow)).await.expect(200);
    let answer = ask(&manager, &writer, Method::POST, BULK, Some(operations(100))).await.expect(200).json();
    assert!(answer["done"].as_u64().unwrap() < 100, "{answer}");
    assert_eq!(words(&answer)[4], "429 rate_limited");
    manager.stop().await;
}
