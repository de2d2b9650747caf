//! Rotations of a secret that is frozen because of an incident: they go on, and nobody gets a token.

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use crate::places::{ask, service};
use crate::secret_rotation::{made, read, state, step};
use crate::support::{Answer, Installed, Manager, until};

/// A manager with a secret, and what its incident is called.
struct Frozen {
    installed: Installed,
    manager: Manager,
    secret: String,
    incident: String,
}

impl Frozen {
    async fn new(more: Value) -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = made(&manager, "app/db", more).await;
        let frozen = Self { installed, manager, secret, incident: String::new() };
        frozen.freeze().await
    }

    async fn freeze(self) -> Self {
        let body = json!({"kind": "compromise", "reason": "in a log", "freeze": true});
        let opened = step(&self.manager, &self.secret, "compromise", body).await.expect(201).json();
        let incident = opened["incident"]["incident_id"].as_str().unwrap().to_owned();
        Self { incident, ..self }
    }

    async fn step(&self, verb: &str, body: Value) -> Answer {
        let answer = step(&self.manager, &self.secret, verb, body).await;
        assert!(!answer.text.contains("access_token"), "{}", answer.text);
        for stage in ["current", "previous", "pending"] {
            let body = json!({"secrets": [{"key_id": self.secret, "stage": stage}]});
            let minted = self.manager.post("/api/tokens", body).await;
            // A stage without a version has nothing to be read.
            assert!(matches!(minted.code().as_str(), "secret_frozen" | "secret_not_found"), "{}", minted.text);
        }
        answer
    }

    async fn lift(&self) {
        let body = Some(json!({"lift_freeze": true}));
        self.manager.admin(Method::PATCH, &format!("/api/incidents/{}", self.incident), body).await.expect(200);
    }

    async fn reads(&self, stage: &str) -> Option<String> {
        read(&self.installed, &self.manager, &self.secret, stage).await
    }
}

#[actix_web::test]
async fn a_frozen_secret_is_rotated_in_one_step() {
    let all = Frozen::new(json!({})).await;
    let rotated = all.step("rotate", json!({"value": "v1"})).await.expect(201).json();
    assert_eq!(rotated["stages"], json!({"current": 2, "previous": 1}));
    let finished = all.step("finish", json!({})).await.expect(200).json();
    assert_eq!((&finished["stages"], &finished["rotation"]["state"]), (&json!({"current": 2}), &json!("idle")));
    all.lift().await;
    assert_eq!(all.reads("current").await.as_deref(), Some("v1"));
    all.manager.stop().await;
}

#[actix_web::test]
async fn a_frozen_secret_is_rotated_step_by_step() {
    let all = Frozen::new(json!({"rotation": {"mode": "staged"}})).await;
    all.step("rotate", json!({"value": "wrong"})).await.expect(201);
    let abandoned = all.step("repair", json!({"abandon": true})).await.expect(200).json();
    assert_eq!(abandoned["rotation"]["state"], "idle");
    all.step("rotate", json!({"value": "v1"})).await.expect(201);
    all.step("promote", json!({})).await.expect(409).refused("rotation_conflict");
    all.step("verify", json!({})).await.expect(200);
    assert_eq!(all.step("promote", json!({})).await.expect(200).json()["stages"]["current"], 3);
    all.step("finish", json!({})).await.expect(200);
    assert!(state(&all.manager, &all.secret).await["stages"].get("previous").is_none());
    all.lift().await;
    assert_eq!(all.reads("current").await.as_deref(), Some("v1"));
    all.manager.stop().await;
}

#[actix_web::test]
async fn a_frozen_secret_is_rotated_in_an_emergency_and_its_tokens_stay_revoked() {
    let all = Frozen::new(json!({"rotation": {"mode": "staged"}})).await;
    all.step("rotate", json!({"value": "v1"})).await.expect(201);
    let event = Event::Secret(all.secret.parse::<SecretId>().unwrap());
    let before = all.installed.vault.applied().into_iter().filter(|applied| *applied == event).count();
    let done = all.step("rotate", json!({"value": "v2", "emergency": true})).await.expect(201).json();
    assert_eq!((&done["stages"], &done["rotation"]["state"]), (&json!({"current": 3}), &json!("idle")));
    let after = all.installed.vault.applied().into_iter().filter(|applied| *applied == event).count();
    assert_eq!(after, before + 1);
    all.lift().await;
    assert_eq!(all.reads("current").await.as_deref(), Some("v2"));
    assert_eq!(all.reads("pending").await, None);
    all.manager.stop().await;
}

#[actix_web::test]
async fn a_rotation_that_was_under_way_goes_on_when_its_secret_is_frozen() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "app/db", json!({})).await;
    step(&manager, &secret, "rotate", json!({"value": "v1", "grace_seconds": 0})).await.expect(201);
    let all = Frozen { installed, manager, secret, incident: String::new() }.freeze().await;
    // By itself, as without a freeze: the time has passed.
    until("the grace time ends", async || state(&all.manager, &all.secret).await["rotation"]["state"] == "idle").await;
    all.lift().await;
    assert_eq!((all.reads("current").await.as_deref(), all.reads("previous").await), (Some("v1"), None));
    all.manager.stop().await;
}

#[actix_web::test]
async fn who_may_rotate_a_frozen_secret_is_who_may_rotate_any() {
    let all = Frozen::new(json!({})).await;
    let rotator = service(&all.manager, "rotator", "app/**", &[Action::Rotate]).await;
    let writer = service(&all.manager, "writer", "app/**", &[Action::List, Action::Read, Action::Write]).await;
    let path = format!("/api/secrets/{}:rotate", all.secret);
    let rotate = |by: String| {
        let (manager, path) = (&all.manager, path.clone());
        async move { ask(manager, &by, Method::POST, &path, Some(json!({"value": "v1"}))).await }
    };
    rotate(writer.clone()).await.expect(404).refused("secret_not_found");
    rotate(rotator).await.expect(201);
    let written = Some(json!({"value": "w"}));
    let written = ask(&all.manager, &writer, Method::PUT, &format!("/api/secrets/{}", all.secret), written).await;
    assert!(written.expect(201).json().get("token").is_none(), "a write goes on, too");
    let back = Some(json!({"version": 1}));
    let path = format!("/api/secrets/{}:rollback", all.secret);
    ask(&all.manager, &writer, Method::POST, &path, back).await.expect(201);
    all.manager.stop().await;
}
