//! Requests that are repeated with their `Idempotency-Key` after a reconcile took their numbers over for other content.

use std::ops::RangeInclusive;

use actix_web::http::Method;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::Fault;
use shared_proto::id::Version;

use crate::support::{Installed, Manager, Row};

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
