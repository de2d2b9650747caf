//! Ends of versions: from the period of the secret, by hand or from the value; told or refused when a token is made; and the
//! notices before.

use actix_web::http::Method;
use manager_api::policy::Action;
use master_key_manager::notifier::Notifier;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use tokio::sync::watch;

use crate::places::{ask, plant, service};
use crate::support::{Answer, Installed, Manager, now, until};

const DAY: u64 = 86_400;

async fn create_answer(manager: &Manager, path: &str) -> Answer {
    manager.post("/api/secrets", json!({"environment": "dev", "path": path, "value": "v", "token": false})).await
}

async fn create(manager: &Manager, path: &str, more: Value) -> Answer {
    let mut body = json!({"environment": "dev", "path": path, "value": "v", "token": false});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manager.post("/api/secrets", body).await.expect(201)
}

async fn mint(manager: &Manager, secret: &str) -> Answer {
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await
}

async fn set(manager: &Manager, rule: &str) -> Answer {
    manager.admin(Method::PATCH, "/api/environments/dev", Some(json!({"expired_versions": rule}))).await
}

fn days_from_now(answer: &Answer) -> Option<u64> {
    let end = answer.json()["expires_at"].as_u64()?;
    Some((end - now() + DAY / 2) / DAY)
}

#[actix_web::test]
async fn a_version_ends_after_the_period_of_its_secret_unless_something_earlier_or_never_is_said() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    // All classes of the environment for development are low.
    for (path, more, days) in [
        ("a", json!({}), Some(365)),
        ("b", json!({"kind": "api-key"}), Some(365)),
        ("c", json!({"kind": "api-key", "class": "medium"}), Some(180)),
        ("d", json!({"rotation_days": 7}), Some(7)),
        ("e", json!({"rotation_days": 7, "never_expires": true}), None),
        ("f", json!({"never_expires": true, "expires_at": now() + 3 * DAY}), Some(3)),
        ("g", json!({"expires_at": now() + 1_000 * DAY}), Some(1_000)),
    ] {
        assert_eq!(days_from_now(&create(&manager, path, more).await), days, "{path}");
    }
    let made = manager.post(
        "/api/secrets",
        json!({"environment": "production", "path": "k", "kind": "database", "value": "{\"password\": \"p\"}"}),
    );
    assert_eq!(days_from_now(&made.await.expect(201)), Some(90));
    let pair = json!({"form": "key-pair", "self_signed": {"names": [{"dns": "a.example"}], "days": 30}});
    let body =
        json!({"environment": "dev", "path": "web", "kind": "certificate", "generate": pair, "never_expires": true});
    let made = manager.post("/api/secrets", body).await.expect(201);
    assert_eq!(days_from_now(&made), Some(30), "a certificate ends, whatever is said of its secret");
    manager.stop().await;
}

#[actix_web::test]
async fn what_the_description_says_counts_for_the_next_version() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "p", json!({})).await.member("key_id");
    let path = format!("/api/secrets/{secret}");
    let next = async || manager.admin(Method::PUT, &path, Some(json!({"value": "w"}))).await.expect(201);
    for (change, days) in [
        (json!({"rotation_days": 10}), Some(10)),
        (json!({"never_expires": true}), None),
        (json!({"never_expires": false}), Some(10)),
    ] {
        manager.admin(Method::PATCH, &path, Some(change)).await.expect(200);
        assert_eq!(days_from_now(&next().await), days);
    }
    let shown = manager.admin(Method::GET, &path, None).await.expect(200).json();
    assert_eq!((shown["rotation_days"].as_u64(), shown.get("never_expires")), (Some(10), None));
    manager.stop().await;
}

#[actix_web::test]
async fn an_expired_version_is_told_or_refused_as_its_environment_says() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let over = create(&manager, "over", json!({"expires_at": now() - 1})).await.member("key_id");
    let soon = create(&manager, "soon", json!({"expires_at": now() + 60})).await.member("key_id");
    let never = create(&manager, "never", json!({"never_expires": true})).await.member("key_id");
    let told = mint(&manager, &over).await.expect(201).json()["secrets"][0].clone();
    assert_eq!(
        (told["expired"].as_bool(), told["expires_at"].as_u64().map(|end| end < now())),
        (Some(true), Some(true))
    );
    let told = mint(&manager, &soon).await.expect(201).json();
    assert_eq!(told["secrets"][0].get("expired"), None);
    assert!(told["expires_at"].as_u64().unwrap() > now() + 600, "a token outlives it where that is only told");
    assert_eq!(mint(&manager, &never).await.expect(201).json()["secrets"][0].get("expires_at"), None);

    let changed = set(&manager, "refuse").await.expect(200).json();
    assert_eq!(changed["expired_versions"], "refuse");
    let environment = manager.environment("dev");
    assert!(
        installed.vault.applied().contains(&Event::Environment(environment)),
        "tokens of before do not outlive a version"
    );
    mint(&manager, &over).await.expect(409).refused("version_expired");
    let cut = mint(&manager, &soon).await.expect(201).json();
    assert!(cut["expires_at"].as_u64().unwrap() <= now() + 60, "a token never outlives its version");
    mint(&manager, &never).await.expect(201);
    // Whoever may not read hears nothing of it.
    let lister = service(&manager, "lister", "**", &[Action::List]).await;
    let body = Some(json!({"secrets": [{"key_id": over}]}));
    ask(&manager, &lister, Method::POST, "/api/tokens", body).await.expect(404).refused("secret_not_found");
    // The next value puts it right.
    manager.admin(Method::PUT, &format!("/api/secrets/{over}"), Some(json!({"value": "x"}))).await.expect(201);
    mint(&manager, &over).await.expect(201);
    set(&manager, "warn").await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn a_version_that_is_over_when_it_is_written_is_stored_and_says_so_in_place_of_a_token() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let over = json!({"environment": "dev", "path": "over", "value": "v", "expires_at": now() - 1});
    let told = |answer: &Answer| {
        let answer = answer.json();
        (answer["version"].as_u64(), answer.get("token").is_some(), answer["expired"].as_bool())
    };
    let bearer = format!("Bearer {}", manager.credential);
    let put = async |secret: &str, key: &str, body: Value| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        manager.send(Method::PUT, &format!("/api/secrets/{secret}"), &headers, Some(body.to_string())).await
    };
    let made = manager.post("/api/secrets", over.clone()).await.expect(201);
    assert_eq!(told(&made), (Some(1), true, Some(true)), "where that is told, there is a token");
    let secret = made.member("key_id");
    set(&manager, "refuse").await.expect(200);
    let new = json!({"environment": "dev", "path": "new", "value": "v", "expires_at": now() - 1});
    assert_eq!(told(&manager.post("/api/secrets", new).await.expect(201)), (Some(1), false, Some(true)));
    let next = json!({"value": "w", "expires_at": now() - 1});
    for _ in 0..2 {
        let answer = put(&secret, "k", next.clone()).await.expect(201);
        assert_eq!(told(&answer), (Some(2), false, Some(true)), "a repeat says the same");
    }
    let same = put(&secret, "k2", json!({"value": "w", "skip_unchanged": true})).await.expect(200);
    assert_eq!(told(&same), (Some(2), false, Some(true)));
    mint(&manager, &secret).await.expect(409).refused("version_expired");
    let right = put(&secret, "k3", json!({"value": "w"})).await.expect(201);
    assert_eq!(told(&right), (Some(3), true, None));
    manager.stop().await;
}

#[actix_web::test]
async fn a_version_with_a_planted_end_is_not_opened_whatever_its_environment_says() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let over = create(&manager, "over", json!({"expires_at": now() - 1})).await.member("key_id");
    let never = create(&manager, "never", json!({"never_expires": true})).await.member("key_id");
    manager.stop().await;
    plant(&installed, &format!("UPDATE versions SET expires_at = {}", now() + 9 * DAY));
    let manager = installed.start_unready().await;
    until("the vault is known", async || create_answer(&manager, "new").await.status == 201).await;
    for secret in [&over, &never] {
        mint(&manager, secret).await.expect(404).refused("secret_not_found");
    }
    set(&manager, "refuse").await.expect(200);
    mint(&manager, &over).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn a_rollback_ends_when_the_version_does_that_it_points_to() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "p", json!({"expires_at": now() + 5 * DAY})).await.member("key_id");
    let path = format!("/api/secrets/{secret}");
    manager.admin(Method::PUT, &path, Some(json!({"value": "w"}))).await.expect(201);
    manager.post(&format!("{path}:rollback"), json!({"version": 1})).await.expect(201);
    let told = mint(&manager, &secret).await.expect(201).json()["secrets"][0]["expires_at"].as_u64().unwrap();
    assert!((now() + 5 * DAY - 60..=now() + 5 * DAY).contains(&told));
    manager.stop().await;
}

#[actix_web::test]
async fn a_rollback_ends_when_it_is_said_and_never_after_what_its_value_says() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let rollback = async |secret: &str, end: Option<u64>| {
        let mut body = json!({"version": 1});
        if let Some(end) = end {
            body["expires_at"] = json!(end);
        }
        let done = manager.post(&format!("/api/secrets/{secret}:rollback"), body).await;
        days_from_now(&done.expect(201))
    };
    let next = async |secret: &str, value: Value| {
        manager.admin(Method::PUT, &format!("/api/secrets/{secret}"), Some(value)).await.expect(201);
    };
    let over = create(&manager, "over", json!({"expires_at": now() - DAY, "rotation_days": 30})).await.member("key_id");
    next(&over, json!({"value": "w"})).await;
    set(&manager, "refuse").await.expect(200);
    let done = manager.post(&format!("/api/secrets/{over}:rollback"), json!({"version": 1})).await.expect(201);
    assert!(done.json()["expires_at"].as_u64().unwrap() < now(), "an old value gets no younger");
    mint(&manager, &over).await.expect(409).refused("version_expired");
    assert_eq!(rollback(&over, Some(now() + 3 * DAY)).await, Some(3), "unless somebody says so");
    mint(&manager, &over).await.expect(201);

    let never = create(&manager, "never", json!({"never_expires": true})).await.member("key_id");
    next(&never, json!({"value": "w"})).await;
    assert_eq!(rollback(&never, None).await, None);
    let period = Some(json!({"never_expires": false, "rotation_days": 9}));
    manager.admin(Method::PATCH, &format!("/api/secrets/{never}"), period).await.expect(200);
    assert_eq!(rollback(&never, None).await, Some(9), "as a version that is written now");

    let pair = json!({"form": "key-pair", "self_signed": {"names": [{"dns": "a.example"}], "days": 30}});
    let new = json!({"environment": "dev", "path": "web", "kind": "certificate", "generate": pair, "token": false});
    let web = manager.post("/api/secrets", new).await.expect(201).member("key_id");
    next(&web, json!({"generate": pair, "token": false})).await;
    assert_eq!(rollback(&web, Some(now() + 300 * DAY)).await, Some(30), "a certificate ends by itself");
    assert_eq!(rollback(&web, Some(now() + 3 * DAY)).await, Some(3));
    manager.stop().await;
}

async fn notices(manager: &Manager, credential: &str) -> Vec<(String, u64, String)> {
    let list = ask(manager, credential, Method::GET, "/api/notices", None).await.expect(200).json();
    let one = |notice: &Value| {
        let text = |name: &str| notice[name].as_str().unwrap().to_owned();
        (text("kind"), notice["threshold_days"].as_u64().unwrap(), text("path"))
    };
    list["notices"].as_array().unwrap().iter().map(one).collect()
}

#[actix_web::test]
async fn notices_come_once_for_each_threshold_and_go_with_their_cause() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "a/p", json!({"rotation_days": 100})).await.member("key_id");
    create(&manager, "b/p", json!({"rotation_days": 1000})).await;
    let notifier = Notifier::new(manager.app.store.clone());
    let (_stop, stopped) = watch::channel(false);
    let start = now();
    let at = async |days: u64| {
        for _ in 0..2 {
            notifier.run(start + days * DAY, &stopped).await.unwrap();
        }
    };
    let own = service(&manager, "own", "a/**", &[Action::List]).await;
    let other = service(&manager, "other", "b/**", &[Action::List]).await;
    let of = |days: &[u64]| {
        let both = |day: &u64| ["expiry", "rotation"].map(|kind| (kind.to_owned(), *day, "a/p".to_owned()));
        days.iter().flat_map(both).collect::<Vec<_>>()
    };
    let mut expected = Vec::new();
    for (day, threshold) in [(69, None), (71, Some(30)), (80, None), (94, Some(7)), (100, Some(1)), (101, None)] {
        at(day).await;
        expected.extend(threshold);
        assert_eq!(notices(&manager, &own).await, of(&expected), "day {day}");
        assert!(notices(&manager, &other).await.is_empty(), "what may not be listed is not told");
    }
    let waiting = manager.store_notices().await;
    assert_eq!(waiting.len(), 6);
    manager.app.store.note_delivered(waiting[0], start).await.unwrap();
    assert_eq!(manager.store_notices().await.len(), 5);
    at(165).await;
    assert_eq!(notices(&manager, &own).await, of(&[7, 1]), "a notice is kept for 90 days");
    manager.admin(Method::PUT, &format!("/api/secrets/{secret}"), Some(json!({"value": "w"}))).await.expect(201);
    at(0).await;
    assert!(notices(&manager, &own).await.is_empty(), "a new version is none that is due");
    manager.stop().await;
}

impl Manager {
    /// The numbers of the notices that were not delivered.
    async fn store_notices(&self) -> Vec<u64> {
        let found = self.app.store.undelivered_notices(0, 99).await.unwrap();
        found.into_iter().map(|notice| notice.number).collect()
    }
}
