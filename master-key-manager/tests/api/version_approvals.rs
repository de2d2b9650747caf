//! Destroying one version where somebody else approves it.

use actix_web::http::Method;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::approvals::Two;
use crate::deletion::envelopes;
use crate::places::plant;
use crate::support::{Answer, Principal};

impl Two {
    /// A secret with so many versions.
    async fn versions(&self, path: &str, count: usize) -> String {
        let mut secret = String::new();
        for _ in 0..count {
            secret = self.manager.store_value(path, "v").await.expect(201).member("key_id");
        }
        secret
    }

    async fn destroy_version(&self, who: &Principal, secret: &str, version: u64) -> Answer {
        let path = format!("/api/secrets/{secret}/versions/{version}?reason=leaked");
        self.manager.by(who, Method::DELETE, &path, None).await
    }

    async fn asks_for_version(&self, who: &Principal, secret: &str, version: u64) -> String {
        let asked = self.destroy_version(who, secret, version).await.expect(202);
        assert_eq!(asked.member("status"), "awaits-approval");
        asked.member("approval_id")
    }

    async fn state_of(&self, id: &str) -> Value {
        let path = format!("/api/approvals/{id}");
        self.manager.by(&self.first, Method::GET, &path, None).await.expect(200).json()["state"].clone()
    }
}

#[actix_web::test]
async fn a_second_administrator_approves_the_destruction_of_one_version() {
    let two = Two::new().await;
    let secret = two.versions("app/db", 2).await;
    let silent = format!("/api/secrets/{secret}/versions/1");
    two.manager.by(&two.first, Method::DELETE, &silent, None).await.expect(400).refused("parameter_invalid");
    two.destroy_version(&two.first, &secret, 7).await.expect(404).refused("secret_not_found");
    let id = two.asks_for_version(&two.first, &secret, 1).await;
    assert_eq!(two.asks_for_version(&two.first, &secret, 1).await, id, "the same is not asked for twice");
    assert_ne!(two.asks_for_version(&two.first, &secret, 2).await, id, "another version is another act");
    let many = json!({"versions": [1]});
    two.manager.post(&format!("/api/keys/{secret}/destroy"), many).await.expect(403).refused("approval_required");
    let shown =
        two.manager.by(&two.second, Method::GET, &format!("/api/approvals/{id}"), None).await.expect(200).json();
    assert_eq!((&shown["act"], &shown["version"]), (&json!("destroy-version"), &json!(1)));
    assert_eq!((&shown["reason"], &shown["state"]), (&json!("leaked"), &json!("open")));
    two.decide(&two.first, &id, "approve").await.expect(403).refused("not_permitted");
    assert_eq!(envelopes(&two.installed, &secret), (2, 0), "nobody but a second one decides");

    assert_eq!(two.decide(&two.second, &id, "approve").await.expect(200).member("state"), "used");
    assert_eq!(envelopes(&two.installed, &secret), (1, 1));
    two.decide(&two.second, &id, "approve").await.expect(409).refused("approval_decided");
    let repeat = two.destroy_version(&two.first, &secret, 1).await.expect(200).json();
    assert_eq!((&repeat["status"], repeat["sequences"].as_array().unwrap().len()), (&json!("destroyed"), 1));
    let text = std::fs::read_to_string(two.installed.config.audit_log()).unwrap();
    let lines = text.lines().filter(|line| line.contains("\"secret.destroy\"") && line.contains("\"success\""));
    assert_eq!(lines.count(), 1, "one line says that the version is destroyed");
    two.manager.stop().await;
}

#[actix_web::test]
async fn a_version_is_approved_for_the_place_and_the_rules_that_its_secret_had() {
    let two = Two::new().await;
    let secret = two.versions("app/db", 2).await;
    let of = format!("/api/secrets/{secret}");
    let id = two.asks_for_version(&two.first, &secret, 1).await;
    two.manager.admin(Method::PATCH, &of, Some(json!({"tags": {"team": "pay"}}))).await.expect(200);
    two.decide(&two.second, &id, "approve").await.expect(409).refused("approval_decided");
    let again = two.asks_for_version(&two.first, &secret, 1).await;
    assert_ne!(again, id);
    assert_eq!((two.state_of(&id).await, two.state_of(&again).await), (json!("ended"), json!("open")));
    two.manager.delete(&secret).await.expect(200);
    two.decide(&two.second, &again, "approve").await.expect(409).refused("secret_deleted");
    two.destroy_version(&two.first, &secret, 1).await.expect(409).refused("secret_deleted");
    two.manager.act(&secret, "undelete").await.expect(200);
    assert_eq!(two.state_of(&again).await, json!("ended"), "a deletion that was taken back is a change, too");
    assert_eq!(envelopes(&two.installed, &secret), (2, 0));
    let last = two.asks_for_version(&two.first, &secret, 1).await;
    two.decide(&two.second, &last, "approve").await.expect(200);
    assert_eq!(envelopes(&two.installed, &secret), (1, 1));
    two.manager.stop().await;
}

#[actix_web::test]
async fn what_the_row_of_a_version_says_beside_its_tag_destroys_nothing_without_an_approval() {
    let two = Two::new().await;
    let secret = two.versions("app/db", 2).await;
    plant(&two.installed, "UPDATE versions SET state = 'destroyed' WHERE version = 1");
    let id = two.asks_for_version(&two.first, &secret, 1).await;
    assert_eq!(envelopes(&two.installed, &secret), (2, 0));
    assert_eq!(two.decide(&two.second, &id, "approve").await.expect(200).member("state"), "used");
    assert_eq!(envelopes(&two.installed, &secret), (1, 1), "and it keeps nothing from being destroyed");
    let repeat = two.destroy_version(&two.first, &secret, 1).await.expect(200);
    assert_eq!(repeat.member("status"), "destroyed");
    two.manager.stop().await;
}

#[actix_web::test]
async fn a_destroyed_version_whose_envelope_another_one_keeps_is_asked_for_once() {
    let two = Two::new().await;
    let secret = two.versions("app/db", 2).await;
    two.manager.post(&format!("/api/secrets/{secret}:rollback"), json!({"version": 1})).await.expect(201);
    let before = envelopes(&two.installed, &secret);
    let id = two.asks_for_version(&two.first, &secret, 1).await;
    two.decide(&two.second, &id, "approve").await.expect(200);
    assert_eq!(two.destroy_version(&two.first, &secret, 1).await.expect(200).member("status"), "kept");
    assert_eq!((envelopes(&two.installed, &secret), before.0), (before, 2));
    plant(&two.installed, "UPDATE versions SET tag = zeroblob(32) WHERE version = 3");
    two.asks_for_version(&two.first, &secret, 1).await;
    two.manager.stop().await;
}

#[actix_web::test]
async fn of_decisions_about_a_version_at_once_one_counts() {
    let two = Two::new().await;
    let third = two.manager.service("third").await;
    let body = json!({"party": third.id(), "role": "super_admin", "pattern": "**", "reason": "test"});
    two.manager.post("/api/roles", body).await.expect(201);
    for race in 0..6 {
        let secret = two.versions(&format!("race/{race}"), 2).await;
        let id = two.asks_for_version(&two.first, &secret, 1).await;
        let verb = if race % 2 == 0 { "approve" } else { "reject" };
        let (one, other) = join(two.decide(&two.second, &id, "approve"), two.decide(&third, &id, verb)).await;
        let done = [one.status.is_success(), other.status.is_success()];
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{} {}", one.text, other.text);
        let is_used = two.state_of(&id).await == json!("used");
        assert_eq!(envelopes(&two.installed, &secret), if is_used { (1, 1) } else { (2, 0) });
    }
    two.manager.stop().await;
}

/// A change of the secret and the approval of what was asked for before it: one of them comes first.
#[actix_web::test]
async fn an_approval_that_a_change_overtakes_destroys_nothing() {
    let two = Two::new().await;
    for race in 0..6 {
        let secret = two.versions(&format!("race/{race}"), 2).await;
        let id = two.asks_for_version(&two.first, &secret, 1).await;
        let of = format!("/api/secrets/{secret}");
        let change = two.manager.admin(Method::PATCH, &of, Some(json!({"tags": {"team": "pay"}})));
        let (approved, changed) = join(two.decide(&two.second, &id, "approve"), change).await;
        changed.expect(200);
        let (is_done, is_used) = (approved.status.is_success(), two.state_of(&id).await == json!("used"));
        assert_eq!(is_done, is_used, "{}", approved.text);
        assert_eq!(envelopes(&two.installed, &secret), if is_used { (1, 1) } else { (2, 0) });
    }
    two.manager.stop().await;
}
