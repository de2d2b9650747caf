//! Rotations and changes of versions among many operations.

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::places::{ask, service};
use crate::secret_rotation::{made, read, state};
use crate::support::{Answer, Installed, Manager, now};

const DAY: u64 = 86_400;

async fn bulk(manager: &Manager, key: &str, operations: Value) -> Answer {
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    let body = json!({"operations": operations}).to_string();
    manager.send(Method::POST, "/api/secrets:bulk", &headers, Some(body)).await
}

fn statuses(answer: &Value) -> Vec<u64> {
    answer["results"].as_array().unwrap().iter().map(|result| result["status"].as_u64().unwrap()).collect()
}

#[actix_web::test]
async fn many_secrets_are_rotated_and_a_repeat_rotates_none_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let made_by = json!({"rotation": {"generate": {"form": "password"}}, "rotation_days": 10, "kind": "password"});
    let one = made(&manager, "a/one", made_by.clone()).await;
    let other = made(&manager, "a/other", json!({})).await;
    let staged = made(&manager, "a/staged", json!({"rotation": {"mode": "staged"}})).await;
    let operations = json!([
        {"rotate": {"key_id": one, "body": {}}},
        {"rotate": {"key_id": other, "body": {}}},
        {"rotate": {"key_id": other, "body": {"generate": {"form": "uuid"}, "note": "by bulk"}}},
        {"rotate": {"key_id": one, "body": {"value": "again"}}},
        {"rotate": {"key_id": staged, "body": {"value": "v1"}}},
    ]);
    let first = bulk(&manager, "rotate", operations.clone()).await.expect(200);
    assert!(!first.text.contains("again"), "{}", first.text);
    let first = first.json();
    // Nothing says how the second one is made, and a rotation of the first one is under way.
    assert_eq!(statuses(&first), [201, 400, 201, 409, 201], "{first}");
    let results = &first["results"];
    assert_eq!(results[0]["rotated"]["stages"], json!({"current": 2, "previous": 1}));
    assert!(results[0]["rotated"]["public"]["bits"].is_u64());
    assert_eq!(results[3]["error"]["code"], "rotation_conflict");
    assert_eq!(results[4]["rotated"]["stages"], json!({"current": 1, "pending": 2}));
    assert_eq!(read(&installed, &manager, &other, "current").await.unwrap().len(), 36);
    // The end of the version is that of its own route.
    let of = format!("/api/secrets/{one}/versions/2");
    let end = manager.admin(Method::GET, &of, None).await.expect(200).json()["expires_at"].as_u64().unwrap();
    assert!((now() + 10 * DAY - 60..=now() + 10 * DAY).contains(&end));

    let value = read(&installed, &manager, &other, "current").await;
    let again = bulk(&manager, "rotate", operations).await.expect(200).json();
    assert_eq!(again["results"][0]["rotated"]["version"], 2);
    assert_eq!(state(&manager, &other).await["last_version"], 2);
    assert_eq!(read(&installed, &manager, &other, "current").await, value);
    manager.stop().await;
}

#[actix_web::test]
async fn stages_and_notes_of_many_versions_are_changed() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "a/one", json!({})).await;
    let of = format!("/api/secrets/{secret}");
    for value in ["v2", "v3"] {
        manager.admin(Method::PUT, &of, Some(json!({"value": value, "token": false}))).await.expect(201);
    }
    let operations = json!([
        {"change-version": {"key_id": secret, "version": 1, "body": {"stage": "previous", "note": "the first"}}},
        {"change-version": {"key_id": secret, "version": 9, "body": {"note": "none"}}},
        {"change-version": {"key_id": secret, "version": 3, "body": {}}},
        {"rollback": {"key_id": secret, "body": {"version": 2, "expires_at": 4_000_000_000_u64}}},
        {"destroy-versions": {"key_id": secret, "body": {"versions": [3]}}},
    ]);
    let done = bulk(&manager, "change", operations).await.expect(200).json();
    assert_eq!(statuses(&done), [200, 404, 400, 201, 200], "{done}");
    let changed = &done["results"][0]["changed_version"];
    assert_eq!((&changed["note"], &changed["stages"]), (&json!("the first"), &json!(["previous"])));
    assert_eq!(done["results"][3]["rolled_back"]["expires_at"], 4_000_000_000_u64);
    manager.stop().await;
}

#[actix_web::test]
async fn each_of_them_needs_the_right_of_its_own_route() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "a/one", json!({})).await;
    let operations = json!({"operations": [
        {"rotate": {"key_id": secret, "body": {"value": "v1"}}},
        {"change-version": {"key_id": secret, "version": 1, "body": {"note": "n"}}},
    ]});
    let writer = service(&manager, "writer", "a/**", &[Action::List, Action::Write]).await;
    let rotator = service(&manager, "rotator", "a/**", &[Action::List, Action::Rotate]).await;
    let stranger = service(&manager, "stranger", "b/**", &[Action::Rotate, Action::Write]).await;
    for (by, expected) in [(writer, [404, 200]), (stranger, [404, 404]), (rotator, [201, 404])] {
        let done = ask(&manager, &by, Method::POST, "/api/secrets:bulk", Some(operations.clone())).await;
        assert_eq!(statuses(&done.expect(200).json()), expected);
    }
    manager.stop().await;
}
