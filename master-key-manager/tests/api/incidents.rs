//! Incidents: opened with a freeze and revocations, kept step by step, reported, closed; and by whom.

use actix_web::http::Method;
use manager_api::id::IncidentId;
use manager_api::policy::Action;
use manager_registry::Incident;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use crate::places::plant;
use crate::support::{Answer, Installed, Manager, now};

const COMPROMISE: [&str; 4] = ["contain", "tell", "rotate", "report"];
const LOSS: [&str; 5] = ["assess", "recover", "regenerate", "update", "document"];

async fn open(manager: &Manager, credential: &str, secret: &str, body: Value) -> Answer {
    manager.with(credential, Method::POST, &format!("/api/secrets/{secret}:compromise"), Some(body)).await
}

fn id(answer: &Value) -> String {
    answer["incident"]["incident_id"].as_str().unwrap().to_owned()
}

async fn change(manager: &Manager, credential: &str, id: &str, body: Value) -> Answer {
    manager.with(credential, Method::PATCH, &format!("/api/incidents/{id}"), Some(body)).await
}

async fn mint(manager: &Manager, credential: &str, secret: &str) -> Answer {
    manager.with(credential, Method::POST, "/api/tokens", Some(json!({"secrets": [{"key_id": secret}]}))).await
}

#[actix_web::test]
async fn a_frozen_secret_gives_no_token_until_that_is_lifted_and_its_record_ends_with_its_steps() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let event = Event::Secret(secret.parse::<SecretId>().unwrap());
    let reader = manager.service_with("reader", &[Action::List, Action::Read], None).await;
    let keeper = manager.service_with("keeper", &[Action::Rotate], Some(("dev", "app/**"))).await;
    let by = keeper.credential.as_str();
    mint(&manager, &reader.credential, &secret).await.expect(201);
    let body = json!({"kind": "compromise", "reason": "key in a public log", "since": 1000, "freeze": true});
    open(&manager, &reader.credential, &secret, body.clone()).await.expect(404).refused("secret_not_found");
    let future = json!({"kind": "compromise", "reason": "r", "since": 99_999_999_999_u64});
    open(&manager, by, &secret, future).await.expect(400).refused("parameter_invalid");
    assert!(installed.vault.applied().is_empty(), "nothing was done before");

    let opened = open(&manager, by, &secret, body.clone()).await.expect(201).json();
    let incident = &opened["incident"];
    assert_eq!((&opened["status"], &incident["frozen"]), (&json!("revoked"), &json!(true)), "{opened}");
    assert_eq!(installed.vault.applied(), [event], "tokens of before die at once");
    let at = incident["opened_at"].as_u64().unwrap();
    let steps: Vec<(&str, u64)> = incident["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["due_at"].as_u64().unwrap() - at))
        .collect();
    assert_eq!(steps, [("contain", 3_600), ("tell", 3_600), ("rotate", 86_400), ("report", 172_800)]);
    for credential in [&reader.credential, &manager.credential] {
        mint(&manager, credential, &secret).await.expect(409).refused("secret_frozen");
        let by_path = Some(json!({"secrets": [{"environment": "dev", "path": "app/db"}]}));
        manager.with(credential, Method::POST, "/api/tokens", by_path).await.expect(409).refused("secret_frozen");
    }
    let written = manager.store_value("app/db", "w").await.expect(201).json();
    assert!(written.get("access_token").is_none_or(Value::is_null), "it is written, without a token: {written}");
    let same = Some(json!({"value": "w", "skip_unchanged": true}));
    let same = manager.admin(Method::PUT, &format!("/api/secrets/{secret}"), same).await.expect(200).json();
    assert!(
        same["unchanged"] == true && same["token"].is_null(),
        "nor is there one for a value that is the same: {same}"
    );
    open(&manager, by, &secret, body).await.expect(409).refused("already_exists");

    // Another change of the secret leaves it frozen.
    let tags = Some(json!({"tags": {"a": "b"}}));
    manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), tags).await.expect(200);
    mint(&manager, &reader.credential, &secret).await.expect(409).refused("secret_frozen");

    let id = id(&opened);
    change(&manager, &reader.credential, &id, json!({"note": "n"})).await.expect(404).refused("incident_not_found");
    change(&manager, by, &id, json!({})).await.expect(400).refused("parameter_invalid");
    change(&manager, by, &id, json!({"done": ["recover"]})).await.expect(400).refused("parameter_invalid");
    change(&manager, by, &id, json!({"close": true, "lift_freeze": true})).await.expect(400);
    let first =
        change(&manager, by, &id, json!({"done": ["contain"], "note": "keys are off"})).await.expect(200).json();
    assert_eq!(first["incident"]["steps"][0]["done_by"], keeper.subject.to_string());
    assert_eq!(first["incident"]["notes"][0]["note"], "keys are off");
    let again = manager.admin(Method::PATCH, &format!("/api/incidents/{id}"), Some(json!({"done": COMPROMISE}))).await;
    let again = again.expect(200).json();
    assert_eq!(again["incident"]["steps"][0]["done_by"], keeper.subject.to_string(), "who was first stays");
    change(&manager, by, &id, json!({"close": true})).await.expect(400).refused("parameter_invalid");
    mint(&manager, &reader.credential, &secret).await.expect(409).refused("secret_frozen");
    let closed = change(&manager, by, &id, json!({"close": true, "lift_freeze": true})).await.expect(200).json();
    assert_eq!(closed["incident"]["frozen"], false);
    assert_eq!(closed["incident"]["closed_by"], keeper.subject.to_string());
    mint(&manager, &reader.credential, &secret).await.expect(201);
    change(&manager, by, &id, json!({"note": "late"})).await.expect(409).refused("already_exists");
    let list = |query: &str| format!("/api/incidents{query}");
    let seen = manager.with(by, Method::GET, &list("?open=false"), None).await.expect(200).json();
    assert_eq!(seen["incidents"][0]["incident_id"], *id);
    let none = manager.with(by, Method::GET, &list("?open=true"), None).await.expect(200).json();
    assert_eq!(none["incidents"], json!([]));
    let others = manager.with(&reader.credential, Method::GET, &list(""), None).await.expect(200).json();
    assert_eq!(others["incidents"], json!([]));
}

#[actix_web::test]
async fn report_names_readers_tokens_and_uses_to_those_who_read_the_audit() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let owner = manager.service_with("owner", &[Action::Rotate], None).await;
    let body = json!({"environment": "dev", "path": "app/db", "value": "v", "token": false,
        "owner": owner.subject.to_string()});
    let secret = manager.post("/api/secrets", body).await.expect(201).member("key_id");
    manager.store_value("app/other", "v").await.expect(201);
    let reader = manager.service_with("reader", &[Action::List, Action::Read], None).await;
    let auditor = manager.service_with("auditor", &[Action::ReadAudit], Some(("dev", "app/**"))).await;
    let jti = mint(&manager, &reader.credential, &secret).await.expect(201).member("jti");
    let lost = json!({"kind": "loss", "reason": "disk gone"});
    let opened = open(&manager, &owner.credential, &secret, lost).await.expect(201).json();
    assert_eq!(
        (&opened["sequences"], &opened["incident"]["frozen"]),
        (&json!([]), &json!(false)),
        "a loss revokes nothing"
    );
    let steps = opened["incident"]["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|step| step["step"].as_str().unwrap()).collect::<Vec<_>>(), LOSS);
    let path = format!("/api/incidents/{}/report", id(&opened));
    for credential in [&owner.credential, &reader.credential] {
        manager.with(credential, Method::GET, &path, None).await.expect(404).refused("incident_not_found");
    }
    let report = manager.with(&auditor.credential, Method::GET, &path, None).await.expect(200).json();
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["principal"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names(&report["could_read"]).contains(&reader.subject.to_string()), "{report}");
    assert!(!names(&report["could_read"]).contains(&owner.subject.to_string()), "{report}");
    assert_eq!(names(&report["uses"]), [reader.subject.to_string()]);
    assert_eq!(report["owner"], owner.subject.to_string());
    let tokens = report["tokens"].as_array().unwrap();
    assert_eq!((tokens.len(), &tokens[0]["jti"], &tokens[0]["revoked"]), (1, &json!(jti), &json!(false)));
    open(&manager, &owner.credential, &secret, json!({"kind": "compromise", "reason": "r"})).await.expect(201);
    let report = manager.with(&auditor.credential, Method::GET, &path, None).await.expect(200).json();
    assert_eq!((&report["tokens"][0]["revoked"], &report["more_tokens"]), (&json!(true), &json!(false)), "{report}");
}

#[actix_web::test]
async fn whoever_opens_and_closes_without_end_removes_his_own_records_and_keeps_nobody_from_opening_one() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let flooder = manager.service("flooder").await;
    let body = json!({"kind": "loss", "reason": "r"});
    let opened = open(&manager, &manager.credential, &secret, body.clone()).await.expect(201).json();
    let own: IncidentId = id(&opened).parse().unwrap();
    let view = manager.app.registry.now().await.unwrap();
    let record = view.state.incident(own).unwrap().clone();
    let closed = |opened_by| Incident {
        incident_id: IncidentId::generate(),
        secret_id: SecretId::generate(),
        opened_by,
        closed_by: opened_by,
        closed_at: Some(now()),
        ..record.clone()
    };
    manager.put(vec![Incident { closed_at: Some(1), closed_by: record.opened_by, ..record.clone() }.into()]).await;
    for _ in 0..8 {
        manager.put((0..250).map(|_| closed(Some(flooder.subject)).into()).collect()).await;
    }
    open(&manager, &manager.credential, &secret, body).await.expect(201);
    let view = manager.app.registry.now().await.unwrap();
    assert!(view.state.incident(own).is_some(), "the oldest record of somebody else stays");
    assert_eq!(view.state.incidents().filter(|one| one.opened_by == Some(flooder.subject)).count(), 1_999);
    manager.stop().await;
}

#[actix_web::test]
async fn a_writer_of_the_database_lifts_no_freeze() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    plant(&installed, "CREATE TABLE kept AS SELECT path, rules, tag, number FROM secrets;");
    let body = json!({"kind": "compromise", "reason": "r", "freeze": true});
    open(&manager, &manager.credential, &secret, body).await.expect(201);
    mint(&manager, &manager.credential, &secret).await.expect(409).refused("secret_frozen");
    plant(&installed, "CREATE TABLE frozen AS SELECT rules FROM secrets; UPDATE secrets SET rules = '';");
    mint(&manager, &manager.credential, &secret).await.expect(404);
    // The whole row of before, with its tag.
    let back = "UPDATE secrets SET rules = (SELECT rules FROM kept), tag = (SELECT tag FROM kept),
                number = (SELECT number FROM kept);";
    plant(&installed, back);
    mint(&manager, &manager.credential, &secret).await.expect(404);
}
