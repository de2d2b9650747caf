//! Repeats.

use actix_web::http::Method;
use master_key_manager::routes::openapi_document;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Answer, Installed, StoreMood};

fn place(answer: &Answer) -> (String, u64) {
    (answer.member("key_id"), answer.json()["version"].as_u64().unwrap())
}

#[actix_web::test]
async fn a_repeat_gets_the_same_version_and_a_new_token() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let first = manager.store_with_key("k", "p", "v").await.expect(201);
    let again = manager.store_with_key("k", "p", "v").await.expect(201);
    assert_eq!(place(&first), place(&again));
    assert_ne!(first.member("jti"), again.member("jti"));
    assert_eq!(installed.vault.open(&again.member("access_token"))[0].expose(), b"v");
    let other = manager.store_with_key("k2", "p", "v").await.expect(201);
    assert_eq!(place(&other).1, 2);
    manager.store_with_key("k", "p", "another value").await.expect(422).refused("idempotency_mismatch");
    manager.store_with_key("k", "another/path", "v").await.expect(422).refused("idempotency_mismatch");
    manager.store_with_key(&"k".repeat(129), "p", "v").await.expect(400).refused("parameter_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn repeat_that_is_written_in_another_way_is_the_same() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let send = async |body: &str| manager.send(Method::POST, "/api/keys", &headers, Some(body.to_owned())).await;
    let first = send(r#"{"user_id":"u","key_data":"v/\u00e9\n","path":"a/b","environment":"dev"}"#).await.expect(201);
    let others = [
        r#"{"environment":"dev","path":"a/b","key_data":"v/\u00e9\n","user_id":"u"}"#,
        " {\n\t\"user_id\" : \"u\", \"key_data\" : \"\\u0076\\/\u{e9}\\u000a\", \"path\":\"a\\/b\", \"environment\":\"\\u0064ev\" }\n",
    ];
    for other in others {
        assert_eq!(place(&send(other).await.expect(201)), place(&first), "{other}");
    }
    assert_eq!(installed.vault.state().rows.len(), 1);
    manager.stop().await;
}

/// A member that is left out is not the same as its default, spelled out.
#[actix_web::test]
async fn repeat_that_differs_in_any_member_is_another_body() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let first = json!({"user_id": "ab", "key_data": "QUJD", "path": "c", "environment": "dev"});
    manager.store_again("k", &first).await.expect(201);
    let others = [
        ("user_id", json!("a")),
        ("key_data", json!("QUJDQUJD")),
        ("key_data", json!("QUJD\u{0}")),
        ("path", json!("bc")),
        ("environment", json!("staging")),
        ("encoding", json!("text")),
        ("encoding", json!("base64")),
        ("token", json!(true)),
        ("token", json!(false)),
    ];
    let document = serde_json::to_value(openapi_document()).unwrap();
    let known = document["components"]["schemas"]["StoreKey"]["properties"].as_object().unwrap();
    for member in known.keys() {
        assert!(others.iter().any(|(tried, _)| tried == member), "{member} may not count");
    }
    for (member, value) in others {
        let mut other = first.clone();
        other[member] = value;
        manager.store_again("k", &other).await.expect(422).refused("idempotency_mismatch");
    }
    let mut unnamed = first.clone();
    unnamed.as_object_mut().unwrap().remove("path");
    manager.store_again("k", &unnamed).await.expect(422).refused("idempotency_mismatch");
    // What moves from one member to its neighbour makes another body.
    for (user, data) in [("a", "bQUJD"), ("abQ", "UJD")] {
        let mut moved = first.clone();
        (moved["user_id"], moved["key_data"]) = (json!(user), json!(data));
        manager.store_again("k", &moved).await.expect(422).refused("idempotency_mismatch");
    }
    manager.store_again("k", &first).await.expect(201);
    assert_eq!(installed.vault.state().rows.len(), 1);
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeat_after_a_restart_names_the_version_and_gives_no_token() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let first = manager.store_with_key("k", "p", "v").await.expect(201);
    manager.stop().await;
    let manager = installed.start().await;
    let answer = manager.store_with_key("k", "p", "v").await.expect(409).refused("idempotency_unknown");
    assert_eq!(place(&answer), place(&first));
    assert!(answer.json().get("access_token").is_none());
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeat_settles_what_the_first_request_left_open() {
    for (mood, version) in [(StoreMood::StoreAndGarble, 1), (StoreMood::Garble, 2)] {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        installed.vault.state().store_mood = mood;
        manager.store_with_key("k", "p", "v").await.expect(503).refused("outcome_unknown");
        installed.vault.state().store_mood = StoreMood::Honest;
        let again = manager.store_with_key("k", "p", "v").await.expect(201);
        assert_eq!(place(&again).1, version, "{mood:?}");
        assert_eq!(installed.vault.open(&again.member("access_token"))[0].expose(), b"v");
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_repeat_stays_unclear_until_the_vault_says_what_it_has() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    installed.vault.state().store_mood = StoreMood::StoreAndGarble;
    installed.vault.state().settles_nothing = true;
    manager.store_with_key("k", "p", "v").await.expect(503).refused("outcome_unknown");
    manager.store_with_key("k", "p", "v").await.expect(503).refused("outcome_unknown");
    // Another write of the same secret waits for the answer too, and writes nothing.
    manager.store_value("p", "other").await.expect(503).refused("unavailable");
    assert_eq!(installed.vault.state().rows.len(), 1);
    installed.vault.state().store_mood = StoreMood::Honest;
    installed.vault.state().settles_nothing = false;
    assert_eq!(place(&manager.store_with_key("k", "p", "v").await.expect(201)).1, 1);
    manager.stop().await;
}

/// The first request came to nothing, and the process that could compare bodies is gone.
#[actix_web::test]
async fn a_repeat_after_a_restart_goes_where_the_first_request_went_or_nowhere() {
    let named = json!({"user_id": "u", "key_data": "v", "path": "p", "environment": "dev"});
    let unnamed = json!({"user_id": "u", "key_data": "v", "environment": "dev"});
    let with = |body: &Value, member: &str, value: &str| {
        let mut body = body.clone();
        body[member] = json!(value);
        body
    };
    let elsewhere = [
        (&named, with(&named, "path", "another/path")),
        (&named, with(&named, "environment", "staging")),
        (&named, unnamed.clone()),
        (&unnamed, named.clone()),
    ];
    for (first, repeat) in elsewhere {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        installed.vault.state().store_mood = StoreMood::Garble;
        manager.store_again("k", first).await.expect(503).refused("outcome_unknown");
        installed.vault.state().store_mood = StoreMood::Honest;
        manager.stop().await;
        let manager = installed.start().await;
        manager.store_again("k", &repeat).await.expect(409).refused("idempotency_conflict");
        assert!(manager.versions().iter().all(|version| version.state != "committed"));
        // Another value, form and submitter are no contradiction: nothing of the first request was stored.
        let other = with(&with(first, "key_data", "dmFsdWU="), "encoding", "base64");
        let stored = manager.store_again("k", &with(&other, "user_id", "somebody else")).await.expect(201);
        assert_eq!(place(&stored).1, 2);
        assert_eq!(installed.vault.open(&stored.member("access_token"))[0].expose(), b"value");
        manager.stop().await;
    }
}
