//! Questions of the manager whether values are the same.

use serde_json::{Value, json};
use shared_proto::command::Operation;
use shared_proto::comparison::Likeness::{Different, Same, Unknown};
use shared_proto::encoding::{Bytes, random};
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};
use shared_proto::secret::{FingerprintKey, ValueEncoding};
use shared_proto::wire::fingerprint::{Compare, ComparisonAnswer, Find};
use shared_proto::wire::vault::{EnvelopeToStore, StoreResult};

use crate::support::{Secret, World};

/// Envelopes that are stored as they are given.
async fn stored(world: &World, envelopes: Vec<EnvelopeToStore>) -> Vec<StoreResult> {
    world.store(envelopes).await.results
}

fn problem(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

#[actix_web::test]
async fn value_is_compared_with_a_version_and_versions_with_each_other() {
    let world = World::new().await;
    let (one, same, other) = (world.secret("hunter2").await, world.secret("hunter2").await, world.secret("3").await);
    let guesses = [(one, "hunter2"), (one, "hunter3"), (same, "hunter2"), (other, "3"), (one, "")];
    assert_eq!(world.guesses(&guesses).await, [Same, Different, Same, Same, Different]);
    let others = [same, other, one, same];
    assert_eq!(world.likeness(&one, &others).await, [Same, Different, Same, Same]);
    assert_eq!(world.likeness(&other, &[one, same]).await, [Different, Different]);
}

#[actix_web::test]
async fn text_is_not_the_same_as_bytes_that_look_like_it() {
    let world = World::new().await;
    let text = world.secret("AP8=").await;
    let (bytes, envelope) = world.manager.seal_as(SecretId::generate(), 1, ValueEncoding::Base64, "AP8=");
    let (plain, second) = world.manager.seal_as(SecretId::generate(), 1, ValueEncoding::Text, "abcd");
    let (encoded, third) = world.manager.seal_as(SecretId::generate(), 1, ValueEncoding::Base64, "YWJjZA==");
    stored(&world, vec![envelope, second, third]).await;
    assert_eq!(world.likeness(&text, &[bytes]).await, [Different]);
    assert_eq!(world.likeness(&plain, &[encoded, bytes]).await, [Different, Different]);
    assert_eq!(world.guesses(&[(plain, "abcd"), (encoded, "abcd")]).await, [Same, Different]);
}

#[actix_web::test]
async fn version_without_a_fingerprint_is_unknown_and_opens_all_the_same() {
    let world = World::new().await;
    let with = world.secret("v").await;
    let (without, envelope) = world.manager.seal(SecretId::generate(), 1, "v");
    let of_before = EnvelopeToStore { fingerprint: None, ..envelope.clone() };
    assert!(!serde_json::to_string(&of_before).unwrap().contains("fingerprint"), "as a manager of before sends it");
    assert!(stored(&world, vec![of_before]).await[0].error.is_none());
    // The same envelope again gets its receipt, and changes nothing.
    assert!(stored(&world, vec![envelope]).await[0].error.is_none());
    assert_eq!(world.guesses(&[(without, "v"), (with, "v")]).await, [Unknown, Same]);
    assert_eq!(world.likeness(&with, &[without, with]).await, [Unknown, Same]);
    assert_eq!(world.likeness(&without, &[with]).await, [Unknown]);
    assert_eq!(world.value(&world.token(&[without]), &without).await.unwrap(), "v");
    let nothing = Secret { id: SecretId::generate(), ..with };
    let later = Secret { version: Version::new(2).unwrap(), ..with };
    assert_eq!(world.guesses(&[(nothing, "v"), (later, "v")]).await, [Unknown, Unknown]);
    assert_eq!(world.likeness(&with, &[nothing, later]).await, [Unknown, Unknown]);
}

#[actix_web::test]
async fn fingerprint_of_another_version_or_secret_is_never_the_same() {
    let world = World::new().await;
    let (first, mut one) = world.manager.seal(SecretId::generate(), 1, "v");
    let (second, mut two) = world.manager.seal(SecretId::generate(), 1, "v");
    let (third, mut three) = world.manager.seal(first.id, 2, "v");
    // On the way each gets the fingerprint of another one, with the same value.
    let taken = (one.fingerprint, two.fingerprint, three.fingerprint);
    (one.fingerprint, two.fingerprint, three.fingerprint) = (taken.1, taken.2, taken.0);
    assert!(stored(&world, vec![one, two, three]).await.iter().all(|result| result.error.is_none()));
    let all = [first, second, third];
    assert_eq!(world.guesses(&all.map(|secret| (secret, "v"))).await, [Different; 3]);
    for one in all {
        assert_eq!(world.likeness(&one, &all).await, [Unknown; 3]);
    }
    // What was recorded of a question about one secret does not answer one about another.
    let (honest, other) = (world.secret("v").await, world.secret("v").await);
    let mut replayed = world.manager.compare_body(&[(honest, "v"), (other, "v")]);
    replayed.values[1].fingerprint = replayed.values[0].fingerprint;
    let answer: ComparisonAnswer = world.order(Operation::Compare, &replayed).await.expect(200);
    let results = answer.comparison.verify(&world.vault_pins(), &replayed.nonce, 2).unwrap();
    assert_eq!(results, [Same, Different]);
    let mut swapped = world.manager.find_body(&honest, &[other, honest]);
    swapped.others[0].binding_key = swapped.others[1].binding_key;
    let answer: ComparisonAnswer = world.order(Operation::Find, &swapped).await.expect(200);
    assert_eq!(answer.comparison.verify(&world.vault_pins(), &swapped.nonce, 2).unwrap(), [Unknown, Same]);
}

#[actix_web::test]
async fn environment_and_fingerprint_key_separate_equal_values() {
    let mut world = World::new().await;
    let one = world.secret("v").await;
    let own = std::mem::replace(&mut world.manager.environment, EnvironmentId::generate());
    let elsewhere = world.secret("v").await;
    let mut crossing = world.manager.find_body(&elsewhere, &[elsewhere]);
    world.manager.environment = own;
    crossing.one = world.manager.find_body(&one, &[one]).one;
    let answer: ComparisonAnswer = world.order(Operation::Find, &crossing).await.expect(200);
    assert_eq!(answer.comparison.verify(&world.vault_pins(), &crossing.nonce, 1).unwrap(), [Different]);
    assert_eq!(world.guesses(&[(elsewhere, "v")]).await, [Unknown], "it is in the other environment");
    let kept = std::mem::replace(&mut world.manager.fingerprints, FingerprintKey::generate());
    let after = world.secret("v").await;
    assert_eq!(world.guesses(&[(one, "v"), (after, "v")]).await, [Different, Same], "the key has turned");
    assert_eq!(world.likeness(&after, &[one]).await, [Unknown]);
    world.manager.fingerprints = kept;
    assert_eq!(world.guesses(&[(one, "v")]).await, [Same]);
}

#[actix_web::test]
async fn answer_is_signed_for_its_question() {
    let world = World::new().await;
    let one = world.secret("v").await;
    let body = world.manager.compare_body(&[(one, "w")]);
    let reply = world.order(Operation::Compare, &body).await;
    assert_eq!(reply.status, 200);
    let read = |document: &Value| serde_json::from_value::<ComparisonAnswer>(document.clone()).unwrap().comparison;
    let good = reply.json();
    let pins = world.vault_pins();
    assert_eq!(read(&good).verify(&pins, &body.nonce, 1).unwrap(), [Different]);
    assert!(read(&good).verify(&pins, &Bytes(random()), 1).is_err(), "another question");
    assert!(read(&good).verify(&pins, &body.nonce, 2).is_err(), "another number of values");
    for (name, forged) in [
        ("results", json!(["same"])),
        ("results", json!(["unknown"])),
        ("time", json!(1)),
        ("vault", json!(VaultId::generate())),
    ] {
        let mut document = good.clone();
        document["comparison"][name] = forged;
        assert!(read(&document).verify(&pins, &body.nonce, 1).is_err(), "{name}");
    }
}

#[actix_web::test]
async fn questions_have_bounds_and_are_of_the_manager_only() {
    let world = World::new().await;
    let one = world.secret("v").await;
    let ask = async |body: &Compare| world.order(Operation::Compare, body).await.problem();
    assert_eq!(ask(&world.manager.compare_body(&[])).await, problem("parameter_invalid"));
    assert_eq!(ask(&world.manager.compare_body(&[(one, "v"); 65])).await, problem("parameter_invalid"));
    assert_eq!(world.guesses(&[(one, "v"); 64]).await, [Same; 64]);
    let search = async |body: &Find| world.order(Operation::Find, body).await.problem();
    assert_eq!(search(&world.manager.find_body(&one, &[])).await, problem("parameter_invalid"));
    assert_eq!(search(&world.manager.find_body(&one, &[one; 101])).await, problem("parameter_invalid"));
    let other = world.secret("v").await;
    assert_eq!(world.likeness(&one, &[other; 100]).await, [Same; 100]);
    let mut unreadable = world.manager.compare_body(&[(one, "v")]);
    unreadable.values[0].fingerprint.0[7] ^= 1;
    assert_eq!(ask(&unreadable).await, problem("body_invalid"));
    let mut unreadable = world.manager.find_body(&one, &[one]);
    unreadable.others[0].binding_key.0[7] ^= 1;
    assert_eq!(search(&unreadable).await, problem("body_invalid"));
    let (_, mut envelope) = world.manager.seal(SecretId::generate(), 1, "v");
    envelope.fingerprint = Some(Bytes([7; 48]));
    assert!(stored(&world, vec![envelope]).await[0].error.is_some());
    // A good question under the order for the other one.
    assert_eq!(world.order(Operation::Find, &world.manager.compare_body(&[(one, "v")])).await.status, 400);
    let token = world.token(&[one]);
    let body = serde_json::to_vec(&world.manager.compare_body(&[(one, "v")])).unwrap();
    let reply = crate::support::command(&world.vault, "/api/commands", &token, body).await;
    assert_eq!(reply.problem(), (401, "command_invalid".to_owned()));
}

#[actix_web::test]
async fn guesses_at_a_version_have_a_budget() {
    let world = World::new().await;
    let (one, other) = (world.secret("v").await, world.secret("v").await);
    for _ in 0..2 {
        assert_eq!(world.guesses(&[(one, "w"); 60]).await, [Different; 60]);
    }
    let body = world.manager.compare_body(&[(one, "v")]);
    assert_eq!(world.order(Operation::Compare, &body).await.problem(), (429, "rate_limited".to_owned()));
    assert_eq!(world.guesses(&[(other, "v")]).await, [Same], "others have their own");
    // Guesses that are stored as versions of their own are guesses, too, from either side.
    let searched = async |one, others: &[_]| {
        let body = world.manager.find_body(one, others);
        world.order(Operation::Find, &body).await.problem()
    };
    assert_eq!(searched(&one, &[other]).await, (429, "rate_limited".to_owned()));
    assert_eq!(searched(&other, &[one]).await, (429, "rate_limited".to_owned()));
    world.clock.advance(60);
    world.poll_now().await;
    for _ in 0..120 {
        let fresh = world.secret("v").await;
        assert_eq!(world.likeness(&fresh, &[one]).await, [Same]);
    }
    let fresh = world.secret("v").await;
    assert_eq!(searched(&fresh, &[one]).await, (429, "rate_limited".to_owned()));
    world.clock.advance(60);
    world.poll_now().await;
    assert_eq!(world.guesses(&[(one, "v")]).await, [Same]);
}
