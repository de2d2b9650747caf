//! Documents that are imported.

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::bulk::with_key;
use crate::places::{ask, service};
use crate::support::{Installed, Manager};

const IMPORT: &str = "/api/secrets:import";

fn document(format: &str, document: &str) -> Value {
    json!({"format": format, "document": document, "environment": "dev", "folder": "app"})
}

fn dry(mut body: Value) -> Value {
    body["dry_run"] = json!(true);
    body
}

/// Path, outcome and code of each row.
fn rows(answer: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |row: &Value| {
        let (path, outcome, code) = (word(&row["path"]), word(&row["outcome"]), word(&row["error"]["code"]));
        format!("{path} {outcome} {code}")
    };
    answer["secrets"].as_array().unwrap().iter().map(row).collect()
}

async fn value_at(installed: &Installed, manager: &Manager, path: &str) -> String {
    let body = json!({"secrets": [{"environment": "dev", "path": path}]});
    let token = manager.post("/api/tokens", body).await.expect(201).member("access_token");
    String::from_utf8(installed.vault.open(&token)[0].expose().to_vec()).unwrap()
}

#[actix_web::test]
async fn dry_run_says_what_the_import_then_does_and_shows_no_value() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for (path, value) in [("app/OLD", "old"), ("app/GONE", "gone"), ("app.TWIN", "twin")] {
        let body = json!({"environment": "dev", "path": path, "value": value, "token": false});
        manager.post("/api/secrets", body).await.expect(201);
    }
    let json_kind = json!({"environment": "dev", "path": "app/JSON", "value": "{}", "kind": "json", "token": false});
    manager.post("/api/secrets", json_kind).await.expect(201);
    let gone = manager.admin(Method::GET, "/api/secrets?environment=dev&path=app/GONE", None).await.expect(200).json();
    let gone = gone["secrets"][0]["key_id"].as_str().unwrap().to_owned();
    manager.admin(Method::DELETE, &format!("/api/secrets/{gone}"), None).await.expect(200);
    let text = "NEW=canary$HOME\nOLD='canary new'\nGONE=canary\nTWIN=canary\nJSON=canary\nEMPTY=\nA..b=canary\n";
    let expected = [
        "app/NEW created -",
        "app/OLD updated -",
        "app/GONE refused secret_deleted",
        "app/TWIN refused already_exists",
        "app/JSON refused value_invalid",
        "app/EMPTY refused value_invalid",
        "app/A..b created -",
    ];
    let before = manager.versions();
    let answer = manager.post(IMPORT, dry(document("dotenv", text))).await.expect(200);
    assert!(!answer.text.contains("canary"));
    assert_eq!(rows(&answer.json()), expected);
    assert_eq!(manager.versions(), before, "nothing happened");
    let answer = manager.post(IMPORT, document("dotenv", text)).await.expect(200);
    assert!(!answer.text.contains("canary"));
    let answer = answer.json();
    assert_eq!(rows(&answer), expected);
    let counts = ["created", "updated", "kept", "refused"].map(|name| answer[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 0, 4]);
    assert_eq!(answer["secrets"][1]["version"], 2);
    assert_eq!(value_at(&installed, &manager, "app/NEW").await, "canary$HOME");
    assert_eq!(value_at(&installed, &manager, "app/OLD").await, "canary new");
    manager.stop().await;
    let log = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    assert!(!log.contains("canary"));
    assert_eq!(log.lines().filter(|line| line.contains("\"secret.import\"") && line.contains("success")).count(), 1);
}

#[actix_web::test]
async fn objects_become_folders_and_a_secret_that_exists_is_kept_when_asked() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let nested = r#"{"db": {"user": "u", "port": 5432}, "db/user": "again", "a//b": "x", "list": [1], "unnamed": "v"}"#;
    let mut body = document("json", nested);
    let answer = manager.post(IMPORT, body.clone()).await.expect(200).json();
    let expected = [
        "app/db/user created -",
        "app/db/port created -",
        "app/db/user refused parameter_invalid",
        "- refused name_invalid",
        "app/list refused value_invalid",
        "app/unnamed created -",
    ];
    assert_eq!(rows(&answer), expected);
    assert_eq!(value_at(&installed, &manager, "app/db/port").await, "5432");
    body["existing"] = json!("keep");
    let answer = manager.post(IMPORT, body.clone()).await.expect(200).json();
    assert_eq!((&answer["kept"], &answer["created"], &answer["updated"]), (&json!(3), &json!(0), &json!(0)));
    body.as_object_mut().unwrap().remove("folder");
    body["document"] = json!(r#"{"unnamed": {"x": "v"}}"#);
    assert_eq!(rows(&manager.post(IMPORT, body).await.expect(200).json()), ["unnamed/x refused name_invalid"]);
    let mut yaml = document("yaml", "tls:\n  key: |\n    line\n    line\n  count: 010\n");
    yaml["kind"] = json!("json");
    let answer = manager.post(IMPORT, dry(yaml.clone())).await.expect(200).json();
    assert_eq!(rows(&answer), ["app/tls/key refused value_invalid", "app/tls/count refused value_invalid"]);
    yaml.as_object_mut().unwrap().remove("kind");
    manager.post(IMPORT, yaml).await.expect(200);
    assert_eq!(value_at(&installed, &manager, "app/tls/key").await, "line\nline\n");
    assert_eq!(value_at(&installed, &manager, "app/tls/count").await, "010");
    for (format, text) in
        [("dotenv", "canary"), ("json", "[\"canary\"]"), ("yaml", "a: &x canary\nb: *x\n"), ("json", "{\"canary\":")]
    {
        let answer = manager.post(IMPORT, document(format, text)).await.expect(400);
        assert!(!answer.text.contains("canary"));
        answer.refused("value_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn each_value_is_decided_by_itself_and_a_repeat_stores_nothing_twice() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let writer = service(&manager, "writer", "app/own/**", &[Action::Write]).await;
    let text = r#"{"own": {"a": "v"}, "other": {"a": "v"}}"#;
    for body in [dry(document("json", text)), document("json", text)] {
        let answer = ask(&manager, &writer, Method::POST, IMPORT, Some(body)).await.expect(200).json();
        assert_eq!(rows(&answer), ["app/own/a created -", "app/other/a refused secret_not_found"]);
    }
    let text = "A=1\nB=2\nEMPTY=\n";
    let first = with_key(&manager, IMPORT, "k", &document("dotenv", text)).await.expect(200).json();
    let again = with_key(&manager, IMPORT, "k", &document("dotenv", text)).await.expect(200).json();
    assert_eq!(first, again);
    assert_eq!(first["created"], 2);
    let other = with_key(&manager, IMPORT, "k", &document("dotenv", "A=2\n")).await;
    other.expect(422).refused("idempotency_mismatch");
    manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    let frozen = manager.post(IMPORT, dry(document("dotenv", "C=1\n"))).await.expect(200).json();
    assert_eq!(rows(&frozen), ["app/C refused environment_frozen"]);
    manager.stop().await;
}
