//! Rate limits of principals and addresses.

use actix_web::http::Method;
use manager_api::name::AccountName;
use manager_registry::{Author, Credential, Proof, Service};
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::credential::PlainCredential;
use shared_proto::id::{CredentialId, ServiceId};

use crate::support::{Answer, Installed, Manager};

const FAR: &str = "192.0.2.7:1";
const LOCAL: &str = "127.0.0.1:1";

/// A manager with a service that has no rights.
async fn begun() -> (Installed, Manager, String) {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let credential = PlainCredential::generate();
    let hash = manager.app.keys.now().credentials.hash(&credential);
    let service = Service::new(ServiceId::generate(), AccountName::parse("billing").unwrap(), 1);
    let own = Credential::new(CredentialId::generate(), service.subject(), Proof::opaque(hash), 1);
    let by = (Author::Operator, "", 1);
    manager.app.registry.change(by, None, |_| Ok(vec![service.into(), own.into()])).await.unwrap();
    (installed, manager, credential.expose_text().to_string())
}

async fn ask(manager: &Manager, from: &str, credential: &str) -> Answer {
    let bearer = format!("Bearer {credential}");
    let headers = [("authorization", bearer.as_str())];
    manager.send_from(Some(from.parse().unwrap()), Method::GET, "/api/secrets", &headers, None).await
}

async fn answers(manager: &Manager, from: &str, credential: &str) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(ask(manager, from, credential).await.status.as_u16());
    }
    all
}

/// Asks until it is refused for its rate, and says what the last answer before it was. A request takes less than a second,
/// in which a bucket gets one more.
async fn refused_after(manager: &Manager, from: &str, credential: &str) -> Option<u16> {
    let mut last = 200;
    for _ in 0..200 {
        let answer = ask(manager, from, credential).await;
        if answer.status == 429 {
            assert_eq!(answer.headers.get("retry-after").unwrap(), "1");
            answer.refused("rate_limited");
            return Some(last);
        }
        last = answer.status.as_u16();
    }
    None
}

async fn set(manager: &Manager, limits: Value) -> Answer {
    manager.admin(Method::PATCH, "/api/settings/rate-limits", Some(limits)).await
}

#[actix_web::test]
async fn a_principal_and_an_address_are_limited_and_a_local_administrator_is_not() {
    let (_installed, manager, service) = begun().await;
    let wide = json!({"per_second": 1_000_000, "burst": 1_000_000});
    let narrow = json!({"per_second": 1, "burst": 2});
    set(&manager, json!({"principal": narrow, "address": wide})).await.expect(200);
    assert_eq!(refused_after(&manager, FAR, &service).await, Some(200));
    assert_eq!(refused_after(&manager, LOCAL, &service).await, Some(200), "also from here");
    assert_eq!(answers(&manager, LOCAL, &manager.credential).await, [200; 5]);
    assert_eq!(refused_after(&manager, FAR, &manager.credential).await, Some(200), "from afar he is limited, too");
    let local = Some(LOCAL.parse().unwrap());
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str())];
    let body = json!({"principal": wide, "address": narrow}).to_string();
    let changed = manager.send_from(local, Method::PATCH, "/api/settings/rate-limits", &headers, Some(body)).await;
    assert_eq!(changed.expect(200).json(), json!({"principal": wide, "address": narrow}));
    assert_eq!(refused_after(&manager, FAR, &service).await, Some(200));
    let stranger = refused_after(&manager, "192.0.2.9:1", "nonsense").await;
    assert_eq!(stranger, Some(401), "before anything is known of the caller");
    assert_eq!(answers(&manager, "192.0.2.8:1", &service).await[0], 200, "others are not");
    assert_eq!(answers(&manager, LOCAL, &service).await, [200; 5]);
    manager.stop().await;
}

#[actix_web::test]
async fn limits_outside_their_range_or_by_a_caller_without_the_right_change_nothing() {
    let (installed, manager, service) = begun().await;
    let before = manager.admin(Method::GET, "/api/settings/rate-limits", None).await.expect(200).json();
    for wrong in
        [json!({"principal": {"per_second": 0, "burst": 1}}), json!({"address": {"per_second": 1, "burst": 1_000_001}})]
    {
        set(&manager, wrong).await.expect(400).refused("parameter_invalid");
    }
    for wrong in [json!({"principal": null}), json!({"principal": {"per_second": 1}}), json!({"more": 1})] {
        set(&manager, wrong).await.expect(400).refused("body_invalid");
    }
    let bearer = format!("Bearer {service}");
    let headers = [("authorization", bearer.as_str())];
    let good = json!({"principal": {"per_second": 1, "burst": 1}}).to_string();
    for (method, body) in [(Method::PATCH, Some(good)), (Method::GET, None)] {
        let answer = manager.send(method, "/api/settings/rate-limits", &headers, body).await;
        answer.expect(403).refused("not_permitted");
    }
    assert_eq!(manager.admin(Method::GET, "/api/settings/rate-limits", None).await.expect(200).json(), before);
    set(&manager, json!({"principal": {"per_second": 7, "burst": 8}})).await.expect(200);
    manager.stop().await;
    let manager = installed.start().await;
    let kept = manager.admin(Method::GET, "/api/settings/rate-limits", None).await.expect(200).json();
    assert_eq!((&kept["principal"], &kept["address"]), (&json!({"per_second": 7, "burst": 8}), &before["address"]));
    manager.stop().await;
}
