//! Reading with good tokens.

use std::future::{Future as _, poll_fn};
use std::sync::{Arc, mpsc};
use std::task::Poll;

use actix_web::rt::System;
use actix_web::test::TestRequest;
use serde_json::json;
use service_runtime::audit::Origin;
use service_runtime::http::{AnswerRoom, Limits};
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::SecretId;
use shared_proto::secret::ValueEncoding;
use shared_proto::wire::vault::OpenedKey;
use tokio::runtime::Builder;

use crate::support::{Secret, World, command, send};

#[actix_web::test]
async fn a_stored_value_is_read_with_its_token_and_with_a_cached_one() {
    let world = World::new().await;
    let secret = world.secret("hunter2").await;
    let token = world.token(&[secret]);
    for _ in 0..2 {
        let opened: OpenedKey = world.read(&token, &secret).await.expect(200);
        assert_eq!((opened.key_id, opened.version), (secret.id, secret.version));
        assert_eq!(opened.decrypted_key.as_str(), "hunter2");
        assert_eq!(opened.encoding, ValueEncoding::Text);
    }
    let lower = TestRequest::get()
        .uri(&format!("/api/keys/{}", secret.id))
        .insert_header(("authorization", format!("bearer {token}")));
    assert_eq!(send(&world.vault, lower).await.status, 200, "the scheme has no case");
}

#[actix_web::test]
async fn empty_tiny_binary_and_largest_values_round_trip() {
    let world = World::new().await;
    let largest = "x".repeat(1 << 20);
    let values = [("", ValueEncoding::Text), ("y", ValueEncoding::Text), ("AP8=", ValueEncoding::Base64)];
    for (value, encoding) in values.into_iter().chain([(largest.as_str(), ValueEncoding::Text)]) {
        let (secret, envelope) = world.manager.seal_as(SecretId::generate(), 1, encoding, value);
        world.store(vec![envelope]).await;
        let opened: OpenedKey = world.read(&world.token(&[secret]), &secret).await.expect(200);
        assert!(opened.decrypted_key.as_str() == value && opened.encoding == encoding);
    }
}

#[actix_web::test]
async fn each_token_opens_the_version_that_it_names() {
    let world = World::new().await;
    let id = SecretId::generate();
    let (old, first) = world.manager.seal(id, 1, "old");
    let (new, second) = world.manager.seal(id, 2, "new");
    world.store(vec![first, second]).await;
    assert_eq!(world.value(&world.token(&[old]), &old).await.unwrap(), "old");
    assert_eq!(world.value(&world.token(&[new]), &new).await.unwrap(), "new");
}

#[actix_web::test]
async fn unknown_malformed_and_not_granted_ids_look_the_same() {
    let world = World::new().await;
    let (mine, other) = (world.secret("mine").await, world.secret("other").await);
    let token = world.token(&[mine]);
    let unknown = Secret { id: SecretId::generate(), ..mine };
    let paths = [other.id.to_string(), unknown.id.to_string(), "sec_short".to_owned(), "x".to_owned()];
    let mut bodies = Vec::new();
    for path in paths {
        let reply = crate::support::get(&world.vault, &format!("/api/keys/{path}"), &token).await;
        assert_eq!(reply.problem(), (404, "secret_not_found".to_owned()), "{path}");
        bodies.push(reply.body_without_id());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // Named, but never stored.
    assert_eq!(world.value(&world.token(&[unknown]), &unknown).await, Err((404, "secret_not_found".to_owned())));
}

#[actix_web::test]
async fn a_token_for_another_environment_opens_nothing() {
    let world = World::new().await;
    let secret = world.secret("here").await;
    let mut draft = world.draft(&[secret]);
    draft.env = [9; 16];
    assert_eq!(world.value(&draft.sign(), &secret).await, Err((401, "token_invalid".to_owned())));
}

async fn read_many(world: &World, token: &str, ids: &[SecretId]) -> crate::support::Reply {
    let body = json!({ "key_ids": ids }).to_string().into_bytes();
    command(&world.vault, "/api/keys:read", token, body).await
}

#[actix_web::test]
async fn a_batch_answers_line_by_line_in_the_order_asked() {
    let mut world = World::new().await;
    let (good, gone, not_granted) = (world.secret("g").await, world.secret("d").await, world.secret("n").await);
    let token = world.token(&[good, gone]);
    world.revoke(Event::Destroy(world.manager.environment, gone.id, gone.version)).await;
    let reply = read_many(&world, &token, &[not_granted.id, gone.id, good.id]).await;
    assert_eq!(reply.status, 200);
    let keys = reply.json()["keys"].clone();
    assert_eq!(keys[2]["decrypted_key"], "g");
    assert_eq!(keys[1], json!({ "key_id": gone.id.to_string(), "code": "token_invalid" }));
    assert_eq!(keys[0], json!({ "key_id": not_granted.id.to_string(), "code": "secret_not_found" }));
}

#[actix_web::test]
async fn an_id_that_is_given_twice_is_refused() {
    let world = World::new().await;
    let (one, two) = (world.secret("one").await, world.secret("two").await);
    let token = world.token(&[one, two]);
    let reply = read_many(&world, &token, &[one.id, two.id, one.id]).await;
    assert_eq!(reply.problem(), (400, "parameter_invalid".to_owned()));
    assert_eq!(read_many(&world, &token, &[two.id, one.id]).await.status, 200);
}

#[actix_web::test]
async fn a_batch_takes_1_to_64_ids() {
    let world = World::new().await;
    let mut secrets = Vec::new();
    let mut envelopes = Vec::new();
    for number in 0..64 {
        let (secret, envelope) = world.manager.seal(SecretId::generate(), 1, &format!("value {number}"));
        secrets.push(secret);
        envelopes.push(envelope);
    }
    world.store(envelopes).await;
    let token = world.token(&secrets);
    let ids: Vec<SecretId> = secrets.iter().map(|secret| secret.id).collect();
    let keys = read_many(&world, &token, &ids).await.json()["keys"].clone();
    for (number, key) in keys.as_array().unwrap().iter().enumerate() {
        assert_eq!(key["decrypted_key"], format!("value {number}"));
    }
    let refused = (400, "parameter_invalid".to_owned());
    assert_eq!(read_many(&world, &token, &[]).await.problem(), refused);
    let too_many: Vec<SecretId> = ids.iter().copied().chain([ids[0]]).collect();
    assert_eq!(read_many(&world, &token, &too_many).await.problem(), refused);
}

#[actix_web::test]
async fn a_batch_holds_at_most_eight_mebibytes_of_what_is_sent() {
    let world = World::new().await;
    // A control character takes six bytes in JSON, a quotation mark two.
    for (character, fit) in [("x", 7), ("\"", 3), ("\u{1}", 1)] {
        let value = character.repeat(1 << 20);
        let mut secrets = Vec::new();
        for _ in 0..fit + 2 {
            secrets.push(world.secret(&value).await);
        }
        secrets.push(world.secret("small").await);
        let ids: Vec<SecretId> = secrets.iter().map(|secret| secret.id).collect();
        let reply = read_many(&world, &world.token(&secrets), &ids).await;
        let keys = reply.json()["keys"].clone();
        let opened = keys.as_array().unwrap().iter().filter(|key| key.get("decrypted_key").is_some()).count();
        assert_eq!(keys[fit]["code"], "body_too_large", "{character:?}");
        assert_eq!(keys[fit + 2]["decrypted_key"], "small", "what still fits is answered");
        assert_eq!(opened, fit + 1, "{character:?}");
        assert!(reply.body.len() <= (8 << 20) + 4096, "{} bytes of {character:?}", reply.body.len());
    }
}

#[test]
fn room_of_an_answer_is_kept_until_its_values_are_opened_also_when_nobody_waits_for_them() {
    // One thread for large work, which something else takes first.
    let runtime = || Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    System::with_tokio_rt(runtime).block_on(async {
        let world = World::new().await;
        let large = world.secret(&"x".repeat(1 << 20)).await;
        let token = world.token(&[large]);
        let limits = Limits { answer_bytes: 3 << 19, answer_bytes_per_peer: 3 << 19, ..Limits::default() };
        let room = AnswerRoom::within(&limits, "192.0.2.1".parse().unwrap());
        let origin = Origin::of_request("r", "192.0.2.1", "test");
        let caller = world.vault.reader.authenticate(Some(&token), origin, "secret.read").unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || blocked.recv());
        let keys = world.vault.keys.current();
        let held = Arc::strong_count(&keys);
        let mut reading = Box::pin(world.vault.reader.read_many(caller, vec![large.id], &room));
        // The work that waits for the thread holds the keys.
        while Arc::strong_count(&keys) == held {
            assert!(poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_pending())).await);
            tokio::task::yield_now().await;
        }
        drop(reading);
        assert!(room.take(1 << 20).is_err(), "whoever resets the connection has the room again at once");
        release.send(()).unwrap();
        taken.await.unwrap().unwrap();
        while room.take(1 << 20).is_err() {
            tokio::task::yield_now().await;
        }
    });
}

#[actix_web::test]
async fn without_room_for_its_answer_nothing_is_opened_or_recorded() {
    let world = World::new().await;
    let (large, small) = (world.secret(&"x".repeat(1 << 20)).await, world.secret("small").await);
    let token = world.token(&[large, small]);
    let limits = Limits { answer_bytes: 5 << 19, answer_bytes_per_peer: 5 << 19, ..Limits::default() };
    let room = AnswerRoom::within(&limits, "192.0.2.1".parse().unwrap());
    let origin = Origin::of_request("r", "192.0.2.1", "test");
    let read = async |secret: Secret| {
        let caller = world.vault.reader.authenticate(Some(&token), origin.clone(), "secret.read").unwrap();
        world.vault.reader.read_many(caller, vec![secret.id], &room).await
    };
    let held = [read(large).await.unwrap(), read(large).await.unwrap()];
    assert_eq!(read(large).await.err().map(|error| error.code()), Some(ErrorCode::Overloaded));
    assert!(read(small).await.is_ok(), "a small answer needs no room");
    drop(held);
    assert!(read(large).await.is_ok());
    world.stop().await;
    let text = std::fs::read_to_string(world.config.audit_log()).unwrap();
    assert_eq!(text.matches(r#""action":"secret.read""#).count(), 4);
}
