//! What a secret shows while tokens for it are held back: by its environment, or by an incident.

use actix_web::http::Method;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Installed, now};

#[actix_web::test]
async fn a_secret_says_that_it_or_its_environment_is_frozen_as_long_as_it_is_so() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let before = now();
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let of = format!("/api/secrets/{secret}");
    let told = async || {
        let shown = manager.admin(Method::GET, &of, None).await.expect(200).json();
        let since = |name: &str| shown.get(name).map(|at| at.as_u64().unwrap() >= before);
        (shown.get("frozen").cloned(), since("environment_frozen_at"), since("environment_disabled_at"))
    };
    let environment = async |verb: &str| {
        manager.admin(Method::POST, &format!("/api/environments/dev:{verb}"), None).await.expect(200);
    };
    assert_eq!(told().await, (None, None, None));
    environment("freeze").await;
    assert_eq!(told().await, (None, Some(true), None));
    environment("disable").await;
    assert_eq!(told().await, (None, Some(true), Some(true)));
    environment("unfreeze").await;
    environment("enable").await;
    assert_eq!(told().await, (None, None, None));
    let body = json!({"kind": "compromise", "reason": "in a log", "freeze": true});
    let opened: Value = manager.post(&format!("{of}:compromise"), body).await.expect(201).json();
    assert_eq!(told().await, (Some(json!(true)), None, None));
    let incident = format!("/api/incidents/{}", opened["incident"]["incident_id"].as_str().unwrap());
    manager.admin(Method::PATCH, &incident, Some(json!({"lift_freeze": true}))).await.expect(200);
    assert_eq!(told().await, (None, None, None));
    manager.stop().await;
}
