//! Fingerprints in the database: what they show, and what becomes of them.

use std::collections::BTreeSet;

use rusqlite::params;
use service_runtime::key_slots::{KeyState, create_numbered};
use shared_proto::comparison::Likeness::{Different, Same, Unknown};
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use crate::storage_faults::on_server;
use crate::support::World;

/// Storage keys and wrapped fingerprints.
fn kept(world: &World) -> Vec<(u32, Vec<u8>)> {
    let conn = world.database();
    let mut rows = conn.prepare("SELECT storage_key, wrapped FROM value_fingerprints").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

#[actix_web::test]
async fn equal_values_differ_at_rest_also_for_the_holder_of_the_storage_key() {
    let world = World::new().await;
    let sealed: Vec<_> = (0..40).map(|_| world.manager.seal(SecretId::generate(), 1, "the same")).collect();
    world.store(sealed.iter().map(|(_, envelope)| envelope.clone()).collect()).await;
    let rows = kept(&world);
    assert_eq!(rows.iter().map(|(_, wrapped)| wrapped).collect::<BTreeSet<_>>().len(), 40);
    let keys = world.vault.keys.current();
    let loaded: Vec<_> = rows
        .iter()
        .map(|(number, wrapped)| {
            let stored = shared_proto::encoding::Bytes(wrapped.clone().try_into().unwrap());
            keys.storage.load_fingerprint(*number, &stored).unwrap()
        })
        .collect();
    for (place, one) in loaded.iter().enumerate() {
        assert!(loaded[place + 1..].iter().all(|other| !one.is_same(other)));
    }
    let secrets: Vec<_> = sealed.iter().map(|(secret, _)| *secret).collect();
    assert_eq!(world.likeness(&secrets[0], &secrets).await, [Same; 40], "and the manager's keys tell that they are");
}

#[actix_web::test]
async fn rows_that_are_exchanged_altered_or_made_up_are_never_called_the_same() {
    let world = World::new().await;
    let (one, other, third) = (world.secret("v").await, world.secret("w").await, world.secret("v").await);
    let conn = world.database();
    let read = |secret: &SecretId| -> Vec<u8> {
        let sql = "SELECT wrapped FROM value_fingerprints WHERE secret_id = ?1";
        conn.query_row(sql, [secret.as_bytes()], |row| row.get(0)).unwrap()
    };
    let write = |secret: &SecretId, wrapped: &[u8]| {
        let sql = "UPDATE value_fingerprints SET wrapped = ?2 WHERE secret_id = ?1";
        assert_eq!(conn.execute(sql, params![secret.as_bytes(), wrapped]).unwrap(), 1);
    };
    let (of_one, of_other, of_third) = (read(&one.id), read(&other.id), read(&third.id));
    write(&one.id, &of_other);
    write(&other.id, &of_one);
    assert_eq!(world.guesses(&[(one, "v"), (one, "w"), (other, "v"), (other, "w")]).await, [Different; 4]);
    assert_eq!(world.likeness(&third, &[one, other, third]).await, [Unknown, Unknown, Same]);
    // Of the same value, and of a wrapped data key.
    write(&one.id, &of_third);
    assert_eq!(
        (world.guesses(&[(one, "v")]).await, world.likeness(&third, &[one]).await),
        (vec![Different], vec![Unknown])
    );
    let sql = "SELECT wrapped FROM wrapped_keys WHERE secret_id = ?1";
    let data_key: Vec<u8> = conn.query_row(sql, [one.id.as_bytes()], |row| row.get(0)).unwrap();
    write(&one.id, &data_key);
    assert_eq!(world.guesses(&[(one, "v")]).await, [Different]);
    for broken in [vec![0; 48], vec![], of_one[..47].to_vec()] {
        write(&one.id, &broken);
        assert_eq!(world.guesses(&[(one, "v"), (third, "v")]).await, [Unknown, Same]);
    }
    write(&one.id, &of_one);
    assert_eq!(world.guesses(&[(one, "v")]).await, [Same]);
}

#[actix_web::test]
async fn destroyed_version_leaves_no_fingerprint_and_is_unknown() {
    let mut world = World::new().await;
    let (gone, stays) = (world.secret("v").await, world.secret("v").await);
    world.revoke(Event::Destroy(world.manager.environment, gone.id, gone.version)).await;
    assert_eq!(kept(&world).len(), 1);
    assert_eq!(world.guesses(&[(gone, "v"), (stays, "v")]).await, [Unknown, Same]);
    assert_eq!(world.likeness(&stays, &[gone]).await, [Unknown]);
}

#[actix_web::test]
async fn fingerprints_survive_a_restart_and_the_exchange_of_the_storage_key() {
    let mut world = World::new().await;
    let sealed: Vec<_> = (0..300).map(|n| world.manager.seal(SecretId::generate(), 1, &format!("value {n}"))).collect();
    for batch in sealed.chunks(64) {
        world.store(batch.iter().map(|(_, envelope)| envelope.clone()).collect()).await;
    }
    let some = [(sealed[0].0, "value 0"), (sealed[299].0, "value 299"), (sealed[7].0, "value 8")];
    world.reopen().await;
    world.poll().await;
    assert_eq!(world.guesses(&some).await, [Same, Same, Different]);
    let folder = world.config.key_dir.join("storage-keys");
    create_numbered(&folder, ("", 2), KeyState::Active, &shared_proto::encoding::random()).unwrap();
    world.vault.key_rotation.step().await;
    let rows = kept(&world);
    assert_eq!((rows.len(), rows.iter().filter(|(number, _)| *number == 2).count()), (300, 300));
    assert!(folder.join("1.retired.key").exists());
    std::fs::remove_file(folder.join("1.retired.key")).unwrap();
    world.reopen().await;
    world.poll().await;
    assert_eq!(world.guesses(&some).await, [Same, Same, Different]);
}

#[actix_web::test]
async fn fingerprint_that_was_altered_keeps_its_storage_key_and_holds_up_no_other() {
    let world = World::new().await;
    let (altered, good) = (world.secret("v").await, world.secret("v").await);
    let sql = "UPDATE value_fingerprints SET wrapped = randomblob(48) WHERE secret_id = ?1";
    world.database().execute(sql, [altered.id.as_bytes()]).unwrap();
    let folder = world.config.key_dir.join("storage-keys");
    create_numbered(&folder, ("", 2), KeyState::Active, &shared_proto::encoding::random()).unwrap();
    world.vault.key_rotation.step().await;
    let mut numbers: Vec<_> = kept(&world).into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    assert!(folder.join("1.key").exists(), "something is under it");
    assert_eq!(world.guesses(&[(altered, "v"), (good, "v")]).await, [Unknown, Same]);
}

/// Brings a vault up to date whose database was taken back to the schema of before by `back`.
async fn is_brought_up_to_date(mut world: World, back: impl FnOnce(&World)) {
    let old = world.secret("v").await;
    world.stop().await;
    back(&world);
    world.vault = world.start().await.unwrap();
    world.poll().await;
    assert_eq!(world.value(&world.token(&[old]), &old).await.unwrap(), "v");
    let new = world.secret("v").await;
    assert_eq!(world.guesses(&[(old, "v"), (new, "v")]).await, [Unknown, Same]);
    assert_eq!(world.likeness(&new, &[old, new]).await, [Unknown, Same]);
}

#[actix_web::test]
async fn database_from_before_fingerprints_is_brought_up_to_date_with_all_rows() {
    let back = |world: &World| {
        let sql = "DROP TABLE value_fingerprints; PRAGMA user_version = 2;";
        world.database().execute_batch(sql).unwrap();
    };
    is_brought_up_to_date(World::new().await, back).await;
}

#[actix_web::test]
async fn database_on_a_server_from_before_fingerprints_is_brought_up_to_date_with_all_rows() {
    let kept = test_postgres::Database::create();
    let world = World::on(on_server(&kept)).await;
    let back = |_: &World| {
        kept.ask("DROP TABLE value_fingerprints");
        kept.ask("UPDATE service_copy SET schema_version = 1");
    };
    is_brought_up_to_date(world, back).await;
}
