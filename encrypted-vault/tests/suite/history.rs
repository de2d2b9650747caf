//! A vault whose past was changed: restored databases, lost marks, replayed polls.

use std::fs;

use serde_json::json;
use shared_proto::command::Operation;
use shared_proto::event::{Event, event_hash};
use shared_proto::id::TokenId;
use shared_proto::jwk::Thumbprint;

use crate::support::{NOW, Secret, World, command, copy_database};

fn behind() -> Result<String, (u16, String)> {
    Err((503, "revocations_behind".to_owned()))
}

fn some_event() -> Event {
    Event::Token(TokenId::generate())
}

/// A vault with yesterday's database: two events and a secret, then a third event that revokes `token`.
struct Restored {
    world: World,
    secret: Secret,
    /// Revoked by the event that the backup does not have.
    token: String,
    /// Never revoked, but from before the restore.
    other: String,
    /// A seal key from before the restore.
    old_key: Option<Thumbprint>,
    /// A poll from the time of the backup, as a listener recorded it.
    recorded: (String, Vec<u8>),
}

impl Restored {
    async fn new() -> Self {
        let mut world = World::new().await;
        let secret = world.secret("v").await;
        let draft = world.draft(&[secret]);
        let (token, other) = (draft.sign(), world.token(&[secret]));
        let old_key = world.seal_kid();
        let body = serde_json::to_vec(&world.manager.poll_body(old_key)).unwrap();
        let recorded = (world.manager.command(Operation::Poll, &body, NOW), body);
        world.stop().await;
        let backup = world.dir.path().join("backup.db");
        copy_database(&world.config.database(), &backup);
        world.vault = world.start().await.unwrap();
        assert_eq!(world.value(&token, &secret).await.unwrap(), "v", "nothing happened yet");
        world.revoke(Event::Token(draft.jti.parse().unwrap())).await;
        world.stop().await;
        copy_database(&backup, &world.config.database());
        world.vault = world.start().await.unwrap();
        Self { world, secret, token, other, old_key, recorded }
    }

    async fn nothing_opens(&self, when: &str) {
        assert!(self.world.value(&self.token, &self.secret).await.is_err(), "{when}");
        for token in [self.other.clone(), self.world.token(&[self.secret])] {
            assert_eq!(self.world.value(&token, &self.secret).await, behind(), "{when}");
        }
    }

    async fn poll_naming(&self, seal_key: Option<Thumbprint>) {
        let poll = self.world.manager.poll_body(seal_key);
        assert_eq!(self.world.order(Operation::Poll, &poll).await.status, 200);
    }
}

#[actix_web::test]
async fn a_restored_database_cannot_un_revoke() {
    let mut restored = Restored::new().await;
    assert_ne!(restored.world.seal_kid(), restored.old_key, "every seal key was destroyed");
    restored.nothing_opens("the manager is down").await;
    restored.world.reopen().await;
    restored.nothing_opens("after one more restart, whose seal keys are not new any more").await;
    restored.poll_naming(restored.world.seal_kid()).await;
    restored.nothing_opens("the newest event is known but not applied").await;
    let push = restored.world.manager.push_body(0);
    assert_eq!(restored.world.order(Operation::Push, &push).await.status, 202);
    let Restored { world, secret, token, other, .. } = restored;
    assert_eq!(world.value(&token, &secret).await, Err((401, "token_invalid".to_owned())));
    assert_eq!(world.value(&other, &secret).await, Err((401, "seal_key_unknown".to_owned())));
    assert_eq!(world.value(&world.token(&[secret]), &secret).await.unwrap(), "v", "new tokens open");
}

#[actix_web::test]
async fn only_a_poll_that_names_a_living_new_seal_key_opens_the_gate() {
    let restored = Restored::new().await;
    let (order, body) = &restored.recorded;
    let replayed = command(&restored.world.vault, "/api/commands", order, body.clone()).await;
    assert_eq!(replayed.status, 200, "the poll itself is genuine: {:?}", replayed.problem());
    restored.nothing_opens("a replayed poll that names 0 events and an old seal key").await;
    restored.poll_naming(None).await;
    restored.nothing_opens("a poll that names no seal key").await;
    restored.poll_naming(restored.old_key).await;
    restored.nothing_opens("a poll that names a destroyed seal key").await;
    let push = restored.world.manager.push_body(0);
    assert_eq!(restored.world.order(Operation::Push, &push).await.status, 202);
    restored.nothing_opens("applied, but no poll said that there is no more").await;
    restored.poll_naming(restored.world.seal_kid()).await;
    assert!(restored.world.value(&restored.world.token(&[restored.secret]), &restored.secret).await.is_ok());
    let replayed = command(&restored.world.vault, "/api/commands", order, body.clone()).await;
    assert_eq!(replayed.status, 200);
    assert_eq!(restored.world.value(&restored.token, &restored.secret).await, Err((401, "token_invalid".to_owned())));
}

#[actix_web::test]
async fn the_gate_waits_for_the_very_event_that_the_poll_named() {
    let mut world = World::unpolled().await;
    let secret = world.secret("v").await;
    let first = world.manager.event(some_event());
    world.manager.event(some_event());
    world.poll().await;
    let token = world.draft(&[secret]);
    let early = {
        let mut early = token.clone();
        early.rseq = 0;
        early.sign()
    };
    assert_eq!(world.value(&early, &secret).await, behind());
    let mut push = world.manager.push_body(0);
    push.events.truncate(1);
    assert_eq!(world.order(Operation::Push, &push).await.status, 202);
    assert_eq!(world.value(&early, &secret).await, behind(), "one of two");
    let forged = world.manager.event_at(some_event(), 2, event_hash(&first));
    push.events = vec![forged];
    let refused = world.order(Operation::Push, &push).await;
    assert_eq!(refused.problem(), (409, "event_conflict".to_owned()), "not the event that the poll named");
    assert_eq!(world.value(&early, &secret).await, behind());
}

#[actix_web::test]
async fn with_its_mark_and_seal_keys_a_vault_opens_again_without_a_poll() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    world.revoke(some_event()).await;
    let (token, keys) = (world.token(&[secret]), world.seal_keys());
    world.reopen().await;
    assert_eq!(world.seal_keys(), keys);
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
}

#[actix_web::test]
async fn a_mark_that_is_lost_or_of_another_history_kills_every_earlier_token() {
    let hash = |world: &World| serde_json::to_value(world.manager.newest_hash()).unwrap();
    for case in 0..8 {
        let mut world = World::new().await;
        let secret = world.secret("v").await;
        world.revoke(some_event()).await;
        let (token, keys) = (world.token(&[secret]), world.seal_keys());
        let good = json!({ "applied": 1, "event_hash": hash(&world) });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&fs::read(world.mark()).unwrap()).unwrap(), good);
        let text = match case {
            0 => None,
            1 => Some(String::new()),
            2 => Some("garbage".to_owned()),
            3 => Some(json!({ "applied": 2, "event_hash": hash(&world) }).to_string()),
            4 => Some(json!({ "applied": 1, "event_hash": "A".repeat(43) }).to_string()),
            5 => Some(json!({ "applied": 0, "event_hash": hash(&world) }).to_string()),
            6 => Some(json!({ "applied": 1, "event_hash": hash(&world), "x": 1 }).to_string()),
            _ => Some(json!({ "applied": -1, "event_hash": hash(&world) }).to_string()),
        };
        match &text {
            None => fs::remove_file(world.mark()).unwrap(),
            Some(text) => fs::write(world.mark(), text).unwrap(),
        }
        world.reopen().await;
        assert!(world.seal_keys().iter().all(|key| !keys.contains(key)), "{text:?}");
        assert_eq!(world.value(&token, &secret).await, behind(), "{text:?}");
        world.poll().await;
        assert_eq!(world.value(&token, &secret).await, Err((401, "seal_key_unknown".to_owned())), "{text:?}");
        assert!(world.value(&world.token(&[secret]), &secret).await.is_ok(), "{text:?}");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&fs::read(world.mark()).unwrap()).unwrap(), good);
    }
}

#[actix_web::test]
async fn the_mark_follows_the_newest_event_and_never_goes_back() {
    let mut world = World::new().await;
    let marked = |world: &World| {
        let mark: serde_json::Value = serde_json::from_slice(&fs::read(world.mark()).unwrap()).unwrap();
        mark["applied"].as_u64().unwrap()
    };
    let early = world.manager.poll_body(world.seal_kid());
    for number in 1..=5 {
        world.revoke(some_event()).await;
        assert_eq!(marked(&world), number);
        let old = shared_proto::wire::vault::Push {
            events: world.manager.events[..1].to_vec(),
            ..world.manager.push_body(0)
        };
        assert_eq!(world.order(Operation::Push, &old).await.json()["feed"]["applied"], number);
        assert_eq!(world.order(Operation::Poll, &early).await.json()["feed"]["applied"], number);
        assert_eq!(marked(&world), number, "an earlier push and an earlier poll change nothing");
    }
    world.reopen().await;
    assert_eq!(marked(&world), 5);
}

#[actix_web::test]
async fn what_is_not_marked_is_not_acknowledged() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    let runtime = world.dir.path().join("runtime");
    let away = world.dir.path().join("away");
    fs::rename(&runtime, &away).unwrap();
    fs::write(&runtime, "not a directory").unwrap();
    world.manager.event(Event::Token(draft.jti.parse().unwrap()));
    let push = world.manager.push_body(0);
    for _ in 0..2 {
        let refused = world.order(Operation::Push, &push).await;
        assert_eq!(refused.problem(), (503, "storage_unavailable".to_owned()));
        let poll = world.manager.poll_body(world.seal_kid());
        let refused = world.order(Operation::Poll, &poll).await;
        assert_eq!(refused.problem(), (503, "storage_unavailable".to_owned()), "nor does a poll claim it");
    }
    assert!(world.value(&draft.sign(), &secret).await.is_err(), "it holds all the same");
    fs::remove_file(&runtime).unwrap();
    fs::rename(&away, &runtime).unwrap();
    let answer = world.order(Operation::Push, &push).await;
    assert_eq!((answer.status, &answer.json()["feed"]["applied"]), (202, &json!(1)));
    world.reopen().await;
    assert!(world.value(&draft.sign(), &secret).await.is_err());
}
