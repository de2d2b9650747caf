//! Former versions of the policy: shown as they were, and put in force again.

use actix_web::http::Method;
use manager_api::id::PermissionId;
use manager_registry::{Change, RecordName};
use rusqlite::Connection;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;

use crate::support::{Installed, Manager};

async fn newest(manager: &Manager) -> u64 {
    manager.app.registry.now().await.unwrap().state.policy_version().unwrap().number
}

async fn versions(manager: &Manager, query: &str) -> Value {
    manager.admin(Method::GET, &format!("/api/policy/versions{query}"), None).await.expect(200).json()
}

async fn former(manager: &Manager, number: u64) -> Value {
    manager.admin(Method::GET, &format!("/api/policy/versions/{number}"), None).await.expect(200).json()
}

async fn restore(manager: &Manager, number: u64) -> Value {
    let path = format!("/api/policy/versions/{number}:restore");
    manager.post(&path, json!({"reason": "as it was"})).await.expect(200).json()
}

#[actix_web::test]
async fn each_change_of_groups_and_lines_is_a_version_with_author_and_reason() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let billing = manager.service("billing").await;
    let before = newest(&manager).await;
    let group = manager.group("team").await;
    manager.join(&group, &billing).await;
    // A principal is no version.
    manager.service("another").await;
    let line = manager.permit(&group, "allow", &["read"], "app/**").await;
    let path = format!("/api/permissions/{line}?reason=no%20longer%20needed");
    manager.admin(Method::DELETE, &path, None).await.expect(200);
    let all = versions(&manager, "").await;
    let all = all["versions"].as_array().unwrap();
    let new: Vec<&Value> = all.iter().filter(|version| version["number"].as_u64().unwrap() > before).collect();
    assert_eq!(new.len(), 4, "{new:?}");
    assert_eq!((&new[0]["reason"], &new[1]["reason"]), (&json!("no longer needed"), &json!("test")));
    assert_eq!(new[0]["author"]["kind"], "caller");
    let deleted = &new[0]["changes"][0];
    assert_eq!((&deleted["kind"], &deleted["line"]["permission_id"]), (&json!("line-deleted"), &json!(line)));
    assert_eq!(new[1]["changes"][0]["kind"], "line-made");
    assert_eq!(new[2]["changes"][0]["joined"], json!([billing.id()]));
    assert_eq!(new[3]["changes"][0]["after"]["name"], "team");
    let (mut walked, mut after) = (Vec::new(), String::new());
    loop {
        let page = versions(&manager, &format!("?limit=2{after}")).await;
        walked.extend(page["versions"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_u64() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(&walked, all);
    let unknown = format!("/api/policy/versions?after={}", before + 900);
    manager.admin(Method::GET, &unknown, None).await.expect(404).refused("policy_version_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn a_former_version_is_shown_as_it_was() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let billing = manager.service("billing").await;
    let group = manager.group("team").await;
    manager.join(&group, &billing).await;
    let line = manager.permit(&group, "allow", &["read"], "app/**").await;
    let number = newest(&manager).await;
    let was = former(&manager, number).await;
    manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
    manager.admin(Method::DELETE, &format!("/api/groups/{group}/members/{}", billing.id()), None).await.expect(200);
    manager.admin(Method::DELETE, &format!("/api/groups/{group}"), None).await.expect(200);
    manager.group("later").await;
    assert_eq!(former(&manager, number).await, was);
    assert_eq!(was["groups"][0]["members"], json!([billing.id()]));
    let lines = was["lines"].as_array().unwrap();
    assert!(lines.iter().any(|known| known["permission_id"] == json!(line)), "{was}");
    let (mut walked, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/policy/versions/{number}?limit=1{after}");
        let page = manager.admin(Method::GET, &path, None).await.expect(200).json();
        walked.extend(page["groups"].as_array().unwrap().iter().chain(page["lines"].as_array().unwrap()).cloned());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let all: Vec<Value> = was["groups"].as_array().unwrap().iter().chain(lines).cloned().collect();
    assert_eq!(walked, all);
    for unknown in ["0", "99", "x", "18446744073709551616"] {
        let answer = manager.admin(Method::GET, &format!("/api/policy/versions/{unknown}"), None).await;
        answer.expect(404).refused("policy_version_not_found");
    }
    let answer = manager.admin(Method::GET, &format!("/api/policy/versions/{number}?after=x"), None).await;
    answer.expect(400).refused("parameter_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn a_restore_makes_lines_and_memberships_what_they_were_and_revokes_what_it_takes_away() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (billing, late) = (manager.service("billing").await, manager.service("late").await);
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let group = manager.group("team").await;
    manager.join(&group, &billing).await;
    let line = manager.permit(&group, "allow", &["read"], "app/**").await;
    let number = newest(&manager).await;
    // A line and a group go, others come.
    manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
    manager.admin(Method::DELETE, &format!("/api/groups/{group}/members/{}", billing.id()), None).await.expect(200);
    manager.admin(Method::DELETE, &format!("/api/groups/{group}"), None).await.expect(200);
    let other = manager.group("other").await;
    manager.join(&other, &late).await;
    manager.permit(&other, "allow", &["read"], "app/**").await;
    let events = installed.vault.applied().len();
    assert_eq!([manager.mints(&billing, &secret).await, manager.mints(&late, &secret).await], [false, true]);
    let done = restore(&manager, number).await;
    assert_eq!((&done["status"], &done["left_out"]), (&json!("revoked"), &json!([])));
    assert_eq!([manager.mints(&billing, &secret).await, manager.mints(&late, &secret).await], [true, false]);
    assert_eq!(installed.vault.applied()[events..], [Event::Credential(late.credential)]);
    // The group that was made since has nobody.
    let other = manager.admin(Method::GET, &format!("/api/groups/{other}"), None).await.expect(200).json();
    assert_eq!(other["member_count"], 0);
    let (was, is) = (former(&manager, number).await, former(&manager, newest(&manager).await).await);
    assert_eq!(was["lines"], is["lines"]);
    // A second one changes nothing.
    let version = newest(&manager).await;
    assert_eq!(restore(&manager, number).await["changes"], 0);
    assert_eq!(newest(&manager).await, version);
    let first = &versions(&manager, "?limit=1").await["versions"][0];
    assert_eq!(first["reason"], "as it was");
    manager.stop().await;
}

#[actix_web::test]
async fn a_restore_gives_nobody_more_than_its_caller_holds_and_keeps_an_administrator() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (clerk, billing) = (manager.service("clerk").await, manager.service("billing").await);
    let first =
        versions(&manager, "").await["versions"].as_array().unwrap().last().unwrap()["number"].as_u64().unwrap();
    let line = manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    let number = newest(&manager).await;
    manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
    let everywhere = json!({
        "party": clerk.id(), "effect": "allow", "actions": ["manage-policy", "manage-identities"], "pattern": "**",
        "reason": "test",
    });
    manager.post("/api/permissions", everywhere).await.expect(201);
    let path = format!("/api/policy/versions/{number}:restore");
    let body = json!({"reason": "r"});
    manager.by(&billing, Method::POST, &path, Some(body.clone())).await.expect(403).refused("not_permitted");
    // Memberships come back, too, so one of the two is not enough, whatever else he holds.
    for action in ["manage-policy", "manage-identities"] {
        let half = manager.service(action).await;
        for actions in [vec![action], vec!["read"]] {
            let all =
                json!({"party": half.id(), "effect": "allow", "actions": actions, "pattern": "**", "reason": "r"});
            manager.post("/api/permissions", all).await.expect(201);
        }
        manager.by(&half, Method::POST, &path, Some(body.clone())).await.expect(403).refused("not_permitted");
    }
    let answer = manager.by(&clerk, Method::POST, &path, Some(body.clone())).await.expect(403);
    assert!(answer.json()["detail"].as_str().unwrap().contains("hands out read"), "{}", answer.text);
    manager.post(&path, json!({})).await.expect(400);
    let unknown = "/api/policy/versions/99:restore";
    manager.post(unknown, body).await.expect(404).refused("policy_version_not_found");
    assert_eq!(restore(&manager, first).await["status"], "revoked");
    manager.stop().await;
}

#[actix_web::test]
async fn a_group_that_comes_back_does_not_take_a_name_from_another_one() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let group = manager.group("team").await;
    let number = newest(&manager).await;
    manager.admin(Method::DELETE, &format!("/api/groups/{group}"), None).await.expect(200);
    let other = manager.group("team").await;
    let path = format!("/api/policy/versions/{number}:restore");
    let answer = manager.post(&path, json!({"reason": "r"})).await.expect(409);
    assert_eq!((answer.code(), answer.json()["id"].clone()), ("already_exists".to_owned(), json!(other)));
    manager.admin(Method::PATCH, &format!("/api/groups/{other}"), Some(json!({"name": "team-2"}))).await.expect(200);
    restore(&manager, number).await;
    let back = manager.admin(Method::GET, &format!("/api/groups/{group}"), None).await.expect(200).json();
    assert_eq!(back["name"], "team");
    manager.stop().await;
}

#[actix_web::test]
async fn principals_that_are_gone_are_left_out_and_named() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let billing = manager.service("billing").await;
    let group = manager.group("team").await;
    manager.join(&group, &billing).await;
    let line = manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    let number = newest(&manager).await;
    let shared_proto::id::Subject::Service(id) = billing.subject else { panic!("a service") };
    let members = format!("/api/groups/{group}/members/{}", billing.id());
    manager.admin(Method::DELETE, &members, None).await.expect(200);
    let gone = [RecordName::from(line.parse::<PermissionId>().unwrap()), billing.credential.into(), id.into()];
    manager.put(gone.into_iter().map(Change::from).collect()).await;
    let done = restore(&manager, number).await;
    assert_eq!((&done["left_out"], &done["changes"]), (&json!([billing.id()]), &json!(0)));
    manager.stop().await;
}

/// An attacker with write access to the database alters, removes or puts in versions.
#[actix_web::test]
async fn a_version_that_was_altered_or_left_out_is_neither_shown_nor_restored() {
    let cases = [
        ("altered", "UPDATE registry_log SET entry = replace(entry, '\"allow\"', '\"deny\"') WHERE number = ?1"),
        ("removed", "DELETE FROM registry_log WHERE number = ?1"),
        (
            "replaced by the one before",
            "UPDATE registry_log SET (entry, tag) = (SELECT entry, tag FROM registry_log WHERE number = ?1 - 1)
             WHERE number = ?1",
        ),
    ];
    for (case, statement) in cases {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let billing = manager.service("billing").await;
        let first = newest(&manager).await;
        manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
        let planted = newest(&manager).await;
        manager.permit(&billing.id(), "allow", &["list"], "app/**").await;
        // The control: it is shown before.
        former(&manager, first).await;
        versions(&manager, "").await;
        let database = Connection::open(installed.config.database()).unwrap();
        assert_eq!(database.execute(statement, [i64::try_from(planted).unwrap()]).unwrap(), 1);
        for path in [format!("/api/policy/versions/{first}"), "/api/policy/versions".to_owned()] {
            let answer = manager.admin(Method::GET, &path, None).await;
            assert_eq!(answer.status, 503, "{case} {path}: {}", answer.text);
        }
        let path = format!("/api/policy/versions/{first}:restore");
        manager.post(&path, json!({"reason": "r"})).await.expect(503).refused("unavailable");
        manager.stop().await;
    }
}
