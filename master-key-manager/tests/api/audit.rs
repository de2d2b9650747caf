//! What the audit log says of who did what.

use actix_web::http::Method;
use manager_api::id::PermissionId;
use manager_api::name::AccountName;
use manager_api::policy::{Action, Effect, PartyId, PatternText};
use manager_api::tags::Tags;
use manager_registry::{Author, Credential, Permission, Proof, Service, Terms};
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::credential::PlainCredential;
use shared_proto::id::{CredentialId, ServiceId};

use crate::authentication::administrators_credential;
use crate::support::{Facts, Installed, Manager, add_person, routes_of_services};

/// The lines of a manager that has ended.
async fn lines(installed: &Installed, manager: Manager) -> Vec<Value> {
    manager.stop().await;
    let text = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_id(value: &Value, prefix: &str) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(prefix))
}

#[actix_web::test]
async fn every_decision_names_the_administrator_and_the_credential() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let facts = Facts::new(&installed, &manager).await;
    for route in routes_of_services() {
        let request = facts.request(route).unwrap();
        let answer = manager.admin(request.method.clone(), &request.target, request.body).await;
        assert!(answer.status.is_success(), "{}", route.id);
        // Nobody, and somebody who asks for nonsense.
        manager.send(request.method.clone(), &request.target, &[], None).await.expect(401);
        if route.takes_body() {
            manager.admin(request.method, &request.target, Some(json!({"unknown": 1}))).await.expect(400);
        }
    }
    for line in lines(&installed, manager).await {
        if is_one_of(&line, &["session.create", "enrolment.redeem"]) {
            // Those of people of the facts.
            assert!(is_id(&line["principal"], "usr_"), "{line}");
            continue;
        }
        // Many refusals in one second: those that follow have one line together.
        let stranger = line["code"] == "credential_invalid" || line["action"] == "refusals";
        let named = is_id(&line["principal"], "svc_") && is_id(&line["credential"], "crd_");
        let silent = line["principal"].is_null() && line["credential"].is_null();
        assert!(if stranger { silent } else { named }, "{line}");
        assert_eq!(line["method"] == "credential", named, "{line}");
        // Whatever was done was allowed by a line of the policy, or is about oneself.
        let rules = line["policy"].as_array().is_some_and(|rules| rules.iter().all(|rule| is_id(rule, "asg_")));
        assert!(rules || line["status"] != "success" || is_one_of(&line, &["me.show", "approval.cancel"]), "{line}");
    }
}

fn is_one_of(line: &Value, actions: &[&str]) -> bool {
    line["action"].as_str().is_some_and(|action| actions.contains(&action))
}

#[actix_web::test]
async fn login_and_its_end_name_person_and_session_and_a_failed_one_names_nobody() {
    let installed = Installed::new(Mode::Production).await;
    let (id, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let ann = manager.sign_on("ann", &code).await;
    manager.login("ann", "a wrong password of ann", None).await.expect(401);
    ann.get(&manager, "/api/me").await.expect(200);
    ann.delete(&manager, &format!("/api/sessions/{}", ann.session_id)).await.expect(200);
    let all = lines(&installed, manager).await;
    let line = |action: &str, status: &str| {
        let found = all.iter().find(|line| line["action"] == action && line["status"] == status);
        found.unwrap_or_else(|| panic!("no {action}")).clone()
    };
    let (person, session) = (json!(id), json!(ann.session_id));
    for (action, method) in [("session.create", "login"), ("me.show", "session"), ("session.end", "session")] {
        let line = line(action, "success");
        assert_eq!((&line["principal"], &line["credential"], &line["method"]), (&person, &session, &json!(method)));
    }
    let redeemed = line("enrolment.redeem", "success");
    assert_eq!((&redeemed["principal"], &redeemed["method"]), (&person, &json!("enrolment")));
    let failed = line("session.create", "denied");
    assert!(failed["principal"].is_null() && failed["code"] == "login_failed", "{failed}");
}

#[actix_web::test]
async fn request_that_changes_nothing_has_no_line_of_success() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let service = manager.post("/api/services", json!({"name": "billing"})).await.expect(201).member("service_id");
    manager.admin(Method::POST, &format!("/api/services/{service}:enable"), None).await.expect(200);
    let lines = lines(&installed, manager).await;
    let has = |action: &str| lines.iter().any(|line| line["action"] == action);
    assert!(has("service.create") && !has("service.enable"), "it was enabled");
}

#[actix_web::test]
async fn refusal_by_policy_names_the_line_that_denies() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let credential = PlainCredential::generate();
    let hash = manager.app.keys.now().credentials.hash(&credential);
    let service = Service::new(ServiceId::generate(), AccountName::parse("billing").unwrap(), 1);
    let own = Credential::new(CredentialId::generate(), service.subject(), Proof::opaque(hash), 1);
    let deny = Permission {
        permission_id: PermissionId::generate(),
        party: PartyId::Principal(service.subject()),
        effect: Effect::Deny,
        actions: [Action::Operate].into_iter().collect(),
        environment: None,
        pattern: PatternText::parse("**").unwrap(),
        tags: Tags::default(),
        terms: Terms::unlimited(1),
    };
    let denying = deny.permission_id.to_string();
    let by = (Author::Operator, "", 1);
    let changes = vec![service.into(), own.into(), deny.into()];
    manager.app.registry.change(by, None, |_| Ok(changes)).await.unwrap();
    let bearer = format!("Bearer {}", *credential.expose_text());
    for path in ["/api/settings/rate-limits", "/api/revocations"] {
        let answer = manager.send(Method::GET, path, &[("authorization", bearer.as_str())], None).await;
        answer.expect(403).refused("not_permitted");
    }
    let lines = lines(&installed, manager).await;
    let of = |action: &str| lines.iter().find(|line| line["action"] == action).unwrap().clone();
    assert_eq!(of("rate_limit.show")["policy"], json!([denying]));
    assert_eq!(of("revocation.list").get("policy"), None, "no line allows it");
}

#[actix_web::test]
async fn revocation_says_what_was_revoked_and_one_that_is_refused_has_no_line_of_success() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("a", "v").await.expect(201);
    let key_id = stored.member("key_id");
    let client = administrators_credential(&manager).await;
    let all = [
        ("credential.revoke", json!({"kind": "credential", "client_id": CredentialId::generate().to_string()})),
        ("secret.revoke", json!({"kind": "secret", "key_id": key_id})),
        ("version.revoke", json!({"kind": "version", "key_id": key_id, "version": 1})),
        ("signing_key.revoke", json!({"kind": "signing-key", "kid": "A".repeat(43)})),
        ("token.revoke_all", json!({"kind": "all"})),
    ];
    for (_, what) in &all {
        let answer = manager.post("/api/revocations", what.clone()).await;
        assert!(answer.status.is_success(), "{what}");
    }
    let last = json!({"kind": "disable-credential", "client_id": client});
    manager.post("/api/revocations", last).await.expect(409);
    let lines = lines(&installed, manager).await;
    for (action, what) in all {
        let line = lines.iter().find(|line| line["action"] == action).unwrap();
        assert_eq!(line["status"], "success");
        let target = what.get("client_id").or(what.get("kid"));
        assert_eq!(line.get("target"), target, "{action}");
        assert_eq!(line["key_id"], what.get("key_id").cloned().unwrap_or_default(), "{action}");
    }
    assert!(!lines.iter().any(|line| line["action"] == "credential.disable"), "it did not happen");
}

#[actix_web::test]
async fn token_for_several_secrets_and_a_destruction_name_every_version() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let mut secrets = Vec::new();
    for path in ["a", "b", "c"] {
        secrets.push(manager.store_value(path, "v").await.expect(201).member("key_id"));
    }
    manager.store_value("b", "w").await.expect(201);
    let grants: Vec<Value> = secrets.iter().map(|secret| json!({"key_id": secret})).collect();
    manager.post("/api/tokens", json!({ "secrets": grants })).await.expect(201);
    let path = format!("/api/keys/{}/destroy", secrets[1]);
    manager.admin(Method::POST, &path, Some(json!({"versions": [2, 1]}))).await.expect(200);
    let lines = lines(&installed, manager).await;
    let secrets_of = |action: &str| {
        let line = lines.iter().find(|line| line["action"] == action).unwrap();
        line["secrets"].clone()
    };
    let version = |secret: &String, version: u64| json!({"key_id": secret, "version": version});
    let minted = json!([version(&secrets[0], 1), version(&secrets[1], 2), version(&secrets[2], 1)]);
    assert_eq!(secrets_of("token.mint"), minted);
    assert_eq!(secrets_of("secret.destroy"), json!([version(&secrets[1], 1), version(&secrets[1], 2)]));
}

/// The line is written before the token is complete.
#[actix_web::test]
async fn line_of_a_write_names_the_token_that_is_given_out_and_listed() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("a", "v").await.expect(201);
    let listed = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).json()["tokens"][0].clone();
    assert_eq!(listed["jti"], stored.member("jti"));
    assert_eq!(listed["user_id"], "user123");
    assert_eq!(listed["grants"], json!([{"key_id": stored.member("key_id"), "version": 1, "envelope": 1}]));
    let lines = lines(&installed, manager).await;
    let line = lines.iter().find(|line| line["action"] == "secret.store").unwrap();
    assert_eq!(line["jti"], stored.member("jti"));
}

/// A reader of the log finds out where a secret was, and that a rule went.
#[actix_web::test]
async fn a_change_of_a_secret_says_where_it_was_and_what_became_another() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let at = format!("/api/secrets/{secret}");
    let auditor = manager.service("auditor").await;
    manager.permit(&auditor.id(), "allow", &["read-audit"], "web/**").await;
    for body in [
        json!({"requires_approval": true, "tags": {"team": "canary-team"}}),
        json!({"description": "canary-text", "rotation_days": 30}),
        json!({"path": "web/db", "requires_approval": false, "service_only": true, "metadata": {"a": "b"}}),
    ] {
        manager.admin(Method::PATCH, &at, Some(body)).await.expect(200);
    }
    let seen = manager.by(&auditor, Method::GET, "/api/audit", None).await.expect(200).json();
    let seen: Vec<Value> = seen["lines"].as_array().unwrap().clone();
    assert!(seen.iter().any(|line| line["key_path"] == "web/db" && line["changed"] != Value::Null), "{seen:?}");
    assert!(seen.iter().all(|line| line["former_path"].is_null()), "he does not audit where it came from");
    let lines = lines(&installed, manager).await;
    let changes: Vec<&Value> = lines.iter().filter(|line| line["action"] == "secret.change").collect();
    let said = |line: &Value| (line["former_path"].clone(), line["key_path"].clone(), line["changed"].clone());
    let expected = [
        (Value::Null, json!("app/db"), json!(["tags", "requires_approval"])),
        (Value::Null, json!("app/db"), json!(["description", "rotation_days"])),
        (json!("app/db"), json!("web/db"), json!(["path", "service_only", "requires_approval", "metadata"])),
    ];
    assert_eq!(changes.iter().map(|line| said(line)).collect::<Vec<_>>(), expected);
    assert!(changes.iter().all(|line| !line.to_string().contains("canary")), "names and nothing else");
}
