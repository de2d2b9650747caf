//! Who may do what.

use std::collections::BTreeSet;

use actix_web::http::Method;
use master_key_manager::routes::ROUTES;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::http::Access;
use shared_proto::credential::PlainCredential;
use shared_proto::event::Event;
use shared_proto::id::CredentialId;

use crate::support::{Installed, Manager};

fn target(pattern: &str) -> String {
    let ids =
        [("key_id", "sec_"), ("jti", ""), ("person_id", "usr_"), ("enrolment_id", "enr_"), ("session_id", "crd_")];
    ids.iter().fold(pattern.to_owned(), |path, (name, prefix)| {
        path.replace(&format!("{{{name}}}"), &format!("{prefix}AAAAAAAAAAAAAAAAAAAAAA"))
    })
}

/// Status and body without what differs from request to request.
async fn ask(manager: &Manager, method: &Method, path: &str, header: Option<&str>) -> (u16, String) {
    let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
    let answer = manager.send(method.clone(), path, &headers, Some("{not json".to_owned())).await;
    let mut problem = answer.json();
    problem["request_id"] = json!("");
    (answer.status.as_u16(), problem.to_string())
}

#[actix_web::test]
async fn every_route_refuses_every_wrong_credential_alike_before_it_reads_the_body() {
    let mut installed = Installed::new(Mode::Production).await;
    let old = format!("Bearer {}", installed.credential);
    let fresh = master_key_manager::init::reset_administrator(&installed.config).await.unwrap();
    installed.credential = fresh.expose_text().to_string();
    let manager = installed.start().await;
    let unknown = format!("Bearer {}", *PlainCredential::generate().expose_text());
    let wrong = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer x"),
        Some("Basic eDp5"),
        Some("Bearer spv_AAAA"),
        Some(unknown.as_str()),
        Some(old.as_str()),
    ];
    for route in ROUTES.rows().filter(|route| route.access != Access::Public) {
        let mut answers = Vec::new();
        for header in wrong {
            answers.push(ask(&manager, route.method, &target(route.path), header).await);
        }
        assert_eq!(answers[0].0, 401, "{}", route.id);
        assert!(answers[0].1.contains("credential_invalid"), "{}", route.id);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{}: {answers:?}", route.id);
        let right = format!("Bearer {}", manager.credential);
        let (status, _) = ask(&manager, route.method, &target(route.path), Some(&right)).await;
        assert_ne!(status, 401, "{}", route.id);
    }
    manager.stop().await;
}

#[actix_web::test]
async fn strangers_store_in_development_mode_and_do_nothing_else() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    let body = json!({"user_id": "user123", "key_data": "super_secret_value"}).to_string();
    let stored = manager.send(Method::POST, "/api/keys", &[], Some(body.clone())).await.expect(201);
    assert_eq!(stored.member("environment"), "dev");
    assert_eq!(installed.vault.open(&stored.member("access_token"))[0].expose(), b"super_secret_value");
    for route in ROUTES.rows().filter(|route| route.access == Access::Credential) {
        assert_eq!(ask(&manager, route.method, &target(route.path), None).await.0, 401, "{}", route.id);
    }
    // A wrong credential is not an anonymous one.
    let headers = [("authorization", "Bearer x")];
    manager.send(Method::POST, "/api/keys", &headers, Some(body.clone())).await.expect(401);
    let headers = [("idempotency-key", "k")];
    let repeated = manager.send(Method::POST, "/api/keys", &headers, Some(body)).await;
    repeated.expect(400).refused("idempotency_forbidden");
    manager.stop().await;
}

#[actix_web::test]
async fn strangers_of_a_production_manager_learn_that_it_lives_and_its_public_keys() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let body = json!({"user_id": "user123", "key_data": "x", "environment": "dev"}).to_string();
    manager.send(Method::POST, "/api/keys", &[], Some(body)).await.expect(401).refused("credential_invalid");
    assert_eq!(manager.get("/health/live").await.expect(200).text, "ok");
    assert_eq!(manager.get("/health/ready").await.expect(200).text, "ready");
    let jwks = manager.get("/.well-known/jwks.json").await.expect(200).json();
    let key = &jwks["keys"][0];
    assert_eq!((key["alg"].as_str(), key["use"].as_str()), (Some("RS256"), Some("sig")));
    let token = manager.store_value("p", "v").await.expect(201).member("access_token");
    let header = token.split('.').next().unwrap();
    let header = String::from_utf8(shared_proto::encoding::from_b64(header).unwrap()).unwrap();
    assert!(header.contains(key["kid"].as_str().unwrap()));
    let members: Vec<&String> = key.as_object().unwrap().keys().collect();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    let document = manager.get("/openapi.json").await.expect(200).json();
    let paths: BTreeSet<&str> = ROUTES.rows().map(|route| route.path).collect();
    assert_eq!(document["paths"].as_object().unwrap().len(), paths.len());
    manager.stop().await;
}

#[actix_web::test]
async fn revoking_the_tokens_of_the_administrators_credential_locks_nobody_out() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    manager.store_value("p", "v").await.expect(201);
    let credential = administrators_credential(&manager).await;
    let revoked = manager.post("/api/revocations", json!({"kind": "credential", "client_id": credential})).await;
    assert_eq!(revoked.expect(200).member("status"), "revoked");
    assert!(matches!(installed.vault.applied()[..], [Event::Credential(_)]));
    manager.store_value("p", "v").await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn last_credential_of_an_administrator_is_not_disabled_over_http() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    manager.store_value("p", "v").await.expect(201);
    let disable = |client: Value| json!({"kind": "disable-credential", "client_id": client});
    let credential = administrators_credential(&manager).await;
    let refused = manager.post("/api/revocations", disable(credential)).await;
    refused.expect(409).refused("last_administrator");
    let unknown = manager.post("/api/revocations", disable(json!(CredentialId::generate().to_string()))).await;
    unknown.expect(404).refused("credential_not_found");
    assert!(installed.vault.applied().is_empty(), "a refused decision is no event");
    let strangers = json!(manager.app.installation.anonymous.to_string());
    let disabled = manager.post("/api/revocations", disable(strangers)).await;
    assert_eq!(disabled.expect(200).member("status"), "revoked");
    assert!(matches!(installed.vault.applied()[..], [Event::Credential(_)]));
    manager.store_value("p", "v").await.expect(201);
    manager.stop().await;
}

pub(crate) async fn administrators_credential(manager: &Manager) -> Value {
    let listed = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).json();
    listed["tokens"][0]["client_id"].clone()
}
