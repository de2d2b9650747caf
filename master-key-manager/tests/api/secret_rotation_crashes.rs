//! A process that dies in the middle of a rotation, and what the next one makes of it.

use serde_json::json;
use service_runtime::config::Mode;
use service_runtime::sql::KillPoint;

use crate::places::plant;
use crate::secret_rotation::{made, read, state, step};
use crate::support::{Installed, Manager, until};

/// The jobs of every durable step.
const STEPS: [&str; 5] = ["begin_rotation", "commit", "verify_rotation", "promote", "finish_rotation"];

/// Carries a staged rotation on, from wherever it is, until a step fails or all are done.
async fn go_on(manager: &Manager, secret: &str) -> bool {
    for _ in 0..4 {
        let found = state(manager, secret).await;
        let (verb, body) = match found["rotation"]["state"].as_str().unwrap() {
            "idle" if found["stages"]["current"] == 1 => ("rotate", json!({"value": "v1", "activate": false})),
            "idle" => return true,
            "pending" if found["rotation"].get("verified_at").is_none() => ("verify", json!({})),
            "pending" => ("promote", json!({})),
            "grace" => ("finish", json!({})),
            other => panic!("{other} is left after a repair"),
        };
        if !step(manager, secret, verb, body).await.status.is_success() {
            return false;
        }
    }
    state(manager, secret).await["rotation"]["state"] == "idle"
}

#[actix_web::test]
async fn a_rotation_cut_short_anywhere_is_repaired_and_goes_on() {
    let points = STEPS.iter().flat_map(|name| [KillPoint::Before(name), KillPoint::After(name)]);
    for point in points {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = made(&manager, "p", json!({})).await;
        manager.faults.kill_at(point);
        assert!(!go_on(&manager, &secret).await, "{point:?}");
        assert!(manager.faults.is_dead(), "{point:?}");
        manager.stop().await;

        let manager = installed.start().await;
        let value = read(&installed, &manager, &secret, "current").await.expect("a value is current");
        assert!(["v0", "v1"].contains(&value.as_str()), "{point:?}");
        let repaired = step(&manager, &secret, "repair", json!({})).await;
        assert!(repaired.status.is_success(), "{point:?}: {}", repaired.text);
        assert!(
            ["idle", "pending", "grace"].contains(&repaired.json()["rotation"]["state"].as_str().unwrap()),
            "{point:?}"
        );
        assert!(go_on(&manager, &secret).await, "{point:?}");
        assert_eq!(read(&installed, &manager, &secret, "current").await, Some("v1".to_owned()), "{point:?}");
        assert_eq!(read(&installed, &manager, &secret, "previous").await, None, "{point:?}");
        manager.stop().await;
    }
}

#[actix_web::test]
async fn an_emergency_cut_short_before_its_revocation_revokes_all_the_same() {
    for point in [KillPoint::After("commit"), KillPoint::Before("finish_rotation"), KillPoint::After("finish_rotation")]
    {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = made(&manager, "p", json!({})).await;
        manager.faults.kill_at(point);
        let _unclear = step(&manager, &secret, "rotate", json!({"value": "v1", "emergency": true})).await;
        assert!(manager.faults.is_dead(), "{point:?}");
        manager.stop().await;
        let manager = installed.start().await;
        step(&manager, &secret, "repair", json!({})).await;
        until("the vault has it", async || installed.vault.applied().len() == 1).await;
        assert_eq!(state(&manager, &secret).await["rotation"]["state"], "idle", "{point:?}");
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_version_that_was_given_up_does_not_become_current_when_the_current_one_is_destroyed() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for (given_up, left) in [(true, json!({"current": 1})), (false, json!({"current": 2}))] {
        let secret = made(&manager, &format!("p{given_up}"), json!({})).await;
        step(&manager, &secret, "rotate", json!({"value": "v1", "activate": false})).await.expect(201);
        if given_up {
            step(&manager, &secret, "repair", json!({"abandon": true})).await.expect(200);
        } else {
            step(&manager, &secret, "promote", json!({"unverified": true})).await.expect(200);
            step(&manager, &secret, "finish", json!({})).await.expect(200);
        }
        step(&manager, &secret, "rotate", json!({"value": "v2"})).await.expect(201);
        step(&manager, &secret, "finish", json!({})).await.expect(200);
        manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [3]})).await.expect(200);
        assert_eq!(state(&manager, &secret).await["stages"], left, "given up: {given_up}");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn a_planted_rotation_is_none() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = made(&manager, "p", json!({})).await;
    step(&manager, &secret, "rotate", json!({"value": "v1", "activate": false})).await.expect(201);
    manager.stop().await;
    // Somebody says that it was verified.
    plant(&installed, "UPDATE rotations SET body = replace(body, '\"step\"', '\"verified\":{\"at\":1},\"step\"')");
    let manager = installed.start_unready().await;
    step(&manager, &secret, "promote", json!({})).await.expect(409).refused("rotation_conflict");
    manager.stop().await;
}
