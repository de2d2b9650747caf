//! Why somebody may do something, who may, and what a change would do.

use actix_web::http::Method;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Answer, Installed, Manager, Principal, now, permission};

async fn explain(manager: &Manager, who: &Principal, body: Value) -> Answer {
    manager.by(who, Method::POST, "/api/permissions:explain", Some(body)).await
}

fn at(path: &str) -> Value {
    json!({"environment": "dev", "path": path})
}

#[actix_web::test]
async fn an_explanation_names_the_line_that_decided_and_those_that_nearly_hold() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let billing = manager.service("billing").await;
    let group = manager.group("team").await;
    manager.join(&group, &billing).await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let allow = manager.permit(&group, "allow", &["read"], "app/**").await;
    let near = manager.permit(&billing.id(), "allow", &["read"], "other/**").await;
    let ask = async |action: &str, target: Value| {
        let body = json!({"principal": billing.id(), "action": action, "target": target});
        manager.post("/api/permissions:explain", body).await.expect(200).json()
    };
    for target in [json!({"key_id": secret}), at("app/db"), at("app/later")] {
        let found = ask("read", target).await;
        assert_eq!((&found["allowed"], &found["because"]), (&json!(true), &json!("allowed")));
        assert_eq!(found["decided_by"]["permission_id"], json!(allow));
        assert_eq!(found["holding"][0]["group_id"], json!(group));
        assert_eq!(found["near_misses"][0]["line"]["permission_id"], json!(near));
        assert_eq!(found["near_misses"][0]["missed_by"], "path");
    }
    let write = ask("write", json!({"key_id": secret})).await;
    assert_eq!((&write["allowed"], &write["because"]), (&json!(false), &json!("no-line")));
    assert_eq!(write["near_misses"][0]["missed_by"], "action");
    let deny = manager.permit(&billing.id(), "deny", &["read"], "app/db").await;
    let denied = ask("read", json!({"key_id": secret})).await;
    assert_eq!((&denied["because"], &denied["decided_by"]["permission_id"]), (&json!("denied"), &json!(deny)));
    let mut late = permission(&billing.id(), "allow", &["write"], "app/**");
    late["starts_at"] = json!(now() + 1_000);
    manager.post("/api/permissions", late).await.expect(201);
    let late = ask("write", at("app/db")).await;
    assert!(late["near_misses"].as_array().unwrap().iter().any(|miss| miss["missed_by"] == "not-yet"), "{late}");
    manager.disable(&billing).await;
    assert_eq!(ask("read", at("app/db")).await["because"], "disabled-principal");
    let unknown = json!({"principal": "svc_AAAAAAAAAAAAAAAAAAAAAA", "action": "read", "target": at("app/db")});
    let unknown = manager.post("/api/permissions:explain", unknown).await.expect(200).json();
    assert_eq!(unknown["because"], "unknown-principal");
    manager.stop().await;
}

/// An explanation is no way to learn of secrets, or of lines about other places.
#[actix_web::test]
async fn anybody_may_ask_about_himself_and_learns_only_of_what_he_may_list() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (anna, ben) = (manager.person("anna").await, manager.person("ben").await);
    let seen = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let hidden = manager.store_value("deals/secret", "v").await.expect(201).member("key_id");
    manager.permit(&anna.id(), "allow", &["list"], "app/**").await;
    manager.permit(&anna.id(), "deny", &["read"], "deals/**").await;
    let own = explain(&manager, &anna, json!({"action": "read", "target": {"key_id": seen}})).await.expect(200);
    assert_eq!(own.json()["because"], "no-line");
    assert!(!own.text.contains("deals"), "a line about another place: {}", own.text);
    assert!(!own.text.contains("reason") && !own.text.contains("author"), "{}", own.text);
    assert_eq!(own.json()["near_misses"][0]["missed_by"], "action");
    let problem = |answer: Answer| {
        let mut problem = answer.expect(404).json();
        problem["request_id"] = json!(null);
        problem
    };
    let unknown = problem(
        explain(&manager, &anna, json!({"action": "read", "target": {"key_id": "sec_AAAAAAAAAAAAAAAAAAAAAA"}})).await,
    );
    for target in [json!({"key_id": hidden}), at("deals/secret"), at("deals/nothing"), at("elsewhere")] {
        let answer = explain(&manager, &anna, json!({"action": "list", "target": target})).await;
        assert_eq!(problem(answer), unknown);
    }
    // About others, and about whole parts, only those who manage the policy or read what happened.
    let other = json!({"principal": ben.id(), "action": "list", "target": {"key_id": seen}});
    explain(&manager, &anna, other.clone()).await.expect(404).refused("secret_not_found");
    let folder = json!({"action": "list", "target": {"environment": "dev", "under": "app"}});
    explain(&manager, &anna, folder).await.expect(404).refused("secret_not_found");
    for target in [json!({}), json!({"environment": "dev"})] {
        let answer = explain(&manager, &anna, json!({"action": "list", "target": target})).await;
        answer.expect(403).refused("not_permitted");
    }
    let who = json!({"target": {"key_id": seen}});
    manager.by(&anna, Method::POST, "/api/permissions:who-can", Some(who)).await.expect(404);
    manager.permit(&anna.id(), "allow", &["read-audit"], "app/**").await;
    explain(&manager, &anna, other).await.expect(200);
    for wrong in [json!({"path": "app/db"}), json!({"key_id": seen, "environment": "dev"}), json!({"under": "app"})] {
        let answer = explain(&manager, &anna, json!({"action": "read", "target": wrong})).await;
        answer.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn an_explanation_of_oneself_knows_the_limits_of_the_credential() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let narrow = |credential: &mut manager_registry::Credential| {
        let pattern = manager_api::policy::PatternText::parse("**").unwrap();
        let actions = [manager_policy::Action::List].into_iter().collect();
        credential.limits = Some(vec![manager_registry::CredentialLimit { actions, environment: None, pattern }]);
    };
    let narrow = manager.principal("narrow", false, narrow).await;
    manager.assign(&narrow.id(), "service_user", "app/**").await;
    for body in [
        json!({"action": "read", "target": at("app/db")}),
        json!({"principal": narrow.id(), "action": "read", "target": at("app/db")}),
    ] {
        assert_eq!(explain(&manager, &narrow, body).await.expect(200).json()["because"], "limits");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn everybody_who_may_read_is_named_with_the_way_in_pages() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let group = manager.group("team").await;
    let (anna, billing, denied) =
        (manager.person("anna").await, manager.service("billing").await, manager.service("denied").await);
    for who in [&anna, &denied] {
        manager.join(&group, who).await;
    }
    let by_group = manager.permit(&group, "allow", &["read"], "app/**").await;
    let role = manager.assign(&billing.id(), "service_user", "app/**").await;
    manager.permit(&denied.id(), "deny", &["read"], "app/db").await;
    let ask = async |body: Value| manager.post("/api/permissions:who-can", body).await.expect(200).json();
    let all = ask(json!({"target": {"key_id": secret}})).await;
    let of = |id: String| all["principals"].as_array().unwrap().iter().find(|one| one["principal"] == id).cloned();
    assert_eq!(of(anna.id()).unwrap()["through"], json!([{"permission_id": by_group, "group_id": group}]));
    assert_eq!(of(billing.id()).unwrap()["through"], json!([{"assignment_id": role}]));
    assert_eq!(of(denied.id()), None);
    assert_eq!(all["principals"].as_array().unwrap().len(), 3, "and the administrator");
    let (mut walked, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut body = json!({"target": at("app/db"), "limit": 1});
        if let Some(after) = &after {
            body["after"] = json!(after);
        }
        let page = ask(body).await;
        walked.extend(page["principals"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        after = Some(next.to_owned());
    }
    assert_eq!(json!(walked), all["principals"]);
    let lists = ask(json!({"action": "write", "target": {"environment": "dev", "under": "app"}})).await;
    assert_eq!(lists["principals"].as_array().unwrap().len(), 1, "the administrator alone");
    for limit in [0, 501] {
        let body = json!({"target": {"key_id": secret}, "limit": limit});
        manager.post("/api/permissions:who-can", body).await.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn a_dry_run_tells_what_the_change_then_does() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (billing, other) = (manager.service("billing").await, manager.service("other").await);
    let group = manager.group("team").await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    manager.store_value("application/db", "v").await.expect(201);
    let line = manager.permit(&billing.id(), "allow", &["read", "list"], "app/**").await;
    manager.permit(&group, "allow", &["read"], "app/**").await;
    let run = async |changes: Value, more: Value| {
        let mut body = json!({"changes": changes});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        manager.post("/api/permissions:dry-run", body).await
    };
    let below = json!({"below": {"environment": "dev", "under": "app"}});
    let changes = json!([
        {"kind": "delete-permission", "permission_id": line},
        {"kind": "add-member", "group_id": group, "principal": other.id()},
        {"kind": "add-member", "group_id": group, "principal": billing.id()},
        {"kind": "remove-member", "group_id": group, "principal": billing.id()},
    ]);
    let before = manager.app.registry.now().await.unwrap().state.number();
    let found = run(changes, below.clone()).await.expect(200).json();
    assert_eq!(manager.app.registry.now().await.unwrap().state.number(), before, "nothing is changed");
    let of = |id: String| found["differences"].as_array().unwrap().iter().find(|one| one["principal"] == id).cloned();
    let gone = of(billing.id()).unwrap();
    let place = (&gone["key_id"], &gone["environment"], &gone["path"]);
    assert_eq!(place, (&json!(secret), &json!("dev"), &json!("app/db")));
    assert_eq!((&gone["loses"], &gone["gains"]), (&json!(["list", "read"]), &json!([])));
    assert_eq!(of(other.id()).unwrap()["gains"], json!(["read"]));
    assert_eq!((&found["total"], &found["secrets"]), (&json!(2), &json!(1)));
    let mut new = permission(&other.id(), "deny", &["read"], "**");
    new["kind"] = json!("create-permission");
    let role = json!({
        "kind": "assign-role", "party": billing.id(), "role": "publisher", "environment": "dev", "pattern": "**",
        "reason": "r",
    });
    let named = json!({"secrets": [{"key_id": secret}, at("app/new")]});
    let found = run(json!([new, role]), named.clone()).await.expect(200).json();
    assert_eq!(found["differences"][0]["gains"], json!(["write"]));
    assert_eq!((&found["total"], &found["secrets"]), (&json!(2), &json!(2)));
    let disabled = run(json!([{"kind": "disable-principal", "principal": billing.id()}]), named.clone()).await;
    assert_eq!(disabled.expect(200).json()["differences"][0]["loses"], json!(["list", "read"]));
    let unknown = "per_AAAAAAAAAAAAAAAAAAAAAA";
    run(json!([{"kind": "delete-permission", "permission_id": unknown}]), named.clone()).await.expect(404);
    run(json!([]), named.clone()).await.expect(400).refused("parameter_invalid");
    let one = json!([{"kind": "disable-principal", "principal": other.id()}]);
    run(one.clone(), json!({})).await.expect(400).refused("parameter_invalid");
    run(one.clone(), json!({"secrets": []})).await.expect(400).refused("parameter_invalid");
    let both = json!({"secrets": [{"key_id": secret}], "below": {"environment": "dev"}});
    run(one, both).await.expect(400).refused("parameter_invalid");
    manager.stop().await;
}

/// 600 members and 500 places are more pairs than a dry run looks at.
#[actix_web::test]
async fn a_dry_run_over_too_much_is_refused_by_its_own_code() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let group = manager.group("team").await;
    let services: Vec<manager_registry::Service> = (0..600)
        .map(|n| {
            let name = manager_api::name::AccountName::parse(format!("s{n}")).unwrap();
            manager_registry::Service::new(shared_proto::id::ServiceId::generate(), name, 1)
        })
        .collect();
    manager.put(services.iter().cloned().map(manager_registry::Change::from).collect()).await;
    for some in services.chunks(300) {
        let ids: Vec<String> = some.iter().map(|service| service.service_id.to_string()).collect();
        manager.post(&format!("/api/groups/{group}/members"), json!({"principals": ids})).await.expect(200);
    }
    let mut new = permission(&group, "allow", &["read"], "**");
    new["kind"] = json!("create-permission");
    let secrets: Vec<Value> = (0..500).map(|n| at(&format!("p{n}"))).collect();
    let answer = manager.post("/api/permissions:dry-run", json!({"changes": [new], "secrets": secrets})).await;
    answer.expect(422).refused("dry_run_too_large");
    manager.stop().await;
}

#[actix_web::test]
async fn a_dry_run_shows_no_secret_that_the_caller_may_not_list() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (auditor, billing) = (manager.service("auditor").await, manager.service("billing").await);
    manager.store_value("app/open", "v").await.expect(201);
    let hidden = manager.store_value("app/hidden", "v").await.expect(201).member("key_id");
    manager.permit(&auditor.id(), "allow", &["read-audit"], "app/**").await;
    manager.permit(&auditor.id(), "allow", &["list"], "app/open").await;
    manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    let changes = json!([{"kind": "disable-principal", "principal": billing.id()}]);
    let run = async |body: Value| manager.by(&auditor, Method::POST, "/api/permissions:dry-run", Some(body)).await;
    let found = run(json!({"changes": changes, "below": {"environment": "dev", "under": "app"}})).await.expect(200);
    assert!(found.text.contains("app/open") && !found.text.contains("hidden") && !found.text.contains(&hidden));
    assert_eq!(found.json()["secrets"], 1);
    run(json!({"changes": changes, "below": {"environment": "dev"}})).await.expect(403).refused("not_permitted");
    run(json!({"changes": changes, "secrets": [at("elsewhere")]})).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}
