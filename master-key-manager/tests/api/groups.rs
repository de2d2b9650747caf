//! Groups and their members.

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::groups::MAX_MEMBERS;
use manager_api::id::GroupId;
use manager_api::name::AccountName;
use manager_registry::{Change, Group, Service};
use serde_json::json;
use service_runtime::config::Mode;
use shared_proto::id::{ServiceId, Subject};

use crate::support::{Installed, now};

#[actix_web::test]
async fn a_group_is_made_changed_listed_and_deleted() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let body = json!({"name": "engineers", "description": "Those who build", "reason": "new team"});
    let made = manager.post("/api/groups", body).await.expect(201).json();
    assert_eq!((&made["name"], &made["member_count"]), (&json!("engineers"), &json!(0)));
    let path = format!("/api/groups/{}", made["group_id"].as_str().unwrap());
    assert_eq!(manager.admin(Method::GET, &path, None).await.expect(200).json(), made);
    let changed = manager.admin(Method::PATCH, &path, Some(json!({"name": "builders"}))).await.expect(200).json();
    assert_eq!(changed["description"], made["description"]);
    let twin = manager.post("/api/groups", json!({"name": "builders"})).await.expect(409);
    assert_eq!(twin.json()["id"], made["group_id"]);
    twin.refused("already_exists");
    // The former name is free.
    let other = manager.group("engineers").await;
    manager.admin(Method::PATCH, &path, Some(json!({"name": "engineers"}))).await.expect(409);
    manager.admin(Method::PATCH, &path, Some(json!({}))).await.expect(400).refused("parameter_invalid");
    let first = manager.admin(Method::GET, "/api/groups?limit=1", None).await.expect(200).json();
    let next = format!("/api/groups?after={}", first["next"].as_str().unwrap());
    let second = manager.admin(Method::GET, &next, None).await.expect(200).json();
    let mut ids = [&first["groups"][0]["group_id"], &second["groups"][0]["group_id"]].map(|id| id.as_str().unwrap());
    ids.sort_unstable();
    let mut both = [made["group_id"].as_str().unwrap(), &other];
    both.sort_unstable();
    assert_eq!(ids, both);
    manager.admin(Method::DELETE, &format!("{path}?reason=dissolved"), None).await.expect(200);
    manager.admin(Method::GET, &path, None).await.expect(404).refused("group_not_found");
    manager.admin(Method::DELETE, &path, None).await.expect(404).refused("group_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn members_join_and_leave() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (anna, billing) = (manager.person("anna").await, manager.service("billing").await);
    let group = manager.group("team").await;
    let members = format!("/api/groups/{group}/members");
    let both = json!({"principals": [billing.id(), anna.id(), billing.id()]});
    manager.post(&members, both).await.expect(200);
    let listed = manager.admin(Method::GET, &members, None).await.expect(200).json();
    assert_eq!(listed["members"], json!([anna.id(), billing.id()]), "each once, people first");
    let first = manager.admin(Method::GET, &format!("{members}?limit=1"), None).await.expect(200).json();
    let next = format!("{members}?after={}", first["next"].as_str().unwrap());
    let second = manager.admin(Method::GET, &next, None).await.expect(200).json();
    assert_eq!(
        [&first["members"][0], &second["members"][0]],
        [&anna.id(), &billing.id()].map(|id| json!(id)).each_ref()
    );
    // One that is a member stays one, and that is no change.
    let before = manager.app.registry.now().await.unwrap().state.number();
    manager.post(&members, json!({"principals": [anna.id()]})).await.expect(200);
    assert_eq!(manager.app.registry.now().await.unwrap().state.number(), before);
    let one = format!("{members}/{}", anna.id());
    manager.admin(Method::DELETE, &one, None).await.expect(200);
    manager.admin(Method::DELETE, &one, None).await.expect(404).refused("party_not_found");
    let unknown = json!({"principals": [Subject::Service(ServiceId::generate())]});
    manager.post(&members, unknown).await.expect(404).refused("party_not_found");
    for wrong in [json!([]), json!(vec![billing.id(); 501])] {
        manager.post(&members, json!({"principals": wrong})).await.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn a_group_that_something_names_is_not_deleted() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let group = manager.group("team").await;
    let path = format!("/api/groups/{group}");
    let line = manager.permit(&group, "deny", &["read"], "app/**").await;
    manager.admin(Method::DELETE, &path, None).await.expect(409).refused("group_in_use");
    manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
    let role = manager.assign(&group, "auditor", "app/**").await;
    manager.admin(Method::DELETE, &path, None).await.expect(409).refused("group_in_use");
    manager.admin(Method::DELETE, &format!("/api/roles/{role}"), None).await.expect(200);
    let owner = Some(group.parse().unwrap());
    let service = Service::new(ServiceId::generate(), AccountName::parse("owned").unwrap(), 1);
    manager.put(vec![Service { owner, ..service.clone() }.into()]).await;
    manager.admin(Method::DELETE, &path, None).await.expect(409).refused("group_in_use");
    manager.put(vec![service.into()]).await;
    manager.admin(Method::DELETE, &path, None).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn a_group_is_full_at_its_limit() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (one, more) = (manager.service("one").await, manager.service("more").await);
    // They need not exist for the count.
    let mut members: Vec<Subject> =
        (2..=MAX_MEMBERS).map(|_| Subject::Service(ServiceId::generate())).chain([one.subject]).collect();
    members.sort_unstable();
    let group_id = GroupId::generate();
    let name = AccountName::parse("full").unwrap();
    let full = Group { group_id, name, description: None, members, created_at: now() };
    manager.put(vec![Change::from(full)]).await;
    let path = format!("/api/groups/{group_id}/members");
    let answer = manager.post(&path, json!({"principals": [more.id()]})).await;
    answer.expect(409).refused("limit_reached");
    manager.admin(Method::DELETE, &format!("{path}/{}", one.id()), None).await.expect(200);
    manager.post(&path, json!({"principals": [more.id()]})).await.expect(200);
    let group = manager.admin(Method::GET, &format!("/api/groups/{group_id}"), None).await.expect(200).json();
    assert_eq!(group["member_count"], json!(MAX_MEMBERS));
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeat_of_a_creation_makes_no_second_group() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let bearer = format!("Bearer {}", manager.credential);
    let make = async |name: &str| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
        manager.send(Method::POST, "/api/groups", &headers, Some(json!({"name": name}).to_string())).await
    };
    let all = join_all((0..200).map(|_| make("team"))).await;
    let ids: std::collections::BTreeSet<String> =
        all.into_iter().map(|answer| answer.expect(201).member("group_id")).collect();
    assert_eq!(ids.len(), 1);
    make("other").await.expect(422).refused("idempotency_mismatch");
    manager.stop().await;
}

#[actix_web::test]
async fn two_hundred_who_join_at_once_are_all_members() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let group = manager.group("team").await;
    let services: Vec<Service> = (0..200)
        .map(|n| Service::new(ServiceId::generate(), AccountName::parse(format!("s{n}")).unwrap(), 1))
        .collect();
    manager.put(services.iter().cloned().map(Change::from).collect()).await;
    let path = format!("/api/groups/{group}/members");
    let joins = services.iter().map(|service| manager.post(&path, json!({"principals": [service.service_id]})));
    assert!(join_all(joins).await.iter().all(|answer| answer.status == 200));
    let found = manager.admin(Method::GET, &format!("/api/groups/{group}"), None).await.expect(200).json();
    assert_eq!(found["member_count"], json!(200));
    manager.stop().await;
}

/// Each way in which somebody gets a right by a group.
#[actix_web::test]
async fn nobody_adds_to_a_group_that_has_more_than_he_holds() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (clerk, friend) = (manager.service("clerk").await, manager.service("friend").await);
    let everywhere = json!({
        "party": clerk.id(), "effect": "allow", "actions": ["manage-identities"], "pattern": "**", "reason": "test",
    });
    manager.post("/api/permissions", everywhere).await.expect(201);
    let [readers, empty] = [manager.group("readers").await, manager.group("empty").await];
    let denied = manager.group("denied").await;
    manager.permit(&readers, "allow", &["read"], "app/**").await;
    manager.permit(&denied, "deny", &["read"], "app/**").await;
    manager.join(&denied, &friend).await;
    let add = |group: &str| format!("/api/groups/{group}/members");
    for who in [&friend, &clerk] {
        let body = Some(json!({"principals": [who.id()]}));
        let answer = manager.by(&clerk, Method::POST, &add(&readers), body.clone()).await;
        answer.expect(403).refused("not_permitted");
        manager.by(&clerk, Method::POST, &add(&empty), body).await.expect(200);
    }
    let leave = format!("{}/{}", add(&denied), friend.id());
    manager.by(&clerk, Method::DELETE, &leave, None).await.expect(403).refused("not_permitted");
    // Who holds it himself hands it out.
    manager.permit(&clerk.id(), "allow", &["read"], "app/**").await;
    let body = Some(json!({"principals": [friend.id()]}));
    manager.by(&clerk, Method::POST, &add(&readers), body).await.expect(200);
    manager.by(&clerk, Method::DELETE, &leave, None).await.expect(200);
    manager.stop().await;
}
