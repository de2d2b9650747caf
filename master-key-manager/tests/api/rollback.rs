//! Rolling back: a version points to an older envelope, under a number that the vault knows as one without an envelope.

use std::collections::BTreeSet;

use actix_web::http::Method;
use futures_util::future::join_all;
use master_key_manager::installation::restore;
use master_key_manager::revocation::LastSync;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::KillPoint;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use crate::support::{Answer, Installed, Manager, Row, until};

/// Every durable step of a rollback.
const KILL_POINTS: [KillPoint; 4] = [
    KillPoint::Before("begin_rollback"),
    KillPoint::After("begin_rollback"),
    KillPoint::Before("commit"),
    KillPoint::After("commit"),
];

async fn rollback(manager: &Manager, secret: &str, body: Value) -> Answer {
    manager.post(&format!("/api/secrets/{secret}:rollback"), body).await
}

async fn rollback_with_key(manager: &Manager, key: &str, secret: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    manager.send(Method::POST, &format!("/api/secrets/{secret}:rollback"), &headers, Some(body.to_string())).await
}

/// Versions 1, 2 … with these values.
async fn stored(manager: &Manager, values: &[&str]) -> String {
    let mut secret = String::new();
    for value in values {
        secret = manager.store_value("p", value).await.expect(201).member("key_id");
    }
    secret
}

async fn mint(manager: &Manager, secret: &str, version: Option<u64>) -> Answer {
    let grant = match version {
        Some(version) => json!({"key_id": secret, "version": version}),
        None => json!({"key_id": secret}),
    };
    manager.post("/api/tokens", json!({"secrets": [grant]})).await
}

/// The value that a new token opens.
async fn value_of(installed: &Installed, manager: &Manager, secret: &str, version: Option<u64>) -> Vec<u8> {
    let token = mint(manager, secret, version).await.expect(201).member("access_token");
    installed.vault.open(&token)[0].expose().to_vec()
}

/// Number, envelope and state of each version.
fn versions(manager: &Manager) -> Vec<(u64, u64, String)> {
    manager.versions().into_iter().map(|one| (one.version, one.envelope, one.state)).collect()
}

fn line(version: u64, envelope: u64, state: &str) -> (u64, u64, String) {
    (version, envelope, state.to_owned())
}

#[actix_web::test]
async fn older_value_is_the_newest_again_and_former_tokens_open_what_they_did() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two"]).await;
    let before = mint(&manager, &secret, None).await.expect(201).member("access_token");
    let done = rollback(&manager, &secret, json!({"version": 1})).await.expect(201).json();
    let ends = done["expires_at"].as_u64().unwrap();
    let expected = json!({
        "key_id": secret, "version": 3, "envelope": 1, "environment": "dev", "path": "p", "expires_at": ends,
    });
    assert_eq!(done, expected);
    assert_eq!(installed.vault.open(&before)[0].expose(), b"two");
    let after = mint(&manager, &secret, None).await.expect(201);
    assert_eq!(after.json()["secrets"], json!([{"key_id": secret, "version": 3, "envelope": 1, "expires_at": ends}]));
    assert_eq!(installed.vault.open(&after.member("access_token"))[0].expose(), b"one");
    let listed = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).json();
    let grants: Vec<&Value> = listed["tokens"].as_array().unwrap().iter().map(|token| &token["grants"][0]).collect();
    assert!(grants.contains(&&json!({"key_id": secret, "version": 3, "envelope": 1})), "{listed}");
    assert_eq!(value_of(&installed, &manager, &secret, Some(2)).await, b"two");
    assert_eq!(value_of(&installed, &manager, &secret, Some(3)).await, b"one");
    // A rollback to a rollback points to the envelope; a write goes on behind all of them.
    let again = rollback(&manager, &secret, json!({"version": 3, "if_version": 3})).await.expect(201).json();
    assert_eq!((&again["version"], &again["envelope"]), (&json!(4), &json!(1)));
    assert_eq!(manager.store_value("p", "five").await.expect(201).json()["version"], 5);
    let committed = [line(1, 1, "committed"), line(2, 2, "committed"), line(3, 1, "committed")];
    assert_eq!(versions(&manager)[..3], committed);
    manager.stop().await;
}

#[actix_web::test]
async fn rollback_to_what_is_not_stored_or_from_another_version_is_refused() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two", "three"]).await;
    manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [2]})).await.expect(200);
    for version in [2, 4] {
        rollback(&manager, &secret, json!({"version": version})).await.expect(404).refused("secret_not_found");
    }
    let unknown = SecretId::generate().to_string();
    for missing in [unknown.as_str(), "sec_"] {
        rollback(&manager, missing, json!({"version": 1})).await.expect(404).refused("secret_not_found");
    }
    let late = json!({"version": 1, "if_version": 1});
    rollback(&manager, &secret, late).await.expect(409).refused("version_conflict");
    for wrong in [json!({}), json!({"version": 0}), json!({"version": 1, "if_version": null})] {
        rollback(&manager, &secret, wrong).await.expect(400).refused("body_invalid");
    }
    manager.get(&format!("/api/secrets/{secret}:rollback")).await.expect(405);
    let states = [line(1, 1, "committed"), line(2, 2, "destroyed"), line(3, 3, "committed")];
    assert_eq!(versions(&manager), states);
    manager.stop().await;
}

#[actix_web::test]
async fn number_that_the_vault_knows_is_passed_over() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one"]).await;
    let environment = manager.environment("dev");
    let name = |number| (secret.parse().unwrap(), Version::new(number).unwrap());
    installed.vault.state().rows.insert(name(2), Row::Tombstone { environment });
    installed.vault.state().rows.insert(name(3), Row::Foreign { environment });
    assert_eq!(rollback(&manager, &secret, json!({"version": 1})).await.expect(201).json()["version"], 4);
    let states = [line(1, 1, "committed"), line(2, 1, "abandoned"), line(3, 1, "abandoned"), line(4, 1, "committed")];
    assert_eq!(versions(&manager), states);
    let adopted = manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200).json();
    assert_eq!(adopted["adopted"], 1, "what the vault has under a number that was given up");
    assert_eq!(versions(&manager)[2], line(3, 3, "committed"));
    manager.stop().await;
}

#[actix_web::test]
async fn rollback_without_the_vaults_word_is_given_up_and_its_number_is_used_once() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two"]).await;
    installed.vault.state().settles_nothing = true;
    rollback(&manager, &secret, json!({"version": 1})).await.expect(503).refused("outcome_unknown");
    assert_eq!(value_of(&installed, &manager, &secret, None).await, b"two");
    installed.vault.state().settles_nothing = false;
    until("it is settled", async || versions(&manager)[2] == line(3, 1, "abandoned")).await;
    assert_eq!(rollback(&manager, &secret, json!({"version": 1})).await.expect(201).json()["version"], 4);
    installed.vault.go_down().await;
    until("the manager sees it", async || manager.app.vault_view.view().last_sync == LastSync::Failed).await;
    rollback(&manager, &secret, json!({"version": 1})).await.expect(503).refused("unavailable");
    installed.vault.come_back().await;
    manager.stop().await;
}

/// A vault that says so would otherwise make a version of which nobody knows whether it is the caller's.
#[actix_web::test]
async fn receipt_for_the_envelope_under_the_number_of_a_rollback_commits_nothing() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one"]).await;
    installed.vault.state().settles_nothing = true;
    rollback(&manager, &secret, json!({"version": 1})).await.expect(503).refused("outcome_unknown");
    let name = |number| (secret.parse().unwrap(), Version::new(number).unwrap());
    let own = installed.vault.state().rows.get(&name(1)).cloned();
    let Some(Row::Stored { mut envelope, keys }) = own else { panic!("version 1 is stored") };
    envelope.version = name(2).1;
    installed.vault.state().rows.insert(name(2), Row::Stored { envelope, keys });
    installed.vault.state().settles_nothing = false;
    until("it is settled", async || versions(&manager)[1] == line(2, 1, "abandoned")).await;
    manager.stop().await;
}

#[actix_web::test]
async fn rollback_cut_short_anywhere_is_settled_and_its_repeat_makes_one_more_version() {
    for point in KILL_POINTS {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = stored(&manager, &["one", "two"]).await;
        manager.faults.kill_at(point);
        rollback_with_key(&manager, "k", &secret, &json!({"version": 1})).await.expect(503);
        assert!(manager.faults.is_dead(), "{point:?}");
        manager.stop().await;

        let manager = installed.start().await;
        until("nothing is pending", async || manager.app.store.pending(9).await.unwrap().is_empty()).await;
        let repeat = rollback_with_key(&manager, "k", &secret, &json!({"version": 1})).await;
        let version = match repeat.status.as_u16() {
            201 => repeat.json()["version"].as_u64(),
            // The first process had committed it; the body that it compared is gone with it.
            409 => repeat.refused("idempotency_unknown").json()["version"].as_u64(),
            _ => panic!("{point:?}: {}", repeat.text),
        };
        let all = versions(&manager);
        let committed: Vec<u64> = all.iter().filter(|one| one.2 == "committed").map(|one| one.0).collect();
        assert_eq!(committed, [1, 2, version.unwrap()], "{point:?}: {all:?}");
        assert_eq!(value_of(&installed, &manager, &secret, None).await, b"one", "{point:?}");
        manager.stop().await;
    }
}

/// The number that the forgotten rollback has taken is not used for another one: a backup would give it two meanings.
#[actix_web::test]
async fn restored_manager_gives_the_number_of_a_forgotten_rollback_no_second_meaning() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two"]).await;
    let backup = installed.file("../before.db");
    service_runtime::sqlite::backup(&installed.config.database(), &backup).unwrap();
    assert_eq!(rollback(&manager, &secret, json!({"version": 1})).await.expect(201).json()["version"], 3);
    manager.stop().await;
    restore(&installed.config, &backup).unwrap();
    let manager = installed.start().await;
    let done = rollback(&manager, &secret, json!({"version": 2})).await.expect(201).json();
    assert_eq!((&done["version"], &done["envelope"]), (&json!(4), &json!(2)));
    mint(&manager, &secret, Some(3)).await.expect(404).refused("secret_not_found");
    assert_eq!(value_of(&installed, &manager, &secret, None).await, b"two");
    manager.stop().await;
}

#[actix_web::test]
async fn rollbacks_and_writes_at_the_same_time_get_different_numbers() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one"]).await;
    let writes = join_all((0..10).map(|_| manager.store_value("p", "other")));
    let rollbacks = join_all((0..10).map(|_| rollback(&manager, &secret, json!({"version": 1}))));
    let (writes, rollbacks) = futures_util::join!(writes, rollbacks);
    let answers = writes.into_iter().chain(rollbacks);
    let numbers: BTreeSet<u64> = answers.map(|done| done.expect(201).json()["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (2..=21).collect());
    for (version, envelope, state) in versions(&manager) {
        assert!(state == "committed" && (envelope == version || envelope == 1), "{version} {envelope} {state}");
        let expected: &[u8] = if envelope == 1 { b"one" } else { b"other" };
        assert_eq!(value_of(&installed, &manager, &secret, Some(version)).await, expected);
    }
    manager.stop().await;
}

#[actix_web::test]
async fn envelope_is_destroyed_with_the_last_version_that_points_to_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two"]).await;
    rollback(&manager, &secret, json!({"version": 1})).await.expect(201);
    let path = format!("/api/keys/{secret}/destroy");
    let none = manager.post(&path, json!({"versions": [1]})).await.expect(200).json();
    assert_eq!(none, json!({"status": "kept", "sequences": [], "kept": [1]}));
    let first = manager.post(&path, json!({"versions": [1, 2]})).await.expect(200).json();
    assert_eq!((&first["status"], &first["kept"]), (&json!("destroyed"), &json!([1])));
    assert_eq!(first["sequences"].as_array().unwrap().len(), 1);
    mint(&manager, &secret, Some(1)).await.expect(404).refused("secret_not_found");
    assert_eq!(value_of(&installed, &manager, &secret, None).await, b"one");
    let last = manager.post(&path, json!({"versions": [3]})).await.expect(200).json();
    assert!(last.get("kept").is_none());
    let again = manager.post(&path, json!({"versions": [1, 3]})).await.expect(200).json();
    assert_eq!(again["sequences"], last["sequences"]);
    mint(&manager, &secret, None).await.expect(404).refused("secret_not_found");
    let envelope_of = |event: Event| if let Event::Destroy(_, _, number) = event { Some(number.get()) } else { None };
    let destroyed: Vec<_> = installed.vault.applied().into_iter().map(envelope_of).collect();
    assert_eq!(destroyed, [Some(2), Some(1)]);
    manager.stop().await;
}

#[actix_web::test]
async fn revocation_of_a_version_names_its_envelope() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two"]).await;
    rollback(&manager, &secret, json!({"version": 1})).await.expect(201);
    let revoke = json!({"kind": "version", "key_id": secret, "version": 3});
    manager.post("/api/revocations", revoke).await.expect(200);
    assert_eq!(installed.vault.applied(), [Event::Version(secret.parse().unwrap(), Version::FIRST)]);
    manager.stop().await;
}

#[actix_web::test]
async fn repeat_of_a_rollback_gets_the_same_version_and_a_key_is_for_one_request() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two"]).await;
    let first = rollback_with_key(&manager, "k", &secret, &json!({"version": 1})).await.expect(201).json();
    let again = rollback_with_key(&manager, "k", &secret, &json!({"version": 1})).await.expect(201).json();
    assert_eq!((&first, &first["version"]), (&again, &json!(3)));
    let other = rollback_with_key(&manager, "k", &secret, &json!({"version": 2})).await;
    other.expect(422).refused("idempotency_mismatch");
    assert_eq!(versions(&manager).len(), 3);
    let elsewhere = manager.store_value("q", "v").await.expect(201).member("key_id");
    let other = rollback_with_key(&manager, "k", &elsewhere, &json!({"version": 1})).await;
    other.expect(422).refused("idempotency_mismatch");
    manager.store_with_key("k", "p", "v").await.expect(422).refused("idempotency_mismatch");
    manager.stop().await;
}

#[actix_web::test]
async fn the_envelope_of_a_first_version_outlives_the_rollback_to_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one"]).await;
    rollback(&manager, &secret, json!({"version": 1})).await.expect(201);
    let done = manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [2]})).await.expect(200).json();
    assert_eq!(done["kept"], json!([2]));
    assert_eq!(value_of(&installed, &manager, &secret, Some(1)).await, b"one");
    manager.stop().await;
}

#[actix_web::test]
async fn nothing_is_rolled_back_to_an_envelope_that_the_vault_has_lost() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, &["one", "two", "three"]).await;
    for lost in [1, 2] {
        let name = (secret.parse().unwrap(), Version::new(lost).unwrap());
        installed.vault.state().rows.remove(&name);
        let refused = rollback(&manager, &secret, json!({"version": lost})).await.expect(404);
        refused.refused("secret_not_found");
    }
    rollback(&manager, &secret, json!({"version": 3})).await.expect(201);
    manager.stop().await;
}
