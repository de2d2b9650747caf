//! Taking envelopes in.

use shared_proto::command::Operation;
use shared_proto::encoding::{ByteString, Bytes, random};
use shared_proto::envelope::seal::new_transfer_key;
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::rsa_key::encrypting_key;
use shared_proto::wire::vault::{
    EnvelopeToStore, HandedOut, HandoutAnswer, Inventory, InventoryCursor, Receipts, Retire, Settle, Store,
    StoreAnswer, StoreResult, VersionName,
};

use crate::support::{Secret, World, signing_keys};

fn facts(world: &World, result: &StoreResult) -> ReceiptFacts {
    result.receipt.as_ref().expect("a receipt").verify(&world.vault_pins()).unwrap()
}

fn envelope(world: &World) -> (Secret, EnvelopeToStore) {
    world.manager.seal(SecretId::generate(), 1, "v")
}

async fn inventory(world: &World, after: Option<InventoryCursor>, limit: usize) -> Vec<ReceiptFacts> {
    let reply = world.order(Operation::Inventory, &Inventory { after, limit }).await;
    let found: Receipts = reply.expect(200);
    found.receipts.iter().map(|receipt| receipt.verify(&world.vault_pins()).unwrap()).collect()
}

#[actix_web::test]
async fn a_stored_envelope_gets_a_receipt_and_the_same_one_again_the_same_facts() {
    let world = World::new().await;
    let (secret, envelope) = envelope(&world);
    let first = world.store(vec![envelope.clone()]).await;
    let expected = ReceiptFacts {
        environment: world.manager.environment,
        secret: secret.id,
        version: secret.version,
        state: VersionState::Stored,
        epoch: 1,
        digest: secret.digest,
    };
    assert!(first.results[0].error.is_none());
    assert_eq!(facts(&world, &first.results[0]), expected);
    world.clock.advance(50);
    let again = world.store(vec![envelope.clone(), envelope]).await;
    for result in &again.results {
        assert!(result.error.is_none());
        assert_eq!(facts(&world, result), expected);
    }
    assert_eq!(inventory(&world, None, 256).await, [expected]);
}

#[actix_web::test]
async fn a_taken_version_is_never_replaced() {
    let world = World::new().await;
    let (secret, first) = envelope(&world);
    let (_, other_value) = world.manager.seal(secret.id, 1, "other");
    let mut other_environment = first.clone();
    world.store(vec![first]).await;
    other_environment.environment = EnvironmentId::generate();
    other_environment.digest = {
        let header = shared_proto::envelope::Header {
            environment: other_environment.environment,
            ..world.manager.header(secret.id, secret.version)
        };
        let ciphertext = shared_proto::envelope::Ciphertext::new(
            other_environment.commit,
            other_environment.nonce,
            other_environment.ciphertext.0.clone(),
        );
        shared_proto::envelope::digest(&header, &ciphertext.unwrap())
    };
    for late in [other_value, other_environment] {
        let result = world.store(vec![late]).await.results.remove(0);
        assert_eq!(result.error, Some(ErrorCode::VersionConflict));
        let found = facts(&world, &result);
        assert_eq!((found.digest, found.environment), (secret.digest, world.manager.environment), "what is there");
    }
    assert_eq!(world.value(&world.token(&[secret]), &secret).await.unwrap(), "v");
}

#[actix_web::test]
async fn an_envelope_that_does_not_fit_is_refused_and_its_neighbours_are_stored() {
    type Change = fn(&mut EnvelopeToStore);
    let world = World::new().await;
    let changes: [(&str, Change); 12] = [
        ("digest", |envelope| envelope.digest.0[0] ^= 1),
        ("epoch 0", |envelope| envelope.epoch = 0),
        ("commit", |envelope| envelope.commit.0[31] ^= 1),
        ("nonce", |envelope| envelope.nonce.0[0] ^= 1),
        ("ciphertext", |envelope| envelope.ciphertext.0[5] ^= 1),
        ("moved", |envelope| envelope.moved.0[0] ^= 1),
        ("moved of nothing", |envelope| envelope.moved = Bytes([0xa6; 48])),
        ("no ciphertext", |envelope| envelope.ciphertext.0.clear()),
        ("a length that no frame has", |envelope| envelope.ciphertext.0.push(0)),
        ("environment", |envelope| envelope.environment = EnvironmentId::generate()),
        ("secret", |envelope| envelope.secret_id = SecretId::generate()),
        ("version", |envelope| envelope.version = Version::new(2).unwrap()),
    ];
    for (name, change) in changes {
        let (mut good, mut envelopes) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (secret, envelope) = envelope(&world);
            good.push(secret);
            envelopes.push(envelope);
        }
        change(&mut envelopes[1]);
        let answer = world.store(envelopes).await;
        let codes: Vec<_> = answer.results.iter().map(|result| result.error).collect();
        assert_eq!(codes, [None, Some(ErrorCode::BodyInvalid), None], "{name}");
        assert!(answer.results[1].receipt.is_none(), "{name}");
        for (number, result) in [(0, &answer.results[0]), (2, &answer.results[2])] {
            assert_eq!(facts(&world, result).digest, good[number].digest, "{name}");
            assert!(world.value(&world.token(&[good[number]]), &good[number]).await.is_ok(), "{name}");
        }
        let missing = world.value(&world.token(&[good[1]]), &good[1]).await;
        assert_eq!(missing, Err((404, "secret_not_found".to_owned())), "{name}");
    }
}

#[actix_web::test]
async fn a_wrong_transfer_key_stores_nothing() {
    let world = World::new().await;
    let other_key = new_transfer_key(&encrypting_key(signing_keys()[1].public()).unwrap()).unwrap().1;
    let invalid = |code: &str| (400, code.to_owned());
    for transfer_key in [other_key, ByteString(Vec::new()), ByteString(vec![0; 256]), ByteString(vec![255; 10_000])] {
        let body = Store { transfer_key, ..world.manager.store_body(vec![envelope(&world).1]) };
        assert_eq!(world.order(Operation::Store, &body).await.problem(), invalid("body_invalid"));
    }
    let unknown = Store { transport_kid: Bytes(random()), ..world.manager.store_body(vec![envelope(&world).1]) };
    assert_eq!(world.order(Operation::Store, &unknown).await.problem(), invalid("parameter_invalid"));
    // A key that opens, but is not the one that these envelopes were moved with.
    let transport = world.vault.keys.current().transport[0].public.clone();
    let (_, fresh) = new_transfer_key(&encrypting_key(&transport).unwrap()).unwrap();
    let body = Store { transfer_key: fresh, ..world.manager.store_body(vec![envelope(&world).1]) };
    let answer: StoreAnswer = world.order(Operation::Store, &body).await.expect(200);
    assert_eq!(answer.results[0].error, Some(ErrorCode::BodyInvalid));
    assert!(inventory(&world, None, 256).await.is_empty());
}

#[actix_web::test]
async fn batches_have_their_limits() {
    let world = World::new().await;
    let refused = (400, "parameter_invalid".to_owned());
    let (_, one) = envelope(&world);
    for count in [0, 65] {
        let body = world.manager.store_body(vec![one.clone(); count]);
        assert_eq!(world.order(Operation::Store, &body).await.problem(), refused, "{count} envelopes");
        let name = VersionName { environment: one.environment, secret_id: one.secret_id, version: one.version };
        let settle = Settle { versions: vec![name; count], unused: count == 0 };
        assert_eq!(world.order(Operation::Settle, &settle).await.problem(), refused, "{count} versions");
    }
    for limit in [0, 257, usize::MAX] {
        let body = Inventory { after: None, limit };
        assert_ne!(world.order(Operation::Inventory, &body).await.status, 200, "limit {limit}");
        let body = shared_proto::wire::vault::Replay { after: 0, limit };
        assert_ne!(world.order(Operation::Replay, &body).await.status, 200, "limit {limit}");
    }
}

#[actix_web::test]
async fn a_settled_version_is_decided_for_ever() {
    let world = World::new().await;
    let (there, stored) = envelope(&world);
    let (missing, late) = envelope(&world);
    world.store(vec![stored]).await;
    let name = |secret: Secret| VersionName {
        environment: world.manager.environment,
        secret_id: secret.id,
        version: secret.version,
    };
    for _ in 0..2 {
        let settle = Settle { versions: vec![name(missing), name(there), name(missing)], unused: false };
        let answer: Receipts = world.order(Operation::Settle, &settle).await.expect(200);
        let found: Vec<_> =
            answer.receipts.iter().map(|one| one.verify(&world.vault_pins()).unwrap()).map(|one| one.state).collect();
        assert_eq!(found, [VersionState::Tombstone, VersionState::Stored, VersionState::Tombstone]);
    }
    let result = world.store(vec![late]).await.results.remove(0);
    assert_eq!(result.error, Some(ErrorCode::VersionConflict));
    assert_eq!(facts(&world, &result).state, VersionState::Tombstone);
    assert_eq!(world.value(&world.token(&[missing]), &missing).await, Err((404, "secret_not_found".to_owned())));
    assert_eq!(world.value(&world.token(&[there]), &there).await.unwrap(), "v");
}

/// The numbers of a secret that points to its first envelope again.
#[actix_web::test]
async fn a_number_without_an_envelope_is_used_once_and_leaves_the_other_envelopes_alone() {
    let mut world = World::new().await;
    let first = world.secret("v").await;
    let (second, late) = world.manager.seal(first.id, 2, "never");
    let settle = |secret: Secret, unused| {
        let name =
            VersionName { environment: world.manager.environment, secret_id: secret.id, version: secret.version };
        Settle { versions: vec![name], unused }
    };
    let (again, known, of_first) = (settle(second, true), settle(second, false), settle(first, true));
    let settled: Receipts = world.order(Operation::Settle, &again).await.expect(200);
    let settled = settled.receipts[0].verify(&world.vault_pins()).unwrap();
    assert_eq!((settled.secret, settled.version), (second.id, second.version));
    assert_eq!((settled.state, settled.epoch, settled.digest), (VersionState::Tombstone, 0, Bytes([0; 32])));
    for _ in 0..2 {
        // A manager that was restored to a time before it used the number asks for it again.
        for taken in [&again, &of_first] {
            let refusal = (409, "version_conflict".to_owned());
            assert_eq!(world.order(Operation::Settle, taken).await.problem(), refusal);
        }
        let receipts: Receipts = world.order(Operation::Settle, &known).await.expect(200);
        assert_eq!(receipts.receipts[0].verify(&world.vault_pins()).unwrap(), settled);
        let result = world.store(vec![late.clone()]).await.results.remove(0);
        assert_eq!((result.error, facts(&world, &result)), (Some(ErrorCode::VersionConflict), settled));
        let listed: Vec<_> = inventory(&world, None, 9).await.iter().map(|facts| facts.version).collect();
        assert_eq!(listed, [first.version], "the inventory lists envelopes");
        assert_eq!(world.value(&world.token(&[first]), &first).await.unwrap(), "v");
        world.reopen().await;
        world.poll().await;
    }
    let handout = world.manager.handout_body(1, &[first]);
    let answer: HandoutAnswer = world.order(Operation::Handout, &handout).await.expect(200);
    let HandedOut::Key { moved, .. } = &answer.rows[0] else { panic!("{answer:?}") };
    let old = world.manager.new_root_key();
    let order = world.manager.rewrap_body(2, vec![world.manager.rewrapped(&old, &first, moved)]);
    assert_eq!(world.order(Operation::Rewrap, &order).await.status, 200);
    let retire = Retire { environment: world.manager.environment, epoch: 2 };
    let retired = world.order(Operation::Retire, &retire).await;
    assert_eq!((retired.status, &retired.json()["retirement"]["rows"]), (200, &1.into()), "it lacks no key");
    let (third, envelope) = world.manager.seal(first.id, 3, "w");
    assert!(world.store(vec![envelope]).await.results[0].error.is_none());
    assert_eq!(world.value(&world.token(&[third]), &third).await.unwrap(), "w");
}

#[actix_web::test]
async fn the_inventory_lists_what_is_stored_page_by_page() {
    let mut world = World::new().await;
    let mut stored = Vec::new();
    for _ in 0..7 {
        stored.push(world.secret("v").await);
    }
    let gone = stored.pop().unwrap();
    world.revoke(shared_proto::event::Event::Destroy(world.manager.environment, gone.id, gone.version)).await;
    stored.sort_by_key(|secret| (secret.id, secret.version));
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = inventory(&world, after, 4).await;
        let Some(last) = page.last() else { break };
        after = Some(InventoryCursor { secret_id: last.secret, version: last.version });
        found.extend(page);
    }
    let ids: Vec<SecretId> = found.iter().map(|facts| facts.secret).collect();
    assert_eq!(ids, stored.iter().map(|secret| secret.id).collect::<Vec<_>>());
}
