//! An environment is shown only to those who may do something there. To others it looks like an unknown one.

use actix_web::http::Method;
use manager_policy::Actions;
use manager_registry::CredentialLimit;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Installed, Manager, Principal, permission};

async fn names(manager: &Manager, who: &Principal) -> Vec<String> {
    let list = manager.by(who, Method::GET, "/api/environments", None).await.expect(200).json();
    let rows = list["environments"].as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// The answers about an environment, without the id of the request.
async fn answers(manager: &Manager, who: &Principal, name: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let body = json!({"display_name": "X"});
    for (method, verb, body) in [
        (Method::GET, "", None),
        (Method::PATCH, "", Some(body)),
        (Method::POST, ":freeze", None),
        (Method::POST, ":unfreeze", None),
        (Method::POST, ":disable", None),
        (Method::POST, ":enable", None),
    ] {
        all.push(manager.by(who, method, &format!("/api/environments/{name}{verb}"), body).await);
    }
    let store = json!({"user_id": "u", "key_data": "x", "path": "p", "environment": name});
    all.push(manager.by(who, Method::POST, "/api/keys", Some(store)).await);
    all.push(manager.by(who, Method::GET, &format!("/api/secrets?environment={name}"), None).await);
    all.push(manager.by(who, Method::GET, &format!("/api/permissions?environment={name}"), None).await);
    let line = json!({"party": who.id(), "role": "auditor", "environment": name, "pattern": "**", "reason": "r"});
    all.push(manager.by(who, Method::POST, "/api/roles", Some(line)).await);
    let question = json!({"action": "read", "target": {"environment": name, "path": "p"}});
    all.push(manager.by(who, Method::POST, "/api/permissions:explain", Some(question)).await);
    let without_id = |answer: &crate::support::Answer| {
        let mut problem = answer.json();
        problem["request_id"] = json!(null);
        problem
    };
    all.iter().map(without_id).collect()
}

#[actix_web::test]
async fn an_environment_is_known_to_those_who_may_do_something_there() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (billing, operator, denied) =
        (manager.service("billing").await, manager.service("operator").await, manager.service("denied").await);
    assert_eq!(names(&manager, &billing).await, [""; 0]);
    let line = manager.permit(&billing.id(), "allow", &["list"], "some/one").await;
    assert_eq!(names(&manager, &billing).await, ["dev"]);
    manager.by(&billing, Method::GET, "/api/environments/dev", None).await.expect(200);
    for hidden in ["staging", "production"] {
        let (seen, unknown) = (answers(&manager, &billing, hidden).await, answers(&manager, &billing, "nowhere").await);
        assert_eq!(seen, unknown, "{hidden}");
        assert!(seen.iter().all(|answer| answer["status"].as_u64().unwrap() >= 400), "{seen:?}");
    }
    // A known one is not his to change.
    let freeze = manager.by(&billing, Method::POST, "/api/environments/dev:freeze", None).await;
    freeze.expect(403).refused("not_permitted");
    manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
    assert_eq!(names(&manager, &billing).await, [""; 0]);
    let role = json!({"party": operator.id(), "role": "operator", "pattern": "**", "reason": "r"});
    manager.post("/api/roles", role).await.expect(201);
    assert_eq!(names(&manager, &operator).await, ["dev", "production", "staging"]);
    // A line that denies makes nothing known.
    manager.post("/api/permissions", permission(&denied.id(), "deny", &["read"], "x/**")).await.expect(201);
    assert_eq!(names(&manager, &denied).await, [""; 0]);
    manager.stop().await;
}

#[actix_web::test]
async fn a_credential_for_one_environment_knows_no_other() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let dev = manager.environment("dev");
    let narrow = |credential: &mut manager_registry::Credential| {
        let pattern = manager_api::policy::PatternText::parse("**").unwrap();
        credential.limits = Some(vec![CredentialLimit { actions: Actions::ALL, environment: Some(dev), pattern }]);
    };
    let narrow = manager.principal("narrow", false, narrow).await;
    let none = manager.principal("none", false, |credential| credential.limits = Some(Vec::new())).await;
    for who in [&narrow, &none] {
        let role = json!({"party": who.id(), "role": "auditor", "pattern": "**", "reason": "r"});
        manager.post("/api/roles", role).await.expect(201);
    }
    assert_eq!(names(&manager, &narrow).await, ["dev"]);
    assert_eq!(names(&manager, &none).await, [""; 0]);
    manager.stop().await;
}
