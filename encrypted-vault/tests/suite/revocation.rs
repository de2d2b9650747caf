//! Revoked means refused on the very next request.

use serde_json::Value;
use shared_proto::chain::ChainHead;
use shared_proto::encoding::{Bytes, random};
use shared_proto::event::{Event, EventClaims, NO_EVENT, event_hash};
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, PersonId, SecretId, TokenId, VaultId};
use shared_proto::identity::{IdentityKey, Issuer};
use shared_proto::jws::{self, Kind};
use shared_proto::receipt::VersionState;
use shared_proto::wire::vault::{Push, PushAnswer, Receipts, Settle, VersionName};

use crate::support::{Draft, NOW, Secret, World, get, signing_keys};

fn revoked() -> Result<String, (u16, String)> {
    Err((401, "token_invalid".to_owned()))
}

/// Every kind of event that hits this token, and whether it does so whatever the `rseq`.
fn events(draft: &Draft, secret: &Secret, world: &World) -> Vec<(Event, bool)> {
    vec![
        (Event::Token(draft.jti.parse().unwrap()), false),
        (Event::Subject(draft.sub.parse().unwrap()), false),
        (Event::Credential(draft.client_id.parse().unwrap()), false),
        (Event::Environment(world.manager.environment), false),
        (Event::Secret(secret.id), false),
        (Event::Version(secret.id, secret.version), false),
        (Event::All, false),
        (Event::SigningKey(signing_keys()[0].public().thumbprint()), true),
        (Event::Destroy(world.manager.environment, secret.id, secret.version), true),
    ]
}

#[actix_web::test]
async fn every_kind_hits_tokens_from_before_it_and_none_from_after() {
    for number in 0..9 {
        let mut world = World::new().await;
        let (secret, other) = (world.secret("v").await, world.secret("w").await);
        let draft = world.draft(&[secret]);
        let (event, permanent) = events(&draft, &secret, &world).remove(number);
        // The same claims sealed twice: one token is in the cache when the event comes, the other is not.
        let (cached, fresh) = (draft.sign(), draft.sign());
        assert_eq!(world.value(&cached, &secret).await.unwrap(), "v");
        let unrelated = world.token(&[other]);
        world.revoke(event).await;
        assert_eq!(world.value(&cached, &secret).await, revoked(), "{event:?}, cached");
        assert_eq!(world.value(&fresh, &secret).await, revoked(), "{event:?}, not cached");
        let whole = matches!(event, Event::All | Event::SigningKey(_) | Event::Environment(_));
        assert_eq!(world.value(&unrelated, &other).await.is_ok(), !whole, "{event:?} hits what it names");
        let mut later = draft.clone();
        later.rseq = world.manager.newest();
        let later = later.sign();
        assert_eq!(world.value(&later, &secret).await.is_ok(), !permanent, "{event:?}, a later token");
        world.reopen().await;
        for token in [cached, fresh] {
            assert_eq!(world.value(&token, &secret).await, revoked(), "{event:?}, after a restart");
        }
        assert_eq!(world.value(&later, &secret).await.is_ok(), !permanent, "{event:?}, a later token after a restart");
    }
}

#[actix_web::test]
async fn the_release_keys_of_a_revoked_or_expired_token_are_wiped_within_a_second() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let (draft, mut short) = (world.draft(&[secret]), world.draft(&[secret]));
    short.exp = NOW + 10;
    for token in [draft.sign(), short.sign()] {
        assert!(world.value(&token, &secret).await.is_ok());
    }
    world.vault.tick();
    assert_eq!(world.vault.tokens.count(), 2);
    world.revoke(Event::Token(draft.jti.parse().unwrap())).await;
    world.vault.tick();
    assert_eq!(world.vault.tokens.count(), 1);
    world.clock.advance(10);
    world.vault.tick();
    assert_eq!(world.vault.tokens.count(), 0);
}

#[actix_web::test]
async fn a_revoked_environment_takes_its_tokens_and_leaves_those_of_others() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    world.revoke(Event::Environment(EnvironmentId::generate())).await;
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
    world.revoke(Event::Environment(world.manager.environment)).await;
    assert_eq!(world.value(&token, &secret).await, revoked());
}

#[actix_web::test]
async fn a_revoked_secret_takes_its_grant_and_leaves_the_others() {
    let mut world = World::new().await;
    let (gone, stays) = (world.secret("gone").await, world.secret("stays").await);
    let token = world.token(&[gone, stays]);
    world.revoke(Event::Secret(gone.id)).await;
    assert_eq!(world.value(&token, &gone).await, revoked());
    assert_eq!(world.value(&token, &stays).await.unwrap(), "stays");
}

#[actix_web::test]
async fn a_destroyed_version_is_erased_and_can_never_be_stored_again() {
    let mut world = World::new().await;
    let (secret, envelope) = world.manager.seal(SecretId::generate(), 1, "v");
    world.store(vec![envelope.clone()]).await;
    world.revoke(Event::Destroy(world.manager.environment, secret.id, secret.version)).await;
    let count = |table: &str| -> i64 {
        world.database().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("envelopes"), count("wrapped_keys"), count("tombstones")), (0, 0, 1));
    let late = world.store(vec![envelope]).await.results.remove(0);
    assert_eq!(late.error, Some(shared_proto::error::ErrorCode::VersionConflict));
    let facts = late.receipt.unwrap().verify(&world.vault_pins()).unwrap();
    assert_eq!((facts.state, facts.epoch, facts.digest), (VersionState::Tombstone, 0, Bytes([0; 32])));
    let name = VersionName { environment: world.manager.environment, secret_id: secret.id, version: secret.version };
    let settled =
        world.order(shared_proto::command::Operation::Settle, &Settle { versions: vec![name], unused: false }).await;
    let settled: Receipts = settled.expect(200);
    assert_eq!(settled.receipts[0].verify(&world.vault_pins()).unwrap().state, VersionState::Tombstone);
}

async fn push(world: &World, events: Vec<String>) -> (u16, Value) {
    let push = Push { nonce: Bytes(random()), events, dropped_below: 0 };
    let reply = world.order(shared_proto::command::Operation::Push, &push).await;
    (reply.status, reply.json())
}

async fn ready(world: &World) -> u16 {
    get(&world.vault, "/health/ready", "").await.status
}

fn some_event() -> Event {
    Event::Token(TokenId::generate())
}

#[actix_web::test]
async fn a_gap_is_refused_with_the_number_that_is_expected_and_nothing_is_applied() {
    let mut world = World::new().await;
    for _ in 0..4 {
        world.manager.event(some_event());
    }
    let chain = world.manager.events.clone();
    for events in [vec![chain[1].clone()], vec![chain[1].clone(), chain[0].clone()], chain[2..].to_vec()] {
        let (status, body) = push(&world, events).await;
        assert_eq!((status, &body["code"], &body["expected"]), (409, &"event_gap".into(), &1.into()));
    }
    let (status, body) = push(&world, vec![chain[0].clone(), chain[1].clone(), chain[3].clone()]).await;
    assert_eq!((status, &body["expected"]), (409, &3.into()));
    assert_eq!(world.poll().await.json()["feed"]["applied"], 0, "a list is applied whole or not at all");
    assert_eq!(push(&world, chain.clone()).await.0, 202);
    for events in [chain.clone(), chain[1..2].to_vec(), vec![chain[3].clone(), chain[0].clone()]] {
        let (status, body) = push(&world, events).await;
        assert_eq!((status, &body["feed"]["applied"]), (202, &4.into()), "known events change nothing");
    }
    let twice = world.manager.event(some_event());
    assert_eq!(push(&world, vec![twice.clone(), twice]).await.0, 202);
    assert_eq!(ready(&world).await, 200);
}

#[actix_web::test]
async fn events_that_are_not_the_managers_are_refused_and_stop_nothing() {
    let mut world = World::new().await;
    let manager = &world.manager;
    let claims = |issuer, vault| EventClaims::new(issuer, vault, some_event(), ChainHead::START, NOW);
    let good = claims(manager.issuer(), manager.vault);
    let stranger = IdentityKey::generate().unwrap().0;
    let by_stranger = |kid| jws::sign(Kind::Event, kid, &good, |input| Ok(stranger.sign(input).0.to_vec())).unwrap();
    let other_issuer = Issuer { manager: ManagerId::generate(), mode: manager.mode };
    let mut unchained = serde_json::to_value(&good).unwrap();
    unchained["seq"] = 0.into();
    let mut two = serde_json::to_value(&good).unwrap();
    two["events"]["urn:splitvault:event:all"] = serde_json::json!({});
    let mut unknown = serde_json::to_value(&good).unwrap();
    unknown["events"] = serde_json::json!({ "urn:splitvault:event:un-revoke": {} });
    let events = [
        by_stranger(manager.identity.kid()),
        by_stranger(stranger.kid()),
        manager.sign(Kind::Event, &claims(other_issuer, manager.vault)),
        manager.sign(Kind::Event, &claims(manager.issuer(), VaultId::generate())),
        manager.sign(Kind::Command, &good),
        manager.sign(Kind::Event, &unchained),
        manager.sign(Kind::Event, &two),
        manager.sign(Kind::Event, &unknown),
        String::new(),
        "x".repeat(3_000),
    ];
    for event in events {
        let (status, body) = push(&world, vec![event.clone()]).await;
        assert_eq!((status, &body["code"]), (400, &"body_invalid".into()), "{event}");
    }
    for count in [0, 257] {
        assert_eq!(push(&world, vec![String::new(); count]).await.1["code"], "parameter_invalid");
    }
    world.revoke(some_event()).await;
    assert_eq!(ready(&world).await, 200);
}

#[actix_web::test]
async fn other_content_under_a_known_number_stops_the_feed_for_good() {
    for conflict in 0..4 {
        let mut world = World::new().await;
        world.revoke(some_event()).await;
        let (known, manager) = (world.manager.events[0].clone(), &world.manager);
        assert_eq!(ready(&world).await, 200);
        let next = manager.event_at(some_event(), 2, event_hash(&known));
        let refused = match conflict {
            0 => push(&world, vec![manager.event_at(some_event(), 1, NO_EVENT)]).await,
            1 => push(&world, vec![manager.event_at(some_event(), 2, NO_EVENT)]).await,
            2 => push(&world, vec![next.clone(), manager.event_at(some_event(), 2, event_hash(&known))]).await,
            _ => {
                let mut poll = manager.poll_body(world.seal_kid());
                poll.newest_hash = Bytes([7; 32]);
                let reply = world.order(shared_proto::command::Operation::Poll, &poll).await;
                (reply.status, reply.json())
            }
        };
        assert_eq!((refused.0, &refused.1["code"]), (409, &"event_conflict".into()), "{conflict}");
        for events in [vec![next], vec![known]] {
            let (status, body) = push(&world, events).await;
            assert_eq!((status, &body["code"]), (409, &"event_conflict".into()), "{conflict}: stopped");
        }
        assert_eq!(ready(&world).await, 503, "{conflict}");
    }
}

#[actix_web::test]
async fn an_answer_is_signed_for_its_own_nonce_and_event() {
    let mut world = World::new().await;
    world.manager.event(Event::Subject(shared_proto::id::Subject::Person(PersonId::generate())));
    world.manager.event(Event::Credential(CredentialId::generate()));
    let body = world.manager.push_body(0);
    let answer: PushAnswer = world.order(shared_proto::command::Operation::Push, &body).await.expect(202);
    answer.feed.verify(&world.vault_pins(), &body.nonce).unwrap();
    assert!(answer.feed.verify(&world.vault_pins(), &Bytes([0; 16])).is_err());
    assert_eq!((answer.feed.applied, answer.feed.event_hash), (2, world.manager.newest_hash()));
}
