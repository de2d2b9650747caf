//! Exchanging the root key of an environment.

use std::sync::Arc;

use master_key_manager::config::KeysConfig;
use master_key_manager::installation::restore;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::KillPoint;
use shared_proto::command::Operation;
use shared_proto::encoding::b64;
use shared_proto::envelope::Inner;
use shared_proto::envelope::seal::release_key;
use shared_proto::id::EnvironmentId;
use shared_proto::secret::{DataKey, RootKey};

use crate::support::{Installed, Manager, RewrapMood, Row, until};

const NO_OVERLAP: KeysConfig = KeysConfig { backup_retention_days: 30, root_key_overlap_seconds: 0 };

fn dev(manager: &Manager) -> EnvironmentId {
    manager.environment("dev")
}

async fn token(manager: &Manager, secret: &str) -> String {
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(201).member("access_token")
}

/// What the catalogue says about the versions of an environment: how many are below the epoch.
async fn below(manager: &Manager, epoch: u32) -> u64 {
    manager.app.store.open_below(dev(manager), epoch).await.unwrap()
}

fn status(installed: &Installed) -> Value {
    serde_json::from_str(&installed.rotates(&["status", "--json"])).unwrap()
}

fn root_rows(installed: &Installed) -> Vec<(u64, String, u64)> {
    let report = status(installed);
    let rows = report["keys"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["key"] == "root-key" && row["environment"] == "dev");
    rows.map(|row| {
        let under = row["under_it"].as_u64().unwrap();
        (row["number"].as_u64().unwrap(), row["state"].as_str().unwrap().to_owned(), under)
    })
    .collect()
}

fn obeyed(installed: &Installed, operation: Operation) -> usize {
    installed.vault.state().orders.iter().filter(|order| **order == operation).count()
}

#[actix_web::test]
async fn unconfirmed_root_key_seals_nothing_and_a_confirmed_one_takes_every_version_over() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    let stored = manager.store_value("a", "one").await.expect(201);
    let made = installed.rotates(&["root-key", "dev"]);
    assert!(made.contains("epoch 2") && made.contains("confirm-backup root-key dev"), "{made}");
    assert!(installed.refuses_to_rotate(&["root-key", "dev"]).contains("waits for confirm-backup"));
    until("it was read", async || manager.app.keys.now().roots.all(environment).count() == 2).await;
    manager.store_value("b", "two").await.expect(201);
    assert_eq!(installed.vault.epochs(environment), [[1], [1]]);
    installed.rotates(&["destroy", "root-key", "dev", "2"]);
    installed.rotates(&["root-key", "dev"]);
    installed.rotates(&["confirm-backup", "root-key", "dev", "--wait", "0"]);
    until("both are moved", async || below(&manager, 2).await == 0).await;
    assert_eq!(installed.vault.epochs(environment), [[1, 2], [1, 2]], "the old keys stay");
    let third = manager.store_value("c", "three").await.expect(201);
    assert_eq!(root_rows(&installed), [(1, "previous".to_owned(), 0), (2, "active".to_owned(), 3)]);
    assert_eq!(installed.vault.open(&stored.member("access_token"))[0].expose(), b"one");
    // Without the old keys, the new ones alone open what is minted now.
    for row in installed.vault.state().rows.values_mut() {
        let Row::Stored { keys, .. } = row else { panic!("stored rows") };
        keys.remove(&1);
    }
    for (secret, value) in [(stored.member("key_id"), &b"one"[..]), (third.member("key_id"), b"three")] {
        assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), value);
    }
    let polls = installed.vault.state().polls;
    until("more polls", async || installed.vault.state().polls > polls + 5).await;
    assert_eq!(obeyed(&installed, Operation::Retire), 0, "tokens of the old epoch may be alive for an hour");
    assert!(installed.refuses_to_rotate(&["root-key", "dev"]).contains("retirement"));
    manager.stop().await;
}

#[actix_web::test]
async fn old_root_key_is_retired_when_the_overlap_ended_and_destroyed_when_nothing_needs_it() {
    let keys = KeysConfig { root_key_overlap_seconds: 3_600, ..NO_OVERLAP };
    let installed = Installed::with_keys(Mode::Development, keys).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    let secret = manager.store_value("a", "one").await.expect(201).member("key_id");
    installed.rotates(&["root-key", "dev", "--wait", "0"]);
    until("it is moved", async || installed.vault.epochs(environment) == [[1, 2]]).await;
    until("the catalogue knows", async || below(&manager, 2).await == 0).await;
    let retired = installed.file(&format!("root-keys/{environment}.1.retired.key"));
    for (seconds, waits) in [(3_500_u64, true), (100, false)] {
        let database = rusqlite::Connection::open(installed.config.database()).unwrap();
        database
            .execute("UPDATE root_key_rotations SET changed_at = changed_at - ?1", [seconds.cast_signed()])
            .unwrap();
        installed.age(&format!("root-keys/{environment}.2.key"), seconds);
        if waits {
            let polls = installed.vault.state().polls;
            until("more polls", async || installed.vault.state().polls > polls + 10).await;
            assert_eq!(obeyed(&installed, Operation::Retire), 0);
            let early = installed.refuses_to_rotate(&["destroy", "root-key", "dev", "1"]);
            assert!(early.contains("neither retired nor unconfirmed"), "{early}");
        }
    }
    until("it is retired", async || retired.exists()).await;
    assert_eq!(installed.vault.epochs(environment), [[2]]);
    assert_eq!(root_rows(&installed), [(1, "retired".to_owned(), 0), (2, "active".to_owned(), 1)]);
    let report = status(&installed);
    assert_eq!(
        (report["retirements"][0]["epoch"].as_u64(), report["retirements"][0]["rows"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), b"one");
    installed.rotates(&["destroy", "root-key", "dev", "1"]);
    assert!(!retired.exists());
    until("it left the memory", async || manager.app.keys.now().roots.of(environment, 1).is_none()).await;
    assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), b"one");
    manager.stop().await;
}

#[actix_web::test]
async fn retired_root_key_is_destroyed_when_its_retention_ended() {
    let installed = Installed::with_keys(Mode::Development, NO_OVERLAP).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    installed.rotates(&["root-key", "dev", "--wait", "0"]);
    let name = format!("root-keys/{environment}.1.retired.key");
    until("it is retired", async || installed.file(&name).exists()).await;
    installed.age(&name, 29 * 24 * 60 * 60);
    let polls = installed.vault.state().polls;
    until("more polls", async || installed.vault.state().polls > polls + 10).await;
    assert!(installed.file(&name).exists());
    installed.age(&name, 24 * 60 * 60);
    until("it is destroyed", async || !installed.file(&name).exists()).await;
    manager.stop().await;
}

#[actix_web::test]
async fn catalogue_keeps_the_old_epoch_until_the_vaults_copy_opened_to_the_same_data_key() {
    let installed = Installed::with_keys(Mode::Development, NO_OVERLAP).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    let secret = manager.store_value("a", "one").await.expect(201).member("key_id");
    let attempts = async || {
        let before = obeyed(&installed, Operation::Rewrap);
        until("some attempts", async || obeyed(&installed, Operation::Rewrap) > before + 2).await;
        assert_eq!(below(&manager, 2).await, 1);
        assert_eq!(obeyed(&installed, Operation::Retire), 0);
        assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), b"one");
    };
    installed.vault.state().rewrap_mood = RewrapMood::LosesKeys;
    installed.rotates(&["root-key", "dev", "--wait", "0"]);
    attempts().await;
    installed.vault.state().rewrap_mood = RewrapMood::OldReceipt;
    attempts().await;
    installed.vault.state().rewrap_mood = RewrapMood::Honest;
    // Another data key, and even one that the new root key wrapped.
    let path = installed.file(&format!("root-keys/{environment}.2.key"));
    let root = RootKey::from_bytes(service_runtime::key_folder::read_key(&path).unwrap());
    let digest = match installed.vault.state().rows.values().next().unwrap() {
        Row::Stored { envelope, .. } => envelope.digest,
        Row::Foreign { .. } | Row::Tombstone { .. } => panic!("a stored row"),
    };
    let planted = Inner::wrap(&release_key(&root, &digest).unwrap(), &DataKey::generate()).unwrap();
    installed.vault.state().planted = Some(Arc::new(planted));
    attempts().await;
    installed.vault.state().planted = None;
    until("it is moved", async || below(&manager, 2).await == 0).await;
    assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), b"one");
    manager.stop().await;
}

#[actix_web::test]
async fn rotation_killed_at_any_step_is_finished_by_the_next_start() {
    let methods = ["envelopes_below", "move_to_epoch", "rotation", "open_below", "record_retirement"];
    let points = methods.into_iter().flat_map(|name| [KillPoint::Before(name), KillPoint::After(name)]);
    for point in points {
        let installed = Installed::with_keys(Mode::Development, NO_OVERLAP).await;
        let manager = installed.start().await;
        let environment = dev(&manager);
        let secret = manager.store_value("a", "one").await.expect(201).member("key_id");
        manager.store_value("b", "two").await.expect(201);
        manager.faults.kill_at(point);
        installed.rotates(&["root-key", "dev", "--wait", "0"]);
        until("it died", async || manager.faults.is_dead()).await;
        manager.stop().await;
        let manager = installed.start().await;
        let retired = installed.file(&format!("root-keys/{environment}.1.retired.key"));
        until("it is finished", async || retired.exists()).await;
        assert_eq!(installed.vault.epochs(environment), [[2], [2]], "{point:?}");
        assert_eq!(below(&manager, 2).await, 0);
        assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), b"one");
        manager.stop().await;
    }
}

#[actix_web::test]
async fn rotation_cut_short_between_two_files_is_finished_by_the_next_start() {
    let installed = Installed::with_keys(Mode::Development, NO_OVERLAP).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    installed.rotates(&["root-key", "dev", "--wait", "0"]);
    let file = |name: &str| installed.file(&format!("root-keys/{environment}.{name}"));
    until("it is retired", async || file("1.retired.key").exists()).await;
    manager.stop().await;
    // The retirement was recorded, and the file not renamed; another one was half destroyed.
    std::fs::rename(file("1.retired.key"), file("1.key")).unwrap();
    let left = installed.file(&format!("root-keys/.{environment}.9.key.destroyed"));
    std::fs::write(&left, "half").unwrap();
    let manager = installed.start().await;
    until("it is retired again", async || file("1.retired.key").exists()).await;
    assert!(!left.exists());
    assert_eq!(obeyed(&installed, Operation::Retire), 1);
    manager.stop().await;
}

#[actix_web::test]
async fn versions_that_a_restored_vault_lacks_are_counted_and_hold_nothing_up() {
    let installed = Installed::with_keys(Mode::Development, NO_OVERLAP).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    manager.store_value("a", "one").await.expect(201);
    manager.store_value("b", "two").await.expect(201);
    let lost = *installed.vault.state().rows.keys().next().unwrap();
    installed.vault.state().rows.remove(&lost);
    installed.rotates(&["root-key", "dev", "--wait", "0"]);
    let retired = installed.file(&format!("root-keys/{environment}.1.retired.key"));
    until("it is retired", async || retired.exists()).await;
    let due = status(&installed)["due"].to_string();
    assert!(due.contains("1 versions of dev under epoch 1 are not in the vault"), "{due}");
    manager.stop().await;
}

#[actix_web::test]
async fn version_that_was_moved_before_the_catalogue_was_restored_is_found_under_its_new_key() {
    let installed = Installed::with_keys(Mode::Development, NO_OVERLAP).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    let secret = manager.store_value("a", "one").await.expect(201).member("key_id");
    let backup = installed.file("../before.db");
    service_runtime::sqlite::backup(&installed.config.database(), &backup).unwrap();
    installed.rotates(&["root-key", "dev", "--wait", "0"]);
    let retired = installed.file(&format!("root-keys/{environment}.1.retired.key"));
    until("it is retired", async || retired.exists()).await;
    manager.stop().await;
    restore(&installed.config, &backup).unwrap();
    let manager = installed.start().await;
    until("the catalogue knows again", async || below(&manager, 2).await == 0).await;
    assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), b"one");
    manager.stop().await;
}

#[actix_web::test]
async fn vault_restored_to_before_a_rotation_is_read_again_and_rotated_again() {
    let installed = Installed::with_keys(Mode::Development, NO_OVERLAP).await;
    let manager = installed.start().await;
    let environment = dev(&manager);
    let secret = manager.store_value("a", "one").await.expect(201).member("key_id");
    let backup = installed.vault.state().rows.clone();
    installed.rotates(&["root-key", "dev", "--wait", "0"]);
    let retired = installed.file(&format!("root-keys/{environment}.1.retired.key"));
    until("it is retired", async || retired.exists()).await;
    installed.vault.state().rows = backup;
    manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200);
    until("it is moved and retired again", async || {
        installed.vault.epochs(environment) == [[2]] && obeyed(&installed, Operation::Retire) == 2
    })
    .await;
    assert_eq!(installed.vault.open(&token(&manager, &secret).await)[0].expose(), b"one");
    manager.stop().await;
}

#[actix_web::test]
async fn report_names_every_key_and_prints_none() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    installed.rotates(&["root-key", "dev"]);
    installed.rotates(&["identity"]);
    let (text, json) = (installed.rotates(&["status"]), installed.rotates(&["status", "--json"]));
    let report: Value = serde_json::from_str(&json).unwrap();
    let members: Vec<_> = report.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["done", "due", "keys", "retirements", "service", "time"]);
    let rows = report["keys"].as_array().unwrap();
    assert_eq!(rows.len(), 8, "{text}");
    for row in rows {
        assert_eq!(row.as_object().unwrap().len(), 10, "{row}");
        assert!(text.contains(row["fingerprint"].as_str().unwrap()), "{text}");
    }
    assert_eq!(report["due"].as_array().unwrap().len(), 2, "{text}");
    let mut secrets = 0;
    for folder in ["", "root-keys"] {
        for entry in std::fs::read_dir(installed.file(folder)).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "key" || extension == "pem") {
                let secret = std::fs::read_to_string(&path).unwrap();
                for line in secret.lines().filter(|line| line.len() > 20 && !line.starts_with("---")) {
                    assert!(!text.contains(&line[..20]) && !json.contains(&line[..20]), "{}", path.display());
                    secrets += 1;
                }
            }
        }
    }
    assert!(secrets > 8);
    let root = std::fs::read_to_string(installed.file(&format!("root-keys/{}.1.key", dev(&manager)))).unwrap();
    let key = shared_proto::encoding::from_b64_exact::<32>(root.trim()).unwrap();
    assert!(json.contains(&shared_proto::derive::fingerprint(&key).unwrap()));
    assert!(!json.contains(&b64(&key)));
    manager.stop().await;
}
