//! The key folder of a running vault: transport key, identity key and pins take turns, and what is malformed changes
//! nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use encrypted_vault::key_rotation::{Rotate, rotate_keys};
use encrypted_vault::keys::seal::LIFE_SECONDS;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::key_folder::KeyFolder;
use shared_proto::command::Operation;
use shared_proto::envelope::seal::new_transfer_key;
use shared_proto::event::Event;
use shared_proto::id::{ManagerId, SecretId, TokenId};
use shared_proto::identity::{IdentityDocument, IdentityKey, Mode, Owner, Pins};
use shared_proto::jwk::Thumbprint;
use shared_proto::receipt::Receipt;
use shared_proto::rsa_key::encrypting_key;
use shared_proto::statement::{KeyStatement, Purpose};
use shared_proto::wire::vault::{PollAnswer, PushAnswer, StoreAnswer};

use crate::support::{NOW, World, put, rsa_pem, signing_keys};

/// The stated transport keys, in order.
fn transport(world: &World) -> Vec<KeyStatement> {
    world.vault.statements.own().into_iter().filter(|one| one.purpose == Purpose::Transport).collect()
}

/// The manager takes the last transport key that is stated.
fn follow_transport(world: &mut World) -> Thumbprint {
    let stated = transport(world).pop().unwrap();
    world.manager.transfer = new_transfer_key(&encrypting_key(&stated.key).unwrap()).unwrap();
    world.manager.transport_kid = stated.key.thumbprint();
    world.manager.transport_kid
}

#[actix_web::test]
async fn a_new_transport_key_is_used_at_once_and_the_one_before_for_its_overlap_only() {
    let mut world = World::new().await;
    // Ahead of the clock that dates the files, however long this test takes.
    world.clock.set_now(SystemClock.now() + 60 * 60);
    world.reopen().await;
    world.poll_now().await;
    let first = world.manager.transport_kid;
    put(&world.config.key_dir.join("transport-next.pem"), &rsa_pem());
    world.vault.key_rotation.step().await;
    let stated = transport(&world);
    assert_eq!(stated.len(), 2);
    assert_eq!(stated[0].key.thumbprint(), first);
    let end = stated[0].not_after;
    assert!(end < world.clock.now() + 24 * 60 * 60, "stated to its end only");
    world.secret("under the one before").await;
    assert_ne!(follow_transport(&mut world), first);
    world.secret("under the new one").await;
    put(&world.config.key_dir.join("transport-next.pem"), &rsa_pem());
    world.vault.key_rotation.step().await;
    assert!(world.config.key_dir.join("transport-next.pem").exists(), "the next one waits for the end of the first");
    let refusal = rotate_keys(&world.config, &Rotate::Transport, 0).unwrap_err().sentence;
    assert!(refusal.contains("still accepted"), "{refusal}");
    fs::remove_file(world.config.key_dir.join("transport-next.pem")).unwrap();
    world.clock.set_now(end);
    assert_eq!(transport(&world).len(), 1);
    world.vault.key_rotation.step().await;
    assert!(world.config.key_dir.join("transport-previous.pem").exists(), "the clock may have jumped");
    world.poll_now().await;
    world.vault.key_rotation.step().await;
    assert!(!world.config.key_dir.join("transport-previous.pem").exists());
    let second = world.manager.transport_kid;
    world.manager.transport_kid = first;
    let (_, envelope) = world.manager.seal(SecretId::generate(), 1, "v");
    let reply = world.order(Operation::Store, &world.manager.store_body(vec![envelope])).await;
    assert_eq!(reply.problem(), (400, "parameter_invalid".to_owned()));
    world.manager.transport_kid = second;
    world.secret("still under the new one").await;
}

#[actix_web::test]
async fn what_is_malformed_changes_nothing_while_the_vault_runs() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let folder = &world.config.key_dir;
    let before = world.vault.keys.current();
    let pin = fs::read_to_string(folder.join("pins/manager.json")).unwrap();
    let foreign = IdentityDocument {
        id: Owner::Manager(ManagerId::generate()),
        mode: Mode::Development,
        key: IdentityKey::generate().unwrap().0.public().clone(),
    };
    let foreign = serde_json::to_string(&foreign).unwrap();
    let changes: &[(&str, &str)] = &[
        ("storage-keys/2.key", "short\n"),
        ("storage-keys/02.key", "x"),
        ("transport-next.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("transport-previous.pem", "x"),
        ("identity-next.pem", "x"),
        ("pins/second.json", &foreign),
        ("pins/second.json", "{"),
        ("token-signing.pem", "x"),
        ("notes.txt", "x"),
    ];
    for (name, text) in changes {
        put(&folder.join(name), text);
        world.vault.key_rotation.step().await;
        assert!(std::sync::Arc::ptr_eq(&before, &world.vault.keys.current()), "{name}");
        fs::remove_file(folder.join(name)).unwrap();
    }
    // Another manager in the place of the pinned one: a running vault stays what it is.
    put(&folder.join("pins/manager.json"), &foreign);
    world.vault.key_rotation.step().await;
    assert!(std::sync::Arc::ptr_eq(&before, &world.vault.keys.current()));
    put(&folder.join("pins/manager.json"), &pin);
    fs::set_permissions(folder.join("pins/manager.json"), fs::Permissions::from_mode(0o644)).unwrap();
    world.vault.key_rotation.step().await;
    assert!(std::sync::Arc::ptr_eq(&before, &world.vault.keys.current()), "open to others");
    fs::set_permissions(folder.join("pins/manager.json"), fs::Permissions::from_mode(0o600)).unwrap();
    world.vault.key_rotation.step().await;
    assert!(!std::sync::Arc::ptr_eq(&before, &world.vault.keys.current()), "repaired, and taken over");
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
    world.poll().await;
}

#[actix_web::test]
async fn the_vault_signs_with_its_next_identity_once_the_manager_accepts_it_and_never_with_the_old_one_again() {
    let mut world = World::new().await;
    let mut receipts: Vec<Receipt> = Vec::new();
    let report = rotate_keys(&world.config, &Rotate::Identity, 0).unwrap();
    assert!(report.due.iter().any(|line| line.contains("identity-next.json")), "{:?}", report.due);
    world.vault.key_rotation.step().await;
    let (old, next) = (world.document.key.thumbprint(), world.vault.keys.current().next_identity.unwrap());
    let answer: PollAnswer = world.poll().await.expect(200);
    assert_eq!(answer.feed.kid, old, "not before the manager says so");
    let path = world.config.key_dir.join("identity-next.json");
    let document: IdentityDocument = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let second = rotate_keys(&world.config, &Rotate::Identity, 0).unwrap_err().sentence;
    assert!(second.contains("under way"), "{second}");
    world.manager.pins.push(next);
    for _again in 0..2 {
        let answer: PollAnswer = world.poll().await.expect(200);
        let pins = Pins::new(std::slice::from_ref(&document)).unwrap();
        assert_eq!(answer.feed.kid, next);
        assert!(answer.statements.iter().all(|statement| statement.verify(&pins).is_ok()), "all is stated anew");
        assert_eq!(answer.statements.len(), 2);
        let (_, envelope) = world.manager.seal(SecretId::generate(), 1, "v");
        let answer: StoreAnswer =
            world.order(Operation::Store, &world.manager.store_body(vec![envelope])).await.expect(200);
        receipts.extend(answer.results.into_iter().filter_map(|result| result.receipt));
        assert!(receipts.iter().all(|receipt| receipt.verify(&pins).is_ok()));
        world.reopen().await;
    }
    assert!(!world.config.key_dir.join("identity-next.pem").exists());
    let retired = fs::read_dir(world.config.key_dir.join("identity-retired")).unwrap();
    assert_eq!(retired.count(), 1, "its public document is kept");
    world.manager.pins = vec![old];
    let answer: PollAnswer = world.poll().await.expect(200);
    assert_eq!(answer.feed.kid, next, "it never goes back");
}

#[actix_web::test]
async fn a_replayed_older_poll_brings_back_no_key() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let older = world.manager.poll_body(world.seal_kid());
    let body = serde_json::to_vec(&older).unwrap();
    let replayed = world.manager.command(Operation::Poll, &body, NOW);
    world.clock.advance(5);
    let mut newer = world.manager.poll_body(world.seal_kid());
    let other = signing_keys()[1].public().clone();
    let validity = (NOW - 60, NOW + 86_400);
    let owner = Owner::Manager(world.manager.id);
    newer.statements = vec![KeyStatement::sign(&world.manager.identity, owner, Purpose::TokenSigning, other, validity)];
    assert_eq!(world.order(Operation::Poll, &newer).await.status, 200);
    let refused = Err((401, "token_invalid".to_owned()));
    assert_eq!(world.value(&token, &secret).await, refused, "its key is removed");
    let replay = async |world: &World| {
        crate::support::command(&world.vault, "/api/commands", &replayed, body.clone()).await.problem()
    };
    assert_eq!(replay(&world).await, (401, "command_invalid".to_owned()));
    assert_eq!(world.value(&token, &secret).await, refused);
    let mut world = world;
    world.reopen().await;
    assert_eq!(replay(&world).await, (401, "command_invalid".to_owned()), "also after a restart");
    assert_eq!(world.order(Operation::Poll, &newer).await.status, 200, "the same again is no news");
    assert_eq!(world.value(&token, &secret).await, refused);
}

#[actix_web::test]
async fn a_clock_that_ran_ahead_and_was_set_right_keeps_no_poll_out() {
    let world = World::new().await;
    let ahead = async || {
        world.clock.advance(10 * 365 * 24 * 60 * 60);
        world.poll_now().await;
        world.clock.set_now(NOW + 1);
    };
    ahead().await;
    // A recorded poll of that time would look the same: it is believed when no token from before can be opened any more.
    assert_eq!(world.poll_unchecked().await.problem(), (401, "clock_differs".to_owned()));
    world.clock.advance(LIFE_SECONDS);
    world.poll_now().await;
    ahead().await;
    let mut world = world;
    world.reopen().await;
    world.poll_now().await;
}

#[actix_web::test]
async fn a_retired_pin_verifies_events_from_before_and_nothing_else() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    world.revoke(Event::Token(TokenId::generate())).await;
    // Signed by the old identity, and not sent yet.
    world.manager.event(Event::Token(TokenId::generate()));
    let old = std::mem::replace(&mut world.manager.identity, IdentityKey::generate().unwrap().0);
    let folder = KeyFolder::at(&world.config.key_dir);
    let pin = serde_json::to_string(&world.manager.document()).unwrap();
    put(&folder.file("pins/next.json"), &pin);
    world.vault.key_rotation.step().await;
    assert_eq!(world.poll_unchecked().await.status, 200, "both are accepted");
    let unpin = Rotate::Unpin { kid: shared_proto::encoding::b64(&old.kid().0) };
    rotate_keys(&world.config, &unpin, 0).unwrap();
    world.vault.key_rotation.step().await;
    let from = world.manager.events.len() - 1;
    let push = world.manager.push_body(from);
    let answer: PushAnswer = world.order(Operation::Push, &push).await.expect(202);
    assert_eq!(answer.feed.applied, world.manager.newest(), "an event from before");
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
    // The old key signs a command, and a statement.
    let current = std::mem::replace(&mut world.manager.identity, old);
    assert_eq!(world.poll_unchecked().await.problem(), (401, "command_invalid".to_owned()));
    let mut stated = world.manager.poll_body(world.seal_kid());
    world.manager.identity = current;
    stated.newest = world.manager.newest();
    assert_eq!(world.order(Operation::Poll, &stated).await.status, 200);
    assert_eq!(world.value(&token, &secret).await, Err((401, "token_invalid".to_owned())), "its key is not stated");
    let stranger = std::mem::replace(&mut world.manager.identity, IdentityKey::generate().unwrap().0);
    world.manager.event(Event::All);
    world.manager.identity = stranger;
    let from = world.manager.events.len() - 1;
    let push = world.manager.push_body(from);
    assert_eq!(world.order(Operation::Push, &push).await.status, 400, "an event of a stranger");
}

#[actix_web::test]
async fn keys_stated_by_an_identity_that_is_pinned_no_more_stop_to_count_at_once() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let old = std::mem::replace(&mut world.manager.identity, IdentityKey::generate().unwrap().0);
    let folder = KeyFolder::at(&world.config.key_dir);
    put(&folder.file("pins/next.json"), &serde_json::to_string(&world.manager.document()).unwrap());
    world.vault.key_rotation.step().await;
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
    folder.unpin(&old.kid(), Mode::Development).unwrap();
    world.vault.key_rotation.step().await;
    assert_eq!(world.value(&token, &secret).await, Err((401, "token_invalid".to_owned())));
    assert_eq!(world.poll_unchecked().await.status, 200);
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v", "stated anew by the new identity");
}
