//! Finding secrets: each condition of the list, its order, and folders.

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::places::{ask, plant, service};
use crate::support::{Installed, Manager};

async fn create(manager: &Manager, path: &str, more: &Value) -> String {
    let mut body = json!({"environment": "dev", "path": path, "value": "v", "token": false});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manager.post("/api/secrets", body).await.expect(201).member("key_id")
}

/// The paths that a query finds.
async fn found(manager: &Manager, credential: &str, query: &str) -> Vec<String> {
    let list = ask(manager, credential, Method::GET, &format!("/api/secrets?{query}"), None).await.expect(200).json();
    list["secrets"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn secrets_are_found_by_each_condition_and_by_several() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let owner = manager.post("/api/services", json!({"name": "till"})).await.expect(201).member("service_id");
    let ends = manager.app.clock.now() + 3 * 24 * 3_600;
    let card = create(
        &manager,
        "pay/Card",
        &json!({"kind": "api-key", "owner": owner, "tags": {"team": "pay", "zone": "a=b"}, "expires_at": ends}),
    )
    .await;
    create(&manager, "pay/db", &json!({"kind": "json", "value": "[1]", "rotation_days": 1, "tags": {"team": "pay"}}))
        .await;
    create(&manager, "web.card", &json!({"secret_type": "PASSWORD", "tags": {"team": "web"}})).await;
    create(&manager, "web/cookie", &json!({"environment": "staging", "kind": "service-token"})).await;
    let by_query = [
        ("environment=dev", vec!["pay/Card", "pay/db", "web.card"]),
        ("environment=staging", vec!["web/cookie"]),
        ("path=pay/Card", vec!["pay/Card"]),
        ("path=pay.Card", vec!["pay/Card"]),
        ("path=web/card", vec!["web.card"]),
        ("path=pay/card", vec![]),
        ("under=pay", vec!["pay/Card", "pay/db"]),
        ("under=pa", vec![]),
        ("q=CARD", vec!["pay/Card", "web.card"]),
        ("q=db", vec!["pay/db"]),
        ("q=card&under=pay", vec!["pay/Card"]),
        ("tag=team", vec!["pay/Card", "pay/db", "web.card"]),
        ("tag=team=pay&tag=zone=a%3Db", vec!["pay/Card"]),
        ("tag=team=PAY", vec![]),
        ("kind=json", vec!["pay/db"]),
        ("kind=API_KEY", vec!["pay/Card"]),
        (&format!("owner={owner}"), vec!["pay/Card"]),
        ("due_within=3", vec!["pay/Card", "pay/db"]),
        ("due_within=1", vec!["pay/db"]),
        ("due_within=0", vec![]),
        ("due_within=3&kind=api-key&state=active", vec!["pay/Card"]),
        ("state=deleted", vec![]),
        ("environment=dev&sort=-path", vec!["web.card", "pay/db", "pay/Card"]),
        ("environment=dev&sort=due_at", vec!["pay/db", "pay/Card", "web.card"]),
    ];
    for (query, paths) in by_query {
        assert_eq!(found(&manager, &manager.credential, query).await, paths, "{query}");
    }
    let list = manager.admin(Method::GET, "/api/secrets?path=pay/Card", None).await.expect(200).json();
    let one = &list["secrets"][0];
    let (created, updated) = (one["created_at"].as_u64().unwrap(), one["updated_at"].as_u64().unwrap());
    let expected = json!({
        "key_id": card, "environment": "dev", "path": "pay/Card", "kind": "api-key", "class": "low", "owner": owner,
        "tags": {"team": "pay", "zone": "a=b"}, "state": "active", "stages": {"current": 1}, "revision": 0,
        "created_at": created, "updated_at": updated, "rotation_due_at": one["rotation_due_at"], "expires_at": ends,
    });
    assert_eq!(*one, expected);
    assert!(updated >= created && one["rotation_due_at"].as_u64().unwrap() >= created + 365 * 24 * 3_600);
    manager.stop().await;
}

#[actix_web::test]
async fn what_is_found_follows_every_change() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = create(&manager, "old/name", &json!({"kind": "api-key", "tags": {"team": "pay"}})).await;
    let change = json!({"path": "new/place", "tags": {"team": "web"}, "kind": "jwt", "rotation_days": 1});
    manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), Some(change)).await.expect(200);
    for (query, finds) in [
        ("q=old/name", false),
        ("under=old", false),
        ("q=place", true),
        ("under=new", true),
        ("tag=team=pay", false),
        ("tag=team=web", true),
        ("kind=api-key", false),
        ("kind=jwt", true),
        ("due_within=1", true),
    ] {
        assert_eq!(!found(&manager, &manager.credential, query).await.is_empty(), finds, "{query}");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn caller_finds_only_what_he_may_list() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for path in ["team/key", "other/key", "other/deep/key"] {
        create(&manager, path, &json!({"kind": "api-key", "tags": {"team": "pay"}})).await;
    }
    let reader = service(&manager, "reader", "team/**", &[Action::List]).await;
    for query in ["", "q=key", "kind=api-key", "tag=team=pay", "sort=-created_at", "due_within=3650", "path=other/key"]
    {
        let expected: &[&str] = if query == "path=other/key" { &[] } else { &["team/key"] };
        assert_eq!(found(&manager, &reader, query).await, expected, "{query}");
    }
    let folders = async |who: &str, query: &str| {
        let path = format!("/api/folders?environment=dev{query}");
        ask(&manager, who, Method::GET, &path, None).await.expect(200).json()["entries"].clone()
    };
    let [team, other] =
        ["team", "other"].map(|path| json!({"path": path, "count": if path == "team" { 1 } else { 2 }}));
    assert_eq!(folders(&reader, "").await, json!([team]));
    assert_eq!(folders(&manager.credential, "").await, json!([other, team]));
    assert_eq!(folders(&reader, "&under=other").await, json!([]));
    let below = folders(&manager.credential, "&under=other").await;
    assert_eq!(below[0], json!({"path": "other/deep", "count": 1}));
    assert_eq!(below[1]["path"], "other/key");
    assert!(below[1]["key_id"].as_str().unwrap().starts_with("sec_"));
    let first = manager.admin(Method::GET, "/api/folders?environment=dev&limit=1", None).await.expect(200).json();
    let next = first["next"].as_str().unwrap();
    let second = format!("/api/folders?environment=dev&limit=1&after={next}");
    assert_eq!(manager.admin(Method::GET, &second, None).await.expect(200).json()["entries"], json!([team]));
    // The cursor of one list is none of another.
    let other = manager.admin(Method::GET, &format!("/api/secrets?after={next}"), None).await;
    other.expect(400).refused("parameter_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn queries_are_strict() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let tags = "tag=a&".repeat(9);
    for wrong in [
        "q=a",
        "q=",
        "q=a%0Ab",
        "tag=",
        "tag==a",
        &tags,
        "kind=Api-Key",
        "kind=",
        "owner=till",
        "state=gone",
        "state=active&state=deleted",
        "due_within=-1",
        "due_within=%2B1",
        "due_within=3651",
        "sort=kind",
        "sort=--path",
        "path=a&path=b",
        "versions=1",
    ] {
        let answer = manager.admin(Method::GET, &format!("/api/secrets?{wrong}"), None).await;
        answer.expect(400).refused("parameter_invalid");
    }
    for wrong in ["path=a//b", "under=", "environment=D"] {
        let answer = manager.admin(Method::GET, &format!("/api/secrets?{wrong}"), None).await;
        answer.expect(400).refused("name_invalid");
    }
    for wrong in ["", "?under=a", "?environment=dev&q=ab"] {
        let answer = manager.admin(Method::GET, &format!("/api/folders{wrong}"), None).await;
        answer.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn description_that_somebody_else_wrote_is_not_shown() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    create(&manager, "pay/key", &json!({"kind": "api-key"})).await;
    plant(&installed, "UPDATE secrets SET details = '{\"kind\":\"jwt\"}'; UPDATE search_secrets SET kind = 'jwt'");
    let list = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json();
    let one = &list["secrets"][0];
    assert_eq!((&one["path"], one.get("kind"), one.get("class")), (&json!("pay/key"), None, None));
    assert!(found(&manager, &manager.credential, "kind=jwt").await.is_empty());
    manager.stop().await;
}
