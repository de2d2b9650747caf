//! The programs of today on what an earlier release left (`tests/releases`): everything of it is there, opens for whom it
//! opened, and takes part in what came since.

use serde_json::{Value, json};
use system_tests::release::{Known, kept_at, lay_down, shown};
use system_tests::{Answer, Installation};

/// Laid down and started, with the operator's word: versions bore no tags in that release.
async fn updated(release: &str) -> (Installation, Known) {
    let (mut installation, known) = lay_down(&kept_at(release));
    installation.vault.start().await;
    let refused = installation.manager.try_start().await.expect("nobody has vouched for the versions");
    assert!(refused.contains("policy confirm"), "{refused}");
    let shown = installation.manager.run_well(&["policy", "show"]);
    assert!(shown.contains("EARLIER RELEASE"), "{shown}");
    let word = shown.split_whitespace().next_back().unwrap().to_owned();
    installation.manager.run_well(&["policy", "confirm", &word]);
    installation.manager.start().await;
    installation.ready().await;
    (installation, known)
}

/// All of what was shown is still shown; members and rows may have come.
fn expect_kept(before: &Value, now: &Value, place: &str) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            // They have a list of their own since; their values are read below.
            let listed_apart = |name: &str| name == "versions" && place.starts_with("/api/secrets");
            for (name, value) in before.iter().filter(|(name, _)| !listed_apart(name)) {
                let found = now.get(name).unwrap_or_else(|| panic!("{place}: {name} is gone"));
                expect_kept(value, found, &format!("{place}.{name}"));
            }
        }
        (Value::Array(before), Value::Array(now)) => {
            assert_eq!(before.len(), now.len(), "{place}: {now:?}");
            for (number, (before, now)) in before.iter().zip(now).enumerate() {
                expect_kept(before, now, &format!("{place}[{number}]"));
            }
        }
        _ => assert_eq!(before, now, "{place}"),
    }
}

async fn ask(installation: &Installation, credential: &str, method: &str, path: &str, body: Value) -> Answer {
    installation.manager.call(method, path).bearer(credential).json(&body).send().await
}

async fn value_of(installation: &Installation, minted: &Answer) -> String {
    let token = minted.text("access_token");
    let secrets: Value = minted.json()["secrets"].clone();
    installation.read(secrets[0]["key_id"].as_str().unwrap(), &token).await.expect(200).text("decrypted_key")
}

fn wish(environment: &str, path: &str, version: Option<u64>) -> Value {
    let mut secret = json!({"environment": environment, "path": path});
    if let Some(version) = version {
        secret["version"] = version.into();
    }
    json!({"secrets": [secret]})
}

#[tokio::test]
async fn what_an_earlier_release_left_is_there_and_opens_for_whom_it_opened() {
    let (installation, known) = updated("policy").await;
    let now = shown(&installation).await;
    for (path, before) in &known.shown {
        expect_kept(before, &now[path], path);
    }
    let admin = installation.admin();
    for (environment, path, version, value) in &known.values {
        let minted = ask(&installation, &admin, "POST", "/api/tokens", wish(environment, path, Some(*version))).await;
        if environment == "lab" {
            assert_eq!((minted.status, minted.code()), (409, "environment_frozen".to_owned()));
            continue;
        }
        assert_eq!(value_of(&installation, &minted.expect(201)).await, *value);
    }
    // A service reads what it might, and nothing else.
    let own = ask(&installation, &known.service, "POST", "/api/tokens", wish("dev", "app/db/password", None)).await;
    assert_eq!(
        value_of(&installation, &own.expect(201)).await,
        known.values[0].3,
        "the newest is a rollback to the first"
    );
    for path in ["app/closed/key", "nobody/knows"] {
        let refused = ask(&installation, &known.service, "POST", "/api/tokens", wish("dev", path, None)).await;
        assert_eq!((refused.status, refused.code()), (404, "secret_not_found".to_owned()), "{path}");
    }
    let refused =
        ask(&installation, &known.disabled, "POST", "/api/tokens", wish("dev", "app/db/password", None)).await;
    assert_eq!(refused.code(), "credential_invalid");
    let login = json!({"name": known.person.0, "password": known.person.1});
    installation.manager.call("POST", "/api/sessions").json(&login).send().await.expect(201);
    let gone = json!({"secrets": [{"key_id": known.destroyed}]});
    assert_eq!(ask(&installation, &admin, "POST", "/api/tokens", gone).await.status, 404);
    let (key_id, key, body) = &known.repeated;
    let call = installation.manager.call("POST", "/api/keys").bearer(&admin).header("idempotency-key", key);
    let again = call.json(body).send().await;
    assert_eq!(
        (again.status, again.code(), again.text("key_id")),
        (409, "idempotency_unknown".to_owned(), key_id.clone())
    );
}

#[tokio::test]
async fn secrets_of_an_earlier_release_take_part_in_what_came_since() {
    let (installation, known) = updated("policy").await;
    let admin = installation.admin();
    let call = async |method: &str, path: &str, body: Value| ask(&installation, &admin, method, path, body).await;
    let found = call("GET", "/api/secrets?q=db%2Fpass&environment=dev", json!({})).await.expect(200).json();
    let id = found["secrets"][0]["key_id"].as_str().unwrap().to_owned();
    let secret = format!("/api/secrets/{id}");
    let history = call("GET", &format!("{secret}/versions"), json!({})).await.expect(200).json();
    let numbers: Vec<u64> =
        history["versions"].as_array().unwrap().iter().map(|row| row["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 3, 2, 1]);
    call("PUT", &secret, json!({"value": "of today", "if_version": 4})).await.expect(201);
    call("PATCH", &secret, json!({"tags": {"team": "pay"}, "description": "of today"})).await.expect(200);
    call("POST", &format!("{secret}:rollback"), json!({"version": 2, "if_version": 5})).await.expect(201);
    let minted = call("POST", "/api/tokens", wish("dev", "app/db/password", None)).await.expect(201);
    assert_eq!(value_of(&installation, &minted).await, known.values[1].3);
    call("DELETE", &secret, json!({})).await.expect(200);
    call("POST", &format!("{secret}:undelete"), json!({})).await.expect(200);
    let shown = call("GET", &secret, json!({})).await.expect(200).json();
    assert_eq!((&shown["description"], &shown["stages"]["current"]), (&json!("of today"), &json!(6)), "{shown}");
}
