//! Role assignments and permissions.

use actix_web::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::id::ServiceId;

use crate::support::{Installed, now, permission};

#[actix_web::test]
async fn a_role_is_assigned_listed_and_taken_away() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let billing = manager.service("billing").await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let body = json!({
        "party": billing.id(), "role": "service_user", "environment": "dev", "pattern": "app/**", "reason": "needs it",
    });
    let made = manager.post("/api/roles", body).await.expect(201).json();
    let by_admin = (&made["reason"], made["author"].as_str().is_some_and(|author| author.starts_with("svc_")));
    assert_eq!(by_admin, (&json!("needs it"), true));
    assert_eq!(made["environment_id"], json!(manager.environment("dev")));
    assert!(manager.mints(&billing, &secret).await);
    let listed =
        manager.admin(Method::GET, &format!("/api/roles?party={}", billing.id()), None).await.expect(200).json();
    assert_eq!(listed["assignments"], json!([made]));
    let roles = listed["roles"].as_array().unwrap();
    let publisher = roles.iter().find(|role| role["role"] == "publisher").unwrap();
    assert_eq!(*publisher, json!({"role": "publisher", "actions": ["list", "write"], "for_everything": false}));
    let path = format!("/api/roles/{}", made["assignment_id"].as_str().unwrap());
    manager.admin(Method::DELETE, &path, None).await.expect(200);
    assert!(!manager.mints(&billing, &secret).await);
    manager.admin(Method::DELETE, &path, None).await.expect(404).refused("line_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn a_line_that_breaks_a_rule_is_refused_with_the_rule() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let billing = manager.service("billing").await.id();
    let good = permission(&billing, "allow", &["read"], "app/**");
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let without = |name: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let cases = [
        (with("pattern", json!("app/*x")), 400, "name_invalid"),
        (with("pattern", json!("")), 400, "name_invalid"),
        (with("environment", json!("nowhere")), 400, "name_invalid"),
        (with("environment", json!(null)), 400, "body_invalid"),
        (with("actions", json!([])), 400, "parameter_invalid"),
        (with("actions", json!(["everything"])), 400, "body_invalid"),
        (with("party", json!(ServiceId::generate())), 404, "party_not_found"),
        (with("ends_at", json!(now() - 1)), 400, "parameter_invalid"),
        (with("ends_at", json!(253_402_300_800_u64)), 400, "parameter_invalid"),
        (with("starts_at", json!(u64::MAX)), 400, "parameter_invalid"),
        (
            with(
                "tags",
                json!({"a": "x".repeat(512), "b": "x".repeat(512), "c": "x".repeat(512), "d": "x".repeat(512)}),
            ),
            400,
            "parameter_invalid",
        ),
        (with("tags", json!({"a": 1})), 400, "body_invalid"),
        (with("unknown", json!(1)), 400, "body_invalid"),
        (with("reason", json!("")), 400, "name_invalid"),
        (without("reason"), 400, "body_invalid"),
        (without("pattern"), 400, "body_invalid"),
        (without("effect"), 400, "body_invalid"),
    ];
    let before = manager.app.registry.now().await.unwrap().state.number();
    for (body, status, code) in cases {
        manager.post("/api/permissions", body).await.expect(status).refused(code);
    }
    let mut backwards = with("starts_at", json!(now() + 20));
    backwards["ends_at"] = json!(now() + 10);
    manager.post("/api/permissions", backwards).await.expect(400).refused("parameter_invalid");
    for role in ["super_admin", "operator"] {
        let part = json!({"party": billing, "role": role, "environment": "dev", "pattern": "**", "reason": "r"});
        manager.post("/api/roles", part).await.expect(400).refused("parameter_invalid");
    }
    assert_eq!(manager.app.registry.now().await.unwrap().state.number(), before, "nothing was written");
    manager.post("/api/permissions", good).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn a_repeat_of_a_line_makes_no_second_one_and_another_line_is_a_mismatch() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let billing = manager.service("billing").await.id();
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    let ask =
        async |body: Value| manager.send(Method::POST, "/api/permissions", &headers, Some(body.to_string())).await;
    let good = permission(&billing, "allow", &["read"], "app/**");
    let all = join_all((0..20).map(|_| ask(good.clone()))).await;
    let ids: std::collections::BTreeSet<String> =
        all.into_iter().map(|answer| answer.expect(201).member("permission_id")).collect();
    assert_eq!(ids.len(), 1);
    let wider = permission(&billing, "allow", &["read"], "**");
    ask(wider).await.expect(422).refused("idempotency_mismatch");
    manager.stop().await;
}

#[actix_web::test]
async fn lists_show_the_lines_of_a_party_and_of_an_environment() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (billing, other) = (manager.service("billing").await, manager.service("other").await);
    let dev = manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    let mut staging = permission(&billing.id(), "allow", &["read"], "app/**");
    staging["environment"] = json!("staging");
    let staging = manager.post("/api/permissions", staging).await.expect(201).member("permission_id");
    let mut all = permission(&other.id(), "deny", &["write"], "**");
    all.as_object_mut().unwrap().remove("environment");
    let all = manager.post("/api/permissions", all).await.expect(201).member("permission_id");
    let ids = async |query: &str| {
        let found = manager.admin(Method::GET, &format!("/api/permissions{query}"), None).await.expect(200).json();
        let rows = found["permissions"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["permission_id"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let set = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids("").await, set(&[&dev, &staging, &all]));
    assert_eq!(ids("?environment=dev").await, set(&[&dev, &all]));
    assert_eq!(ids(&format!("?party={}", billing.id())).await, set(&[&dev, &staging]));
    assert_eq!(ids(&format!("?party={}&environment=staging", billing.id())).await, set(&[&staging]));
    let (mut walked, mut after) = (Vec::new(), String::new());
    loop {
        let page =
            manager.admin(Method::GET, &format!("/api/permissions?limit=1{after}"), None).await.expect(200).json();
        walked.extend(page["permissions"].as_array().unwrap().iter().map(|row| row["permission_id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(walked.len(), 3);
    assert!(walked.is_sorted());
    let shown = manager.admin(Method::GET, &format!("/api/permissions/{dev}"), None).await.expect(200).json();
    assert_eq!(shown["pattern"], "app/**");
    manager.stop().await;
}

/// One who manages the policy of a folder makes, sees and deletes lines there, and nowhere else.
#[actix_web::test]
async fn the_policy_of_a_folder_is_managed_there_alone() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (lead, member) = (manager.service("lead").await, manager.service("member").await);
    manager.permit(&lead.id(), "allow", &["manage-policy", "read", "list"], "team/**").await;
    let foreign = manager.permit(&member.id(), "allow", &["read"], "teams/db").await;
    let make = async |pattern: &str, actions: &[&str]| {
        let body = permission(&member.id(), "allow", actions, pattern);
        manager.by(&lead, Method::POST, "/api/permissions", Some(body)).await
    };
    let own = make("team/app/**", &["read"]).await.expect(201).member("permission_id");
    // Not beside, above, or in all environments.
    for outside in ["teams/**", "team", "**", "*/app", "team-b/**"] {
        make(outside, &["read"]).await.expect(403).refused("not_permitted");
    }
    let mut everywhere = permission(&member.id(), "allow", &["read"], "team/**");
    everywhere.as_object_mut().unwrap().remove("environment");
    let answer = manager.by(&lead, Method::POST, "/api/permissions", Some(everywhere)).await;
    answer.expect(403).refused("not_permitted");
    // No more than he holds.
    make("team/app/**", &["write"]).await.expect(403).refused("not_permitted");
    // Another environment looks like an unknown one.
    for name in ["staging", "nowhere"] {
        let mut body = permission(&member.id(), "allow", &["read"], "team/**");
        body["environment"] = json!(name);
        let answer = manager.by(&lead, Method::POST, "/api/permissions", Some(body)).await.expect(400);
        assert_eq!(answer.json()["detail"], "There is no such environment.");
        let list = manager.by(&lead, Method::GET, &format!("/api/permissions?environment={name}"), None).await;
        list.expect(400).refused("name_invalid");
    }
    let seen = manager.by(&lead, Method::GET, "/api/permissions", None).await.expect(200).json();
    let seen: Vec<&str> =
        seen["permissions"].as_array().unwrap().iter().map(|row| row["pattern"].as_str().unwrap()).collect();
    assert!(seen.len() == 2 && !seen.contains(&"teams/db"), "{seen:?}");
    for method in [Method::GET, Method::DELETE] {
        let hidden = manager.by(&lead, method.clone(), &format!("/api/permissions/{foreign}"), None).await.expect(404);
        let unknown = manager.by(&lead, method, "/api/permissions/per_AAAAAAAAAAAAAAAAAAAAAA", None).await.expect(404);
        assert_eq!((hidden.code(), &hidden.json()["detail"]), (unknown.code(), &unknown.json()["detail"]));
    }
    manager.by(&lead, Method::DELETE, &format!("/api/permissions/{own}"), None).await.expect(200);
    // Who manages nothing sees nothing.
    let none = manager.by(&member, Method::GET, "/api/permissions", None).await.expect(200).json();
    assert_eq!(none, json!({"permissions": []}));
    let none = manager.by(&member, Method::GET, "/api/roles", None).await.expect(200).json();
    assert_eq!(none["assignments"], json!([]));
    manager.stop().await;
}

/// What denied somebody something is only deleted by one who holds it.
#[actix_web::test]
async fn nobody_deletes_a_denial_of_what_he_lacks() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let lead = manager.service("lead").await;
    manager.permit(&lead.id(), "allow", &["manage-policy"], "team/**").await;
    let denial = manager.permit(&lead.id(), "deny", &["write"], "team/**").await;
    let path = format!("/api/permissions/{denial}");
    manager.by(&lead, Method::DELETE, &path, None).await.expect(403).refused("not_permitted");
    manager.admin(Method::DELETE, &path, None).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn the_last_administrator_keeps_his_role() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let roles = manager.admin(Method::GET, "/api/roles", None).await.expect(200).json();
    let own = roles["assignments"][0]["assignment_id"].as_str().unwrap();
    let answer = manager.admin(Method::DELETE, &format!("/api/roles/{own}"), None).await;
    answer.expect(409).refused("last_administrator");
    let deny = json!({
        "party": roles["assignments"][0]["party"], "effect": "deny", "actions": ["manage-policy"], "pattern": "**",
        "reason": "r",
    });
    manager.post("/api/permissions", deny).await.expect(409).refused("last_administrator");
    manager.stop().await;
}
