//! Deleting a secret, taking it back, destroying it.

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use crate::places::plant;
use crate::support::{Answer, Installed, Manager, Row};

impl Manager {
    /// The administrator deletes a secret.
    pub(crate) async fn delete(&self, secret: &str) -> Answer {
        self.admin(Method::DELETE, &format!("/api/secrets/{secret}?reason=test"), None).await
    }

    /// The administrator does something to a secret.
    pub(crate) async fn act(&self, secret: &str, verb: &str) -> Answer {
        let body = (verb == "destroy").then(|| json!({"reason": "test"}));
        self.admin(Method::POST, &format!("/api/secrets/{secret}:{verb}"), body).await
    }

    pub(crate) async fn described(&self, secret: &str) -> Value {
        self.admin(Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(200).json()
    }

    pub(crate) async fn mint(&self, secret: &str) -> Answer {
        self.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await
    }
}

/// How many envelopes of a secret the vault has, and how many it has erased.
pub(crate) fn envelopes(installed: &Installed, secret: &str) -> (usize, usize) {
    let id: SecretId = secret.parse().unwrap();
    let state = installed.vault.state();
    let of = |erased: bool| {
        let rows = state.rows.iter().filter(|((of, _), _)| *of == id);
        rows.filter(|(_, row)| matches!(row, Row::Tombstone { .. }) == erased).count()
    };
    (of(false), of(true))
}

#[actix_web::test]
async fn a_deleted_secret_keeps_everything_and_gives_nothing_until_it_is_taken_back() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let id: SecretId = secret.parse().unwrap();
    let reader = manager.service_with("reader", &[Action::List, Action::Read, Action::Write], None).await;
    let deleter = manager.service_with("deleter", &[Action::List, Action::Delete], Some(("dev", "app/**"))).await;
    let of = format!("/api/secrets/{secret}");
    manager.with(&reader.credential, Method::DELETE, &of, None).await.expect(404).refused("secret_not_found");
    let unknown = format!("/api/secrets/{}", SecretId::generate());
    manager.with(&deleter.credential, Method::DELETE, &unknown, None).await.expect(404).refused("secret_not_found");
    manager.act(&secret, "undelete").await.expect(409).refused("secret_not_deleted");
    assert!(installed.vault.applied().is_empty());

    let deleted = manager.with(&deleter.credential, Method::DELETE, &of, None).await.expect(200).json();
    assert_eq!(deleted["status"], "revoked");
    let (from, until) = (deleted["deleted_at"].as_u64().unwrap(), deleted["recoverable_until"].as_u64().unwrap());
    assert_eq!(until - from, 30 * 86_400);
    assert_eq!(installed.vault.applied(), [Event::Secret(id)], "its tokens die at once");
    let again = manager.with(&deleter.credential, Method::DELETE, &of, None).await.expect(200).json();
    assert_eq!(again, deleted, "a repeat changes nothing");
    for credential in [&reader.credential, &manager.credential] {
        let mint = Some(json!({"secrets": [{"key_id": secret}]}));
        manager.with(credential, Method::POST, "/api/tokens", mint).await.expect(409).refused("secret_deleted");
        let by_path = Some(json!({"secrets": [{"environment": "dev", "path": "app/db"}]}));
        manager.with(credential, Method::POST, "/api/tokens", by_path).await.expect(409).refused("secret_deleted");
    }
    manager.store_value("app/db", "w").await.expect(409).refused("secret_deleted");
    let new = json!({"environment": "dev", "path": "app/db", "value": "w"});
    manager.post("/api/secrets", new).await.expect(409).refused("already_exists");
    manager.admin(Method::PUT, &of, Some(json!({"value": "w"}))).await.expect(409).refused("secret_deleted");
    let tags = Some(json!({"tags": {"a": "b"}}));
    manager.admin(Method::PATCH, &of, tags).await.expect(409).refused("secret_deleted");
    manager.post(&format!("{of}:rollback"), json!({"version": 1})).await.expect(409).refused("secret_deleted");
    let shown = manager.described(&secret).await;
    assert_eq!((&shown["state"], &shown["path"]), (&json!("deleted"), &json!("app/db")));
    assert_eq!(shown["recoverable_until"], until);

    let undelete = format!("{of}:undelete");
    manager.with(&reader.credential, Method::POST, &undelete, None).await.expect(404).refused("secret_not_found");
    manager.with(&deleter.credential, Method::POST, &undelete, None).await.expect(200);
    let shown = manager.described(&secret).await;
    assert_eq!((&shown["state"], &shown["stages"]["current"]), (&json!("active"), &json!(1)));
    let minted = manager.mint(&secret).await.expect(201);
    assert_eq!(installed.vault.open(&minted.member("access_token"))[0].expose(), b"v");
    manager.act(&secret, "undelete").await.expect(409).refused("secret_not_deleted");
    manager.stop().await;
}

#[actix_web::test]
async fn an_environment_says_how_long_a_deleted_secret_can_be_taken_back() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("a", "v").await.expect(201).member("key_id");
    let change = async |days: u16| {
        manager.admin(Method::PATCH, "/api/environments/dev", Some(json!({"deletion_days": days}))).await
    };
    for days in [0, 6, 366] {
        change(days).await.expect(400).refused("parameter_invalid");
    }
    assert_eq!(change(7).await.expect(200).json()["deletion_days"], 7);
    let deleted = manager.delete(&secret).await.expect(200).json();
    let days = (deleted["recoverable_until"].as_u64().unwrap() - deleted["deleted_at"].as_u64().unwrap()) / 86_400;
    assert_eq!(days, 7);
    manager.stop().await;
}

#[actix_web::test]
async fn a_destroyed_secret_is_erased_with_all_versions_and_gives_its_path_up() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("app/db", "v1").await.expect(201).member("key_id");
    manager.store_value("app/db", "v2").await.expect(201);
    manager.post(&format!("/api/secrets/{secret}:rollback"), json!({"version": 1})).await.expect(201);
    let deleter = manager.service_with("deleter", &[Action::List, Action::Delete], None).await;
    manager.act(&secret, "destroy").await.expect(409).refused("secret_not_deleted");
    manager.delete(&secret).await.expect(200);
    let body = Some(json!({"reason": "test"}));
    let destroy = format!("/api/secrets/{secret}:destroy");
    manager.with(&deleter.credential, Method::POST, &destroy, body).await.expect(404).refused("secret_not_found");
    assert_eq!(envelopes(&installed, &secret).0, 2, "the control: nothing is erased yet");

    assert_eq!(manager.act(&secret, "destroy").await.expect(200).json()["status"], "destroyed");
    assert_eq!(envelopes(&installed, &secret).0, 0);
    let shown = manager.described(&secret).await;
    assert_eq!((&shown["state"], &shown["path"]), (&json!("destroyed"), &json!(format!("destroyed/{secret}"))));
    assert!(shown["recoverable_until"].is_null() && shown["stages"] == json!({}));
    manager.act(&secret, "undelete").await.expect(409).refused("secret_deleted");
    manager.delete(&secret).await.expect(409).refused("secret_deleted");
    assert_eq!(manager.act(&secret, "destroy").await.expect(200).json()["status"], "destroyed", "a repeat");
    manager.mint(&secret).await.expect(404).refused("secret_not_found");
    let next = manager.store_value("app/db", "w").await.expect(201);
    assert_ne!(next.member("key_id"), secret);
    for reserved in [format!("destroyed/{secret}"), "destroyed/x".to_owned()] {
        manager.store_value(&reserved, "w").await.expect(400).refused("name_invalid");
    }
    let list = manager.admin(Method::GET, "/api/audit?limit=100", None).await.expect(200).text;
    assert!(list.contains("secret.delete") && list.contains("secret.erase"));
    manager.stop().await;
}

#[actix_web::test]
async fn a_secret_counts_as_destroyed_when_the_vault_has_nothing_of_it_whatever_the_rows_say() {
    for (case, planted) in [
        ("states", "UPDATE versions SET state = 'destroyed'"),
        ("numbers that were given up", "UPDATE versions SET state = 'abandoned'"),
        ("rows that are gone", "DELETE FROM versions"),
    ] {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = manager.store_value("app/db", "v1").await.expect(201).member("key_id");
        manager.store_value("app/db", "v2").await.expect(201);
        let other = manager.store_value("app/other", "v").await.expect(201).member("key_id");
        manager.delete(&secret).await.expect(200);
        plant(&installed, planted);
        assert_eq!(envelopes(&installed, &secret).0, 2, "the control: {case}");
        assert_eq!(manager.act(&secret, "destroy").await.expect(200).json()["status"], "destroyed", "{case}");
        assert_eq!(envelopes(&installed, &secret), (0, 2), "{case}");
        assert_eq!(envelopes(&installed, &other).0, 1, "{case}: others keep theirs");
        manager.stop().await;
    }
}

#[actix_web::test]
async fn nothing_is_deleted_or_destroyed_in_a_frozen_environment_or_without_its_audit_line() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("a", "v").await.expect(201).member("key_id");
    manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    manager.delete(&secret).await.expect(409).refused("environment_frozen");
    manager.admin(Method::POST, "/api/environments/dev:unfreeze", None).await.expect(200);
    manager.delete(&secret).await.expect(200);
    manager.app.gate.audit.flush_and_close().await;
    manager.act(&secret, "destroy").await.expect(503).refused("audit_unavailable");
    manager.act(&secret, "undelete").await.expect(503).refused("audit_unavailable");
    assert_eq!(envelopes(&installed, &secret), (1, 0));
    manager.stop().await;
}

#[actix_web::test]
async fn a_row_from_before_the_deletion_that_somebody_puts_back_revives_nothing() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("a", "v").await.expect(201).member("key_id");
    plant(&installed, "CREATE TABLE before AS SELECT * FROM secrets");
    manager.delete(&secret).await.expect(200);
    let put_back = "DELETE FROM secrets; INSERT INTO secrets SELECT * FROM before";
    plant(&installed, "CREATE TABLE after AS SELECT * FROM secrets");
    plant(&installed, put_back);
    manager.mint(&secret).await.expect(404).refused("secret_not_found");
    manager.act(&secret, "undelete").await.expect(404).refused("secret_not_found");
    plant(&installed, "DELETE FROM secrets; INSERT INTO secrets SELECT * FROM after");
    manager.mint(&secret).await.expect(409).refused("secret_deleted");
    manager.act(&secret, "destroy").await.expect(200);
    for table in ["before", "after"] {
        plant(&installed, &format!("DELETE FROM secrets; INSERT INTO secrets SELECT * FROM {table}"));
        manager.mint(&secret).await.expect(404).refused("secret_not_found");
        manager.act(&secret, "undelete").await.expect(404).refused("secret_not_found");
    }
    manager.stop().await;
}
