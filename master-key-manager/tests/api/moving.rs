//! Making, moving and tagging secrets: whoever could read afterwards is looked at, and nothing of before is worth anything.

use actix_web::http::Method;
use manager_api::policy::{Action, PatternText};
use manager_registry::CredentialLimit;
use rusqlite::Connection;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use crate::places::{ask, plant, service};
use crate::support::{Answer, Installed, Manager};

async fn change(manager: &Manager, credential: &str, secret: &str, body: Value) -> Answer {
    ask(manager, credential, Method::PATCH, &format!("/api/secrets/{secret}"), Some(body)).await
}

async fn mint(manager: &Manager, credential: &str, secret: &str) -> Answer {
    let body = json!({"secrets": [{"key_id": secret}]});
    ask(manager, credential, Method::POST, "/api/tokens", Some(body)).await
}

async fn mint_at(manager: &Manager, credential: &str, path: &str) -> Answer {
    let body = json!({"secrets": [{"environment": "dev", "path": path}]});
    ask(manager, credential, Method::POST, "/api/tokens", Some(body)).await
}

async fn shown_of(manager: &Manager, secret: &str) -> Answer {
    manager.admin(Method::GET, &format!("/api/secrets/{secret}"), None).await
}

/// A year after a time.
fn due(created_at: &Value) -> u64 {
    created_at.as_u64().unwrap() + 365 * 86_400
}

async fn create(manager: &Manager, path: &str) -> String {
    let body = json!({"environment": "dev", "path": path, "value": "v"});
    manager.post("/api/secrets", body).await.expect(201).member("key_id")
}

#[actix_web::test]
async fn a_secret_is_made_in_the_form_of_keeper_and_described() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let body = json!({"name": "stripe", "secret_type": "API_KEY", "value": "sk", "environment_id": 1});
    let made = manager.post("/api/secrets", body.clone()).await.expect(201);
    let secret = made.member("key_id");
    assert_eq!(installed.vault.open(made.json()["token"]["access_token"].as_str().unwrap())[0].expose(), b"sk");
    manager.post("/api/secrets", body).await.expect(409).refused("already_exists");
    let shown = shown_of(&manager, &secret).await.expect(200).json();
    let expected = json!({
        "key_id": secret, "environment": "dev", "path": "stripe", "kind": "api-key", "class": "low", "rotation_days": 365,
        "tags": {}, "metadata": {}, "service_only": false, "requires_approval": false, "state": "active",
        "stages": {"current": 1}, "revision": 0, "rotation": {"state": "idle", "due_at": due(&shown["created_at"])},
        "created_at": shown["created_at"], "last_version": 1,
    });
    assert_eq!(shown, expected);
    for (wrong, status, code) in [
        (json!({"path": "a", "name": "b", "value": "v", "environment": "dev"}), 400, "parameter_invalid"),
        (json!({"path": "a", "value": "v"}), 400, "parameter_invalid"),
        (json!({"path": "a", "value": "v", "environment_id": 9}), 400, "name_invalid"),
        (json!({"path": "a", "environment": "dev"}), 400, "parameter_invalid"),
        (json!({"path": "a", "value": "v", "environment": "dev", "secret_type": "KEY"}), 400, "name_invalid"),
        (json!({"path": "a", "value": "v", "environment": "dev", "rotation_days": 0}), 400, "parameter_invalid"),
        (json!({"path": "unnamed/a", "value": "v", "environment": "dev"}), 400, "name_invalid"),
    ] {
        manager.post("/api/secrets", wrong).await.expect(status).refused(code);
    }
    manager.stop().await;
}

#[actix_web::test]
async fn the_next_version_is_written_by_id_for_those_who_have_seen_the_current_one() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "by/id").await;
    let put = async |body: Value| manager.admin(Method::PUT, &format!("/api/secrets/{secret}"), Some(body)).await;
    let written =
        put(json!({"value": "two", "if_version": 1, "note": "turned", "expires_at": 4_102_444_800_u64})).await;
    assert_eq!(written.expect(201).json()["version"], 2);
    for seen in [0, 1, 3] {
        put(json!({"value": "x", "if_version": seen})).await.expect(409).refused("version_conflict");
    }
    assert_eq!(put(json!({"value": "three", "stage": "pending"})).await.expect(201).json()["version"], 3);
    let open = async |stage: &str| {
        let body = json!({"secrets": [{"key_id": secret, "stage": stage}]});
        let token = manager.post("/api/tokens", body).await.expect(201).member("access_token");
        installed.vault.open(&token)[0].expose().to_vec()
    };
    let opened = [open("current").await, open("previous").await, open("pending").await];
    assert_eq!(opened, [b"two".to_vec(), b"v".to_vec(), b"three".to_vec()]);
    let unknown = format!("/api/secrets/{}", SecretId::generate());
    manager.admin(Method::PUT, &unknown, Some(json!({"value": "x"}))).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn whoever_writes_in_both_folders_and_reads_in_one_cannot_move_a_secret_to_where_he_reads() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "closed/one").await;
    let (write, read) = (Action::Write, Action::Read);
    let writer = service(&manager, "writer", "*/**", &[write]).await;
    let _reader = service(&manager, "reader", "open/**", &[read]).await;
    let to_open = json!({"path": "open/one"});
    change(&manager, &writer, &secret, to_open.clone()).await.expect(403).refused("not_permitted");
    // He gains it himself, or anybody does.
    let himself = service(&manager, "himself", "open/**", &[write, read]).await;
    change(&manager, &himself, &secret, to_open.clone()).await.expect(404).refused("secret_not_found");
    let sharer = service(&manager, "sharer", "*/**", &[write, Action::Share]).await;
    let seen = installed.vault.applied().len();
    change(&manager, &sharer, &secret, to_open).await.expect(200);
    let told = installed.vault.applied().split_off(seen);
    assert_eq!(told, [Event::Secret(secret.parse().unwrap())], "tokens of before are revoked");
    change(&manager, &writer, &secret, json!({"path": "closed/again"})).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn a_credential_that_is_limited_to_a_folder_moves_nothing_there_to_read_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "closed/one").await;
    let holder = manager.service("holder").await;
    manager.permit(&holder.id(), "allow", &["read", "write"], "**").await;
    let narrow = manager
        .another_credential(&holder, |credential| {
            let limit = |action: Action, pattern: &str| CredentialLimit {
                actions: [action].into_iter().collect(),
                environment: None,
                pattern: PatternText::parse(pattern).unwrap(),
            };
            credential.limits = Some(vec![limit(Action::Write, "**"), limit(Action::Read, "open/**")]);
        })
        .await;
    let to_open = json!({"path": "open/one"});
    change(&manager, narrow.bearer(), &secret, to_open.clone()).await.expect(403).refused("not_permitted");
    // With the whole of his rights he gains nothing.
    change(&manager, holder.bearer(), &secret, to_open).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn a_move_to_where_somebody_destroys_needs_the_right_to_share() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for (number, action) in [Action::Destroy, Action::Delete, Action::Approve, Action::Share].into_iter().enumerate() {
        let secret = create(&manager, &format!("kept/{number}")).await;
        let writer = service(&manager, &format!("writer-{number}"), "*/**", &[Action::Write]).await;
        let folder = format!("open-{number}");
        service(&manager, &format!("gains-{number}"), &format!("{folder}/**"), &[action]).await;
        let moved = json!({"path": format!("{folder}/one")});
        change(&manager, &writer, &secret, moved).await.expect(403).refused("not_permitted");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn the_path_of_a_destroyed_secret_is_taken_by_nobody_in_any_reading() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "doomed/one").await;
    for path in [format!("destroyed/{secret}"), format!("destroyed.{secret}"), "unnamed.one".to_owned()] {
        let body = json!({"environment": "dev", "path": path, "value": "v"});
        manager.post("/api/secrets", body).await.expect(400).refused("name_invalid");
        change(&manager, &manager.credential, &secret, json!({"path": path})).await.expect(400).refused("name_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn a_move_keeps_the_id_and_needs_write_at_both_ends() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "here/one").await;
    create(&manager, "there/taken").await;
    let here = service(&manager, "here", "here/**", &[Action::Write, Action::List]).await;
    let there = service(&manager, "there", "there/**", &[Action::Write]).await;
    change(&manager, &here, &secret, json!({"path": "there/one"})).await.expect(403).refused("not_permitted");
    change(&manager, &there, &secret, json!({"path": "there/one"})).await.expect(404).refused("secret_not_found");
    let admin = manager.credential.clone();
    change(&manager, &admin, &secret, json!({"path": "there/taken"})).await.expect(409).refused("already_exists");
    change(&manager, &admin, &secret, json!({"path": "there.taken"})).await.expect(409).refused("already_exists");
    let late = json!({"path": "there/one", "if_revision": 7});
    change(&manager, &admin, &secret, late).await.expect(409).refused("version_conflict");
    let moved = json!({"path": "there/one", "if_revision": 0, "description": "moved", "reason": "order"});
    change(&manager, &admin, &secret, moved).await.expect(200);
    let shown = shown_of(&manager, &secret).await.expect(200).json();
    assert_eq!(
        (&shown["path"], &shown["description"], &shown["revision"]),
        (&json!("there/one"), &json!("moved"), &json!(1))
    );
    mint_at(&manager, &admin, "here/one").await.expect(404);
    assert_eq!(mint_at(&manager, &admin, "there/one").await.expect(201).json()["secrets"][0]["key_id"], secret);
    // The former place is free.
    create(&manager, "here/one").await;
    ask(&manager, &here, Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(404);
    manager.stop().await;
}

#[actix_web::test]
async fn a_tag_that_a_permission_names_is_given_by_those_who_may_share() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "tagged/one").await;
    let writer = service(&manager, "writer", "tagged/**", &[Action::Write, Action::List]).await;
    let reader = service(&manager, "reader", "none/**", &[Action::Read]).await;
    let group = manager.group("payers").await;
    let line = json!({
        "party": group, "effect": "allow", "actions": ["read"], "environment": "dev", "pattern": "tagged/**",
        "tags": {"team": "pay"}, "reason": "test",
    });
    manager.post("/api/permissions", line).await.expect(201);
    // Nobody is in the group yet, so nobody gains anything.
    change(&manager, &writer, &secret, json!({"tags": {"team": "pay", "tier": "1"}})).await.expect(200);
    change(&manager, &writer, &secret, json!({"tags": {}})).await.expect(200);
    let me = manager.app.registry.now().await.unwrap();
    let of_reader = me.state.services().find(|one| one.name.as_str() == "reader").unwrap().service_id.to_string();
    manager.post(&format!("/api/groups/{group}/members"), json!({"principals": [of_reader]})).await.expect(200);
    mint(&manager, &reader, &secret).await.expect(404);
    change(&manager, &writer, &secret, json!({"tags": {"team": "pay"}})).await.expect(403).refused("not_permitted");
    change(&manager, &manager.credential, &secret, json!({"tags": {"team": "pay"}})).await.expect(200);
    mint(&manager, &reader, &secret).await.expect(201);
    change(&manager, &writer, &secret, json!({"tags": {"team": "other"}})).await.expect(200);
    mint(&manager, &reader, &secret).await.expect(404);
    manager.stop().await;
}

/// The columns of a place, as statements that put them back.
fn place_of(installed: &Installed, path: &str) -> String {
    let database = Connection::open(installed.config.database()).unwrap();
    let sql = "SELECT hex(secret_id), path, number, rules, hex(tag) FROM secrets WHERE path = ?1";
    database
        .query_row(sql, [path], |row| {
            let (id, path, number): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (rules, tag): (String, String) = (row.get(3)?, row.get(4)?);
            let rules = rules.replace('\'', "''");
            Ok(format!(
                "UPDATE secrets SET path = '{path}', number = {number}, rules = '{rules}', tag = x'{tag}' \
                 WHERE secret_id = x'{id}';"
            ))
        })
        .unwrap()
}

#[actix_web::test]
async fn an_earlier_place_that_somebody_puts_back_is_no_place() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "open/one").await;
    let reader = service(&manager, "reader", "open/**", &[Action::Read]).await;
    let admin = manager.credential.clone();
    mint(&manager, &reader, &secret).await.expect(201);
    let mut befores = vec![place_of(&installed, "open/one")];
    change(&manager, &admin, &secret, json!({"path": "closed/one"})).await.expect(200);
    change(&manager, &admin, &secret, json!({"path": "open/two"})).await.expect(200);
    befores.push(place_of(&installed, "open/two"));
    change(&manager, &admin, &secret, json!({"path": "closed/two"})).await.expect(200);
    let now = place_of(&installed, "closed/two");
    for before in &befores {
        plant(&installed, before);
        mint(&manager, &reader, &secret).await.expect(404);
        mint(&manager, &admin, &secret).await.expect(404);
    }
    // The control: what it said last counts.
    plant(&installed, &now);
    mint(&manager, &admin, &secret).await.expect(201);
    mint(&manager, &reader, &secret).await.expect(404);
    manager.stop().await;
    for before in &befores {
        plant(&installed, before);
        let again = installed.start().await;
        mint(&again, &reader, &secret).await.expect(404);
        mint(&again, &again.credential, &secret).await.expect(404);
        again.stop().await;
    }
}

#[actix_web::test]
async fn a_description_is_changed_by_those_who_write_and_once_for_each_revision() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "told/one").await;
    let lister = service(&manager, "lister", "told/**", &[Action::List]).await;
    let words = json!({"description": "for the till", "metadata": {"url": "https://a.example"}, "class": "high"});
    change(&manager, &lister, &secret, words.clone()).await.expect(404).refused("secret_not_found");
    let admin = manager.credential.clone();
    change(&manager, &admin, &secret, words).await.expect(200);
    let shown = shown_of(&manager, &secret).await.expect(200).json();
    assert_eq!((&shown["class"], &shown["rotation_days"], &shown["revision"]), (&json!("high"), &json!(90), &json!(1)));
    let removed = json!({"description": null, "class": null, "if_revision": 1});
    change(&manager, &admin, &secret, removed.clone()).await.expect(200);
    change(&manager, &admin, &secret, removed).await.expect(409).refused("version_conflict");
    let shown = shown_of(&manager, &secret).await.expect(200).json();
    assert_eq!((&shown["class"], shown.get("description")), (&json!("low"), None));
    assert_eq!(shown["metadata"], json!({"url": "https://a.example"}));
    manager.stop().await;
}

#[actix_web::test]
async fn of_two_who_move_to_one_path_one_does() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let admin = manager.credential.clone();
    for number in 0..20 {
        let (one, other) =
            (create(&manager, &format!("race/{number}/a")).await, create(&manager, &format!("race/{number}/b")).await);
        let to = json!({"path": format!("race/{number}/c")});
        let (first, second) = futures_util::future::join(
            change(&manager, &admin, &one, to.clone()),
            change(&manager, &admin, &other, to),
        )
        .await;
        let mut both = [first.status.as_u16(), second.status.as_u16()];
        both.sort_unstable();
        assert_eq!(both, [200, 409], "{} {}", first.text, second.text);
    }
    manager.stop().await;
}
