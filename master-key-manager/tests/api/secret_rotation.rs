//! Rotation of secrets: the modes, the steps, and what readers get meanwhile.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::clock::{Clock as _, ManualClock, SystemClock};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use crate::places::{ask, service};
use crate::support::{Answer, Feed, Installed, Manager, until};

const DAY: u64 = 86_400;
const ROTATIONS: usize = 20;

pub(crate) async fn made(manager: &Manager, path: &str, more: Value) -> String {
    let mut body = json!({"environment": "dev", "path": path, "value": "v0", "token": false});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manager.post("/api/secrets", body).await.expect(201).member("key_id")
}

pub(crate) async fn step(manager: &Manager, secret: &str, verb: &str, body: Value) -> Answer {
    manager.post(&format!("/api/secrets/{secret}:{verb}"), body).await
}

pub(crate) async fn state(manager: &Manager, secret: &str) -> Value {
    manager.admin(Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(200).json()
}

/// The value at a stage, as a reader gets it; `None` if there is none.
pub(crate) async fn read(installed: &Installed, manager: &Manager, secret: &str, stage: &str) -> Option<String> {
    let answer = manager.post("/api/tokens", json!({"secrets": [{"key_id": secret, "stage": stage}]})).await;
    if answer.status == 404 {
        return None;
    }
    let token = answer.expect(201).member("access_token");
    Some(String::from_utf8(installed.vault.open(&token)[0].expose().to_vec()).unwrap())
}

/// The values that a reader may get: those of rotations that were acknowledged, and those that have begun.
#[derive(Default)]
struct Allowed {
    values: RefCell<Vec<String>>,
    acknowledged: Cell<usize>,
    is_over: Cell<bool>,
}

impl Allowed {
    async fn read_on(&self, installed: &Installed, manager: &Manager, secret: &str) -> usize {
        let mut reads = 0;
        while !self.is_over.get() {
            let from = self.acknowledged.get();
            let value = read(installed, manager, secret, "current").await.expect("there is always a value");
            let found =
                self.values.borrow().iter().position(|known| *known == value).expect("a value of before or after");
            assert!(found >= from, "the value of rotation {found} after that of {from} was acknowledged");
            reads += 1;
        }
        reads
    }
}

#[actix_web::test]
async fn readers_get_the_former_or_the_new_value_through_rotations_of_every_mode() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let rate = json!({"per_second": 1_000_000, "burst": 1_000_000});
    manager.admin(Method::PATCH, "/api/settings/rate-limits", Some(json!({"principal": rate}))).await.expect(200);
    let pair = json!({"mode": "pair", "pair": ["app_blue", "App Green"]});
    for (path, plan) in [("activate", json!({})), ("staged", json!({"mode": "staged"})), ("pair", pair)] {
        let document = |round: usize| match path {
            "pair" => format!("{{\"user\":\"nobody\",\"password\":\"p{round}\"}}"),
            _ => format!("v{round}"),
        };
        // As the manager writes it: the accounts of a pair take turns.
        let written = |round: usize| {
            let user = ["app_blue", "App Green"][(round + 1) % 2];
            document(round).replace("nobody", if round == 0 { "nobody" } else { user })
        };
        let kind = if path == "pair" { "database" } else { "text" };
        let more = json!({"rotation": plan, "kind": kind, "value": document(0)});
        let secret = made(&manager, path, more).await;
        let allowed = Allowed::default();
        allowed.values.borrow_mut().push(document(0));
        let rotate = async {
            for round in 1..=ROTATIONS {
                allowed.values.borrow_mut().push(written(round));
                let rotated = step(&manager, &secret, "rotate", json!({"value": document(round)})).await.expect(201);
                if path != "activate" {
                    assert_eq!(rotated.json()["rotation"]["state"], "pending");
                    assert_eq!(read(&installed, &manager, &secret, "pending").await, Some(written(round)));
                    step(&manager, &secret, "verify", json!({})).await.expect(200);
                    step(&manager, &secret, "promote", json!({})).await.expect(200);
                }
                allowed.acknowledged.set(round);
                let former = read(&installed, &manager, &secret, "previous").await;
                assert_eq!(former.as_ref(), allowed.values.borrow().get(round - 1), "both count in the grace time");
                step(&manager, &secret, "finish", json!({})).await.expect(200);
                assert_eq!(read(&installed, &manager, &secret, "previous").await, None);
            }
            allowed.is_over.set(true);
        };
        let ((), reads) = tokio::join!(rotate, allowed.read_on(&installed, &manager, &secret));
        assert!(reads >= ROTATIONS, "{reads} reads");
        assert_eq!(read(&installed, &manager, &secret, "current").await, Some(written(ROTATIONS)));
        assert_eq!(state(&manager, &secret).await["rotation"]["state"], "idle");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn steps_follow_each_other_and_no_other_order_is_taken() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "p", json!({})).await;
    for verb in ["verify", "promote", "finish"] {
        step(&manager, &secret, verb, json!({})).await.expect(409).refused("rotation_conflict");
    }
    let rotated = step(&manager, &secret, "rotate", json!({"value": "v1", "activate": false})).await.expect(201).json();
    assert_eq!((&rotated["version"], &rotated["stages"]), (&json!(2), &json!({"current": 1, "pending": 2})));
    step(&manager, &secret, "rotate", json!({"value": "v2"})).await.expect(409).refused("rotation_conflict");
    step(&manager, &secret, "finish", json!({})).await.expect(409).refused("rotation_conflict");
    step(&manager, &secret, "promote", json!({})).await.expect(409).refused("rotation_conflict");
    step(&manager, &secret, "verify", json!({"version": 1})).await.expect(409).refused("rotation_conflict");
    let verified = step(&manager, &secret, "verify", json!({"version": 2})).await.expect(200).json();
    assert!(verified["rotation"]["verified_at"].is_u64() && verified["rotation"]["verified_by"].is_string());
    let promoted = step(&manager, &secret, "promote", json!({"grace_seconds": 60})).await.expect(200).json();
    assert_eq!(promoted["stages"], json!({"current": 2, "previous": 1}));
    assert!(promoted["rotation"]["grace_until"].is_u64());
    step(&manager, &secret, "rotate", json!({"value": "v2"})).await.expect(409).refused("rotation_conflict");
    step(&manager, &secret, "finish", json!({"version": 1})).await.expect(409).refused("rotation_conflict");
    let finished = step(&manager, &secret, "finish", json!({"version": 2})).await.expect(200).json();
    assert_eq!((&finished["stages"], &finished["sequences"]), (&json!({"current": 2}), &json!([1])));
    let id: SecretId = secret.parse().unwrap();
    assert_eq!(installed.vault.applied(), [Event::Version(id, Version::FIRST)]);
    // A pending version of a plain write is promoted, too, if nothing became current since.
    let path = format!("/api/secrets/{secret}");
    manager.admin(Method::PUT, &path, Some(json!({"value": "v3", "stage": "pending"}))).await.expect(201);
    step(&manager, &secret, "verify", json!({})).await.expect(200);
    manager.admin(Method::PUT, &path, Some(json!({"value": "v4"}))).await.expect(201);
    step(&manager, &secret, "promote", json!({})).await.expect(409).refused("version_conflict");
    let repaired = step(&manager, &secret, "repair", json!({"abandon": true})).await.expect(200).json();
    assert_eq!((&repaired["version"], &repaired["rotation"]["state"]), (&json!(3), &json!("idle")));
    step(&manager, &secret, "rotate", json!({"value": "v5", "activate": false})).await.expect(201);
    step(&manager, &secret, "promote", json!({"unverified": true})).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn of_two_rotations_at_once_one_wins() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for (round, activate) in (0..10).map(|round| (round, round % 2 == 0)) {
        let secret = made(&manager, &format!("p{round}"), json!({})).await;
        let rotate =
            |value: &'static str| step(&manager, &secret, "rotate", json!({"value": value, "activate": activate}));
        let (one, other) = tokio::join!(rotate("a"), rotate("b"));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{} {}", one.text, other.text);
        let promotes = async || step(&manager, &secret, "promote", json!({"unverified": true})).await.status.as_u16();
        if !activate {
            let (one, other) = tokio::join!(promotes(), promotes());
            assert_eq!(one + other, 200 + 409);
        }
    }
    manager.stop().await;
}

#[actix_web::test]
async fn rotating_needs_its_own_right_and_neither_reading_nor_writing() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "app/p", json!({"rotation": {"generate": {"form": "token"}}})).await;
    let all_but = [Action::List, Action::Read, Action::Write, Action::Share, Action::Destroy, Action::Delete];
    let publisher = service(&manager, "publisher", "**", &all_but).await;
    let rotator = service(&manager, "rotator", "app/**", &[Action::Rotate]).await;
    let elsewhere = service(&manager, "elsewhere", "web/**", &[Action::Rotate]).await;
    for (verb, body) in [
        ("rotate", json!({"activate": false})),
        ("verify", json!({})),
        ("promote", json!({})),
        ("finish", json!({})),
        ("repair", json!({})),
    ] {
        let path = format!("/api/secrets/{secret}:{verb}");
        for other in [&publisher, &elsewhere] {
            ask(&manager, other, Method::POST, &path, Some(body.clone())).await.expect(404).refused("secret_not_found");
        }
        let done = ask(&manager, &rotator, Method::POST, &path, Some(body)).await;
        assert!(done.status.is_success(), "{verb}: {}", done.text);
    }
    let list = ask(&manager, &rotator, Method::GET, "/api/rotations?due_within=3650", None).await.expect(200).json();
    assert_eq!(list["rotations"], json!([]), "the list shows what may be listed");
    manager.stop().await;
}

#[actix_web::test]
async fn a_grace_time_ends_by_itself_with_the_tokens_of_the_former_version() {
    let installed = Installed::new(Mode::Production).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now(), 1_000));
    let manager = installed.start_at(clock.clone()).await;
    let secret = made(&manager, "p", json!({})).await;
    let rotated =
        step(&manager, &secret, "rotate", json!({"value": "v1", "grace_seconds": 20})).await.expect(201).json();
    assert_eq!(rotated["rotation"]["grace_until"].as_u64(), Some(clock.now() + 20));
    // The vault's clock stays behind by as much.
    clock.advance(19);
    let stages = async || state(&manager, &secret).await["stages"].clone();
    assert_eq!(stages().await, json!({"current": 2, "previous": 1}));
    clock.advance(1);
    until("the grace time is over", async || state(&manager, &secret).await["rotation"]["state"] == "idle").await;
    let id: SecretId = secret.parse().unwrap();
    until("the vault has it", async || installed.vault.applied() == [Event::Version(id, Version::FIRST)]).await;
    assert_eq!(stages().await, json!({"current": 2}));
    manager.stop().await;
}

#[actix_web::test]
async fn the_value_of_before_is_not_revoked_while_it_is_current_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "p", json!({})).await;
    step(&manager, &secret, "rotate", json!({"value": "v1"})).await.expect(201);
    step(&manager, &secret, "rollback", json!({"version": 1})).await.expect(201);
    let finished = step(&manager, &secret, "finish", json!({})).await.expect(200).json();
    assert_eq!(finished.get("sequences"), None);
    assert_eq!(read(&installed, &manager, &secret, "current").await, Some("v0".to_owned()));
    manager.stop().await;
}

#[actix_web::test]
async fn an_emergency_revokes_every_token_of_the_secret_and_leaves_no_former_version() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "p", json!({})).await;
    // Whatever is under way.
    step(&manager, &secret, "rotate", json!({"value": "v1", "activate": false})).await.expect(201);
    let done = step(&manager, &secret, "rotate", json!({"value": "v2", "emergency": true})).await.expect(201).json();
    assert_eq!((&done["stages"], &done["rotation"]["state"]), (&json!({"current": 3}), &json!("idle")));
    let id: SecretId = secret.parse().unwrap();
    until("the vault has it", async || installed.vault.applied() == [Event::Secret(id)]).await;
    assert_eq!(read(&installed, &manager, &secret, "current").await, Some("v2".to_owned()));
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeated_emergency_is_revoked_when_the_vault_has_signed_that_and_not_before() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "p", json!({})).await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let (path, body) = (format!("/api/secrets/{secret}:rotate"), json!({"value": "v1", "emergency": true}).to_string());
    let rotate = async || manager.send(Method::POST, &path, &headers, Some(body.clone())).await;
    // The version is committed, and the vault does not sign what follows.
    let vault = Arc::clone(&installed.vault);
    manager.faults.after_calls("commit", 1, move || async move { vault.state().feed = Feed::WrongSignature });
    rotate().await.expect(202);
    rotate().await.expect(202);
    step(&manager, &secret, "repair", json!({})).await.expect(202);
    installed.vault.state().feed = Feed::Honest;
    until("the vault has signed it", async || rotate().await.status == 201).await;
    step(&manager, &secret, "repair", json!({})).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn what_was_made_last_is_made_again_and_a_field_of_a_document_gets_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "p", json!({})).await;
    let current = async || read(&installed, &manager, &secret, "current").await.unwrap();
    let refused = step(&manager, &secret, "rotate", json!({})).await.expect(400);
    assert!(refused.refused("parameter_invalid").member("detail").contains("never asked"));
    let hex = json!({"generate": {"form": "password", "length": 50}});
    step(&manager, &secret, "rotate", hex).await.expect(201);
    let first = current().await;
    step(&manager, &secret, "finish", json!({})).await.expect(200);
    step(&manager, &secret, "rotate", json!({})).await.expect(201);
    let second = current().await;
    assert_eq!((first.len(), second.len(), first == second), (50, 50, false));
    assert_eq!(state(&manager, &secret).await["rotation"]["plan"]["generate"]["length"], 50);

    let document = json!({"host": "db", "user": "app", "password": "old"}).to_string();
    let more = json!({"kind": "database", "value": document, "rotation": {"generate": {"form": "password"}}});
    let database = made(&manager, "db", more).await;
    let body = json!({"value": document, "field": "password"});
    let rotated = step(&manager, &database, "rotate", body).await.expect(201);
    assert!(!rotated.text.contains("old") && rotated.json()["public"]["bits"].is_u64());
    let value: Value = serde_json::from_str(&read(&installed, &manager, &database, "current").await.unwrap()).unwrap();
    assert_eq!((&value["host"], &value["user"]), (&json!("db"), &json!("app")));
    assert!(value["password"].as_str().unwrap().len() == 24);
    for wrong in [json!({"field": "password"}), json!({"value": "v", "generate": {"form": "token"}})] {
        step(&manager, &database, "rotate", wrong).await.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeat_of_a_rotation_makes_no_second_one() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "p", json!({})).await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    let body = json!({"generate": {"form": "token"}}).to_string();
    let path = format!("/api/secrets/{secret}:rotate");
    for _ in 0..2 {
        let rotated = manager.send(Method::POST, &path, &headers, Some(body.clone())).await.expect(201).json();
        assert_eq!((&rotated["version"], &rotated["rotation"]["state"]), (&json!(2), &json!("grace")));
    }
    manager.stop().await;
}

#[actix_web::test]
async fn what_is_due_is_listed_in_order_and_counted_by_days() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for (path, days) in [("a/x", 20), ("a/y", 10), ("b/z", 15), ("a/late", 400)] {
        made(&manager, path, json!({"rotation_days": days})).await;
    }
    let planned = made(&manager, "a/own", json!({"rotation_days": 400, "rotation": {"every_days": 12}})).await;
    let due = async |credential: &str, query: &str| {
        let list =
            ask(&manager, credential, Method::GET, &format!("/api/rotations?{query}"), None).await.expect(200).json();
        let paths = list["rotations"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned());
        (paths.collect::<Vec<_>>(), list.get("next").and_then(Value::as_str).map(str::to_owned))
    };
    let (all, _) = due(&manager.credential, "due_within=30").await;
    assert_eq!(all, ["a/y", "a/own", "b/z", "a/x"]);
    let (mut found, mut next) = due(&manager.credential, "due_within=30&limit=2").await;
    while let Some(after) = next.take() {
        let (more, then) = due(&manager.credential, &format!("due_within=30&limit=2&after={after}")).await;
        (found, next) = ([found, more].concat(), then);
    }
    assert_eq!(found, all);
    let own = service(&manager, "own", "a/**", &[Action::List]).await;
    assert_eq!(due(&own, "due_within=30").await.0, ["a/y", "a/own", "a/x"]);
    // A new version is not due, and another period counts at once.
    let path = format!("/api/secrets/{planned}");
    manager.admin(Method::PATCH, &path, Some(json!({"rotation": {"every_days": 500}}))).await.expect(200);
    assert_eq!(due(&own, "due_within=30").await.0, ["a/y", "a/x"]);
    let calendar = ask(&manager, &own, Method::GET, "/api/rotations:calendar", None).await.expect(200).json();
    let days = calendar["days"].as_array().unwrap();
    assert_eq!(days.iter().map(|day| day["count"].as_u64().unwrap()).sum::<u64>(), 2);
    assert!(days.iter().all(|day| day["day"].as_u64().unwrap() % DAY == 0) && calendar["incomplete"] == false);
    for wrong in ["from=5&to=5", "from=0&to=99999999999"] {
        let refused = ask(&manager, &own, Method::GET, &format!("/api/rotations:calendar?{wrong}"), None).await;
        refused.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}
