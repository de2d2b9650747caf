//! References in values: what is recorded with a version is what its author could read when he wrote.

use actix_web::http::Method;
use manager_api::policy::Action::{self, List, Read, Rotate, Write};
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::places::{ask, plant, service};
use crate::support::{Installed, Manager};

/// A value with a reference to each of these paths.
fn value(paths: &[&str]) -> String {
    json!(paths.iter().map(|path| format!("sv://dev/{path}")).collect::<Vec<_>>()).to_string()
}

fn new(path: &str, value: &str) -> Value {
    json!({"environment": "dev", "path": path, "kind": "json", "value": value, "token": false})
}

async fn made(manager: &Manager, who: &str, path: &str, value: &str) -> String {
    ask(manager, who, Method::POST, "/api/secrets", Some(new(path, value))).await.expect(201).member("key_id")
}

/// The recorded references of a version, by their paths.
async fn recorded(manager: &Manager, who: &str, secret: &str, version: u64) -> Vec<String> {
    let path = format!("/api/secrets/{secret}/versions/{version}");
    let shown = ask(manager, who, Method::GET, &path, None).await.expect(200).json();
    let path = |one: &Value| one["path"].as_str().unwrap().to_owned();
    shown["references"].as_array().map(|all| all.iter().map(path).collect()).unwrap_or_default()
}

async fn patch(manager: &Manager, secret: &str, body: Value) {
    manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), Some(body)).await.expect(200);
}

const AUTHOR: [Action; 4] = [List, Read, Write, Rotate];

/// A manager with `open/target` and `closed/root`, its administrator, and an author who may read the former only.
async fn with_a_target(installed: &Installed) -> (Manager, String, String) {
    let manager = installed.start().await;
    let admin = manager.credential.clone();
    for path in ["open/target", "closed/root"] {
        made(&manager, &admin, path, "1").await;
    }
    let author = service(&manager, "author", "open/**", &AUTHOR).await;
    (manager, admin, author)
}

#[actix_web::test]
async fn a_reference_that_its_author_could_not_read_is_not_recorded_for_a_reader_with_more_rights() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let admin = manager.credential.clone();
    for path in ["open/target", "open/guarded", "open/deleted", "closed/root", "open.dotted"] {
        made(&manager, &admin, path, "1").await;
    }
    let named = async |path: &str| {
        let list = manager.admin(Method::GET, &format!("/api/secrets?path={path}"), None).await.expect(200).json();
        list["secrets"][0]["key_id"].as_str().unwrap().to_owned()
    };
    let deleted = format!("/api/secrets/{}", named("open/deleted").await);
    manager.admin(Method::DELETE, &deleted, None).await.expect(200);
    patch(&manager, &named("open/guarded").await, json!({"requires_approval": true})).await;
    let author = service(&manager, "author", "open/**", &AUTHOR).await;
    let all = ["open/target", "closed/root", "closed/nothing", "open/guarded", "open/deleted", "open/dotted"];
    let planted = made(&manager, &author, "open/planted", &value(&all)).await;
    for who in [&author, &admin] {
        assert_eq!(recorded(&manager, who, &planted, 1).await, ["open/target"]);
    }
    let own = made(&manager, &admin, "open/own", &value(&all)).await;
    let mut by_admin = recorded(&manager, &admin, &own, 1).await;
    by_admin.sort();
    assert_eq!(by_admin, ["closed/root", "open.dotted", "open/target"]);
    // Somebody sees those alone that he may read himself.
    assert_eq!(recorded(&manager, &author, &own, 1).await, ["open/target"]);
    // Forbidden, unknown and in an unknown environment are the same to the author.
    let mut answers = Vec::new();
    for (number, target) in ["sv://dev/closed/root", "sv://dev/closed/nothing", "sv://nowhere/a"].iter().enumerate() {
        let body = new(&format!("open/tried-{number}"), &json!([target]).to_string());
        let answer = ask(&manager, &author, Method::POST, "/api/secrets", Some(body)).await.expect(201).json();
        let secret = answer["key_id"].as_str().unwrap();
        assert!(recorded(&manager, &author, secret, 1).await.is_empty());
        let mut members: Vec<String> = answer.as_object().unwrap().keys().cloned().collect();
        members.sort();
        answers.push(members);
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
    manager.stop().await;
}

#[actix_web::test]
async fn a_path_that_was_given_to_another_secret_is_not_what_was_recorded() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let admin = manager.credential.clone();
    let former = made(&manager, &admin, "open/target", "1").await;
    let author = service(&manager, "author", "open/**", &AUTHOR).await;
    let secret = made(&manager, &author, "open/planted", &value(&["open/target"])).await;
    patch(&manager, &former, json!({"path": "closed/moved"})).await;
    made(&manager, &admin, "open/target", "2").await;
    assert_eq!(recorded(&manager, &admin, &secret, 1).await, ["closed/moved"]);
    assert!(recorded(&manager, &author, &secret, 1).await.is_empty());
    manager.stop().await;
}

#[actix_web::test]
async fn a_version_of_a_rollback_has_what_both_authors_could_read() {
    let installed = Installed::new(Mode::Production).await;
    let (manager, admin, author) = with_a_target(&installed).await;
    let secret = made(&manager, &admin, "open/own", &value(&["open/target", "closed/root"])).await;
    let back = async |who: &str, version: u64| {
        let path = format!("/api/secrets/{secret}:rollback");
        let done = ask(&manager, who, Method::POST, &path, Some(json!({"version": version}))).await.expect(201);
        done.json()["version"].as_u64().unwrap()
    };
    let narrow = back(&author, 1).await;
    assert_eq!(recorded(&manager, &admin, &secret, narrow).await, ["open/target"]);
    let again = back(&admin, narrow).await;
    assert_eq!(recorded(&manager, &admin, &secret, again).await, ["open/target"], "what was lost does not come back");
    let whole = back(&admin, 1).await;
    assert_eq!(recorded(&manager, &admin, &secret, whole).await.len(), 2);
    manager.stop().await;
}

#[actix_web::test]
async fn every_way_to_write_records_references() {
    let installed = Installed::new(Mode::Production).await;
    let (manager, admin, author) = with_a_target(&installed).await;
    let both = value(&["open/target", "closed/root"]);
    let secret = made(&manager, &author, "open/own", "1").await;
    let at = format!("/api/secrets/{secret}");
    let body = json!({"value": both, "token": false});
    ask(&manager, &author, Method::PUT, &at, Some(body.clone())).await.expect(201);
    let bulk = json!({"operations": [{"write": {"key_id": secret, "body": body}}]});
    ask(&manager, &author, Method::POST, "/api/secrets:bulk", Some(bulk)).await.expect(200);
    let rotate = json!({"value": both, "activate": true});
    ask(&manager, &author, Method::POST, &format!("{at}:rotate"), Some(rotate)).await.expect(201);
    for version in 2..=4 {
        assert_eq!(recorded(&manager, &admin, &secret, version).await, ["open/target"], "{version}");
    }
    let document = "one=sv://dev/open/target\ntwo=sv://dev/closed/root\n";
    let import = json!({"format": "dotenv", "document": document, "environment": "dev", "folder": "open/import"});
    let done = ask(&manager, &author, Method::POST, "/api/secrets:import", Some(import)).await.expect(200).json();
    let named =
        |number: usize| done["secrets"][number]["key_id"].as_str().unwrap_or_else(|| panic!("{done}")).to_owned();
    assert_eq!(recorded(&manager, &admin, &named(0), 1).await, ["open/target"]);
    assert!(recorded(&manager, &admin, &named(1), 1).await.is_empty());
    manager.stop().await;
}

#[actix_web::test]
async fn a_record_that_somebody_wrote_into_the_database_counts_for_nothing() {
    let installed = Installed::new(Mode::Production).await;
    let (manager, admin, author) = with_a_target(&installed).await;
    let both = value(&["open/target", "closed/root"]);
    made(&manager, &admin, "open/own", &both).await;
    let planted = made(&manager, &author, "open/planted", &both).await;
    let of = "(SELECT secret_id FROM secrets WHERE path = 'open/own')";
    let at = "secret_id = (SELECT secret_id FROM secrets WHERE path = 'open/planted')";
    for columns in ["targets", "targets_tag", "targets, targets_tag"] {
        let set: Vec<String> = columns
            .split(", ")
            .map(|column| format!("{column} = (SELECT {column} FROM versions WHERE secret_id = {of})"))
            .collect();
        let keep = format!("CREATE TABLE kept AS SELECT targets, targets_tag FROM versions WHERE {at};");
        plant(&installed, &format!("{keep} UPDATE versions SET {} WHERE {at};", set.join(", ")));
        assert!(recorded(&manager, &admin, &planted, 1).await.is_empty(), "{columns}");
        let back = "targets = (SELECT targets FROM kept), targets_tag = (SELECT targets_tag FROM kept)";
        plant(&installed, &format!("UPDATE versions SET {back} WHERE {at}; DROP TABLE kept;"));
        assert_eq!(recorded(&manager, &admin, &planted, 1).await, ["open/target"], "{columns}");
    }
    let other = format!("digest = (SELECT digest FROM envelopes WHERE secret_id = {of})");
    plant(&installed, &format!("UPDATE envelopes SET {other} WHERE {at}"));
    assert!(recorded(&manager, &admin, &planted, 1).await.is_empty(), "another value");
    manager.stop().await;
}

#[actix_web::test]
async fn values_with_references_out_of_form_or_too_many_are_refused_and_not_repeated() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let many = |count: usize| {
        value(
            &(0..count)
                .map(|number| format!("a/{number}"))
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        )
    };
    for (path, wrong) in [("a", r#"["sv://hunter2"]"#.to_owned()), ("b", many(65))] {
        let refused = manager.post("/api/secrets", new(path, &wrong)).await.expect(400);
        assert!(!refused.refused("value_invalid").json().to_string().contains("hunter2"));
    }
    manager.post("/api/secrets", new("c", &many(64))).await.expect(201);
    // Values of other kinds hold none.
    let mut password = new("d", "sv://hunter2");
    password["kind"] = json!("password");
    manager.post("/api/secrets", password).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn references_are_for_those_who_may_read_and_notes_for_those_who_may_list() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let admin = manager.credential.clone();
    made(&manager, &admin, "open/target", "1").await;
    let mut body = new("open/own", &value(&["open/target"]));
    body["note"] = json!("why");
    let secret = manager.post("/api/secrets", body).await.expect(201).member("key_id");
    let path = format!("/api/secrets/{secret}/versions/1");
    let lister = service(&manager, "lister", "open/**", &[List]).await;
    let seen = ask(&manager, &lister, Method::GET, &path, None).await.expect(200).json();
    assert_eq!((&seen["note"], seen.get("references")), (&json!("why"), None));
    let reader = service(&manager, "reader", "open/**", &[Read]).await;
    let seen = ask(&manager, &reader, Method::GET, &path, None).await.expect(200).json();
    assert_eq!((seen.get("note"), seen.get("author")), (None, None));
    assert_eq!(seen["references"][0]["path"], "open/target");
    let writer = service(&manager, "writer", "open/**", &[Write]).await;
    ask(&manager, &writer, Method::GET, &path, None).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}
