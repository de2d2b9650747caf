//! Owners of secrets: principals and groups that there are.

use actix_web::http::Method;
use manager_api::id::GroupId;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::id::{PersonId, ServiceId};

use crate::support::{Answer, Installed, Manager};

async fn create(manager: &Manager, path: &str, owner: &str) -> Answer {
    let body = json!({"environment": "dev", "path": path, "value": "v", "owner": owner, "token": false});
    manager.post("/api/secrets", body).await
}

async fn change(manager: &Manager, secret: &str, body: Value) -> Answer {
    manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), Some(body)).await
}

#[actix_web::test]
async fn an_owner_is_known_when_it_is_set_and_stays_when_it_is_gone() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let nobody = [ServiceId::generate().to_string(), PersonId::generate().to_string(), GroupId::generate().to_string()];
    let group = manager.group("engineers").await;
    let known = [manager.service("till").await.id(), manager.person("ann").await.id(), group.clone()];
    let mut secret = String::new();
    for (number, owner) in known.iter().enumerate() {
        secret = create(&manager, &format!("of/{number}"), owner).await.expect(201).member("key_id");
    }
    for owner in &nobody {
        create(&manager, "of/nobody", owner).await.expect(400).refused("parameter_invalid");
        change(&manager, &secret, json!({"owner": owner})).await.expect(400).refused("parameter_invalid");
    }
    let bulk = json!({"operations": [
        {"create": {"environment": "dev", "path": "of/bulk", "value": "v", "owner": nobody[0]}},
        {"change": {"key_id": secret, "body": {"owner": nobody[0]}}},
    ]});
    assert_eq!(manager.post("/api/secrets:bulk", bulk).await.expect(200).json()["refused"], 2);
    assert_eq!(manager.versions().len(), 3, "nothing of a refused one is left");

    manager.admin(Method::DELETE, &format!("/api/groups/{group}?reason=r"), None).await.expect(200);
    let shown = async || manager.admin(Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(200).json();
    assert_eq!(shown().await["owner"], json!(group));
    let body = json!({"description": "d", "owner": group});
    change(&manager, &secret, body).await.expect(200);
    change(&manager, &secret, json!({"owner": known[0]})).await.expect(200);
    change(&manager, &secret, json!({"owner": group})).await.expect(400).refused("parameter_invalid");
    change(&manager, &secret, json!({"owner": null})).await.expect(200);
    assert!(shown().await.get("owner").is_none());
    manager.stop().await;
}
