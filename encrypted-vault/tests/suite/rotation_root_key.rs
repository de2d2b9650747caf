//! The exchange of a root key, with a manager that the tests play: handout, rewrap, retire.

use std::fs;

use shared_proto::command::Operation;
use shared_proto::envelope::{Inner, MovedKey};
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, SecretId};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::retirement::RetirementFacts;
use shared_proto::secret::RootKey;
use shared_proto::wire::vault::{
    HandedOut, Handout, HandoutAnswer, Retire, RetireAnswer, RowToRewrap, StoreAnswer, StoreResult, VersionName,
};

use crate::support::{NOW, Secret, World};

async fn handed_out(world: &World, epoch: u32, secrets: &[Secret]) -> Vec<HandedOut> {
    let order = world.manager.handout_body(epoch, secrets);
    world.order(Operation::Handout, &order).await.expect::<HandoutAnswer>(200).rows
}

async fn moved(world: &World, epoch: u32, secret: &Secret) -> MovedKey {
    let row = handed_out(world, epoch, &[*secret]).await.remove(0);
    let HandedOut::Key { digest, moved } = row else { panic!("{row:?}") };
    assert_eq!(digest, secret.digest);
    moved
}

async fn rewrap(world: &World, epoch: u32, rows: Vec<RowToRewrap>) -> Vec<StoreResult> {
    let order = world.manager.rewrap_body(epoch, rows);
    world.order(Operation::Rewrap, &order).await.expect::<StoreAnswer>(200).results
}

/// A row for the newest root key, from what is handed out of the epoch before.
async fn row(world: &World, old: &RootKey, secret: &Secret) -> RowToRewrap {
    let moved = moved(world, world.manager.epoch - 1, secret).await;
    world.manager.rewrapped(old, secret, &moved)
}

fn facts(world: &World, result: &StoreResult) -> ReceiptFacts {
    result.receipt.as_ref().unwrap().verify(&world.vault_pins()).unwrap()
}

fn refused(results: &[StoreResult]) -> Vec<Option<ErrorCode>> {
    results.iter().map(|result| result.error).collect()
}

fn retire(world: &World, epoch: u32) -> Retire {
    Retire { environment: world.manager.environment, epoch }
}

fn wrapped_keys(world: &World, secret: &Secret) -> Vec<u32> {
    let conn = world.database();
    let mut found = conn.prepare("SELECT epoch FROM wrapped_keys WHERE secret_id = ?1 ORDER BY epoch").unwrap();
    found.query_map([secret.id.as_bytes()], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[actix_web::test]
async fn a_row_keeps_both_wrapped_keys_until_retire_and_opens_with_tokens_of_both_epochs() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let before = world.token(&[secret]);
    assert_eq!(world.value(&before, &secret).await.unwrap(), "v");
    let old = world.manager.new_root_key();
    let added = rewrap(&world, 2, vec![row(&world, &old, &secret).await]).await;
    assert_eq!((refused(&added), facts(&world, &added[0]).epoch), (vec![None], 2));
    assert_eq!(wrapped_keys(&world, &secret), [1, 2]);
    let after = world.token(&[secret]);
    for token in [&before, &after] {
        assert_eq!(world.value(token, &secret).await.unwrap(), "v");
    }
    // What the manager reads back before it trusts the new key.
    let inner = Inner::from_moved(&world.manager.transfer.0, &moved(&world, 2, &secret).await).unwrap();
    assert!(inner.unwrap_with(&world.manager.release_key(&secret)).is_ok());
    let answer: RetireAnswer = world.order(Operation::Retire, &retire(&world, 2)).await.expect(200);
    let signed = answer.retirement.verify(&world.vault_pins()).unwrap();
    assert_eq!(signed, RetirementFacts { environment: world.manager.environment, epoch: 2, rows: 1, time: NOW });
    assert_eq!(wrapped_keys(&world, &secret), [2]);
    assert_eq!(world.value(&after, &secret).await.unwrap(), "v");
    world.reopen().await;
    world.poll().await;
    let refusal = (401, "token_invalid".to_owned());
    assert_eq!(world.value(&before, &secret).await, Err(refusal), "its wrapped key is gone");
    assert_eq!(world.value(&after, &secret).await.unwrap(), "v");
}

#[actix_web::test]
async fn rewrap_replaces_no_key_and_never_goes_back() {
    let mut world = World::new().await;
    let (secret, other) = (world.secret("v").await, world.secret("w").await);
    let old = world.manager.new_root_key();
    let good = row(&world, &old, &secret).await;
    let conflict = Some(ErrorCode::VersionConflict);
    // Another row's key, another digest, another environment, nothing there, a key that does not unwrap.
    let foreign = RowToRewrap { digest: other.digest, ..good.clone() };
    let elsewhere = RowToRewrap { environment: EnvironmentId::generate(), ..good.clone() };
    let nowhere = RowToRewrap { secret_id: SecretId::generate(), ..good.clone() };
    let mut broken = good.clone();
    broken.moved.0[0] ^= 1;
    let found = rewrap(&world, 2, vec![foreign, elsewhere, nowhere, broken]).await;
    let missing = Some(ErrorCode::SecretNotFound);
    assert_eq!(refused(&found), [conflict, conflict, missing, Some(ErrorCode::BodyInvalid)]);
    assert_eq!(wrapped_keys(&world, &secret), [1]);
    // Under an epoch that the row has, only the same key is the same.
    let mut replacing = good.clone();
    replacing.moved = moved(&world, 1, &other).await;
    assert_eq!(refused(&rewrap(&world, 1, vec![replacing.clone()]).await), [conflict]);
    for _again in 0..2 {
        let same = rewrap(&world, 2, vec![good.clone()]).await;
        assert_eq!((refused(&same), facts(&world, &same[0]).epoch), (vec![None], 2));
    }
    let kept = rewrap(&world, 2, vec![replacing.clone()]).await;
    assert_eq!((refused(&kept), facts(&world, &kept[0]).epoch), (vec![conflict], 2));
    rewrap(&world, 4, vec![good.clone()]).await;
    assert_eq!(refused(&rewrap(&world, 3, vec![good.clone()]).await), [conflict], "between two that are there");
    assert_eq!(wrapped_keys(&world, &secret), [1, 2, 4]);
    assert_eq!(world.value(&world.token(&[secret]), &secret).await.unwrap(), "v");
}

#[actix_web::test]
async fn retire_is_refused_while_one_row_lacks_the_epoch_and_nothing_older_comes_after_it() {
    let mut world = World::new().await;
    let secrets = [world.secret("a").await, world.secret("b").await, world.secret("c").await];
    let (late, late_envelope) = world.manager.seal(SecretId::generate(), 1, "late");
    let old = world.manager.new_root_key();
    let rows = vec![row(&world, &old, &secrets[0]).await, row(&world, &old, &secrets[1]).await];
    let last = row(&world, &old, &secrets[2]).await;
    rewrap(&world, 2, rows).await;
    let reply = world.order(Operation::Retire, &retire(&world, 2)).await;
    assert_eq!(reply.problem(), (409, "epoch_incomplete".to_owned()));
    assert_eq!(reply.json()["lacking"], 1);
    assert_eq!(wrapped_keys(&world, &secrets[0]), [1, 2], "nothing is erased");
    assert_eq!(world.store(vec![late_envelope.clone()]).await.results[0].error, None, "nor refused");
    let late_row = row(&world, &old, &late).await;
    rewrap(&world, 2, vec![last.clone(), late_row]).await;
    for _again in 0..2 {
        let answer: RetireAnswer = world.order(Operation::Retire, &retire(&world, 2)).await.expect(200);
        assert_eq!(answer.retirement.verify(&world.vault_pins()).unwrap().rows, 4);
    }
    let left: i64 = world.database().query_row("SELECT min(epoch) FROM wrapped_keys", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2);
    world.reopen().await;
    world.poll().await;
    let (_, mut older) = world.manager.seal(SecretId::generate(), 1, "older");
    older.epoch = 1;
    let stored = world.store(vec![older, late_envelope]).await;
    assert_eq!(refused(&stored.results), [Some(ErrorCode::VersionConflict), None], "the known one gets its receipt");
    assert!(stored.results[0].receipt.is_none());
    assert_eq!(refused(&rewrap(&world, 1, vec![last]).await), [Some(ErrorCode::VersionConflict)]);
    let left: i64 = world.database().query_row("SELECT min(epoch) FROM wrapped_keys", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2);
}

#[actix_web::test]
async fn handout_gives_wrapped_keys_of_one_epoch_and_leaves_one_audit_line() {
    let world = World::new().await;
    let (secret, other) = (world.secret("v").await, world.secret("w").await);
    let nowhere = Secret { id: SecretId::generate(), ..secret };
    let missing = HandedOut::Refused { error: ErrorCode::SecretNotFound };
    let found = handed_out(&world, 1, &[nowhere, secret, other]).await;
    assert_eq!(found[0], missing);
    assert!(found[1..].iter().all(|row| matches!(row, HandedOut::Key { .. })));
    assert_eq!(handed_out(&world, 2, &[secret]).await, std::slice::from_ref(&missing));
    let mut elsewhere = world.manager.handout_body(1, &[secret]);
    elsewhere.versions = vec![VersionName { environment: EnvironmentId::generate(), ..world.manager.name(&secret) }];
    let answer: HandoutAnswer = world.order(Operation::Handout, &elsewhere).await.expect(200);
    assert_eq!(answer.rows, [missing]);
    world.vault.audit.flush_and_close().await;
    let log = fs::read_to_string(world.config.audit_log()).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(r#""action":"wrapped_key.hand_out""#)).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains(r#""count":3"#), "{}", lines[0]);
    let order = world.manager.handout_body(1, &[secret]);
    let reply = world.order(Operation::Handout, &order).await;
    assert_eq!(reply.problem(), (503, "audit_unavailable".to_owned()), "nothing is handed out without its line");
}

#[actix_web::test]
async fn orders_about_root_keys_have_limits() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let invalid = (400, "parameter_invalid".to_owned());
    for (epoch, count) in [(0, 1), (1, 0), (1, 65)] {
        let order = world.manager.handout_body(epoch, &vec![secret; count]);
        assert_eq!(world.order(Operation::Handout, &order).await.problem(), invalid);
        let moved = moved(&world, 1, &secret).await;
        let row = RowToRewrap {
            environment: world.manager.environment,
            secret_id: secret.id,
            version: secret.version,
            digest: secret.digest,
            moved,
        };
        let order = world.manager.rewrap_body(epoch, vec![row; count]);
        assert_eq!(world.order(Operation::Rewrap, &order).await.problem(), invalid);
    }
    assert_eq!(world.order(Operation::Retire, &retire(&world, 0)).await.problem(), invalid);
    let unstated = Handout { transport_kid: world.manager.identity.kid(), ..world.manager.handout_body(1, &[secret]) };
    assert_eq!(world.order(Operation::Handout, &unstated).await.problem(), invalid);
}

#[actix_web::test]
async fn a_row_in_memory_is_read_again_when_its_keys_were_exchanged() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    assert_eq!(world.value(&world.token(&[secret]), &secret).await.unwrap(), "v");
    let old = world.manager.new_root_key();
    let sent = row(&world, &old, &secret).await;
    // Behind the back of the vault, as another copy of it on the same database would.
    let inner = Inner::from_moved(&world.manager.transfer.0, &sent.moved).unwrap();
    let (storage_key, stored) = world.vault.keys.current().storage.store(&inner).unwrap();
    let key = encrypted_vault::store::WrappedKey { epoch: 2, storage_key, stored };
    let new = encrypted_vault::store::NewKey { name: world.manager.name(&secret), digest: secret.digest, key };
    world.vault.store.rewrap(vec![new]).await.unwrap();
    let token = world.token(&[secret]);
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
}
