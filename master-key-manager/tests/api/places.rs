//! Rows outside of the registry that somebody with write access to the database altered, so that they would give him what
//! he may not have: places of secrets, environments, labels, waiting revocations, idempotency keys.

use actix_web::http::Method;
use manager_api::id::PermissionId;
use manager_api::name::AccountName;
use manager_api::policy::{Action, Actions, Effect, PartyId, PatternText};
use manager_api::tags::Tags;
use manager_registry::{Author, Change, Credential, Permission, Proof, Service, Terms};
use master_key_manager::init::policy;
use master_key_manager::installation::{open_store, read_installation};
use rusqlite::Connection;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::http::Health as _;
use shared_proto::credential::PlainCredential;
use shared_proto::id::{CredentialId, ServiceId, Subject, Version};

use crate::support::{Answer, Installed, Manager, until};

/// Runs statements on the database of a manager.
pub(crate) fn plant(installed: &Installed, statements: &str) {
    let database = Connection::open(installed.config.database()).unwrap();
    database.execute_batch(&format!("PRAGMA foreign_keys = OFF; {statements}")).unwrap();
}

/// A service that may do this with the secrets of a pattern, and nothing else. Returns its credential.
pub(crate) async fn service(manager: &Manager, name: &str, pattern: &str, actions: &[Action]) -> String {
    let id = ServiceId::generate();
    let plain = PlainCredential::generate();
    let hmac = manager.app.keys.now().credentials.hash(&plain);
    let allow = Permission {
        permission_id: PermissionId::generate(),
        party: PartyId::Principal(Subject::Service(id)),
        effect: Effect::Allow,
        actions: actions.iter().copied().collect::<Actions>(),
        environment: None,
        pattern: PatternText::parse(pattern).unwrap(),
        tags: Tags::default(),
        terms: Terms::unlimited(1),
    };
    let changes: Vec<Change> = vec![
        Service::new(id, AccountName::parse(name).unwrap(), 1).into(),
        Credential::new(CredentialId::generate(), Subject::Service(id), Proof::opaque(hmac), 1).into(),
        allow.into(),
    ];
    manager.app.registry.change((Author::Operator, "", 1), None, |_| Ok(changes.clone())).await.unwrap();
    plain.expose_text().to_string()
}

pub(crate) async fn ask(
    manager: &Manager,
    credential: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let bearer = format!("Bearer {credential}");
    manager.send(method, path, &[("authorization", bearer.as_str())], body.map(|body| body.to_string())).await
}

const ALL: [Action; 4] = [Action::List, Action::Read, Action::Write, Action::Destroy];

/// A secret in the folder of the attacker, and one outside.
struct Two {
    installed: Installed,
    manager: Manager,
    attacker: String,
    open: String,
    closed: String,
}

impl Two {
    async fn new() -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let attacker = service(&manager, "attacker", "open/**", &ALL).await;
        let open = manager.store_value("open/mine", "one").await.expect(201).member("key_id");
        let closed = manager.store_value("closed/theirs", "two").await.expect(201).member("key_id");
        let two = Self { installed, manager, attacker, open, closed };
        two.opens(&two.attacker, &two.open, 201).await;
        two.opens(&two.attacker, &two.closed, 404).await;
        two
    }

    async fn opens(&self, credential: &str, secret: &str, status: u16) {
        let body = json!({"secrets": [{"key_id": secret}]});
        ask(&self.manager, credential, Method::POST, "/api/tokens", Some(body)).await.expect(status);
    }

    /// Nothing of a secret is told, opened, written or destroyed.
    async fn is_unknown(&self, credential: &str, secret: &str) {
        self.opens(credential, secret, 404).await;
        let of = format!("/api/secrets/{secret}");
        ask(&self.manager, credential, Method::GET, &of, None).await.expect(404);
        let back = Some(json!({"version": 1}));
        ask(&self.manager, credential, Method::POST, &format!("{of}:rollback"), back).await.expect(404);
        let destroy = Some(json!({"versions": [1]}));
        ask(&self.manager, credential, Method::POST, &format!("/api/keys/{secret}/destroy"), destroy).await.expect(404);
        assert!(!self.listed(credential).await.contains(&secret.to_owned()), "{secret}");
    }

    async fn listed(&self, credential: &str) -> Vec<String> {
        let list = ask(&self.manager, credential, Method::GET, "/api/secrets", None).await.expect(200).json();
        let secrets = list["secrets"].as_array().unwrap().iter();
        secrets.map(|one| one["key_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Writes to a path as the attacker.
    async fn writes(&self, path: &str) -> u16 {
        let body = json!({"user_id": "u", "key_data": "x", "path": path, "environment": "dev", "token": false});
        ask(&self.manager, &self.attacker, Method::POST, "/api/keys", Some(body)).await.status.as_u16()
    }

    fn vault_rows(&self) -> usize {
        self.installed.vault.state().rows.len()
    }
}

/// Each leaves the closed secret, or the open one, at a place that the manager did not give it.
const PLANTED: [(&str, &str, &[&str]); 6] = [
    (
        "the paths of two secrets are swapped",
        "UPDATE secrets SET path = 'swap' WHERE path = 'open/mine';
         UPDATE secrets SET path = 'open/mine' WHERE path = 'closed/theirs';
         UPDATE secrets SET path = 'closed/theirs' WHERE path = 'swap'",
        &["open", "closed"],
    ),
    (
        "paths and tags of two secrets are swapped",
        "CREATE TEMP TABLE kept AS SELECT * FROM secrets;
         UPDATE secrets SET path = hex(secret_id), tag = NULL;
         UPDATE secrets SET (path, tag) = (SELECT path, tag FROM kept k WHERE k.secret_id <> secrets.secret_id)",
        &["open", "closed"],
    ),
    (
        "a secret is moved into the folder of the attacker",
        "UPDATE secrets SET path = 'open/theirs' WHERE path = 'closed/theirs'",
        &["closed"],
    ),
    (
        "a secret gets the place of another one with its tag",
        "CREATE TEMP TABLE kept AS SELECT * FROM secrets WHERE path = 'open/mine';
         DELETE FROM secrets WHERE path = 'open/mine';
         UPDATE secrets SET (path, tag) = (SELECT path, tag FROM kept)",
        &["open", "closed"],
    ),
    (
        "a moved secret has no tag",
        "UPDATE secrets SET path = 'open/theirs', tag = NULL WHERE path = 'closed/theirs'",
        &["closed"],
    ),
    (
        "a secret is moved to another environment",
        "UPDATE secrets SET environment_id = (SELECT environment_id FROM environments WHERE name = 'staging'),
         path = 'open/theirs' WHERE path = 'closed/theirs'",
        &["closed"],
    ),
];

#[actix_web::test]
async fn a_secret_that_was_moved_in_the_database_is_unknown_to_everybody() {
    for (case, statements, moved) in PLANTED {
        let two = Two::new().await;
        plant(&two.installed, "CREATE TABLE before AS SELECT * FROM secrets");
        plant(&two.installed, statements);
        let rows = two.vault_rows();
        for which in moved {
            let secret = if *which == "open" { &two.open } else { &two.closed };
            two.is_unknown(&two.attacker, secret).await;
            two.is_unknown(&two.manager.credential, secret).await;
        }
        if !moved.contains(&"open") {
            two.opens(&two.attacker, &two.open, 201).await;
        }
        assert!(two.manager.app.readiness().text().starts_with("catalogue"), "{case}");
        let written = two.writes("open/theirs").await;
        assert!(case.contains("swapped") || case.contains("another") || written == 503, "{case}: {written}");
        assert!(two.vault_rows() <= rows + 1, "{case}: nothing of the moved one is destroyed or written");
        plant(&two.installed, "DELETE FROM secrets; INSERT INTO secrets SELECT * FROM before; DROP TABLE before");
        two.opens(&two.attacker, &two.open, 201).await;
        two.opens(&two.attacker, &two.closed, 404).await;
        two.opens(&two.manager.credential, &two.closed, 201).await;
        two.manager.stop().await;
    }
}

#[actix_web::test]
async fn a_write_to_a_path_that_was_taken_in_the_database_writes_nothing() {
    let two = Two::new().await;
    plant(&two.installed, "UPDATE secrets SET path = 'open/theirs' WHERE path = 'closed/theirs'");
    let rows = two.vault_rows();
    assert_eq!(two.writes("open/theirs").await, 503);
    assert_eq!(two.vault_rows(), rows);
    // Its own path is free, for whoever may write there: as a new secret.
    let again = two.manager.store_value("closed/theirs", "three").await.expect(201).member("key_id");
    assert_ne!(again, two.closed);
    two.manager.stop().await;
}

#[actix_web::test]
async fn environments_that_were_altered_in_the_database_are_not_used() {
    for statements in [
        "UPDATE environments SET name = 'x' WHERE name = 'dev'; UPDATE environments SET name = 'dev' WHERE name = 'production';
         UPDATE environments SET name = 'production' WHERE name = 'x'",
        "UPDATE environments SET frozen_at = NULL WHERE name = 'dev'",
        "UPDATE environments SET max_token_life_seconds = 2000 WHERE name = 'dev'",
        "UPDATE environments SET tag = (SELECT tag FROM environments WHERE name = 'staging') WHERE name = 'dev'",
        "UPDATE environments SET tag = NULL WHERE name = 'dev'",
    ] {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = manager.store_value("a", "one").await.expect(201).member("key_id");
        manager.post("/api/environments/dev:freeze", json!({})).await;
        let frozen = manager.admin(Method::POST, "/api/environments/dev:freeze", None).await;
        frozen.expect(200);
        let mint = async || manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await;
        mint().await.refused("environment_frozen");
        plant(&installed, statements);
        let answer = mint().await;
        assert!(answer.status.is_server_error(), "{statements}: {}", answer.text);
        manager.stop().await;
        let store = open_store(&installed.config).unwrap();
        let refusal = read_installation(&installed.config, &store).await.err();
        assert!(refusal.is_some_and(|refusal| refusal.to_string().contains("did not write")), "{statements}");
    }
}

#[actix_web::test]
async fn a_label_stands_for_its_subject_or_for_nobody() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    manager.store_value("a", "one").await.expect(201);
    let subject = || {
        let database = Connection::open(installed.config.database()).unwrap();
        let sql = "SELECT subject FROM subjects WHERE label = 'user123'";
        database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let first = subject();
    plant(&installed, "DELETE FROM subjects");
    manager.store_value("b", "two").await.expect(201);
    assert_eq!(subject(), first, "a row that was removed is made again");
    plant(&installed, "UPDATE subjects SET subject = 'svc_AAAAAAAAAAAAAAAAAAAAAA'");
    let answer = manager.store_value("c", "three").await;
    assert!(answer.status.is_server_error(), "{}", answer.text);
    manager.stop().await;
}

#[actix_web::test]
async fn a_revocation_that_was_planted_is_not_signed() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("a", "one").await.expect(201).member("key_id");
    let destroy = format!("destroy:{}:{secret}:1", manager.environment("dev"));
    for name in [destroy.as_str(), "all:"] {
        plant(
            &installed,
            &format!("INSERT INTO pending_revocations (position, name, created_at) VALUES (1, '{name}', 1)"),
        );
        until("it is gone", async || manager.app.store.deferred().await == Ok(0)).await;
    }
    assert!(installed.vault.applied().is_empty());
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(201);
    assert!(manager.app.readiness().text().starts_with("catalogue"));
    manager.stop().await;
}

#[actix_web::test]
async fn an_idempotency_key_is_answered_with_its_own_version_alone() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let other = manager.store_value("other", "two").await.expect(201).member("key_id");
    let first = manager.store_with_key("k", "a", "one").await.expect(201).member("key_id");
    assert_eq!(manager.store_with_key("k", "a", "one").await.expect(201).member("key_id"), first, "the control");
    plant(
        &installed,
        "UPDATE idempotency SET secret_id = (SELECT secret_id FROM secrets WHERE path = 'other') WHERE key = 'k'",
    );
    let again = manager.store_with_key("k", "a", "one").await.expect(201).json();
    assert_eq!((again["key_id"].as_str(), again["version"].as_u64()), (Some(first.as_str()), Some(2)), "{other}");
    manager.stop().await;
}

/// The tags of all rows are gone, as in a database of an earlier release.
const UNTAGGED: &str =
    "UPDATE secrets SET tag = NULL; UPDATE environments SET tag = NULL; UPDATE subjects SET tag = NULL;
    UPDATE pending_revocations SET tag = NULL; UPDATE idempotency SET tag = NULL;
    UPDATE versions SET tag = NULL;";

#[actix_web::test]
async fn rows_of_an_earlier_release_are_vouched_for_with_its_principals_and_by_nothing_else() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_with_key("k", "a", "one").await.expect(201).member("key_id");
    let hmac = manager.app.keys.now().credentials.hash(&PlainCredential::parse(&manager.credential).unwrap());
    manager.stop().await;
    plant(&installed, UNTAGGED);
    let store = open_store(&installed.config).unwrap();
    assert!(read_installation(&installed.config, &store).await.is_err(), "nothing of it is used");
    drop(store);
    // With an entry it is no database of an earlier release: confirming it tags nothing.
    std::fs::remove_file(installed.file("registry-anchor.json")).unwrap();
    let shown = policy(&installed.config, None).await.unwrap();
    policy(&installed.config, Some(shown.split_whitespace().next_back().unwrap())).await.unwrap();
    let store = open_store(&installed.config).unwrap();
    assert!(read_installation(&installed.config, &store).await.is_err(), "nothing of it is used");
    drop(store);

    let earlier = "DELETE FROM registry_log; DELETE FROM registry_records;";
    plant(&installed, &format!("{earlier} {UNTAGGED}"));
    let database = Connection::open(installed.config.database()).unwrap();
    let insert = "INSERT INTO credentials (credential_id, subject, hmac, created_at) VALUES (?1, ?2, ?3, 1)";
    database.execute(insert, rusqlite::params![[1_u8; 16], "svc_AAAAAAAAAAAAAAAAAAAAAA", hmac]).unwrap();
    let stranger = "INSERT INTO credentials (credential_id, subject, created_at)
        SELECT anonymous_credential, 'svc_AQEBAQEBAQEBAQEBAQEBAQ', 1 FROM installation";
    database.execute(stranger, []).unwrap();
    // A row with a wrong tag is not one without.
    database.execute("UPDATE subjects SET tag = zeroblob(32)", []).unwrap();
    drop(database);
    let shown = policy(&installed.config, None).await.unwrap();
    policy(&installed.config, Some(shown.split_whitespace().next_back().unwrap())).await.unwrap();
    let manager = installed.start().await;
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(201);
    let taken = Connection::open(installed.config.database()).unwrap();
    for (table, tagged) in [("secrets", true), ("versions", true), ("environments", true), ("idempotency", true)] {
        let sql = format!("SELECT count(*) FROM {table} WHERE tag IS NULL");
        let untagged: u32 = taken.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(untagged == 0, tagged, "{table}");
    }
    let answer = manager.store_value("b", "two").await;
    assert!(answer.status.is_server_error(), "{}", answer.text);
    manager.stop().await;
}

#[actix_web::test]
async fn an_adopted_secret_has_a_place_from_then_on() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = shared_proto::id::SecretId::generate();
    let known = crate::support::Row::Foreign { environment: manager.environment("dev") };
    installed.vault.state().rows.insert((secret, Version::FIRST), known);
    manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200);
    manager.free(&secret.to_string()).await;
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(201);
    manager.stop().await;
}
