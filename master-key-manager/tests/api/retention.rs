//! Rules of retention, carried out beside requests.

use actix_web::http::Method;
use manager_api::policy::Action;
use manager_store::EnvironmentChange;
use serde_json::{Value, json};
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::event::Event;

use crate::environments::another_process;
use crate::places::{ask, plant, service};
use crate::support::{StoreMood, until};
use crate::versions::One;

const DAY: u64 = 24 * 60 * 60;

impl One {
    async fn set(&self, retention: Value) -> crate::support::Answer {
        let body = json!({"retention": retention});
        self.manager.admin(Method::PATCH, &format!("/api/secrets/{}", self.secret), Some(body)).await
    }

    /// A round of maintenance, days from now.
    async fn round(&self, days: u64) {
        let now = SystemClock.now() + days * DAY;
        let mut after = None;
        self.manager.app.retention().round(&mut after, now, || false).await.unwrap();
        assert_eq!(after, None, "the round came to the end");
    }

    /// The versions whose envelope the vault was told to erase.
    fn erased(&self) -> Vec<u64> {
        let events = self.installed.vault.applied().into_iter();
        let number = |event| if let Event::Destroy(_, _, version) = event { Some(version.get()) } else { None };
        let numbers = events.filter_map(number);
        numbers.collect()
    }

    /// The lines of maintenance, which are on the disk before it acts.
    fn retired(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.installed.config.audit_log()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["action"] == "version.retire").collect()
    }
}

#[actix_web::test]
async fn maintenance_keeps_the_newest_versions_and_those_with_a_stage() {
    let one = One::new(None).await;
    one.up_to(4).await;
    let version = format!("/api/secrets/{}/versions/1", one.secret);
    one.manager.admin(Method::PATCH, &version, Some(json!({"stage": "previous"}))).await.expect(200);
    for number in [5, 6, 7] {
        let body = json!({"value": format!("v{number}"), "stage": "pending", "token": false});
        one.write(body).await.expect(201);
    }
    one.set(json!({"versions": 3})).await.expect(200);
    one.manager.clock.pass(601);
    until("maintenance destroys them", async || one.erased().len() == 2).await;
    let expected = [
        "7 committed pending",
        "6 superseded",
        "5 superseded",
        "4 committed current",
        "3 destroyed",
        "2 destroyed",
        "1 superseded previous",
    ];
    assert_eq!(one.states().await, expected);
    one.manager.stop().await;
}

#[actix_web::test]
async fn versions_end_some_days_after_they_were_replaced_and_the_newest_never() {
    let one = One::new(Some(json!({"days": 30}))).await;
    one.up_to(4).await;
    one.round(29).await;
    assert_eq!(one.states().await.len(), 4);
    assert_eq!(one.retired().len(), 0);
    one.round(31).await;
    let expected = ["4 committed current", "3 superseded previous", "2 destroyed", "1 destroyed"];
    assert_eq!(one.states().await, expected);
    until("the vault has erased them", async || one.erased() == [2, 1]).await;
    let lines = one.retired();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["key_id"], &lines[0]["key_path"]), (&json!(one.secret), &json!("app/db")));
    assert_eq!(lines[0].get("sub"), None, "nobody asked for it");
    one.round(9_999).await;
    assert_eq!(one.states().await, expected);
    one.manager.stop().await;
}

#[actix_web::test]
async fn a_rule_is_shown_changed_and_removed_and_has_bounds() {
    let one = One::new(None).await;
    one.up_to(4).await;
    let shown = async || one.manager.admin(Method::GET, &format!("/api/secrets/{}", one.secret), None).await.json();
    assert_eq!(shown().await.get("retention"), None);
    for wrong in [json!({}), json!({"versions": 0}), json!({"versions": 1001}), json!({"days": 3651}), json!({"x": 1})]
    {
        one.set(wrong).await.expect(400);
    }
    one.set(json!({"versions": 2, "days": 7})).await.expect(200);
    assert_eq!(shown().await["retention"], json!({"versions": 2, "days": 7}));
    one.set(Value::Null).await.expect(200);
    assert_eq!(shown().await.get("retention"), None);
    one.round(9_999).await;
    assert_eq!(one.erased(), [0; 0]);
    one.set(json!({"versions": 2})).await.expect(200);
    one.manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    one.round(0).await;
    assert_eq!(one.states().await[3], "1 superseded", "nothing happens in a frozen environment");
    one.manager.admin(Method::POST, "/api/environments/dev:unfreeze", None).await.expect(200);
    let approved = async |needed: bool| {
        let body = Some(json!({"destroy_needs_approval": needed}));
        one.manager.admin(Method::PATCH, "/api/environments/dev", body).await.expect(200);
    };
    approved(true).await;
    one.round(0).await;
    assert_eq!(one.states().await[3], "1 superseded", "nor where a second administrator approves what is destroyed");
    approved(false).await;
    one.round(0).await;
    assert_eq!(one.states().await[2..], ["2 destroyed", "1 destroyed"]);
    one.manager.stop().await;
}

#[actix_web::test]
async fn whoever_may_not_destroy_makes_no_rule_harder() {
    let one = One::new(Some(json!({"versions": 9}))).await;
    let writer = service(&one.manager, "writer", "app/**", &[Action::Write]).await;
    let both = service(&one.manager, "both", "app/**", &[Action::Write, Action::Destroy]).await;
    let set = async |credential: &str, body: Value| {
        ask(&one.manager, credential, Method::PATCH, &format!("/api/secrets/{}", one.secret), Some(body)).await
    };
    let harder = json!({"retention": {"versions": 8}});
    set(&writer, harder.clone()).await.expect(403).refused("not_permitted");
    let moved = json!({"retention": {"versions": 9, "days": 1}, "path": "app/moved"});
    set(&writer, moved).await.expect(403).refused("not_permitted");
    set(&both, harder.clone()).await.expect(200);
    set(&writer, harder.clone()).await.expect(200);
    set(&writer, json!({"retention": {"versions": 20}})).await.expect(200);
    set(&writer, json!({"retention": null})).await.expect(200);
    set(&writer, harder).await.expect(403).refused("not_permitted");
    one.manager.stop().await;
}

/// Each of them would destroy versions if rows were believed.
#[actix_web::test]
async fn a_rule_or_rows_that_somebody_planted_destroy_nothing() {
    let planted = r#"{"retention":{"versions":1}}"#;
    // What a former rule of its own said, with the tag of then.
    let former = "UPDATE secrets SET has_retention = 1, (number, since, rules, tag) = (SELECT number, since, rules, tag FROM former)";
    for (case, retention, statements) in [
        ("a rule of his own", None, format!("UPDATE secrets SET rules = '{planted}', has_retention = 1")),
        (
            "a rule with a tag of something else",
            Some(json!({"versions": 900})),
            format!("UPDATE secrets SET rules = '{planted}'"),
        ),
        (
            "versions that look newer",
            Some(json!({"versions": 4})),
            "INSERT INTO versions (secret_id, version, envelope, state, created_at, tag)
             SELECT secret_id, version + 10, envelope, state, created_at, tag FROM versions;
             INSERT INTO versions (secret_id, version, envelope, state, created_at)
             SELECT secret_id, version + 20, envelope, state, created_at FROM versions"
                .to_owned(),
        ),
        ("versions that look older", Some(json!({"days": 30})), "UPDATE versions SET created_at = 1".to_owned()),
        (
            "versions that look older, without tags",
            Some(json!({"days": 30})),
            "UPDATE versions SET created_at = 1, tag = NULL".to_owned(),
        ),
        (
            "a version that points to an envelope that is kept",
            Some(json!({"versions": 4})),
            "UPDATE versions SET envelope = 3, tag = NULL WHERE version = 4".to_owned(),
        ),
        ("the rule of before", Some(json!({"versions": 1})), former.to_owned()),
    ] {
        let one = One::new(retention).await;
        one.up_to(4).await;
        plant(&one.installed, "CREATE TABLE former AS SELECT number, since, rules, tag FROM secrets");
        if case == "the rule of before" {
            one.set(json!({"versions": 900})).await.expect(200);
        }
        plant(&one.installed, &statements);
        one.round(0).await;
        one.manager.app.gate.tasks.wait_idle().await;
        assert_eq!(one.retired().len(), 0, "{case}");
        assert_eq!(one.erased(), [0; 0], "{case}");
        one.manager.stop().await;
    }
    // Numbers that were given up, as if they were stored: the true ones are not destroyed for them.
    let mut one = One::new(Some(json!({"versions": 1}))).await;
    // Its own rounds would settle them, and look for what is outlived, at any moment.
    one.manager.end_maintenance().await;
    one.up_to(2).await;
    one.installed.vault.state().store_mood = StoreMood::Garble;
    for _ in 0..3 {
        one.write(json!({"value": "lost", "token": false})).await;
    }
    one.installed.vault.state().store_mood = StoreMood::Honest;
    plant(
        &one.installed,
        "UPDATE versions SET state = 'committed'; UPDATE envelopes SET state = 'committed';
         UPDATE secrets SET current_version = 5, previous_version = NULL",
    );
    let mut after = None;
    let refused = one.manager.app.retention().round(&mut after, SystemClock.now(), || false).await;
    assert!(refused.is_err(), "the vault lacks what is counted as kept");
    assert_eq!((one.retired().len(), one.erased()), (0, Vec::new()));
    one.manager.stop().await;
    // A rollback, as if it had been given up: its envelope is used.
    let one = One::new(Some(json!({"versions": 1}))).await;
    one.up_to(3).await;
    one.manager.post(&format!("/api/secrets/{}:rollback", one.secret), json!({"version": 1})).await.expect(201);
    for value in ["five", "six"] {
        one.write(json!({"value": value, "token": false})).await.expect(201);
    }
    plant(&one.installed, "UPDATE versions SET state = 'abandoned' WHERE version = 4");
    one.round(0).await;
    until("the others are destroyed", async || one.erased().len() == 2).await;
    assert_eq!(one.erased(), [3, 2]);
    one.manager.stop().await;
    // The control: the same rule as the manager writes it destroys.
    let one = One::new(Some(json!({"versions": 1}))).await;
    one.up_to(4).await;
    one.round(0).await;
    until("the control destroys", async || one.erased() == [2, 1]).await;
    one.manager.stop().await;
}

#[actix_web::test]
async fn a_freeze_between_the_line_of_a_retirement_and_the_act_is_told_by_a_second_line() {
    let mut one = One::new(Some(json!({"versions": 1}))).await;
    // Its own rounds would count as calls.
    one.manager.end_maintenance().await;
    one.up_to(4).await;
    let other = another_process(&one.manager, "dev").await;
    one.manager.faults.after_calls("outlived", 2, move || other(EnvironmentChange::Freeze(1)));
    one.round(0).await;
    until("both lines are written", async || one.retired().len() == 2).await;
    let lines = one.retired();
    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&json!("success"), &json!("failed")));
    assert_eq!(lines[0]["secrets"], lines[1]["secrets"]);
    assert_eq!(one.erased(), [0; 0]);
    one.manager.stop().await;
}
