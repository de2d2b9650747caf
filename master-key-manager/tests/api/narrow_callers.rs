//! What a caller with a part of the rights may not do about others, or make of himself.

use actix_web::http::Method;
use manager_api::address::AddressRange;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Installed, Manager, Principal, permission};

async fn begun() -> (Installed, Manager) {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    (installed, manager)
}

/// The subject of the token in an answer.
fn subject_of(answer: &Value) -> String {
    let token = answer["access_token"].as_str().unwrap();
    let claims = token.split('.').nth(1).unwrap();
    let claims = shared_proto::encoding::from_b64(claims).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["sub"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn only_an_administrator_makes_tokens_of_another_subject() {
    let (_installed, manager) = begun().await;
    let billing = manager.service("billing").await;
    manager.permit(&billing.id(), "allow", &["list", "read", "write"], "pay/**").await;
    let store = json!({"user_id": "somebody", "key_data": "v", "path": "pay/db", "environment": "dev"});
    let stored = manager.by(&billing, Method::POST, "/api/keys", Some(store.clone())).await.expect(201).json();
    assert_eq!(subject_of(&stored), billing.id(), "whatever its label is");
    let mint = |label: Option<&str>| {
        let grants = json!([{"key_id": stored["key_id"]}]);
        label.map_or_else(|| json!({"secrets": grants}), |label| json!({"secrets": grants, "user_id": label}))
    };
    let own = manager.by(&billing, Method::POST, "/api/tokens", Some(mint(None))).await.expect(201).json();
    assert_eq!(subject_of(&own), billing.id());
    let other = manager.by(&billing, Method::POST, "/api/tokens", Some(mint(Some("somebody")))).await;
    other.expect(403).refused("not_permitted");
    let bearer = format!("Bearer {}", billing.bearer());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    for _ in 0..2 {
        let again = manager.send(Method::POST, "/api/keys", &headers, Some(store.to_string())).await.expect(201);
        assert_eq!(subject_of(&again.json()), billing.id(), "also when it is repeated");
    }
    let labelled = manager.post("/api/tokens", mint(Some("somebody"))).await.expect(201).json();
    assert!(subject_of(&labelled).starts_with("usr_"));
    manager.stop().await;
}

#[actix_web::test]
async fn administrator_of_a_part_has_no_power_over_a_service_that_others_gave_more() {
    let (_installed, manager) = begun().await;
    let lead = manager.service("lead").await;
    manager.assign(&lead.id(), "service_admin", "team/**").await;
    let needs = json!({"name": "deploy", "required_keys": [{"environment": "dev", "pattern": "team/x"}]});
    let deploy = manager.by(&lead, Method::POST, "/api/services", Some(needs)).await.expect(201).member("service_id");
    let acts = |deploy: &str| {
        let path = format!("/api/services/{deploy}");
        let terms = json!({"name": "n", "expires_in": 60});
        [
            (Method::PATCH, path.clone(), Some(json!({"description": "mine"}))),
            (Method::POST, format!("{path}/credentials"), Some(terms)),
            (Method::POST, format!("{path}:disable"), None),
            (Method::POST, format!("{path}:enable"), None),
        ]
    };
    for (method, path, body) in acts(&deploy) {
        let answer = manager.by(&lead, method, &path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
    }
    manager.permit(&deploy, "allow", &["read"], "prod/**").await;
    for (method, path, body) in acts(&deploy) {
        manager.by(&lead, method, &path, body).await.expect(403).refused("not_permitted");
    }
    manager.stop().await;
}

/// A service that manages itself, and shows a narrow credential.
async fn narrow(manager: &Manager, alter: impl FnOnce(&mut manager_registry::Credential)) -> Principal {
    let narrow = manager.principal("narrow", false, alter).await;
    let all = json!({
        "party": narrow.id(), "effect": "allow", "actions": ["manage-identities"], "pattern": "**", "reason": "test",
    });
    manager.post("/api/permissions", all).await.expect(201);
    narrow
}

#[actix_web::test]
async fn narrow_credential_makes_none_that_is_wider() {
    let (_installed, manager) = begun().await;
    let range = "127.0.0.0/8".parse::<AddressRange>().unwrap();
    let narrow = narrow(&manager, |credential| credential.allowed_addresses = Some(vec![range])).await;
    let path = format!("/api/services/{}/credentials", narrow.id());
    let local = Some("127.0.0.1:1".parse().unwrap());
    let bearer = format!("Bearer {}", narrow.bearer());
    let headers = [("authorization", bearer.as_str())];
    for (terms, status) in [
        (json!({"name": "wide", "expires_in": "1y"}), 403),
        (json!({"name": "wider", "expires_in": "1y", "allowed_addresses": ["0.0.0.0/0"]}), 403),
        (json!({"name": "as narrow", "expires_in": "1y", "allowed_addresses": ["127.0.0.0/8"]}), 201),
    ] {
        let answer = manager.send_from(local, Method::POST, &path, &headers, Some(terms.to_string())).await;
        assert_eq!(answer.status.as_u16(), status, "{terms}: {}", answer.text);
        assert_eq!(answer.text.contains("as narrow as the one"), status == 403, "{}", answer.text);
    }
    manager.stop().await;
}

#[actix_web::test]
async fn who_may_not_approve_approves_nothing_though_he_manages_the_service() {
    let (_installed, manager) = begun().await;
    let lead = manager.service("lead").await;
    manager.assign(&lead.id(), "service_admin", "team/**").await;
    let needs = json!({"name": "deploy", "required_keys": [{"environment": "dev", "pattern": "team/x"}]});
    let deploy = manager.by(&lead, Method::POST, "/api/services", Some(needs)).await.expect(201).member("service_id");
    manager.post("/api/permissions", permission(&lead.id(), "deny", &["approve"], "team/**")).await.expect(201);
    let approve = json!({"required_keys": [{"environment": "dev", "pattern": "team/x"}]});
    let path = format!("/api/services/{deploy}:approve");
    manager.by(&lead, Method::POST, &path, Some(approve)).await.expect(403).refused("not_permitted");
    manager.stop().await;
}

/// It is about that service alone.
#[actix_web::test]
async fn change_of_a_service_ends_no_act_of_another_caller() {
    let (installed, manager) = begun().await;
    let other =
        master_key_manager::installation::open_registry(&installed.config, std::sync::Arc::new(manager.store.clone()));
    let other = other.await.unwrap();
    let deploy = manager.service("deploy").await;
    let shared_proto::id::Subject::Service(id) = deploy.subject else { panic!("a service") };
    manager.faults.after_calls("begin", 1, move || async move {
        let by = (manager_registry::Author::Operator, "", 1);
        let described = |view: &master_key_manager::access::View| {
            let description = Some(manager_api::name::Description::parse("Deploys").unwrap());
            Ok(vec![manager_registry::Service { description, ..view.state.service(id).unwrap().clone() }.into()])
        };
        other.change(by, None, described).await.unwrap();
    });
    manager.store_value("p", "v").await.expect(201).member("access_token");
    manager.stop().await;
}
