//! A database that fails, and an audit log that cannot be written.

use std::path::{Path, PathBuf};

use encrypted_vault::store::{SqlStore, check_conformance};
use service_runtime::sql::{Fault, Faults, Location, PostgresOptions};
use shared_proto::command::Operation;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, TokenId, VaultId, Version};
use shared_proto::identity::Mode;
use shared_proto::receipt::VersionState;
use shared_proto::wire::vault::{
    HandedOut, HandoutAnswer, Inventory, Replay, Retire, Settle, StoreAnswer, VersionName,
};

use crate::support::{World, command};

fn unavailable() -> (u16, String) {
    (503, "storage_unavailable".to_owned())
}

fn unknown() -> (u16, String) {
    (503, "outcome_unknown".to_owned())
}

async fn keeps_the_rules(location: &Location) {
    let id = VaultId::generate();
    SqlStore::create(location, id, Mode::Development).unwrap();
    let faults = Faults::default();
    faults.write_twice();
    let store = SqlStore::open(location, id, Mode::Development).unwrap().with_faults(faults);
    check_conformance(&store).await.unwrap();
}

#[actix_web::test]
async fn sqlite_keeps_the_rules_of_every_store() {
    let dir = tempfile::tempdir().unwrap();
    keeps_the_rules(&Location::File(dir.path().join("vault.db"))).await;
}

#[actix_web::test]
async fn postgres_keeps_the_rules_of_every_store() {
    let kept = test_postgres::Database::create();
    keeps_the_rules(&on_server(&kept)).await;
}

/// The place of a test's database.
pub(crate) fn on_server(kept: &test_postgres::Database) -> Location {
    let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
    Location::new(Some(&kept.socket_url()), Some(&options), Path::new("/"), PathBuf::new(), false).unwrap()
}

#[actix_web::test]
async fn vault_that_lost_its_database_opens_nothing_from_memory() {
    let kept = test_postgres::Database::create();
    let world = World::on(on_server(&kept)).await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
    kept.alter("UPDATE service_copy SET generation = 'another'");
    world.vault.store.lost().await;
    assert_eq!(world.value(&token, &secret).await, Err((503, "revocations_behind".to_owned())));
}

#[actix_web::test]
async fn a_store_that_fails_gives_no_receipt_and_leaves_nothing() {
    let world = World::new().await;
    let (secret, envelope) = world.manager.seal(SecretId::generate(), 1, "v");
    let body = world.manager.store_body(vec![envelope]);
    world.faults.set(Fault::WritesFail);
    assert_eq!(world.order(Operation::Store, &body).await.problem(), unavailable());
    let name = VersionName { environment: world.manager.environment, secret_id: secret.id, version: secret.version };
    let settle = Settle { versions: vec![name], unused: false };
    assert_eq!(world.order(Operation::Settle, &settle).await.problem(), unavailable());
    world.faults.set(Fault::None);
    let listed = world.order(Operation::Inventory, &Inventory { after: None, limit: 9 }).await;
    assert!(listed.json()["receipts"].as_array().unwrap().is_empty());
    assert_eq!(world.order(Operation::Store, &body).await.status, 200, "no tombstone either");
}

#[actix_web::test]
async fn a_store_whose_answer_is_lost_says_so_and_the_repeat_settles_it() {
    let world = World::new().await;
    let (secret, envelope) = world.manager.seal(SecretId::generate(), 1, "v");
    world.faults.set(Fault::AnswersLost);
    let body = world.manager.store_body(vec![envelope]);
    assert_eq!(world.order(Operation::Store, &body).await.problem(), unknown());
    world.faults.set(Fault::None);
    let result = world.store(body.envelopes).await.results.remove(0);
    assert!(result.error.is_none());
    let facts = result.receipt.unwrap().verify(&world.vault_pins()).unwrap();
    assert_eq!((facts.digest, facts.state), (secret.digest, VersionState::Stored));
    assert_eq!(world.value(&world.token(&[secret]), &secret).await.unwrap(), "v");
}

#[actix_web::test]
async fn a_number_whose_answer_is_lost_is_used_and_one_that_failed_is_not() {
    let world = World::new().await;
    for (fault, answer, status) in [(Fault::WritesFail, unavailable(), 200), (Fault::AnswersLost, unknown(), 409)] {
        let (environment, secret_id) = (world.manager.environment, SecretId::generate());
        let name = VersionName { environment, secret_id, version: Version::FIRST };
        let unused = Settle { versions: vec![name], unused: true };
        world.faults.set(fault);
        assert_eq!(world.order(Operation::Settle, &unused).await.problem(), answer);
        world.faults.set(Fault::None);
        assert_eq!(world.order(Operation::Settle, &unused).await.status, status, "{fault:?}");
    }
}

#[actix_web::test]
async fn a_revocation_that_is_not_written_is_not_acknowledged() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    world.manager.event(Event::Token(draft.jti.parse().unwrap()));
    let push = world.manager.push_body(0);
    world.faults.set(Fault::WritesFail);
    for _ in 0..2 {
        assert_eq!(world.order(Operation::Push, &push).await.problem(), unavailable());
        assert_eq!(world.poll().await.json()["feed"]["applied"], 0, "nor by a poll");
    }
    world.faults.set(Fault::None);
    assert_eq!(world.order(Operation::Push, &push).await.status, 202);
    world.faults.set(Fault::ReadsFail);
    assert_eq!(world.order(Operation::Push, &push).await.problem(), unavailable(), "what is there cannot be compared");
    assert!(world.value(&draft.sign(), &secret).await.is_err());
}

#[actix_web::test]
async fn a_revocation_whose_answer_is_lost_holds_and_the_next_one_is_applied_too() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    assert!(world.value(&draft.sign(), &secret).await.is_ok());
    world.manager.event(Event::Token(draft.jti.parse().unwrap()));
    let push = world.manager.push_body(0);
    world.faults.set(Fault::AnswersLost);
    assert_eq!(world.order(Operation::Push, &push).await.problem(), unknown());
    assert!(world.value(&draft.sign(), &secret).await.is_err(), "it was written, so it holds");
    world.faults.set(Fault::None);
    let again = world.order(Operation::Push, &push).await;
    assert_eq!((again.status, &again.json()["feed"]["applied"]), (202, &1.into()));
    world.revoke(Event::Token(TokenId::generate())).await;
    world.reopen().await;
    assert!(world.value(&draft.sign(), &secret).await.is_err());
}

#[actix_web::test]
async fn what_a_blind_vault_wrote_is_found_before_the_next_event() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    world.manager.event(Event::Token(draft.jti.parse().unwrap()));
    world.faults.set(Fault::Blind);
    assert_eq!(world.order(Operation::Push, &world.manager.push_body(0)).await.problem(), unknown());
    world.faults.set(Fault::None);
    assert_eq!(world.poll().await.json()["feed"]["applied"], 0, "not known, so not claimed");
    world.revoke(Event::Token(TokenId::generate())).await;
    assert!(world.value(&draft.sign(), &secret).await.is_err());
}

#[actix_web::test]
async fn a_database_that_cannot_be_read_opens_nothing() {
    let world = World::new().await;
    let (secret, cached) = (world.secret("v").await, world.secret("w").await);
    let token = world.token(&[secret, cached]);
    assert!(world.value(&token, &cached).await.is_ok());
    world.faults.set(Fault::ReadsFail);
    assert_eq!(world.value(&token, &secret).await, Err(unavailable()));
    let body = format!(r#"{{"key_ids":["{}","{}"]}}"#, cached.id, secret.id).into_bytes();
    assert_eq!(command(&world.vault, "/api/keys:read", &token, body).await.problem(), unavailable());
    for (op, body) in [
        (Operation::Inventory, serde_json::to_value(Inventory { after: None, limit: 9 }).unwrap()),
        (Operation::Replay, serde_json::to_value(Replay { after: 0, limit: 9 }).unwrap()),
    ] {
        assert_eq!(world.order(op, &body).await.problem(), unavailable(), "{op:?}");
    }
    world.faults.set(Fault::None);
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
}

#[actix_web::test]
async fn a_full_disk_does_not_keep_new_signing_keys_out_and_they_are_kept_when_it_is_not_full() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let mut poll = world.manager.poll_body(world.seal_kid());
    poll.statements = vec![world.manager.statement((super::support::NOW - 7, super::support::NOW + 999))];
    world.faults.set(Fault::WritesFail);
    assert_eq!(world.order(Operation::Poll, &poll).await.status, 200);
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok());
    assert_ne!(
        world.vault.store.statements().await.unwrap().documents,
        [serde_json::to_string(&poll.statements[0]).unwrap()]
    );
    world.faults.set(Fault::None);
    assert_eq!(world.order(Operation::Poll, &poll).await.status, 200);
    assert_eq!(
        world.vault.store.statements().await.unwrap().documents,
        [serde_json::to_string(&poll.statements[0]).unwrap()]
    );
    world.reopen().await;
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok(), "without a poll");
}

#[actix_web::test]
async fn without_an_audit_line_nothing_is_released_and_nothing_is_stored_but_revocations_work() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    let token = draft.sign();
    assert!(world.value(&token, &secret).await.is_ok());
    // From here on every line is refused, as by a full disk.
    world.vault.audit.flush_and_close().await;
    let refused = (503, "audit_unavailable".to_owned());
    let reply = world.read(&token, &secret).await;
    assert_eq!(reply.problem(), refused);
    assert!(!String::from_utf8_lossy(&reply.body).contains("decrypted_key"));
    let body = format!(r#"{{"key_ids":["{}"]}}"#, secret.id).into_bytes();
    assert_eq!(command(&world.vault, "/api/keys:read", &token, body).await.problem(), refused);
    let (_, envelope) = world.manager.seal(SecretId::generate(), 1, "w");
    let store = world.manager.store_body(vec![envelope]);
    assert_eq!(world.order(Operation::Store, &store).await.problem(), refused);
    let listed = world.order(Operation::Inventory, &Inventory { after: None, limit: 9 }).await;
    assert_eq!(listed.json()["receipts"].as_array().unwrap().len(), 1);
    assert_eq!(crate::support::get(&world.vault, "/health/ready", "").await.status, 503);
    world.revoke(Event::Token(draft.jti.parse().unwrap())).await;
    assert_eq!(world.value(&token, &secret).await, Err((401, "token_invalid".to_owned())));
}

#[actix_web::test]
async fn a_rewrap_whose_answer_is_lost_is_repeated_and_one_that_failed_changes_nothing() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let before = world.token(&[secret]);
    let handout = world.manager.handout_body(1, &[secret]);
    let answer: HandoutAnswer = world.order(Operation::Handout, &handout).await.expect(200);
    let HandedOut::Key { moved, .. } = &answer.rows[0] else { panic!("{answer:?}") };
    let old = world.manager.new_root_key();
    let order = world.manager.rewrap_body(2, vec![world.manager.rewrapped(&old, &secret, moved)]);
    let retire = Retire { environment: world.manager.environment, epoch: 2 };
    world.faults.set(Fault::WritesFail);
    assert_eq!(world.order(Operation::Rewrap, &order).await.problem(), unavailable());
    world.faults.set(Fault::None);
    let refusal = (409, "epoch_incomplete".to_owned());
    assert_eq!(world.order(Operation::Retire, &retire).await.problem(), refusal, "nothing was added");
    world.faults.set(Fault::AnswersLost);
    assert_eq!(world.order(Operation::Rewrap, &order).await.problem(), unknown());
    world.faults.set(Fault::None);
    let answer: StoreAnswer = world.order(Operation::Rewrap, &order).await.expect(200);
    assert_eq!(answer.results[0].error, None, "the same again");
    assert_eq!(world.value(&before, &secret).await.unwrap(), "v");
    world.faults.set(Fault::AnswersLost);
    assert_eq!(world.order(Operation::Retire, &retire).await.problem(), unknown());
    world.faults.set(Fault::None);
    assert_eq!(world.order(Operation::Retire, &retire).await.status, 200);
    assert_eq!(world.value(&world.token(&[secret]), &secret).await.unwrap(), "v");
}
