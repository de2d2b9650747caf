//! Storing values.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::http::Method;
use futures_util::future::{Either, join_all, select};
use manager_api::name::SecretPath;
use master_key_manager::revocation::LastSync;
use serde_json::json;
use service_runtime::config::Mode;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use crate::support::{Installed, Manager, Row, StoreMood, until};

fn environment(manager: &Manager, name: &str) -> EnvironmentId {
    manager.environment(name)
}

fn states(manager: &Manager) -> Vec<String> {
    manager.versions().into_iter().map(|version| version.state).collect()
}

#[actix_web::test]
async fn a_stored_value_opens_with_the_token_that_came_back() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let answer = manager.store_value("db/password", "hunter2").await.expect(201);
    assert_eq!(answer.member("message"), "Key stored successfully");
    assert_eq!((answer.member("path"), answer.member("environment")), ("db/password".into(), "dev".into()));
    assert_eq!(answer.headers.get("cache-control").unwrap(), "no-store");
    let opened = installed.vault.open(&answer.member("access_token"));
    assert_eq!(opened[0].expose(), b"hunter2");
    let second = manager.store_value("db/password", "hunter3").await.expect(201);
    assert_eq!((second.member("key_id"), second.json()["version"].as_u64()), (answer.member("key_id"), Some(2)));
    // The older token opens the version that it names.
    assert_eq!(installed.vault.open(&answer.member("access_token"))[0].expose(), b"hunter2");
    assert_eq!(installed.vault.open(&second.member("access_token"))[0].expose(), b"hunter3");
    assert_eq!(states(&manager), ["committed", "committed"]);
    manager.stop().await;
}

#[actix_web::test]
async fn values_of_every_kind_and_size_arrive_and_wrong_ones_are_refused() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let body = |data: &str, encoding: &str| json!({"user_id": "u", "key_data": data, "environment": "dev", "encoding": encoding});
    let mebibyte = "\u{1}".repeat(1 << 20);
    for text in ["", "x", mebibyte.as_str()] {
        let answer = manager.post("/api/keys", body(text, "text")).await.expect(201);
        assert!(answer.member("path").starts_with("unnamed/sec_"));
        assert_eq!(installed.vault.open(&answer.member("access_token"))[0].expose(), text.as_bytes());
    }
    let bytes = manager.post("/api/keys", body("AP8=", "base64")).await.expect(201);
    assert_eq!(installed.vault.open(&bytes.member("access_token"))[0].expose(), [0, 255]);
    let too_large = "x".repeat((1 << 20) + 1);
    manager.post("/api/keys", body(&too_large, "text")).await.expect(413).refused("value_too_large");
    manager.post("/api/keys", body("AP8", "base64")).await.expect(400).refused("encoding_invalid");
    let enormous = "x".repeat((6 << 20) + (64 << 10));
    manager.post("/api/keys", body(&enormous, "text")).await.expect(413).refused("body_too_large");
    let without = json!({"user_id": "u", "key_data": "x", "environment": "dev", "token": false});
    assert!(manager.post("/api/keys", without).await.expect(201).json().get("access_token").is_none());
    manager.stop().await;
}

#[actix_web::test]
async fn names_that_break_the_rules_are_refused_before_anything_is_written() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let wrong = [
        json!({"user_id": "u", "key_data": "canary", "environment": "dev", "path": "a/../b"}),
        json!({"user_id": "u", "key_data": "canary", "environment": "dev", "path": "unnamed/x"}),
        json!({"user_id": "u", "key_data": "canary", "environment": "DEV"}),
        json!({"user_id": "u", "key_data": "canary", "environment": "elsewhere"}),
        json!({"user_id": "u", "key_data": "canary"}),
        json!({"user_id": "", "key_data": "canary", "environment": "dev"}),
    ];
    for body in wrong {
        let answer = manager.post("/api/keys", body).await.expect(400).refused("name_invalid");
        assert!(!answer.text.contains("canary"));
    }
    assert!(states(&manager).is_empty());
    assert!(installed.vault.state().rows.is_empty());
    manager.stop().await;
}

#[actix_web::test]
async fn vault_down_is_unavailable_and_nothing_is_written() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    installed.vault.go_down().await;
    until("the manager sees it", async || manager.app.vault_view.view().last_sync == LastSync::Failed).await;
    manager.store_value("p", "v").await.expect(503).refused("unavailable");
    assert!(states(&manager).is_empty());
    manager.get("/health/ready").await.expect(503);
    installed.vault.come_back().await;
    until("it is back", async || manager.store_value("p", "v").await.status == 201).await;
    manager.stop().await;
}

#[actix_web::test]
async fn without_a_seal_key_nothing_is_written() {
    let installed = Installed::new(Mode::Production).await;
    installed.vault.state().states_no_seal_key = true;
    let manager = installed.start_unready().await;
    until("a sync succeeded", async || manager.app.vault_view.view().last_sync == LastSync::Good).await;
    manager.store_value("p", "v").await.expect(503).refused("unavailable");
    assert!(states(&manager).is_empty());
    manager.stop().await;
}

#[actix_web::test]
async fn an_unclear_answer_is_outcome_unknown_and_settles_to_what_the_vault_has() {
    for (mood, settled) in [(StoreMood::StoreAndGarble, "committed"), (StoreMood::Garble, "abandoned")] {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        installed.vault.state().store_mood = mood;
        manager.store_value("p", "v").await.expect(503).refused("outcome_unknown");
        until("it is settled", async || states(&manager) == [settled]).await;
        installed.vault.state().store_mood = StoreMood::Honest;
        let next = manager.store_value("p", "v2").await.expect(201);
        assert_eq!(next.json()["version"], 2);
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_pending_number_that_turns_out_to_be_other_content_is_given_up() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    installed.vault.state().store_mood = StoreMood::Garble;
    installed.vault.state().settles_nothing = true;
    manager.store_value("p", "v").await.expect(503).refused("outcome_unknown");
    let listed = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json();
    let secret: SecretId = listed["secrets"][0]["key_id"].as_str().unwrap().parse().unwrap();
    let foreign = Row::Foreign { environment: environment(&manager, "dev") };
    installed.vault.state().rows.insert((secret, Version::FIRST), foreign);
    installed.vault.state().settles_nothing = false;
    until("it is settled", async || states(&manager) == ["abandoned"]).await;
    manager.stop().await;
}

#[actix_web::test]
async fn a_receipt_that_is_forged_or_of_something_else_confirms_nothing() {
    let moods = [
        StoreMood::ForgeSignature,
        StoreMood::OtherVersion,
        StoreMood::OtherConflict,
        StoreMood::OtherDigest,
        StoreMood::NoReceipt,
    ];
    for mood in moods {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        installed.vault.state().store_mood = mood;
        manager.store_value("p", "v").await.expect(503).refused("outcome_unknown");
        until("it is settled", async || states(&manager) == ["abandoned"]).await;
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_taken_number_is_never_used_and_the_next_one_is_tried() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret: SecretId = manager.store_value("p", "v").await.expect(201).member("key_id").parse().unwrap();
    let environment = environment(&manager, "dev");
    let version = |number| (secret, Version::new(number).unwrap());
    installed.vault.state().rows.insert(version(2), Row::Foreign { environment });
    installed.vault.state().rows.insert(version(3), Row::Tombstone { environment });
    let answer = manager.store_value("p", "v4").await.expect(201);
    assert_eq!(answer.json()["version"], 4);
    assert_eq!(installed.vault.open(&answer.member("access_token"))[0].expose(), b"v4");
    assert_eq!(states(&manager), ["committed", "abandoned", "abandoned", "committed"]);
    // What the vault had under number 2 can be found and adopted, not lost.
    let found = manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200).json();
    assert_eq!((found["found"].as_array().unwrap().len(), found["adopted"].as_u64()), (1, Some(1)));
    assert_eq!(states(&manager), ["committed", "committed", "abandoned", "committed"]);
    manager.stop().await;
}

#[actix_web::test]
async fn concurrent_writes_of_one_path_get_different_numbers_and_others_share_commands() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let same = (0..20).map(|n| manager.store_value("same", if n % 2 == 0 { "a" } else { "b" }));
    let answers = futures_util::future::join_all(same).await;
    let mut numbers: Vec<u64> =
        answers.into_iter().map(|answer| answer.expect(201).json()["version"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<u64>>());
    let paths: Vec<String> = (0..60).map(|n| format!("p{n}")).collect();
    let answers = futures_util::future::join_all(paths.iter().map(|path| manager.store_value(path, "v"))).await;
    assert!(answers.into_iter().all(|answer| answer.expect(201).status == 201));
    assert!(installed.vault.state().batches.iter().any(|size| *size > 1), "no store command was shared");
    manager.stop().await;
}

#[actix_web::test]
async fn a_client_that_goes_away_interrupts_nothing() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    {
        let mut request = Box::pin(manager.store_value("p", "v"));
        until("the write has begun", async || {
            let _pending = futures_util::poll!(request.as_mut());
            manager.app.gate.tasks.running() > 0
        })
        .await;
    }
    manager.app.gate.tasks.wait_idle().await;
    assert_eq!(states(&manager), ["committed"]);
    manager.stop().await;
}

#[actix_web::test]
async fn an_inventory_of_any_size_is_compared_in_parts_of_a_bounded_one() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let environment = environment(&manager, "dev");
    let secret = SecretId::generate();
    for number in 1..=4_100 {
        let name = (secret, Version::new(number).unwrap());
        installed.vault.state().rows.insert(name, Row::Foreign { environment });
    }
    let reconcile = async |body| manager.post("/api/reconcile", body).await.expect(200).json();
    let first = reconcile(json!({"adopt": true})).await;
    assert_eq!((first["adopted"].as_u64(), &first["next"]), (Some(4_096), &json!(format!("{secret}.4096"))));
    let second = reconcile(json!({"adopt": true, "after": first["next"]})).await;
    assert_eq!((second["found"].as_array().unwrap().len(), second.get("next")), (4, None));
    let list = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json();
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1, "one secret is listed once, whatever its versions are");
    manager.post("/api/reconcile", json!({"adopt": false, "after": "x"})).await.expect(400);
    manager.stop().await;
}

#[actix_web::test]
async fn what_the_vault_has_and_the_catalogue_lacks_is_listed_and_adopted_only_on_demand() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = SecretId::generate();
    let known = Row::Foreign { environment: environment(&manager, "dev") };
    let foreign = Row::Foreign { environment: EnvironmentId::generate() };
    installed.vault.state().rows.insert((secret, Version::FIRST), known);
    installed.vault.state().rows.insert((SecretId::generate(), Version::FIRST), foreign);
    let found = manager.post("/api/reconcile", json!({"adopt": false})).await.expect(200).json();
    assert_eq!((found["found"].as_array().unwrap().len(), found["adopted"].as_u64()), (2, Some(0)));
    assert!(states(&manager).is_empty());
    let adopted = manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200).json();
    assert_eq!(adopted["adopted"], 1, "a version of an environment without a root key is of no use");
    let list = manager.admin(Method::GET, "/api/secrets?environment=dev", None).await.expect(200).json();
    assert_eq!(list["secrets"][0]["path"], format!("unnamed/{secret}"));
    manager.stop().await;
}

/// Writers of one path take turns. Those who wait for theirs hold nothing that a writer of another path needs.
#[actix_web::test]
async fn many_writers_of_one_path_keep_no_other_path_waiting() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let hot = (environment(&manager, "dev"), SecretPath::parse("hot").unwrap());
    let turn = manager.app.secret_writer.settler.locks().lock(&hot).await;
    // More than may be inside at once.
    let writers = 4 * std::thread::available_parallelism().unwrap().get() + 8;
    let crowd = join_all((0..writers).map(|_| manager.store_value("hot", "v")));
    // From the begin of its task a writer goes on to where it waits.
    let all_wait = until("all writers wait", async || manager.app.gate.tasks.running() == writers);
    let Either::Right(((), crowd)) = select(Box::pin(crowd), Box::pin(all_wait)).await else {
        panic!("a writer did not wait for its turn");
    };
    let cold = tokio::time::timeout(Duration::from_secs(20), manager.store_value("cold", "v"));
    let Either::Right((cold, crowd)) = select(crowd, Box::pin(cold)).await else {
        panic!("a writer did not wait for its turn");
    };
    cold.expect("the writer of another path waits for the turn of this one").expect(201);
    drop(turn);
    let versions = crowd.await.into_iter().map(|answer| answer.expect(201).json()["version"].as_u64().unwrap());
    assert_eq!(versions.collect::<BTreeSet<_>>().len(), writers);
    manager.stop().await;
}

#[actix_web::test]
async fn secret_is_described_without_its_value() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("described", "a value").await.expect(201).member("key_id");
    manager.store_value("described", "another value").await.expect(201);
    let described = manager.admin(Method::GET, &format!("/api/secrets/{stored}"), None).await.expect(200).json();
    let listed = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json();
    let created_at = &listed["secrets"][0]["created_at"];
    let expected = json!({
        "key_id": stored, "environment": "dev", "path": "described", "kind": "text", "class": "low",
        "rotation_days": 365, "tags": {}, "metadata": {}, "service_only": false, "requires_approval": false,
        "state": "active",
        "stages": {"current": 2, "previous": 1}, "revision": 0, "created_at": created_at, "last_version": 2,
        "rotation": described["rotation"],
    });
    assert_eq!(described, expected);
    assert_eq!(described["rotation"]["state"], "idle");
    let unknown = shared_proto::id::SecretId::generate().to_string();
    for missing in [unknown.as_str(), "sec_", "described"] {
        let answer = manager.admin(Method::GET, &format!("/api/secrets/{missing}"), None).await;
        answer.expect(404).refused("secret_not_found");
    }
    manager.stop().await;
}
