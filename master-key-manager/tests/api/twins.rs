//! Names that look like each other, or begin with each other: refused, or names of their own, and never the same thing.

use actix_web::http::Method;
use manager_api::name::{SecretPath, TagKey, TagValue};
use manager_api::tags::Tags;
use manager_policy::PathPattern;
use master_key_manager::access::Caller;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Answer, Installed, Manager, Principal, now, permission};

/// Twins of a word: in another case, with white or invisible characters, of other alphabets, longer, and cut.
fn twins(word: &str) -> Vec<String> {
    let (first, rest) = word.split_at(1);
    let wide = char::from_u32(0xff00 + u32::from(word.as_bytes()[0]) - 0x20).unwrap();
    vec![
        word.to_uppercase(),
        format!("{}{rest}", first.to_uppercase()),
        format!("{word} "),
        format!(" {word}"),
        format!("{word}."),
        format!("{word}-admin"),
        format!("{word}2"),
        format!("{word}\u{200b}"),
        format!("{word}\u{ad}"),
        format!("\u{feff}{word}"),
        format!("\u{202e}{word}"),
        format!("{wide}{rest}"),
        format!("{first}\u{301}{rest}"),
        format!("{word}\u{a0}"),
        format!("{word}\0"),
        format!("{word}\n"),
        format!("{word}%00"),
        format!("{first}%{rest}"),
        format!("{word}/"),
        format!("{word}\\"),
        rest.to_owned(),
    ]
}

/// Those that were accepted, and what was made of each.
type Made = Vec<(String, String)>;

/// Makes a thing for each name: a new one, or a refusal of the name.
async fn make(manager: &Manager, path: &str, member: &str, body: impl Fn(&str) -> Value, words: &[&str]) -> Made {
    let mut made = Made::new();
    for word in words {
        made.push(((*word).to_owned(), manager.post(path, body(word)).await.expect(201).member(member)));
        for twin in twins(word) {
            let answer = manager.post(path, body(&twin)).await;
            match answer.status.as_u16() {
                201 => made.push((twin, answer.member(member))),
                400 => drop(answer.refused("name_invalid")),
                other => panic!("{twin:?}: {other} {}", answer.text),
            }
        }
    }
    let mut ids: Vec<&String> = made.iter().map(|(_, id)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), made.len(), "two names of one thing");
    made
}

async fn paths_of(manager: &Manager, who: &Principal) -> Vec<String> {
    let list = manager.by(who, Method::GET, "/api/secrets?limit=500", None).await.expect(200).json();
    let path = |one: &Value| one["path"].as_str().unwrap().to_owned();
    list["secrets"].as_array().unwrap().iter().map(path).collect()
}

#[actix_web::test]
async fn twins_of_names_are_never_the_same_thing() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;

    // Environments, services and groups: plain letters, so that few twins are names at all.
    let name = |word: &str| json!({"name": word});
    let environments = make(&manager, "/api/environments", "environment_id", name, &["lab"]).await;
    let names: Vec<&str> = environments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["lab", "lab-admin", "lab2", "ab"]);
    for kind in [("/api/services", "service_id"), ("/api/groups", "group_id")] {
        let made = make(&manager, kind.0, kind.1, name, &["root"]).await;
        let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["root", "root.", "root-admin", "root2", "oot"]);
        for (name, id) in made {
            manager.post(kind.0, json!({ "name": name })).await.expect(409);
            if kind.1 == "service_id" {
                let token = json!({"service_name": name, "expires_in": "1h"});
                let answer = manager.post("/tokens", token).await.expect(201);
                assert_eq!([answer.member("service_id"), answer.member("service_name")], [id, name]);
            }
        }
    }
    for twin in twins("root").iter().filter(|twin| !["root.", "root-admin", "root2", "oot"].contains(&twin.as_str())) {
        let answer = manager.post("/tokens", json!({"service_name": twin, "expires_in": "1h"})).await;
        answer.expect(400).refused("name_invalid");
        let body = json!({"user_id": "u", "key_data": "x", "path": "p", "environment": twin});
        manager.post("/api/keys", body).await.expect(400).refused("name_invalid");
    }

    // Paths: many are names of their own. Each is seen and read by whom its own pattern names, and by nobody else.
    let store =
        |path: &str| json!({"user_id": "u", "key_data": "x", "path": path, "environment": "dev", "token": false});
    let mut made = make(&manager, "/api/keys", "key_id", store, &["prod"]).await;
    let below = |word: &str| store(&format!("prod/{word}"));
    let folder = make(&manager, "/api/keys", "key_id", below, &["app"]).await;
    made.extend(folder.into_iter().map(|(word, id)| (format!("prod/{word}"), id)));
    let under = manager.post("/api/keys", store("prod/app/x")).await.expect(201).member("key_id");
    made.push(("prod/app/x".to_owned(), under));
    assert!(made.len() > 20, "{made:?}");
    for (number, (path, id)) in made.iter().enumerate() {
        let reader = manager.service(&format!("reader-{number}")).await;
        let pattern = PathPattern::exact(&SecretPath::parse(path.as_str()).unwrap()).to_string();
        manager.permit(&reader.id(), "allow", &["list", "read"], &pattern).await;
        assert_eq!(paths_of(&manager, &reader).await, [path.as_str()], "{path:?}");
        for (other, other_id) in made.iter().filter(|(other, _)| other == path || other.starts_with("prod/app")) {
            assert_eq!(manager.mints(&reader, other_id).await, id == other_id, "{path:?} and {other:?}");
        }
        // The same name in another environment is another secret.
        let elsewhere = json!({"user_id": "u", "key_data": "x", "path": path, "environment": "lab", "token": false});
        let elsewhere = manager.post("/api/keys", elsewhere).await.expect(201).member("key_id");
        assert!(elsewhere != *id && !manager.mints(&reader, &elsewhere).await);
    }
    for (pattern, expected) in [("prod/app/**", &["prod/app/x"][..]), ("prod/*/x", &["prod/app/x"])] {
        let reader = manager.service(&format!("folder-{}", expected.len() + pattern.len())).await;
        manager.permit(&reader.id(), "allow", &["list"], pattern).await;
        assert_eq!(paths_of(&manager, &reader).await, expected, "{pattern}");
    }
    manager.stop().await;
}

/// A condition of the policy holds for the very tag that it names.
#[actix_web::test]
async fn twins_of_tags_fulfil_no_condition() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let reader = manager.service("reader").await;
    let mut body = permission(&reader.id(), "allow", &["list"], "**");
    body["tags"] = json!({"team": "app"});
    manager.post("/api/permissions", body.clone()).await.expect(201);
    let view = manager.app.registry.now().await.unwrap();
    let actor = view.state.actor(reader.credential, now()).unwrap();
    let visible = Caller::new(actor, &view, now()).visible();
    let (environment, path) = (manager.environment("dev"), SecretPath::parse("p").unwrap());
    let shows = |key: &str, value: &str| {
        let tag = (TagKey::parse(key).ok()?, TagValue::parse(value).ok()?);
        Some(visible.shows_secret(environment, &path, &Tags::new([tag]).unwrap()))
    };
    assert_eq!(shows("team", "app"), Some(true));
    let (keys, values) = (twins("team"), twins("app"));
    let found: Vec<_> =
        keys.iter().map(|key| shows(key, "app")).chain(values.iter().map(|value| shows("team", value))).collect();
    assert!(found.iter().flatten().count() > 10 && found.contains(&None));
    assert!(!found.contains(&Some(true)), "{found:?}");
    for (key, value) in
        keys.iter().map(|key| (key.as_str(), "app")).chain(values.iter().map(|value| ("team", value.as_str())))
    {
        body["tags"] = json!({ key: value });
        let accepted = TagKey::parse(key).is_ok() && TagValue::parse(value).is_ok();
        let answer = manager.post("/api/permissions", body.clone()).await;
        assert_eq!(answer.status.as_u16(), if accepted { 201 } else { 400 }, "{key:?} {value:?} {}", answer.text);
    }
    manager.stop().await;
}

/// A writer of names without folders finds out by none of them what is in the folders of others.
#[actix_web::test]
async fn a_name_with_dots_tells_nothing_about_the_one_with_slashes() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    manager.store_value("hr/payroll/key", "v").await.expect(201);
    let writer = manager.service("writer").await;
    manager.permit(&writer.id(), "allow", &["list", "read", "write"], "*").await;
    let store = async |path: &str| {
        let body = json!({"environment": "dev", "path": path, "value": "v", "token": false});
        manager.by(&writer, Method::POST, "/api/secrets", Some(body)).await
    };
    let own = store("own").await.expect(201).member("key_id");
    let give = async |path: &str| {
        let body = Some(json!({ "path": path }));
        manager.by(&writer, Method::PATCH, &format!("/api/secrets/{own}"), body).await
    };
    let told = |answer: &Answer| (answer.status.as_u16(), answer.code(), answer.json()["detail"].clone());
    let (taken, free) = ("hr.payroll.key", "hr.payroll.none");
    let by_making = told(&store(taken).await);
    assert_eq!((by_making.0, by_making.1.as_str()), (404, "secret_not_found"));
    assert_eq!(told(&store(free).await), by_making);
    let by_moving = told(&give(taken).await);
    assert_eq!((by_moving.0, by_moving.1.as_str()), (403, "not_permitted"));
    assert_eq!(told(&give(free).await), by_moving);
    for path in [taken, free] {
        let body = json!({"user_id": "u", "key_data": "x", "path": path, "environment": "dev"});
        let answer = manager.by(&writer, Method::POST, "/api/keys", Some(body)).await;
        assert_eq!(told(&answer), by_making, "{path}");
    }
    // Whoever lists that folder knows it anyway, and still makes no twin.
    manager.permit(&writer.id(), "allow", &["list"], "hr/**").await;
    store(taken).await.expect(409).refused("already_exists");
    give(taken).await.expect(409).refused("already_exists");
    store(free).await.expect(201);
    // A denial by a tag, which only a secret that is there can have, makes no difference.
    let mut denial = permission(&writer.id(), "deny", &["list"], "hr/**");
    denial["tags"] = json!({"level": "high"});
    manager.post("/api/permissions", denial).await.expect(201);
    assert_eq!(told(&store(taken).await), by_making);
    assert_eq!(told(&store("hr.payroll.other").await), by_making);
    manager.stop().await;
}
