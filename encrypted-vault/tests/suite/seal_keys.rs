//! The turn of the seal keys, by both clocks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use service_runtime::http::Health as _;
use shared_proto::id::SecretId;
use shared_proto::jwk::PublicJwk;

use crate::support::{NOW, Secret, World};

fn dead() -> Result<String, (u16, String)> {
    Err((401, "seal_key_unknown".to_owned()))
}

fn behind() -> Result<String, (u16, String)> {
    Err((503, "revocations_behind".to_owned()))
}

fn files(world: &World) -> usize {
    let listing = fs::read_dir(world.dir.path().join("runtime")).unwrap();
    listing.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("seal-")).count()
}

/// A token made now and sealed to this key.
fn sealed_to(world: &World, secret: Secret, key: &PublicJwk) -> String {
    let now = service_runtime::clock::Clock::now(&*world.clock);
    crate::support::Draft::new(&world.manager, &[secret], vec![key.clone()], now).sign()
}

#[actix_web::test]
async fn a_key_is_made_every_15_minutes_and_destroyed_after_60() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let first = world.seal_keys().remove(0);
    for quarter in 1..=3 {
        world.clock.advance(899);
        world.vault.tick();
        assert_eq!(world.seal_keys().len(), quarter, "not yet");
        world.clock.advance(1);
        world.vault.tick();
        assert_eq!((world.seal_keys().len(), files(&world)), (quarter + 1, quarter + 1));
    }
    world.clock.advance(899);
    let cached = sealed_to(&world, secret, &first);
    assert_eq!(world.value(&cached, &secret).await.unwrap(), "v", "the last second of the first key");
    world.clock.advance(1);
    let fresh = sealed_to(&world, secret, &first);
    assert_eq!(world.value(&cached, &secret).await, dead(), "a cached token, and nobody has turned the keys yet");
    assert_eq!(world.value(&fresh, &secret).await, dead());
    assert_eq!(world.seal_keys().len(), 3);
    world.vault.tick();
    assert_eq!((world.seal_keys().len(), files(&world)), (4, 4), "its file is gone, a new key is made");
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok(), "others were alive: nothing to wait for");
}

#[actix_web::test]
async fn when_all_keys_are_new_nothing_opens_before_the_manager_was_heard() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    world.clock.advance(3_600);
    world.vault.tick();
    assert_eq!(world.value(&world.token(&[secret]), &secret).await, behind());
    world.vault.tick();
    assert_eq!(world.value(&world.token(&[secret]), &secret).await, behind(), "time alone opens nothing");
    world.poll().await;
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok());
    // The same when the vault was down meanwhile.
    world.stop().await;
    world.clock.advance(3_600);
    world.vault = world.start().await.unwrap();
    assert_eq!(files(&world), 1, "expired keys are destroyed at the start");
    assert_eq!(world.value(&world.token(&[secret]), &secret).await, behind());
    world.poll().await;
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok());
}

#[actix_web::test]
async fn a_clock_set_back_keeps_no_key_alive() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let first = world.seal_keys().remove(0);
    world.clock.set_now(NOW - 1_000);
    world.clock.set_boot(100_000 + 3_599);
    assert!(world.vault.seal_keys.is_alive(&first.thumbprint()));
    world.clock.set_boot(100_000 + 3_600);
    assert!(!world.vault.seal_keys.is_alive(&first.thumbprint()), "the boot clock says so");
    assert!(world.seal_keys().is_empty());
    world.reopen().await;
    assert!(!world.seal_keys().contains(&first));
    assert_eq!(files(&world), 1);
    world.poll().await;
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok(), "the new key is valid by the new clock");
}

#[actix_web::test]
async fn a_clock_set_forward_and_back_brings_no_key_back() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    assert!(world.value(&token, &secret).await.is_ok());
    world.clock.set_now(NOW + 3_600);
    world.vault.tick();
    world.clock.set_now(NOW + 1);
    world.vault.tick();
    assert_eq!(world.value(&token, &secret).await, behind());
    world.poll().await;
    assert_eq!(world.value(&token, &secret).await, dead());
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok(), "a key that is valid now was made");
}

#[actix_web::test]
async fn a_clock_set_back_revives_no_expired_token_and_keeps_living_ones() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let (cached, fresh) = (world.token(&[secret]), world.token(&[secret]));
    assert!(world.value(&cached, &secret).await.is_ok());
    for back in [5, 3_600, 10 * 365 * 86_400] {
        world.clock.set_now(NOW - back);
        assert!(world.value(&cached, &secret).await.is_ok(), "it lives, whatever the date is: {back}");
    }
    world.clock.set_now(NOW);
    world.clock.advance(901);
    for back in [0, 5, 3_600, 10 * 365 * 86_400] {
        world.clock.set_now(NOW + 901 - back);
        for token in [&cached, &fresh] {
            assert_eq!(world.value(token, &secret).await, Err((401, "token_invalid".to_owned())), "{back}");
        }
        world.vault.tick();
    }
    world.clock.set_now(NOW + 901);
    world.poll().await;
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok());
}

#[actix_web::test]
async fn a_key_file_that_was_tampered_with_is_destroyed_at_the_start() {
    let secret = SecretId::generate();
    for case in 0..5 {
        let mut world = World::new().await;
        let before = world.seal_keys();
        let kid = before[0].thumbprint();
        let file = world.dir.path().join(format!("runtime/seal-{kid:?}.json"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        world.stop().await;
        let mut changed = document.clone();
        match case {
            0 => changed["boot_id"] = "another boot of the machine".into(),
            1 => changed["private_key"] = shared_proto::encoding::b64(&[7; 32]).into(),
            2 => changed["made_at"] = (NOW - 3_600).into(),
            3 => changed["made_at_boot"] = 1.into(),
            _ => fs::rename(&file, file.with_file_name("seal-other.json")).unwrap(),
        }
        if case < 4 {
            fs::write(&file, changed.to_string()).unwrap();
        }
        world.vault = world.start().await.unwrap();
        assert!(world.seal_keys().iter().all(|key| !before.contains(key)), "case {case} {secret}");
        assert_eq!(files(&world), 1, "case {case}");
    }
}

#[actix_web::test]
async fn a_dead_key_is_known_until_its_file_is_gone_and_never_used_again() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let runtime = world.dir.path().join("runtime");
    let mut listing = fs::read_dir(&runtime).unwrap().map(|entry| entry.unwrap().path());
    let file = listing.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("seal-")).unwrap();
    // Even root removes no folder as a file.
    let aside = world.dir.path().join("aside");
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    world.clock.advance(3_600);
    world.vault.tick();
    assert!(file.exists());
    assert!(world.vault.readiness().text().contains("keys"), "{}", world.vault.readiness().text());
    world.clock.set_now(NOW);
    world.clock.set_boot(100_000);
    assert_eq!(world.value(&token, &secret).await, dead(), "what has ended stays so");
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    world.vault.tick();
    assert!(!file.exists(), "nobody remembered to remove it");
    assert!(world.value(&token, &secret).await.is_err());
}

#[actix_web::test]
async fn a_runtime_directory_that_vanishes_is_made_again_and_tokens_live_on() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    world.manager.event(shared_proto::event::Event::Token(shared_proto::id::TokenId::generate()));
    world.order(shared_proto::command::Operation::Push, &world.manager.push_body(0)).await;
    let runtime = world.dir.path().join("runtime");
    let before = files(&world);
    fs::remove_dir_all(&runtime).unwrap();
    // Not at once: as when the folder above belongs to the system.
    fs::write(&runtime, "").unwrap();
    world.vault.tick();
    let words = world.vault.readiness().text();
    assert!(words.contains("storage") && words.contains("keys"), "{words}");
    fs::remove_file(&runtime).unwrap();
    world.vault.tick();
    assert_eq!(world.vault.readiness().text().split(' ').next(), Some("ready"));
    assert_eq!(files(&world), before);
    assert_eq!(fs::metadata(&runtime).unwrap().permissions().mode() & 0o777, 0o700);
    world.reopen().await;
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v", "the mark and the key are there after a restart");
}
