//! What the vault's operator refuses without the manager.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use encrypted_vault::revocation::{LocalRefusal, read_refusals, refuse_command};
use service_runtime::http::Health as _;
use service_runtime::process::DirectoryLock;

use crate::support::{World, copy_database};

#[actix_web::test]
async fn a_local_refusal_hits_whatever_the_rseq_until_it_is_lifted() {
    let mut world = World::new().await;
    let (secret, other) = (world.secret("v").await, world.secret("w").await);
    let draft = world.draft(&[secret]);
    let (token, unrelated) = (draft.sign(), world.token(&[other]));
    let data = world.config.data_dir.clone();
    let refusals = [
        (LocalRefusal::Token(draft.jti.parse().unwrap()), false),
        (LocalRefusal::Subject(draft.sub.parse().unwrap()), false),
        (LocalRefusal::Everything, true),
    ];
    for (refusal, whole) in refusals {
        assert!(world.value(&token, &secret).await.is_ok());
        refuse_command(&data, refusal, false).unwrap();
        world.vault.refusals.reload();
        assert_eq!(world.value(&token, &secret).await, Err((401, "token_invalid".to_owned())), "{refusal:?}");
        assert_eq!(world.value(&unrelated, &other).await.is_ok(), !whole);
        assert_eq!(world.vault.readiness().text().contains("refusing"), whole);
        world.manager.event(shared_proto::event::Event::Token(shared_proto::id::TokenId::generate()));
        let mut later = draft.clone();
        world.order(shared_proto::command::Operation::Push, &world.manager.push_body(0)).await;
        later.rseq = world.manager.newest();
        assert!(world.value(&later.sign(), &secret).await.is_err(), "{refusal:?}, a later token");
        world.reopen().await;
        assert!(world.value(&token, &secret).await.is_err(), "{refusal:?}, after a restart");
        assert_eq!(read_refusals(&data).unwrap().lines().len(), 1);
        refuse_command(&data, refusal, true).unwrap();
        world.vault.refusals.reload();
    }
    assert!(world.value(&token, &secret).await.is_ok());
}

#[actix_web::test]
async fn a_local_refusal_survives_a_restore_of_the_database() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    world.stop().await;
    let backup = world.dir.path().join("backup.db");
    copy_database(&world.config.database(), &backup);
    refuse_command(&world.config.data_dir, LocalRefusal::Subject(draft.sub.parse().unwrap()), false).unwrap();
    copy_database(&backup, &world.config.database());
    world.vault = world.start().await.unwrap();
    assert_eq!(world.value(&draft.sign(), &secret).await, Err((401, "token_invalid".to_owned())));
}

#[actix_web::test]
async fn a_file_that_cannot_be_read_refuses_everything() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let file = world.config.data_dir.join("refusals.json");
    let good = r#"{"tokens":[],"subjects":[],"everything":false}"#;
    let write = |text: &str, mode| {
        let _not_there = fs::remove_file(&file);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    write(good, 0o600);
    world.vault.refusals.reload();
    assert!(world.value(&token, &secret).await.is_ok());
    let says_so = |world: &World| world.vault.readiness().text().contains("refusing");
    assert!(!says_so(&world));
    let broken = ["", "{", "{}", r#"{"tokens":[],"subjects":[],"everything":false,"x":1}"#, "\u{0}"];
    for (text, mode) in broken.into_iter().map(|text| (text, 0o600)).chain([(good, 0o644)]) {
        write(text, mode);
        world.vault.refusals.reload();
        assert!(world.value(&token, &secret).await.is_err(), "{text:?} {mode:o}");
        assert!(says_so(&world), "{text:?} {mode:o}");
        world.reopen().await;
        assert!(world.value(&token, &secret).await.is_err(), "{text:?} {mode:o}, after a restart");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    world.vault.refusals.reload();
    assert!(world.value(&token, &secret).await.is_err(), "a directory");
}

#[actix_web::test]
async fn the_command_returns_when_the_running_vault_has_applied_it() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let data = world.config.data_dir.clone();
    let _running = DirectoryLock::acquire(&data).unwrap();
    let command = std::thread::spawn(move || refuse_command(&data, LocalRefusal::Everything, false));
    while !command.is_finished() {
        world.vault.refusals.reload();
        std::thread::yield_now();
    }
    assert_eq!(command.join().unwrap().unwrap(), "Applied by the running vault.");
    assert!(world.value(&token, &secret).await.is_err());
}

#[actix_web::test]
async fn refusals_count_on_when_their_folder_vanishes() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let data = world.config.data_dir.clone();
    refuse_command(&data, LocalRefusal::Everything, false).unwrap();
    world.vault.refusals.reload();
    let aside = world.dir.path().join("aside");
    fs::rename(&data, &aside).unwrap();
    for another in [false, true] {
        if another {
            fs::create_dir(&data).unwrap();
        }
        world.vault.refusals.reload();
        assert!(world.value(&token, &secret).await.is_err(), "another folder: {another}");
    }
    fs::remove_dir(&data).unwrap();
    fs::rename(&aside, &data).unwrap();
    refuse_command(&data, LocalRefusal::Everything, true).unwrap();
    world.vault.refusals.reload();
    assert!(world.value(&token, &secret).await.is_ok());
}
