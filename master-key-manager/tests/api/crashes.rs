//! A process that dies at the worst moment, and what the next one makes of it.

use actix_web::http::Method;
use serde_json::json;
use service_runtime::config::Mode;
use service_runtime::sql::KillPoint;

use crate::support::{Installed, until};

/// Every durable step of a write.
const KILL_POINTS: [KillPoint; 4] =
    [KillPoint::Before("begin"), KillPoint::After("begin"), KillPoint::Before("commit"), KillPoint::After("commit")];

#[actix_web::test]
async fn a_write_cut_short_anywhere_is_settled_and_its_repeat_stores_once() {
    for point in KILL_POINTS {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        manager.store_value("p", "before").await.expect(201);
        manager.faults.kill_at(point);
        let answer = manager.store_with_key("k", "p", "v").await.expect(503);
        assert!(manager.faults.is_dead(), "{point:?}");
        assert_ne!(answer.member("code"), "idempotency_unknown");
        manager.stop().await;

        let manager = installed.start().await;
        until("nothing is pending", async || manager.app.store.pending(9).await.unwrap().is_empty()).await;
        let repeat = manager.store_with_key("k", "p", "v").await;
        let version = match repeat.status.as_u16() {
            201 => {
                let opened = installed.vault.open(&repeat.member("access_token"));
                assert_eq!(opened[0].expose(), b"v", "{point:?}");
                repeat.json()["version"].as_u64().unwrap()
            }
            // The first process had it all written down; the body it compared is gone with it.
            409 => repeat.refused("idempotency_unknown").json()["version"].as_u64().unwrap(),
            _ => panic!("{point:?}: {}", repeat.text),
        };
        let stored = installed.vault.state().batches.iter().sum::<usize>();
        assert!(stored <= 3, "{point:?}: the value was sent {stored} times");
        let versions = manager.versions().into_iter();
        let committed: Vec<u64> = versions.filter(|one| one.state == "committed").map(|one| one.version).collect();
        assert_eq!(committed, [1, version], "{point:?}");
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_revocation_that_was_answered_survives_and_one_that_failed_was_not_called_revoked() {
    for (point, survives) in [(KillPoint::Before("number"), 0), (KillPoint::After("number"), 1)] {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        manager.faults.kill_at(point);
        manager.post("/api/revocations", json!({"kind": "all"})).await.expect(503);
        manager.stop().await;
        let manager = installed.start().await;
        let list = manager.admin(Method::GET, "/api/revocations", None).await.expect(200).json();
        assert_eq!(list["newest"], survives, "{point:?}");
        until("the vault has it", async || installed.vault.applied().len() == list["newest"]).await;
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_token_whose_row_was_not_written_is_not_given_out() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    manager.faults.kill_at(KillPoint::Before("decide_token"));
    let answer = manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await;
    answer.expect(503).refused("storage_unavailable");
    manager.stop().await;
}

#[actix_web::test]
async fn nothing_is_stored_minted_or_destroyed_when_the_audit_log_cannot_be_written_and_revocations_go_on() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    manager.app.gate.audit.flush_and_close().await;
    manager.store_value("p", "v2").await.expect(503).refused("audit_unavailable");
    let body = json!({"secrets": [{"key_id": stored.member("key_id")}]});
    manager.post("/api/tokens", body).await.expect(503).refused("audit_unavailable");
    manager.admin(Method::GET, "/api/secrets", None).await.expect(503).refused("audit_unavailable");
    let path = format!("/api/keys/{}/destroy", stored.member("key_id"));
    manager.post(&path, json!({"versions": [1]})).await.expect(503).refused("audit_unavailable");
    let path = format!("/api/secrets/{}:rollback", stored.member("key_id"));
    manager.post(&path, json!({"version": 1})).await.expect(503).refused("audit_unavailable");
    manager.post("/api/reconcile", json!({"adopt": true})).await.expect(503).refused("audit_unavailable");
    manager.get("/health/ready").await.expect(503);
    assert_eq!(installed.vault.state().rows.len(), 1);
    let revoked = manager.admin(Method::DELETE, &format!("/api/tokens/{}", stored.member("jti")), None).await;
    revoked.expect(200);
    assert_eq!(installed.vault.applied().len(), 1, "nothing was destroyed");
    manager.stop().await;
}
