//! Deletions that are raced, and those that a crash cuts short.

use std::cell::Cell;
use std::sync::Arc;

use actix_web::http::Method;
use futures_util::future::{join, join_all};
use manager_api::name::SecretPath;
use manager_registry::{Author, Deletion, Place, SecretRules};
use manager_store::{ERASED_AT_ONCE, EnvironmentChange, NewPlace};
use master_key_manager::access::Asked;
use serde_json::json;
use service_runtime::config::Mode;
use service_runtime::sql::KillPoint;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use crate::deletion::envelopes;
use crate::environments::another_process;
use crate::places::plant;
use crate::support::{Installed, Manager, now, until};

const RACES: usize = 12;

/// Deletes a secret as if that had been long ago, so that it can be taken back until this time.
async fn delete_until(manager: &Manager, secret: &str, path: &str, recoverable_until: u64) {
    let secret: SecretId = secret.parse().unwrap();
    let deletion = Deletion { deleted_at: 1, recoverable_until, deleted_by: None, destroyed: false };
    let place = NewPlace {
        secret,
        environment: manager.environment("dev"),
        expected: 0,
        path: SecretPath::parse(path).unwrap(),
        rules: SecretRules { deletion: Some(deletion), ..SecretRules::default() },
        details: None,
        if_revision: None,
    };
    let asked = Asked {
        changes: vec![Place::changed(secret).into()],
        places: vec![place].into(),
        events: vec![Event::Secret(secret)],
    };
    manager.app.revocations.change_places_as((Author::Operator, "test", now()), |_| Ok(asked)).await.unwrap();
}

#[actix_web::test]
async fn maintenance_destroys_what_can_be_taken_back_no_more_and_nothing_else() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secrets = join_all(["due", "later", "moved"].map(|path| manager.store_value(path, "v"))).await;
    let [due, later, moved] = [0, 1, 2].map(|index| secrets[index].member("key_id"));
    let keeper = Arc::clone(&manager.app.secret_keeper);
    // Its next look is a minute later.
    until("maintenance has looked", async || manager.faults.calls("due_erasures") > 0).await;
    delete_until(&manager, &later, "later", now() + 1_000).await;
    delete_until(&manager, &moved, "moved", 5).await;
    plant(&installed, "UPDATE secrets SET path = 'elsewhere' WHERE path = 'moved'");
    keeper.erase_due(&mut None, now(), || true).await.unwrap();
    assert_eq!(envelopes(&installed, &moved), (1, 0), "a row that the manager did not write destroys nothing");
    plant(&installed, "UPDATE secrets SET path = 'moved' WHERE path = 'elsewhere'");
    plant(&installed, "UPDATE secrets SET erase_at = 0 WHERE path IN ('later', 'due')");
    delete_until(&manager, &due, "due", now()).await;
    manager.act(&due, "undelete").await.expect(409).refused("secret_deleted");
    keeper.erase_due(&mut None, now(), || true).await.unwrap();
    until("they are erased", async || envelopes(&installed, &due).0 + envelopes(&installed, &moved).0 == 0).await;
    assert_eq!(manager.described(&due).await["state"], "destroyed");
    assert_eq!(envelopes(&installed, &later), (1, 0), "what the row says beside its tag decides nothing");
    manager.act(&later, "undelete").await.expect(200);
    keeper.erase_due(&mut None, now() + 10_000, || true).await.unwrap();
    manager.mint(&later).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn a_frozen_environment_keeps_what_is_due_and_keeps_no_other_one_from_its_turn() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("a", "v").await.expect(201).member("key_id");
    let elsewhere = json!({"environment": "production", "path": "b", "value": "v", "token": false});
    manager.post("/api/secrets", elsewhere).await.expect(201);
    until("maintenance has looked", async || manager.faults.calls("due_erasures") > 0).await;
    delete_until(&manager, &secret, "a", 5).await;
    manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    // A row that is never done with comes first in every sweep.
    plant(&installed, "UPDATE secrets SET erase_at = 0 WHERE path = 'b'");
    let keeper = Arc::clone(&manager.app.secret_keeper);
    let lines = || {
        let text = std::fs::read_to_string(installed.config.audit_log()).unwrap();
        text.lines().filter(|line| line.contains("\"secret.erase\"")).count()
    };
    for _ in 0..3 {
        keeper.erase_due(&mut None, now(), || true).await.unwrap();
    }
    assert_eq!((envelopes(&installed, &secret), lines()), ((1, 0), 0));
    manager.admin(Method::POST, "/api/environments/dev:unfreeze", None).await.expect(200);
    let mut after = None;
    let looked_at = Cell::new(0);
    keeper.erase_due(&mut after, now(), || looked_at.replace(looked_at.get() + 1) == 0).await.unwrap();
    assert!(after.is_some(), "the next sweep begins behind the one that was looked at");
    keeper.erase_due(&mut after, now(), || true).await.unwrap();
    until("it is erased", async || envelopes(&installed, &secret).0 == 0).await;
    assert_eq!((lines(), after), (1, None));
    manager.stop().await;
}

/// The line is durable before the act, which may be refused then.
#[actix_web::test]
async fn a_freeze_between_the_line_of_a_destruction_and_the_act_is_told_by_a_second_line() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("a", "v").await.expect(201).member("key_id");
    until("maintenance has looked", async || manager.faults.calls("due_erasures") > 0).await;
    delete_until(&manager, &secret, "a", 5).await;
    let other = another_process(&manager, "dev").await;
    manager.faults.after_calls("placed", 1, move || other(EnvironmentChange::Freeze(1)));
    manager.app.secret_keeper.erase_due(&mut None, now(), || true).await.unwrap();
    let lines = || {
        let text = std::fs::read_to_string(installed.config.audit_log()).unwrap();
        let lines = text.lines().filter(|line| line.contains("\"secret.erase\"")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    until("both lines are written", async || lines().len() == 2).await;
    let (said, told) = (&lines()[0], &lines()[1]);
    assert!(said.contains("\"success\"") && said.contains(&secret), "{said}");
    let words = ["\"failed\"", "\"environment_frozen\"", secret.as_str()];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(envelopes(&installed, &secret), (1, 0));
    manager.stop().await;
}

#[actix_web::test]
async fn a_deletion_is_taken_back_or_destroyed_and_never_both() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let mut outcomes = [0, 0];
    for race in 0..RACES {
        let secret = manager.store_value(&format!("race/{race}"), "v").await.expect(201).member("key_id");
        manager.delete(&secret).await.expect(200);
        let (back, gone) = if race % 2 == 0 {
            join(manager.act(&secret, "undelete"), manager.act(&secret, "destroy")).await
        } else {
            let (gone, back) = join(manager.act(&secret, "destroy"), manager.act(&secret, "undelete")).await;
            (back, gone)
        };
        let done = [back.status.is_success(), gone.status.is_success()];
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{} {}", back.text, gone.text);
        let (state, left) = if done[0] { ("active", 1) } else { ("destroyed", 0) };
        assert_eq!(manager.described(&secret).await["state"], state);
        assert_eq!(envelopes(&installed, &secret).0, left);
        outcomes[usize::from(done[1])] += 1;
    }
    println!("taken back {}, destroyed {}", outcomes[0], outcomes[1]);
    manager.stop().await;
}

#[actix_web::test]
async fn a_write_that_races_a_deletion_leaves_no_envelope_of_a_destroyed_secret() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for race in 0..RACES {
        let secret = manager.store_value(&format!("race/{race}"), "v").await.expect(201).member("key_id");
        let of = format!("/api/secrets/{secret}");
        let write = async |value: &str| manager.admin(Method::PUT, &of, Some(json!({"value": value}))).await;
        let end = async {
            manager.delete(&secret).await.expect(200);
            manager.act(&secret, "destroy").await
        };
        let ((first, second), ended) = join(join(write("a"), write("b")), end).await;
        assert!(ended.status.is_success(), "{}", ended.text);
        until("nothing is left", async || envelopes(&installed, &secret).0 == 0).await;
        for written in [first, second] {
            // A token of a write that was faster is dead with the deletion.
            assert!(matches!(written.status.as_u16(), 201 | 401 | 404 | 409 | 503), "{}", written.text);
        }
        until("nothing is pending", async || manager.app.store.pending(9).await.unwrap().is_empty()).await;
        assert_eq!(envelopes(&installed, &secret).0, 0, "a late write is refused by the vault");
        manager.mint(&secret).await.expect(404);
    }
    manager.stop().await;
}

/// Every durable step of a deletion and of a destruction, and whether the secret is destroyed when the process is back.
const KILL_POINTS: [(KillPoint, bool); 4] = [
    (KillPoint::Before("change_registry"), false),
    (KillPoint::After("change_registry"), true),
    (KillPoint::Before("erase"), true),
    (KillPoint::After("erase"), true),
];

#[actix_web::test]
async fn a_destruction_cut_short_anywhere_is_finished_by_the_next_process_or_was_not_begun() {
    for (point, is_destroyed) in KILL_POINTS {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = manager.store_value("a", "v").await.expect(201).member("key_id");
        // More than one step has.
        for _ in 0..=ERASED_AT_ONCE {
            manager.post(&format!("/api/secrets/{secret}:rollback"), json!({"version": 1})).await.expect(201);
        }
        manager.store_value("a", "w").await.expect(201);
        manager.delete(&secret).await.expect(200);
        manager.faults.kill_at(point);
        let answer = manager.act(&secret, "destroy").await;
        assert!(manager.faults.is_dead(), "{point:?}");
        assert_ne!(answer.status.as_u16(), 200, "{point:?}: {}", answer.text);
        manager.stop().await;

        let manager = installed.start().await;
        if is_destroyed {
            until("it is erased", async || {
                manager.app.secret_keeper.erase_due(&mut None, now(), || true).await.unwrap();
                envelopes(&installed, &secret).0 == 0
            })
            .await;
            assert_eq!(manager.described(&secret).await["state"], "destroyed", "{point:?}");
            manager.store_value("a", "next").await.expect(201);
        } else {
            assert_eq!(manager.described(&secret).await["state"], "deleted", "{point:?}");
            assert!(manager.act(&secret, "undelete").await.status.is_success(), "{point:?}");
            until("it is minted", async || manager.mint(&secret).await.status.as_u16() == 201).await;
        }
        manager.stop().await;
    }
}
