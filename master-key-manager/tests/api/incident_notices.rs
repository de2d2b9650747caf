//! Notices of incidents: who is told, of what, and until when.

use actix_web::http::Method;
use manager_api::policy::Action;
use master_key_manager::notifier::Notifier;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use tokio::sync::watch;

use crate::places::{ask, plant, service};
use crate::secret_rotation::made;
use crate::support::{Installed, Manager, now};

/// The notices of a caller: kind, hours and path.
async fn told(manager: &Manager, credential: &str) -> Vec<(String, Option<u64>, String)> {
    let list = ask(manager, credential, Method::GET, "/api/notices", None).await.expect(200).json();
    let text = |notice: &Value, name: &str| notice[name].as_str().unwrap().to_owned();
    let one = |notice: &Value| {
        let (at, hours) = (notice["due_at"].as_u64().unwrap(), notice["deadline_hours"].as_u64());
        let expected = now() + hours.unwrap_or_default() * 3_600;
        assert!((expected - 60..=expected).contains(&at), "{notice}");
        (text(notice, "kind"), hours, text(notice, "path"))
    };
    list["notices"].as_array().unwrap().iter().map(one).collect()
}

fn of(kind: &str, hours: &[Option<u64>]) -> Vec<(String, Option<u64>, String)> {
    hours.iter().map(|hours| (kind.to_owned(), *hours, "app/db".to_owned())).collect()
}

async fn open(manager: &Manager, secret: &str, kind: &str) -> String {
    let body = json!({"kind": kind, "reason": "a reason that only they hear who see the incident"});
    let opened = manager.post(&format!("/api/secrets/{secret}:compromise"), body).await.expect(201).json();
    opened["incident"]["incident_id"].as_str().unwrap().to_owned()
}

async fn change(manager: &Manager, incident: &str, body: Value) {
    manager.admin(Method::PATCH, &format!("/api/incidents/{incident}"), Some(body)).await.expect(200);
}

#[actix_web::test]
async fn owner_and_readers_are_told_of_an_incident_and_of_its_deadlines_until_they_are_met() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "app/db", json!({"never_expires": true})).await;
    let reader = service(&manager, "reader", "app/**", &[Action::List, Action::Read]).await;
    let blind = service(&manager, "blind", "app/**", &[Action::Read]).await;
    let other = service(&manager, "other", "web/**", &[Action::List, Action::Read, Action::Rotate]).await;
    assert!(told(&manager, &reader).await.is_empty());
    let incident = open(&manager, &secret, "compromise").await;
    assert_eq!(told(&manager, &reader).await, of("compromise", &[None, Some(1), Some(24), Some(48)]));
    for credential in [&blind, &other] {
        assert!(told(&manager, credential).await.is_empty(), "what may not be listed is not told");
    }
    let list = ask(&manager, &reader, Method::GET, "/api/notices", None).await.expect(200);
    assert!(!list.text.contains("a reason"), "{}", list.text);

    change(&manager, &incident, json!({"done": ["contain"]})).await;
    assert_eq!(told(&manager, &reader).await.len(), 4, "the other step of the first hour is not done");
    change(&manager, &incident, json!({"done": ["tell", "report"]})).await;
    assert_eq!(told(&manager, &reader).await, of("compromise", &[None, Some(24)]));
    change(&manager, &incident, json!({"done": ["rotate"], "close": true})).await;
    assert!(told(&manager, &reader).await.is_empty());

    open(&manager, &secret, "loss").await;
    open(&manager, &secret, "compromise").await;
    let mut both = told(&manager, &reader).await;
    // One that is opened within the second of the first has the notices of that one.
    both.sort();
    let hours = [None, Some(1), Some(24), Some(48)];
    assert_eq!(both, [of("compromise", &hours), of("loss", &hours)].concat());
    manager.stop().await;
}

#[actix_web::test]
async fn notices_of_incidents_are_of_their_records_whatever_their_table_says() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "app/db", json!({"never_expires": true})).await;
    let innocent = made(&manager, "app/other", json!({"never_expires": true})).await;
    let reader = service(&manager, "reader", "app/**", &[Action::List]).await;
    open(&manager, &secret, "compromise").await;
    let all = of("compromise", &[None, Some(1), Some(24), Some(48)]);
    assert_eq!(told(&manager, &reader).await, all);
    let planted = format!(
        "INSERT INTO notices (number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at)
         SELECT 900, 'loss', secret_id, 1, 0, 0, {0}, {0} FROM secrets WHERE path = 'app/other';",
        now()
    );
    plant(&installed, &planted);
    assert_eq!(told(&manager, &reader).await, all, "{innocent} has no incident");
    // What is taken out of the table is made again.
    plant(&installed, "DELETE FROM notices");
    assert!(told(&manager, &reader).await.is_empty());
    let (_stop, stopped) = watch::channel(false);
    for _ in 0..2 {
        Notifier::new(manager.app.store.clone()).run(now(), &stopped).await.unwrap();
    }
    assert_eq!(told(&manager, &reader).await, all);
    // It moves with its secret.
    let moved = Some(json!({"path": "gone/db"}));
    manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), moved).await.expect(200);
    assert!(told(&manager, &reader).await.is_empty());
    manager.stop().await;
}
