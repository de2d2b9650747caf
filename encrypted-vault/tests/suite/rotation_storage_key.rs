//! The storage key takes turns: rows move to the newest key, and the ones before are retired and destroyed.

use std::fs;
use std::path::PathBuf;

use encrypted_vault::key_rotation::{Numbered, Rotate, rotate_keys};
use service_runtime::clock::Clock as _;
use service_runtime::key_slots::{KeyState, create_numbered, retire};
use shared_proto::id::SecretId;

use crate::support::{Secret, World, copy_database};

const RETENTION: u64 = 1_000;

fn file(world: &World, name: &str) -> PathBuf {
    world.config.key_dir.join("storage-keys").join(name)
}

/// Wrapped keys under each storage key.
fn under(world: &World) -> Vec<(u32, u32)> {
    let conn = world.database();
    let mut counted = conn.prepare("SELECT storage_key, count(*) FROM wrapped_keys GROUP BY 1 ORDER BY 1").unwrap();
    counted.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

fn make(world: &World, number: u32, state: KeyState) {
    let folder = world.config.key_dir.join("storage-keys");
    create_numbered(&folder, ("", number), state, &shared_proto::encoding::random()).unwrap();
}

/// A vault with many rows, whose clock is near the one that dates its files.
async fn world(rows: usize) -> (World, Vec<Secret>) {
    let mut world = World::new().await;
    world.config.key_times.backup_retention = RETENTION;
    world.clock.set_now(service_runtime::clock::SystemClock.now() + 10 * 60);
    world.reopen().await;
    world.poll_now().await;
    let sealed: Vec<_> =
        (0..rows).map(|n| world.manager.seal(SecretId::generate(), 1, &format!("value {n}"))).collect();
    for batch in sealed.chunks(64) {
        world.store(batch.iter().map(|(_, envelope)| envelope.clone()).collect()).await;
    }
    (world, sealed.into_iter().map(|(secret, _)| secret).collect())
}

async fn all_open(world: &World, secrets: &[Secret]) {
    for (n, secret) in secrets.iter().enumerate() {
        let value = world.value(&world.token(&[*secret]), secret).await;
        assert_eq!(value.unwrap(), format!("value {n}"));
    }
}

/// Steps until a retention time has passed.
async fn let_retention_pass(world: &World) {
    world.clock.advance(RETENTION + 60 * 60);
    world.vault.tick();
    world.poll_now().await;
    world.vault.key_rotation.step().await;
}

#[actix_web::test]
async fn rows_move_to_the_newest_storage_key_and_the_one_before_is_retired_and_destroyed() {
    let (world, secrets) = world(300).await;
    all_open(&world, &secrets[..3]).await;
    make(&world, 2, KeyState::Active);
    world.vault.key_rotation.step().await;
    assert_eq!(under(&world), [(2, 300)]);
    assert!(file(&world, "1.retired.key").exists() && !file(&world, "1.key").exists());
    all_open(&world, &secrets[..3]).await;
    world.vault.key_rotation.step().await;
    assert!(file(&world, "1.retired.key").exists(), "a backup may need it");
    let_retention_pass(&world).await;
    assert!(!file(&world, "1.retired.key").exists());
    assert_eq!(fs::read_dir(world.config.key_dir.join("storage-keys")).unwrap().count(), 1);
    all_open(&world, &secrets[..3]).await;
}

#[actix_web::test]
async fn a_storage_key_whose_backup_is_not_confirmed_is_not_used() {
    let (mut world, secrets) = world(3).await;
    make(&world, 2, KeyState::Unconfirmed);
    world.vault.key_rotation.step().await;
    world.secret("new").await;
    assert_eq!(under(&world), [(1, 4)]);
    let confirm = Rotate::ConfirmBackup { kind: Numbered::StorageKey };
    world.stop().await;
    let report = rotate_keys(&world.config, &confirm, 0).unwrap();
    assert!(report.done[0].contains("storage key 2"), "{:?}", report.done);
    world.vault = world.start().await.unwrap();
    world.vault.key_rotation.step().await;
    assert_eq!(under(&world), [(2, 4)]);
    world.poll_now().await;
    all_open(&world, &secrets).await;
}

#[actix_web::test]
async fn a_rotation_that_was_cut_short_is_ended_after_a_restart() {
    let (mut world, secrets) = world(5).await;
    make(&world, 2, KeyState::Active);
    // Some rows are moved, others not.
    let keys = {
        world.vault.keys.reload_if_changed();
        world.vault.keys.current()
    };
    for old in world.vault.store.not_under(2, None, 2).await.unwrap() {
        let inner = keys.storage.load_inner(1, &old.key.stored).unwrap();
        let (storage_key, stored) = keys.storage.store(&inner).unwrap();
        let new = encrypted_vault::store::WrappedKey { storage_key, stored, ..old.key };
        world.vault.store.exchange(vec![(old, new)]).await.unwrap();
    }
    assert_eq!(under(&world), [(1, 3), (2, 2)]);
    all_open(&world, &secrets).await;
    world.reopen().await;
    world.vault.key_rotation.step().await;
    assert_eq!(under(&world), [(2, 5)]);
    assert!(file(&world, "1.retired.key").exists());
    world.poll_now().await;
    all_open(&world, &secrets).await;
}

#[actix_web::test]
async fn rows_of_a_retired_storage_key_open_until_it_is_destroyed_also_from_a_restored_database() {
    let (mut world, secrets) = world(3).await;
    let backup = world.dir.path().join("backup.db");
    world.stop().await;
    copy_database(&world.config.database(), &backup);
    world.vault = world.start().await.unwrap();
    make(&world, 2, KeyState::Active);
    world.vault.key_rotation.step().await;
    assert!(file(&world, "1.retired.key").exists());
    world.stop().await;
    copy_database(&backup, &world.config.database());
    world.vault = world.start().await.unwrap();
    world.poll_now().await;
    assert_eq!(under(&world), [(1, 3)], "the backup is older than the key");
    all_open(&world, &secrets).await;
    let destroy = Rotate::Destroy { kind: Numbered::StorageKey, number: 1 };
    let refusal = rotate_keys(&world.config, &destroy, 0).unwrap_err().sentence;
    assert!(refusal.contains("3 wrapped keys are under it"), "{refusal}");
    world.vault.key_rotation.step().await;
    assert_eq!(under(&world), [(2, 3)], "the worker takes rows of retired keys too");
    let report = rotate_keys(&world.config, &destroy, 0).unwrap();
    assert!(!file(&world, "1.retired.key").exists(), "{:?}", report.done);
    world.vault.key_rotation.step().await;
    all_open(&world, &secrets).await;
}

#[actix_web::test]
async fn destroy_refuses_a_key_in_use_and_one_that_is_not_there() {
    let (world, _) = world(1).await;
    for (number, reason) in [(1, "it is in use"), (7, "there is no storage key 7")] {
        let destroy = Rotate::Destroy { kind: Numbered::StorageKey, number };
        let refusal = rotate_keys(&world.config, &destroy, 0).unwrap_err().sentence;
        assert!(refusal.contains(reason), "{refusal}");
    }
    assert!(file(&world, "1.key").exists());
}

#[actix_web::test]
async fn nothing_is_destroyed_by_a_clock_that_no_poll_confirms() {
    let (world, _) = world(1).await;
    make(&world, 2, KeyState::Active);
    world.vault.key_rotation.step().await;
    let jumped = world.clock.now() + 10 * 365 * 24 * 60 * 60;
    world.clock.set_now(jumped);
    for _hour in 0..2 {
        world.vault.key_rotation.step().await;
        world.clock.advance(60 * 60);
    }
    assert!(file(&world, "1.retired.key").exists(), "the clock may have jumped");
    world.vault.tick();
    world.poll_now().await;
    world.vault.key_rotation.step().await;
    assert!(!file(&world, "1.retired.key").exists(), "the manager's clock says the same");
}

#[actix_web::test]
async fn a_write_under_way_keeps_its_storage_key_from_being_retired() {
    let (world, _) = world(2).await;
    let under_way = world.vault.keys.current();
    make(&world, 2, KeyState::Active);
    world.vault.key_rotation.step().await;
    assert!(file(&world, "1.key").exists(), "a row may still come under it");
    drop(under_way);
    world.vault.key_rotation.step().await;
    assert!(file(&world, "1.retired.key").exists());
    assert_eq!(under(&world), [(2, 2)]);
}

#[actix_web::test]
async fn a_wrapped_key_that_was_altered_keeps_its_storage_key_and_holds_up_no_other_row() {
    for altered in ["zeroblob(48)", "zeroblob(47)", "'text'", "7"] {
        let (world, _) = world(3).await;
        let alter = format!(
            "UPDATE wrapped_keys SET wrapped = {altered} WHERE secret_id = (SELECT min(secret_id) FROM wrapped_keys)"
        );
        assert_eq!(world.database().execute(&alter, []).unwrap(), 1);
        make(&world, 2, KeyState::Active);
        world.vault.key_rotation.step().await;
        assert_eq!(under(&world), [(1, 1), (2, 2)], "{altered}");
        assert!(file(&world, "1.key").exists());
        retire(&world.config.key_dir.join("storage-keys"), "", 1).unwrap();
        let_retention_pass(&world).await;
        assert!(file(&world, "1.retired.key").exists(), "not destroyed while something names it");
    }
}

#[actix_web::test]
async fn a_second_rotation_of_the_storage_key_waits_for_the_first() {
    let (world, _) = world(1).await;
    let first = rotate_keys(&world.config, &Rotate::StorageKey, 0).unwrap();
    let numbers: Vec<_> = first.keys.iter().filter_map(|row| Some((row.number?, row.state, row.under_it))).collect();
    assert_eq!(numbers, [(1, KeyState::Previous, Some(1)), (2, KeyState::Active, Some(0))]);
    let refusal = rotate_keys(&world.config, &Rotate::StorageKey, 0).unwrap_err().sentence;
    assert!(refusal.contains("a rotation is under way"), "{refusal}");
    world.vault.key_rotation.step().await;
    let status = rotate_keys(&world.config, &Rotate::Status, 0).unwrap();
    let numbers: Vec<_> = status.keys.iter().filter_map(|row| Some((row.number?, row.state, row.under_it))).collect();
    assert_eq!(numbers, [(1, KeyState::Retired, Some(0)), (2, KeyState::Active, Some(1))]);
    rotate_keys(&world.config, &Rotate::StorageKey, 0).unwrap();
    assert!(file(&world, "3.key").exists());
}
