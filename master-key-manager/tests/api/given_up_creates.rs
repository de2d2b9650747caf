//! Creates that come to nothing, and the next create of their path.

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::{KillPoint, PostgresOptions};
use shared_proto::id::{SecretId, Version};
use test_postgres::Database;

use crate::support::{Answer, Installed, Manager, Row, StoreMood, until};

fn body(value: &str, team: &str) -> Value {
    json!({"environment": "dev", "path": "app/db", "value": value, "tags": {"team": team}, "description": value})
}

async fn create(manager: &Manager, value: &str, team: &str) -> Answer {
    manager.post("/api/secrets", body(value, team)).await
}

/// Creates a secret of which the vault gets no value, and returns its id.
async fn give_up(installed: &Installed, manager: &Manager) -> String {
    installed.vault.state().store_mood = StoreMood::Garble;
    create(manager, "lost", "a").await.expect(503).refused("outcome_unknown");
    installed.vault.state().store_mood = StoreMood::Honest;
    let listed = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json();
    listed["secrets"][0]["key_id"].as_str().unwrap().to_owned()
}

async fn shown(manager: &Manager, secret: &str) -> Value {
    manager.admin(Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(200).json()
}

#[track_caller]
fn is_taken(answer: Answer) {
    answer.expect(409).refused("already_exists");
}

#[actix_web::test]
async fn the_next_create_takes_the_path_with_its_own_rules_and_no_other_does() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = give_up(&installed, &manager).await;
    let mut wrong = body("{", "b");
    wrong["kind"] = json!("json");
    manager.post("/api/secrets", wrong).await.expect(400).refused("value_invalid");
    assert_eq!(shown(&manager, &secret).await["tags"]["team"], "a", "what is refused changes nothing");
    let made = create(&manager, "v", "b").await.expect(201);
    assert_eq!((made.member("key_id"), made.json()["version"].as_u64()), (secret.clone(), Some(2)));
    assert_eq!(installed.vault.open(made.json()["token"]["access_token"].as_str().unwrap())[0].expose(), b"v");
    let found = shown(&manager, &secret).await;
    assert_eq!(
        (&found["tags"]["team"], &found["description"], &found["stages"]),
        (&json!("b"), &json!("v"), &json!({"current": 2}))
    );
    is_taken(create(&manager, "late", "b").await);
    manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [2]})).await.expect(200);
    is_taken(create(&manager, "later", "b").await);
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeat_of_the_create_that_came_to_nothing_is_told_of_the_other_one() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let first =
        async || manager.send(Method::POST, "/api/secrets", &headers, Some(body("mine", "a").to_string())).await;
    installed.vault.state().store_mood = StoreMood::Garble;
    first().await.expect(503).refused("outcome_unknown");
    installed.vault.state().store_mood = StoreMood::Honest;
    create(&manager, "other", "a").await.expect(201);
    is_taken(first().await);
    manager.stop().await;
}

#[actix_web::test]
async fn a_create_whose_answer_was_lost_keeps_its_path_and_its_value() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    installed.vault.state().store_mood = StoreMood::StoreAndGarble;
    create(&manager, "kept", "a").await.expect(503).refused("outcome_unknown");
    installed.vault.state().store_mood = StoreMood::Honest;
    is_taken(create(&manager, "v", "b").await);
    let token = json!({"secrets": [{"environment": "dev", "path": "app/db"}]});
    let token = manager.post("/api/tokens", token).await.expect(201).member("access_token");
    assert_eq!(installed.vault.open(&token)[0].expose(), b"kept");
    manager.stop().await;
}

#[actix_web::test]
async fn of_many_creates_at_once_one_takes_the_path_on_either_engine() {
    let database = Database::create();
    for database in [None, Some(&database)] {
        let installed = Installed::altered(Mode::Production, |raw| {
            raw.database = database.map(Database::socket_url);
            let options = |file| PostgresOptions { password_file: Some(file), ..PostgresOptions::default() };
            raw.postgres = database.map(|database| options(database.password_file()));
        });
        let installed = installed.await;
        let manager = installed.start().await;
        let secret = give_up(&installed, &manager).await;
        let teams = ["a", "b", "a", "b", "c", "lost"];
        let answers = join_all(teams.iter().map(|team| create(&manager, team, team))).await;
        let made: Vec<&str> =
            answers.iter().zip(teams).filter(|(answer, _)| answer.status == 201).map(|(_, team)| team).collect();
        assert_eq!(made.len(), 1);
        for refused in answers.into_iter().filter(|answer| answer.status != 201) {
            is_taken(refused);
        }
        let found = shown(&manager, &secret).await;
        assert_eq!((&found["tags"]["team"], &found["description"]), (&json!(made[0]), &json!(made[0])));
        assert_eq!((&found["stages"], &found["last_version"]), (&json!({"current": 2}), &json!(2)));
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_process_that_dies_while_it_takes_a_path_over_leaves_it_to_the_next_create() {
    let points = ["change_registry", "begin", "commit"];
    for point in points.iter().flat_map(|name| [KillPoint::Before(name), KillPoint::After(name)]) {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        give_up(&installed, &manager).await;
        manager.faults.kill_at(point);
        create(&manager, "first", "b").await.expect(503);
        assert!(manager.faults.is_dead(), "{point:?}");
        manager.stop().await;
        let manager = installed.start().await;
        until("nothing is pending", async || manager.app.store.pending(9).await.unwrap().is_empty()).await;
        let next = create(&manager, "next", "c").await;
        let committed = manager.versions().into_iter().filter(|version| version.state == "committed").count();
        assert_eq!(committed, 1, "{point:?}");
        if matches!(point, KillPoint::Before("commit") | KillPoint::After("commit")) {
            // The vault has the value of the first one.
            is_taken(next);
        } else {
            next.expect(201);
        }
        manager.stop().await;
    }
}

#[actix_web::test]
async fn what_is_deleted_or_frozen_or_in_the_vault_alone_is_not_taken_over() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = give_up(&installed, &manager).await;
    let of = format!("/api/secrets/{secret}");
    let id: SecretId = secret.parse().unwrap();
    // A manager from before: the vault has a version that the catalogue lacks.
    let unknown = (id, Version::new(2).unwrap());
    installed.vault.state().rows.insert(unknown, Row::Foreign { environment: manager.environment("dev") });
    let refused = create(&manager, "v", "b").await.expect(409).refused("already_exists");
    assert!(refused.text.contains("reconcile"), "{}", refused.text);
    installed.vault.state().rows.remove(&unknown);
    manager.admin(Method::DELETE, &of, None).await.expect(200);
    is_taken(create(&manager, "v", "b").await);
    manager.admin(Method::POST, &format!("{of}:undelete"), None).await.expect(200);
    let incident = json!({"kind": "compromise", "reason": "in a log", "freeze": true});
    manager.post(&format!("{of}:compromise"), incident).await.expect(201);
    is_taken(create(&manager, "v", "b").await);
    assert!(shown(&manager, &secret).await["tags"]["team"] == "a");
    manager.stop().await;
}

#[actix_web::test]
async fn who_may_not_write_there_takes_nothing_over() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = give_up(&installed, &manager).await;
    let try_as = async |name: &str, actions: &[Action], pattern: &str| {
        let who = manager.service_with(name, actions, Some(("dev", pattern))).await;
        manager.with(&who.credential, Method::POST, "/api/secrets", Some(body("v", "b"))).await
    };
    try_as("reader", &[Action::List, Action::Read], "app/**").await.expect(404).refused("secret_not_found");
    try_as("elsewhere", &[Action::Write], "other/**").await.expect(404).refused("secret_not_found");
    assert_eq!(shown(&manager, &secret).await["tags"]["team"], "a");
    let made = try_as("writer", &[Action::Write], "app/**").await.expect(201);
    assert!(made.json().get("token").is_none());
    manager.stop().await;
}

#[actix_web::test]
async fn an_import_that_keeps_what_exists_stores_what_has_come_to_nothing() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let body =
        json!({"format": "dotenv", "document": "DB=mine\n", "environment": "dev", "folder": "app", "existing": "keep"});
    let import = async || {
        let answer = manager.send(Method::POST, "/api/secrets:import", &headers, Some(body.to_string())).await;
        answer.expect(200).json()
    };
    installed.vault.state().store_mood = StoreMood::Garble;
    let first = import().await;
    assert_eq!(first["refused"], 1, "{first}");
    installed.vault.state().store_mood = StoreMood::Honest;
    let second = import().await;
    assert_eq!(
        (&second["refused"], &second["kept"], &second["created"]),
        (&json!(0), &json!(0), &json!(1)),
        "{second}"
    );
    let token = json!({"secrets": [{"environment": "dev", "path": "app/DB"}]});
    let token = manager.post("/api/tokens", token).await.expect(201).member("access_token");
    assert_eq!(installed.vault.open(&token)[0].expose(), b"mine");
    let third = import().await;
    assert_eq!((&third["kept"], &third["created"]), (&json!(1), &json!(0)), "{third}");
    manager.stop().await;
}

#[actix_web::test]
async fn what_was_approved_for_a_create_that_came_to_nothing_is_over_once_the_path_is_taken() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (reader, approver) = (manager.service("reader").await, manager.service("approver").await);
    manager.permit(&reader.id(), "allow", &["read"], "app/**").await;
    manager.permit(&approver.id(), "allow", &["read", "approve"], "app/**").await;
    let body = json!({"environment": "dev", "path": "app/db", "value": "v", "requires_approval": true, "token": false});
    installed.vault.state().store_mood = StoreMood::Garble;
    manager.post("/api/secrets", body.clone()).await.expect(503).refused("outcome_unknown");
    installed.vault.state().store_mood = StoreMood::Honest;
    let listed = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json();
    let ask = json!({"key_id": listed["secrets"][0]["key_id"], "seconds": 600, "reason": "a call at night"});
    let id =
        manager.by(&reader, Method::POST, "/api/approvals", Some(ask.clone())).await.expect(202).member("approval_id");
    manager.by(&approver, Method::POST, &format!("/api/approvals/{id}:approve"), None).await.expect(200);
    let made = manager.post("/api/secrets", body).await.expect(201);
    let token = json!({"secrets": [{"key_id": made.member("key_id")}]});
    let mint = async || manager.by(&reader, Method::POST, "/api/tokens", Some(token.clone())).await;
    mint().await.expect(403).refused("approval_required");
    let again = manager.by(&reader, Method::POST, "/api/approvals", Some(ask)).await.expect(202).member("approval_id");
    manager.by(&approver, Method::POST, &format!("/api/approvals/{again}:approve"), None).await.expect(200);
    mint().await.expect(201);
    manager.stop().await;
}
