//! The life of a secret's versions over HTTP: written, read by stage, compared, noted, rolled back, destroyed.

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::id::SecretId;

use crate::places::{ask, plant, service};
use crate::support::{Answer, Installed, Manager, Principal};

/// A manager with a secret in `app/db` that has one version.
pub(crate) struct One {
    pub(crate) installed: Installed,
    pub(crate) manager: Manager,
    pub(crate) secret: String,
}

impl One {
    pub(crate) async fn new(retention: Option<Value>) -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let mut body = json!({"environment": "dev", "path": "app/db", "value": "v1", "token": false});
        if let Some(retention) = retention {
            body["retention"] = retention;
        }
        let secret = manager.post("/api/secrets", body).await.expect(201).member("key_id");
        Self { installed, manager, secret }
    }

    fn at(&self, rest: &str) -> String {
        format!("/api/secrets/{}{rest}", self.secret)
    }

    pub(crate) async fn write(&self, body: Value) -> Answer {
        self.manager.post(&self.at("/versions"), body).await
    }

    /// Writes versions until there are so many.
    pub(crate) async fn up_to(&self, last: u64) {
        for number in 2..=last {
            let body = json!({"value": format!("v{number}"), "token": false});
            assert_eq!(self.write(body).await.expect(201).json()["version"], number);
        }
    }

    async fn get(&self, rest: &str) -> Answer {
        self.manager.admin(Method::GET, &self.at(rest), None).await
    }

    async fn patch(&self, number: u64, body: Value) -> Answer {
        self.manager.admin(Method::PATCH, &self.at(&format!("/versions/{number}")), Some(body)).await
    }

    /// Number and state of each version, and its stages, the newest first.
    pub(crate) async fn states(&self) -> Vec<String> {
        let history = self.get("/versions").await.expect(200).json();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let line = |version: &Value| {
            let stages: Vec<String> = version["stages"].as_array().unwrap().iter().map(word).collect();
            format!("{} {} {}", version["version"], word(&version["state"]), stages.join(" ")).trim_end().to_owned()
        };
        history["versions"].as_array().unwrap().iter().map(line).collect()
    }

    /// The value that a new token for a stage or a number opens.
    async fn value(&self, wanted: Value) -> Option<String> {
        let mut body = wanted;
        body["key_id"] = json!(self.secret);
        let answer = self.manager.post("/api/tokens", json!({"secrets": [body]})).await;
        if answer.status == 404 {
            return None;
        }
        let token = answer.expect(201).member("access_token");
        Some(String::from_utf8(self.installed.vault.open(&token)[0].expose().to_vec()).unwrap())
    }

    async fn staged(&self) -> [Option<String>; 3] {
        let stage = async |name: &str| self.value(json!({"stage": name})).await;
        [stage("current").await, stage("previous").await, stage("pending").await]
    }
}

fn texts<const N: usize>(values: [&str; N]) -> [Option<String>; N] {
    values.map(|value| Some(value.to_owned()).filter(|value| !value.is_empty()))
}

#[actix_web::test]
async fn versions_are_written_staged_compared_rolled_back_and_destroyed() {
    let one = One::new(None).await;
    let second = json!({"value": "v2", "if_version": 1, "note": "turned", "expires_at": 4_102_444_800_u64});
    let written = one.write(second).await.expect(201).json();
    assert_eq!((&written["version"], &written["expires_at"]), (&json!(2), &json!(4_102_444_800_u64)));
    one.write(json!({"value": "x", "if_version": 1})).await.expect(409).refused("version_conflict");
    one.write(json!({"value": "v3", "stage": "pending"})).await.expect(201);
    assert_eq!(one.staged().await, texts(["v2", "v1", "v3"]));
    assert_eq!(one.states().await, ["3 committed pending", "2 committed current", "1 superseded previous"]);

    let shown = one.get("/versions/2").await.expect(200).json();
    let administrator = shown["author"].as_str().unwrap().to_owned();
    let expected = json!({
        "version": 2, "envelope": 2, "state": "committed", "stages": ["current"], "created_at": shown["created_at"],
        "author": administrator, "note": "turned", "expires_at": 4_102_444_800_u64,
    });
    assert_eq!(shown, expected);

    let back =
        one.manager.post(&one.at(":rollback"), json!({"version": 1, "if_version": 2, "note": "bad deploy"})).await;
    assert_eq!(back.expect(201).json()["version"], 4);
    let late = json!({"version": 1, "if_version": 2});
    one.manager.post(&one.at(":rollback"), late).await.expect(409).refused("version_conflict");
    let shown = one.get("/versions/4").await.expect(200).json();
    assert_eq!((&shown["author"], &shown["note"]), (&json!(administrator), &json!("bad deploy")));
    assert_eq!((&shown["envelope"], &shown["stages"]), (&json!(1), &json!(["current"])));
    assert_eq!(one.staged().await, texts(["v1", "v2", "v3"]));

    let diff = one.get("/versions/4:diff?with=1").await.expect(200).json();
    assert_eq!((&diff["differs"], &diff["same_value"]), (&json!(["note"]), &json!(true)));
    let diff = one.get("/versions/2:diff?with=1").await.expect(200).json();
    assert_eq!(diff["differs"], json!(["envelope", "note", "expires_at"]));
    assert_eq!(diff["same_value"], false, "the vault compares their fingerprints");
    assert_eq!((&diff["version"]["version"], &diff["with"]["version"]), (&json!(2), &json!(1)));

    let destroy = async |number: u64| {
        let path = one.at(&format!("/versions/{number}"));
        one.manager.admin(Method::DELETE, &path, None).await.expect(200).json()
    };
    assert_eq!(destroy(1).await, json!({"status": "kept", "sequences": [], "kept": [1]}));
    assert_eq!(destroy(2).await["status"], "destroyed");
    assert_eq!(destroy(2).await["status"], "destroyed", "a repeat is answered in the same way");
    assert_eq!(one.value(json!({"version": 2})).await, None);
    assert_eq!(one.states().await, ["4 committed current", "3 committed pending", "2 destroyed", "1 destroyed"]);
    one.manager.stop().await;
}

#[actix_web::test]
async fn history_is_paged_in_both_orders_and_refuses_others() {
    let one = One::new(None).await;
    one.up_to(5).await;
    let numbers = async |query: &str| {
        let page = one.get(&format!("/versions{query}")).await.expect(200).json();
        let numbers = page["versions"].as_array().unwrap().iter().map(|version| version["version"].as_u64().unwrap());
        (numbers.collect::<Vec<_>>(), page["next"].as_u64())
    };
    assert_eq!(numbers("").await, (vec![5, 4, 3, 2, 1], None));
    assert_eq!(numbers("?limit=2").await, (vec![5, 4], Some(4)));
    assert_eq!(numbers("?limit=2&after=4").await, (vec![3, 2], Some(2)));
    assert_eq!(numbers("?limit=2&after=2").await, (vec![1], None));
    assert_eq!(numbers("?sort=version&limit=3").await, (vec![1, 2, 3], Some(3)));
    assert_eq!(numbers("?sort=version&after=3&limit=3").await, (vec![4, 5], None));
    for wrong in ["?sort=note", "?after=0", "?limit=0", "?x=1", "?after=a"] {
        one.get(&format!("/versions{wrong}")).await.expect(400).refused("parameter_invalid");
    }
    one.get("/versions/1:diff").await.expect(400).refused("parameter_invalid");
    for missing in [
        "/versions/6",
        "/versions/0",
        "/versions/01",
        "/versions/x",
        "/versions/1:diff?with=6",
        "/versions/6:diff?with=1",
    ] {
        one.get(missing).await.expect(404).refused("secret_not_found");
    }
    let unknown = format!("/api/secrets/{}/versions", SecretId::generate());
    one.manager.admin(Method::GET, &unknown, None).await.expect(404).refused("secret_not_found");
    one.manager.stop().await;
}

#[actix_web::test]
async fn notes_change_and_previous_is_moved_and_taken_away() {
    let one = One::new(None).await;
    one.up_to(3).await;
    let changed = one.patch(1, json!({"stage": "previous", "note": "the good one", "if_version": 3})).await;
    let changed = changed.expect(200).json();
    assert_eq!((&changed["stages"], &changed["note"]), (&json!(["previous"]), &json!("the good one")));
    assert_eq!(one.staged().await, texts(["v3", "v1", ""]));
    one.patch(1, json!({"note": "late", "if_version": 2})).await.expect(409).refused("version_conflict");
    assert_eq!(one.patch(1, json!({"note": null, "stage": null})).await.expect(200).json().get("note"), None);
    assert_eq!(one.staged().await, texts(["v3", "", ""]));
    for body in [json!({"stage": "previous"}), json!({"stage": null})] {
        one.patch(3, body).await.expect(409).refused("version_conflict");
    }
    one.write(json!({"value": "v4", "stage": "pending"})).await.expect(201);
    one.patch(4, json!({"stage": "previous"})).await.expect(409).refused("version_conflict");
    one.patch(4, json!({"stage": null})).await.expect(200);
    assert_eq!(one.staged().await, texts(["v3", "", ""]));
    assert_eq!(one.value(json!({"version": 4})).await.as_deref(), Some("v4"), "its number still names it");
    assert_eq!(one.states().await[..2], ["4 superseded", "3 committed current"]);
    one.patch(9, json!({"note": "x"})).await.expect(404).refused("secret_not_found");
    let long = "x".repeat(257);
    one.patch(1, json!({"note": long})).await.expect(400).refused("name_invalid");
    one.patch(1, json!({"stage": "current"})).await.expect(400);
    one.patch(1, json!({"if_version": 3})).await.expect(400).refused("parameter_invalid");
    one.manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    one.patch(1, json!({"note": "x"})).await.expect(409).refused("environment_frozen");
    one.manager.stop().await;
}

/// The answer to a change does not show more than a list.
#[actix_web::test]
async fn a_change_tells_a_writer_who_lists_nothing_its_stages_alone() {
    let one = One::new(None).await;
    one.up_to(3).await;
    let writer = service(&one.manager, "writer", "app/**", &[Action::Write]).await;
    let change = async |number: u64, body: Value| {
        ask(&one.manager, &writer, Method::PATCH, &one.at(&format!("/versions/{number}")), Some(body)).await
    };
    one.patch(1, json!({"note": "for those who list"})).await.expect(200);
    let nothing = json!({"stage": null});
    for (number, stages) in [(1, json!([])), (99, json!([])), (2, json!(["previous"]))] {
        let body = if number == 2 { json!({"note": "mine"}) } else { nothing.clone() };
        let told = change(number, body).await.expect(200).json();
        assert_eq!(told, json!({"version": number, "stages": stages}));
    }
    let told = change(99, json!({"note": "nowhere"})).await.expect(200).json();
    assert_eq!(told, json!({"version": 99, "stages": []}));
    assert_eq!(one.get("/versions/99").await.status, 404, "nothing was made");
    assert_eq!(one.get("/versions/2").await.expect(200).json()["note"], "mine");
    let refused = async |number, body: Value| {
        let answer = change(number, body).await;
        (answer.status.as_u16(), answer.code(), answer.json()["detail"].clone())
    };
    one.manager.admin(Method::DELETE, &one.at("/versions/1"), None).await.expect(200);
    let destroyed = refused(1, json!({"stage": "previous"})).await;
    assert_eq!((destroyed.0, destroyed.1.as_str()), (409, "version_conflict"));
    assert_eq!(refused(99, json!({"stage": "previous"})).await, destroyed);
    let other = json!({"note": "n", "if_version": 1});
    assert_eq!(refused(99, other.clone()).await, refused(2, other).await);
    let shown = one.patch(2, json!({"note": "seen"})).await.expect(200).json();
    assert_eq!((&shown["note"], &shown["state"]), (&json!("seen"), &json!("superseded")));
    one.patch(99, json!({"note": "n"})).await.expect(404).refused("secret_not_found");
    one.manager.stop().await;
}

#[actix_web::test]
async fn each_right_shows_and_changes_what_it_is_for() {
    let one = One::new(None).await;
    one.up_to(2).await;
    one.manager.post(&one.at(":rollback"), json!({"version": 1})).await.expect(201);
    let lister = service(&one.manager, "lister", "app/**", &[Action::List]).await;
    let reader = service(&one.manager, "reader", "app/**", &[Action::List, Action::Read]).await;
    let only_reader = service(&one.manager, "only-reader", "app/**", &[Action::Read]).await;
    let writer = service(&one.manager, "writer", "app/**", &[Action::Write]).await;
    let destroyer = service(&one.manager, "destroyer", "app/**", &[Action::Destroy]).await;
    let elsewhere = service(&one.manager, "elsewhere", "other/**", &ALL).await;
    let staging = Principal::bearer(&one.manager.service("staging").await).to_owned();
    let calls = [
        (Method::GET, "/versions", None),
        (Method::GET, "/versions/1", None),
        (Method::GET, "/versions/3:diff?with=1", None),
        (Method::POST, "/versions", Some(json!({"value": "next", "token": false}))),
        (Method::PATCH, "/versions/1", Some(json!({"note": "n"}))),
        (Method::DELETE, "/versions/2", None),
    ];
    for (credential, allowed) in [
        (&lister, [true, true, true, false, false, false]),
        (&reader, [true, true, true, false, false, false]),
        // What the value refers to is for readers.
        (&only_reader, [false, true, false, false, false, false]),
        (&writer, [false, false, false, true, true, false]),
        (&elsewhere, [false; 6]),
        (&staging, [false; 6]),
        (&destroyer, [false, false, false, false, false, true]),
    ] {
        for ((method, path, body), allowed) in calls.iter().zip(allowed) {
            let answer = ask(&one.manager, credential, method.clone(), &one.at(path), body.clone()).await;
            if allowed {
                assert!(answer.status.is_success(), "{method} {path}: {}", answer.text);
            } else {
                answer.expect(404).refused("secret_not_found");
            }
        }
    }
    let diff = async |credential: &str| {
        let path = one.at("/versions/3:diff?with=1");
        ask(&one.manager, credential, Method::GET, &path, None).await.expect(200).json()
    };
    assert_eq!(diff(&reader).await["same_value"], true);
    assert_eq!(diff(&lister).await.get("same_value"), None, "whether values are the same is for readers");
    one.manager.stop().await;
}

const ALL: [Action; 4] = [Action::List, Action::Read, Action::Write, Action::Destroy];

#[actix_web::test]
async fn repeat_of_a_write_by_either_route_makes_one_version() {
    let one = One::new(None).await;
    let send = async |key: &str, method: Method, path: &str, body: Value| {
        let bearer = format!("Bearer {}", one.manager.credential);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        one.manager.send(method, &one.at(path), &headers, Some(body.to_string())).await
    };
    for (key, method, path) in [("a", Method::POST, "/versions"), ("b", Method::PUT, "")] {
        let body = json!({"value": "next", "token": false});
        let first = send(key, method.clone(), path, body.clone()).await.expect(201).json();
        assert_eq!(send(key, method.clone(), path, body).await.expect(201).json(), first);
        let other = send(key, method, path, json!({"value": "other", "token": false})).await;
        other.expect(422).refused("idempotency_mismatch");
    }
    assert_eq!(one.states().await.len(), 3);
    one.manager.stop().await;
}

/// The races: `SPLITVAULT_RACES`, or a number that takes seconds.
fn races() -> u64 {
    std::env::var("SPLITVAULT_RACES").ok().and_then(|number| number.parse().ok()).unwrap_or(20)
}

#[actix_web::test]
async fn of_two_writers_who_have_seen_the_same_version_one_wins() {
    let one = One::new(None).await;
    let mut seen = 1;
    for race in 0..races() {
        let body = |who: &str| json!({"value": format!("{who}{race}"), "if_version": seen, "token": false});
        let rollback = json!({"version": 1, "if_version": seen});
        let put = async { one.manager.admin(Method::PUT, &one.at(""), Some(body("put"))).await };
        let post = async { one.write(body("post")).await };
        // A rollback is a writer, too.
        let third = async {
            if race % 2 == 0 {
                one.manager.post(&one.at(":rollback"), rollback).await
            } else {
                one.write(body("again")).await
            }
        };
        let mut answers: Vec<std::pin::Pin<Box<dyn Future<Output = Answer> + '_>>> =
            vec![Box::pin(put), Box::pin(post), Box::pin(third)];
        answers.rotate_left(usize::try_from(race % 3).unwrap());
        let answers = join_all(answers).await;
        let (won, lost): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((won.len(), lost.len()), (1, 2), "race {race}");
        for answer in lost {
            answer.expect(409).refused("version_conflict");
        }
        seen = won[0].json()["version"].as_u64().unwrap();
        assert_eq!(one.states().await[0], format!("{seen} committed current"));
    }
    one.manager.stop().await;
}

#[actix_web::test]
async fn a_version_that_was_altered_in_the_database_looks_as_one_that_is_missing() {
    for (case, altered) in [
        ("it points to another envelope", "envelope = 1"),
        ("it never ends", "expires_at = NULL"),
        ("it has another author", "author = 'svc_AAAAAAAAAAAAAAAAAAAAAA'"),
        ("it has another note", "note = 'mine'"),
        ("it is older", "created_at = 1"),
        ("its tag is taken away", "tag = NULL"),
        ("and it points to another envelope", "tag = NULL, envelope = 1, expires_at = NULL, note = 'mine'"),
    ] {
        let one = One::new(None).await;
        one.write(json!({"value": "v2", "note": "n", "expires_at": 4_102_444_800_u64})).await.expect(201);
        one.write(json!({"value": "v3"})).await.expect(201);
        assert_eq!(one.value(json!({"version": 2})).await.as_deref(), Some("v2"), "the control");
        plant(&one.installed, &format!("UPDATE versions SET {altered} WHERE version = 2"));
        assert_eq!(one.value(json!({"version": 2})).await, None, "{case}");
        assert_eq!(one.value(json!({"stage": "previous"})).await, None, "{case}");
        assert_eq!(one.states().await, ["3 committed current", "1 superseded"], "{case}");
        for call in ["/versions/2", "/versions/2:diff?with=1"] {
            one.get(call).await.expect(404).refused("secret_not_found");
        }
        one.patch(2, json!({"note": "x"})).await.expect(404).refused("secret_not_found");
        one.manager.post(&one.at(":rollback"), json!({"version": 2})).await.expect(404).refused("secret_not_found");
        one.manager.stop().await;
    }
}
