//! Requests that are repeated with their `Idempotency-Key` after a reconcile took their numbers over for other content.

use std::ops::RangeInclusive;

use actix_web::http::Method;
use manager_api::name::SecretPath;
use manager_registry::{Deletion, SecretRules};
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::Fault;
use shared_proto::id::Version;

use crate::deletion::envelopes;
use crate::places::plant;
use crate::pruning::ruled;
use crate::support::{Installed, Manager, Row, now};

/// The vault has these versions of a secret, and the catalogue does not.
async fn forgotten(installed: &Installed, manager: &Manager, numbers: RangeInclusive<u64>) -> String {
    let secret = manager.store_value("p", "one").await.expect(201).member("key_id");
    let environment = manager.environment("dev");
    for number in numbers {
        let name = (secret.parse().unwrap(), Version::new(number).unwrap());
        installed.vault.state().rows.insert(name, Row::Foreign { environment });
    }
    secret
}

impl Manager {
    /// The administrator gives an adopted secret the usual rules again.
    pub(crate) async fn free(&self, secret: &str) {
        let usual = Some(json!({"service_only": false, "requires_approval": false}));
        self.admin(Method::PATCH, &format!("/api/secrets/{secret}"), usual).await.expect(200);
    }
}

async fn adopt(manager: &Manager) {
    manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200);
}

/// Says whether the version of an answer is what this manager sent.
fn is_own(installed: &Installed, answer: &Value) -> bool {
    let version = Version::new(answer["version"].as_u64().unwrap()).unwrap();
    let name = (answer["key_id"].as_str().unwrap().parse().unwrap(), version);
    matches!(installed.vault.state().rows.get(&name), Some(Row::Stored { .. }))
}

fn body() -> Value {
    json!({"user_id": "u", "key_data": "mine", "path": "p", "environment": "dev", "token": false})
}

#[actix_web::test]
async fn a_write_that_found_no_number_is_written_by_its_repeat() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    forgotten(&installed, &manager, 2..=65).await;
    manager.store_again("k", &body()).await.expect(503).refused("unavailable");
    adopt(&manager).await;
    let repeat = manager.store_again("k", &body()).await.expect(201).json();
    manager.stop().await;
    assert!(is_own(&installed, &repeat), "{repeat}");
}

#[actix_web::test]
async fn a_write_that_gave_its_number_up_and_failed_is_written_by_its_repeat() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    forgotten(&installed, &manager, 2..=2).await;
    let faults = manager.faults.clone();
    manager.faults.after_calls("abandon", 1, move || async move { faults.set(Fault::WritesFail) });
    manager.store_again("k", &body()).await.expect(503);
    manager.faults.set(Fault::None);
    adopt(&manager).await;
    let repeat = manager.store_again("k", &body()).await.expect(201).json();
    manager.stop().await;
    assert!(is_own(&installed, &repeat), "{repeat}");
}

#[actix_web::test]
async fn a_rollback_that_found_no_number_is_made_by_its_repeat() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = forgotten(&installed, &manager, 2..=65).await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let path = format!("/api/secrets/{secret}:rollback");
    let ask = async || manager.send(Method::POST, &path, &headers, Some(json!({"version": 1}).to_string())).await;
    ask().await.expect(503).refused("unavailable");
    adopt(&manager).await;
    let repeat = ask().await.expect(201).json();
    manager.stop().await;
    assert_eq!(repeat["envelope"], 1, "version 1 was asked for");
}

#[actix_web::test]
async fn a_secret_whose_rules_are_lost_comes_back_with_the_narrowest_ones() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "one").await.expect(201).member("key_id");
    manager.mint(&secret).await.expect(201);
    plant(&installed, "DELETE FROM versions; DELETE FROM envelopes; DELETE FROM secrets");
    adopt(&manager).await;
    let shown = manager.described(&secret).await;
    assert_eq!(shown["path"], format!("unnamed/{secret}"));
    assert_eq!((&shown["service_only"], &shown["requires_approval"]), (&json!(true), &json!(true)));
    manager.mint(&secret).await.expect(403).refused("approval_required");
    let writer = manager.service("writer").await;
    manager.permit(&writer.id(), "allow", &["read", "write"], "**").await;
    let lifted = Some(json!({"requires_approval": false}));
    let of = format!("/api/secrets/{secret}");
    manager.by(&writer, Method::PATCH, &of, lifted).await.expect(403).refused("not_permitted");
    manager.free(&secret).await;
    let minted = manager.mint(&secret).await.expect(201);
    assert_eq!(installed.vault.open(&minted.member("access_token"))[0].expose(), b"one");
    manager.stop().await;
}

/// The registry knows that its rules changed once, so that a row without a number would count for nothing.
#[actix_web::test]
async fn a_changed_secret_that_lost_its_rows_comes_back_with_a_number_of_its_own() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "one").await.expect(201).member("key_id");
    let of = format!("/api/secrets/{secret}");
    for tags in [json!({"team": "pay"}), json!({"team": "web"})] {
        manager.admin(Method::PATCH, &of, Some(json!({"tags": tags}))).await.expect(200);
        plant(&installed, "CREATE TABLE IF NOT EXISTS former AS SELECT * FROM secrets");
    }
    plant(&installed, "DELETE FROM versions; DELETE FROM envelopes; DELETE FROM secrets");
    manager.admin(Method::GET, &of, None).await.expect(404);
    adopt(&manager).await;
    let shown = manager.described(&secret).await;
    assert_eq!((&shown["path"], &shown["requires_approval"]), (&json!(format!("unnamed/{secret}")), &json!(true)));
    manager.mint(&secret).await.expect(403).refused("approval_required");
    manager.free(&secret).await;
    let minted = manager.mint(&secret).await.expect(201);
    assert_eq!(installed.vault.open(&minted.member("access_token"))[0].expose(), b"one");
    // The row of before is none any more.
    let back =
        "UPDATE secrets SET (path, number, since, rules, tag) = (SELECT path, number, since, rules, tag FROM former)";
    plant(&installed, back);
    manager.mint(&secret).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn a_secret_of_an_open_incident_comes_back_frozen() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "one").await.expect(201).member("key_id");
    let incident = json!({"kind": "compromise", "reason": "seen in a log", "freeze": true});
    manager.post(&format!("/api/secrets/{secret}:compromise"), incident).await.expect(201);
    plant(&installed, "DELETE FROM versions; DELETE FROM envelopes; DELETE FROM secrets");
    adopt(&manager).await;
    manager.free(&secret).await;
    manager.mint(&secret).await.expect(409).refused("secret_frozen");
    manager.stop().await;
}

#[actix_web::test]
async fn a_deleted_secret_that_lost_its_rows_stays_deleted() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "one").await.expect(201).member("key_id");
    let until = manager.delete(&secret).await.expect(200).json()["recoverable_until"].clone();
    plant(&installed, "DELETE FROM versions; DELETE FROM envelopes; DELETE FROM secrets");
    adopt(&manager).await;
    manager.mint(&secret).await.expect(409).refused("secret_deleted");
    let shown = manager.described(&secret).await;
    assert_eq!((&shown["state"], &shown["recoverable_until"]), (&json!("deleted"), &until));
    manager.act(&secret, "undelete").await.expect(200);
    manager.mint(&secret).await.expect(403).refused("approval_required");
    plant(&installed, "DELETE FROM versions; DELETE FROM envelopes; DELETE FROM secrets");
    adopt(&manager).await;
    assert_eq!(manager.described(&secret).await["state"], "active", "what was taken back is");
    manager.stop().await;
}

/// Its event was not made yet, so that the vault has its envelope.
#[actix_web::test]
async fn a_destroyed_secret_that_lost_its_rows_is_erased_all_the_same() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "one").await.expect(201).member("key_id");
    let deletion = Deletion { deleted_at: 1, recoverable_until: 5, deleted_by: None, destroyed: true };
    let rules = SecretRules { deletion: Some(deletion), ..SecretRules::default() };
    ruled(&manager, std::slice::from_ref(&secret), &rules, |_, secret| SecretPath::destroyed(secret)).await;
    plant(&installed, "DELETE FROM versions; DELETE FROM envelopes; DELETE FROM secrets");
    adopt(&manager).await;
    manager.mint(&secret).await.expect(409).refused("secret_deleted");
    let shown = manager.described(&secret).await;
    assert_eq!((&shown["state"], &shown["path"]), (&json!("destroyed"), &json!(format!("destroyed/{secret}"))));
    manager.app.secret_keeper.erase_due(&mut None, now(), || true).await.unwrap();
    assert_eq!(envelopes(&installed, &secret), (0, 1));
    manager.stop().await;
}
