//! Values that are compared over HTTP: unchanged ones, those of two versions, and the same ones elsewhere.

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::places::{ask, service};
use crate::support::{Installed, Manager};

async fn made(manager: &Manager, path: &str, value: &str) -> String {
    let body = json!({"environment": "dev", "path": path, "value": value, "token": false});
    manager.post("/api/secrets", body).await.expect(201).member("key_id")
}

fn guess(value: &str) -> Value {
    json!({"value": value, "skip_unchanged": true, "token": false})
}

#[actix_web::test]
async fn unchanged_value_makes_no_version_and_asking_needs_the_right_to_read() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "app/db", "one").await;
    let at = format!("/api/secrets/{secret}");
    let put = async |body: Option<Value>| manager.admin(Method::PUT, &at, body).await;
    let same = put(Some(guess("one"))).await.expect(200).json();
    assert_eq!((&same["version"], &same["unchanged"]), (&json!(1), &json!(true)));
    let other = put(Some(guess("two"))).await.expect(201).json();
    assert_eq!((&other["version"], other.get("unchanged")), (&json!(2), None));
    let mut seen = guess("two");
    seen["if_version"] = json!(1);
    put(Some(seen)).await.expect(409).refused("version_conflict");
    put(Some(json!({"generate": {"form": "uuid"}, "skip_unchanged": true}))).await.expect(400);
    let with_token = put(Some(json!({"value": "two", "skip_unchanged": true}))).await.expect(200).json();
    let token = with_token["token"]["access_token"].as_str().unwrap().to_owned();
    assert_eq!(installed.vault.open(&token)[0].expose(), b"two");
    // A guess by somebody who may write and not read is refused, right or wrong, and the vault is not asked.
    let writer = service(&manager, "writer", "app/**", &[Action::Write, Action::List]).await;
    let asked = |installed: &Installed| {
        let orders = &installed.vault.state().orders;
        orders.iter().filter(|order| **order == shared_proto::command::Operation::Compare).count()
    };
    let before = asked(&installed);
    for value in ["two", "three"] {
        let answer = ask(&manager, &writer, Method::PUT, &at, Some(guess(value))).await;
        answer.expect(403).refused("not_permitted");
        let bulk = json!({"operations": [{"write": {"key_id": secret, "body": guess(value)}}]});
        let answer = ask(&manager, &writer, Method::POST, "/api/secrets:bulk", Some(bulk)).await.expect(200).json();
        assert_eq!(answer["results"][0]["error"]["code"], "not_permitted");
        let import = |dry: bool| {
            json!({
                "format": "dotenv", "document": format!("db={value}"), "environment": "dev", "folder": "app",
                "skip_unchanged": true, "dry_run": dry,
            })
        };
        for dry in [true, false] {
            let answer = ask(&manager, &writer, Method::POST, "/api/secrets:import", Some(import(dry))).await;
            assert_eq!(answer.expect(200).json()["secrets"][0]["error"]["code"], "not_permitted");
        }
    }
    assert_eq!(asked(&installed), before);
    let import = |dry: bool| {
        json!({
            "format": "dotenv", "document": "db=two\nnew=x", "environment": "dev", "folder": "app",
            "skip_unchanged": true, "dry_run": dry,
        })
    };
    for dry in [true, false] {
        let answer = manager.post("/api/secrets:import", import(dry)).await.expect(200).json();
        assert_eq!((&answer["unchanged"], &answer["created"]), (&json!(1), &json!(1)), "{answer}");
    }
    let shown = manager.admin(Method::GET, &at, None).await.expect(200).json();
    assert_eq!(shown["last_version"], 2);
    let diff = async |who: Option<&str>, numbers: [u64; 2]| {
        let path = format!("{at}/versions/{}:diff?with={}", numbers[0], numbers[1]);
        let answer = match who {
            Some(who) => ask(&manager, who, Method::GET, &path, None).await,
            None => manager.admin(Method::GET, &path, None).await,
        };
        answer.expect(200).json().get("same_value").cloned()
    };
    put(Some(json!({"value": "one", "token": false}))).await.expect(201);
    assert_eq!(diff(None, [1, 3]).await, Some(json!(true)), "two envelopes with one value");
    assert_eq!(diff(None, [1, 2]).await, Some(json!(false)));
    assert_eq!(diff(Some(&writer), [1, 3]).await, None);
    manager.stop().await;
}

#[actix_web::test]
async fn same_values_elsewhere_are_those_that_the_caller_may_read_without_those_that_need_an_approval() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (one, two) = (made(&manager, "app/one", "v").await, made(&manager, "app/two", "v").await);
    let guarded = made(&manager, "app/guarded", "v").await;
    made(&manager, "closed/three", "v").await;
    made(&manager, "app/other", "w").await;
    let guard = Some(json!({"requires_approval": true}));
    manager.admin(Method::PATCH, &format!("/api/secrets/{guarded}"), guard).await.expect(200);
    let reader = service(&manager, "reader", "app/**", &[Action::Read, Action::Write]).await;
    let at = |secret: &str| format!("/api/secrets/{secret}:same-value");
    let found = ask(&manager, &reader, Method::GET, &at(&one), None).await.expect(200).json();
    assert_eq!(found["same"], json!([{"key_id": two, "envelope": 1}]));
    assert_eq!((&found["version"], found.get("next")), (&json!(1), None));
    ask(&manager, &reader, Method::GET, &at(&guarded), None).await.expect(403).refused("approval_required");
    let put = format!("/api/secrets/{guarded}");
    ask(&manager, &reader, Method::PUT, &put, Some(guess("v"))).await.expect(403).refused("approval_required");
    let writer = service(&manager, "writer", "app/**", &[Action::Write, Action::List]).await;
    ask(&manager, &writer, Method::GET, &at(&one), None).await.expect(404).refused("secret_not_found");
    let wrong = format!("{}?after=x", at(&one));
    ask(&manager, &reader, Method::GET, &wrong, None).await.expect(400).refused("parameter_invalid");
    manager.stop().await;
}
