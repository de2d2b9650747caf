//! What the vault refuses to start with: one sentence that names the file.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use encrypted_vault::app::Vault;
use encrypted_vault::keys::LoadedKeys;
use encrypted_vault::store::SqlStore;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use service_runtime::clock::ManualClock;
use service_runtime::process::DirectoryLock;
use service_runtime::sql::Location;
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityDocument, IdentityKey, Mode, Owner};
use shared_proto::rsa_key::RsaPrivate;

use crate::support::{NOW, World, rsa_pem, transport_pem};

/// Why the key folder is refused after a change.
fn refusal(change: impl FnOnce(&Path)) -> String {
    let (_dir, config, ..) = World::directories(Mode::Production);
    assert!(LoadedKeys::load(&config.key_dir, Mode::Production).is_ok(), "good before");
    change(&config.key_dir);
    match LoadedKeys::load(&config.key_dir, Mode::Production) {
        Ok(_) => panic!("the folder is accepted"),
        Err(error) => error.sentence,
    }
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_and_folders_open_to_others_are_refused() {
    let private = ["identity.pem", "identity.json", "transport.pem", "storage-keys/1.key", "pins/manager.json"];
    for name in private {
        for bits in [0o640, 0o604, 0o660, 0o610] {
            let sentence = refusal(|keys| mode(&keys.join(name), bits));
            assert!(sentence.contains(name) && sentence.contains("chmod"), "{sentence}");
        }
        let sentence = refusal(|keys| {
            fs::rename(keys.join(name), keys.join("../elsewhere")).unwrap();
            symlink(keys.join("../elsewhere"), keys.join(name)).unwrap();
        });
        assert!(sentence.contains(name), "a link: {sentence}");
        let sentence = refusal(|keys| fs::remove_file(keys.join(name)).unwrap());
        assert!(sentence.contains(name.split('/').next().unwrap()), "missing: {sentence}");
    }
    for folder in ["", "storage-keys", "pins"] {
        let sentence = refusal(|keys| mode(&keys.join(folder), 0o750));
        assert!(sentence.contains(folder), "{sentence}");
    }
}

#[actix_web::test]
async fn harmless_forms_of_key_files_are_read() {
    let (_dir, config, _, _) = World::directories(Mode::Development);
    let keys = &config.key_dir;
    for name in ["identity.pem", "transport.pem", "storage-keys/1.key"] {
        let text = fs::read_to_string(keys.join(name)).unwrap();
        put(&keys.join(name), &format!("{} \r\n\r\n", text.trim_end().replace('\n', "\r\n")));
    }
    let document = fs::read_to_string(keys.join("identity.json")).unwrap();
    put(&keys.join("identity.json"), &format!("{document}\r\n\n"));
    // What a file system keeps in its root; nobody but root may look into it.
    for folder in ["", "storage-keys", "pins"] {
        fs::DirBuilder::new().mode(0o000).create(keys.join(folder).join("lost+found")).unwrap();
    }
    Vault::open(&config, Arc::new(ManualClock::new(NOW, 100_000))).await.unwrap();
    fs::remove_dir(keys.join("lost+found")).unwrap();
    put(&keys.join("lost+found"), "a file of this name is no such folder");
    let refused = Vault::open(&config, Arc::new(ManualClock::new(NOW, 100_000))).await;
    assert!(refused.err().unwrap().sentence.contains("lost+found"));
}

#[test]
fn foreign_files_are_refused() {
    for name in ["token-signing.pem", "credential-hmac.key", "root-keys", "notes.txt", "transport.pem.bak"] {
        let sentence = refusal(|keys| put(&keys.join(name), "x"));
        assert!(sentence.contains(name), "{sentence}");
    }
    for name in ["storage-keys/0.key", "storage-keys/01.key", "storage-keys/+2.key", "storage-keys/2.key~"] {
        let sentence = refusal(|keys| fs::copy(keys.join("storage-keys/1.key"), keys.join(name)).map(drop).unwrap());
        assert!(sentence.contains("not named like a key"), "{sentence}");
    }
    for text in ["", "short\n", &"A".repeat(44), &"+".repeat(43)] {
        let sentence = refusal(|keys| put(&keys.join("storage-keys/1.key"), text));
        assert!(sentence.contains("1.key"), "{sentence}");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let other = || IdentityKey::generate().unwrap();
    let sentence = refusal(|keys| put(&keys.join("identity.pem"), &other().1));
    assert!(sentence.contains("identity.json") && sentence.contains("does not belong"), "{sentence}");
    let sentence = refusal(|keys| {
        let public = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 512).unwrap().to_public_key();
        put(&keys.join("transport.pub.pem"), &public.to_public_key_pem(LineEnding::LF).unwrap());
    });
    assert!(sentence.contains("transport.pub.pem"), "{sentence}");
    let sentence = refusal(|keys| put(&keys.join("transport.pub.pem"), ""));
    assert!(sentence.contains("transport.pub.pem"), "{sentence}");
    let edit = |id: Option<Owner>, mode: Mode| {
        refusal(move |keys| {
            let path = keys.join("identity.json");
            let mut document: IdentityDocument = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            document.id = id.unwrap_or(document.id);
            document.mode = mode;
            put(&path, &serde_json::to_string(&document).unwrap());
        })
    };
    assert!(edit(None, Mode::Development).contains("development mode"));
    let manager = Owner::Manager(shared_proto::id::ManagerId::generate());
    assert!(edit(Some(manager), Mode::Production).contains("manager"));
    assert!(refusal(|keys| put(&keys.join("identity.json"), "{}")).contains("identity.json"));
}

#[test]
fn weak_transport_keys_are_refused() {
    let rng = &mut rsa::rand_core::OsRng;
    let pem = |key: &RsaPrivateKey| key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    let short = pem(&RsaPrivateKey::new(rng, 1024).unwrap());
    let three = pem(&RsaPrivateKey::new_with_exp(rng, 2048, &rsa::BigUint::from(3_u8)).unwrap());
    for (text, reason) in [
        (short.as_str(), "1024 bits"),
        (three.as_str(), "exponent"),
        ("", "PKCS#8"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "PKCS#8"),
        (&IdentityKey::generate().unwrap().1, "PKCS#8"),
    ] {
        let sentence = refusal(|keys| put(&keys.join("transport.pem"), text));
        assert!(sentence.contains("transport.pem") && sentence.contains(reason), "{reason}: {sentence}");
    }
}

#[test]
fn one_or_two_pins_of_one_manager_in_our_mode_are_needed() {
    let document = |id, mode| IdentityDocument { id, mode, key: IdentityKey::generate().unwrap().0.public().clone() };
    let pinned = |keys: &Path| -> IdentityDocument {
        serde_json::from_slice(&fs::read(keys.join("pins/manager.json")).unwrap()).unwrap()
    };
    let add = |keys: &Path, name: &str, document: &IdentityDocument| {
        put(&keys.join("pins").join(name), &serde_json::to_string(document).unwrap());
    };
    let none = refusal(|keys| fs::remove_file(keys.join("pins/manager.json")).unwrap());
    assert!(none.contains("pins") && none.contains("put one copy of the other service's identity.json"), "{none}");
    let three = refusal(|keys| {
        let id = pinned(keys).id;
        add(keys, "b.json", &document(id, Mode::Production));
        add(keys, "c.json", &document(id, Mode::Production));
    });
    assert!(three.contains("more than two"), "{three}");
    refusal(|keys| add(keys, "b.json", &document(pinned(keys).id, Mode::Development)));
    refusal(|keys| {
        add(keys, "b.json", &document(Owner::Manager(shared_proto::id::ManagerId::generate()), Mode::Production));
    });
    let vault =
        refusal(|keys| add(keys, "manager.json", &document(Owner::Vault(VaultId::generate()), Mode::Production)));
    assert!(vault.contains("it pins a vault"), "{vault}");
    let (_dir, config, _, manager) = World::directories(Mode::Production);
    add(&config.key_dir, "next.json", &document(manager.document().id, Mode::Production));
    assert!(LoadedKeys::load(&config.key_dir, Mode::Production).is_ok(), "two while the identity changes");
}

#[actix_web::test]
async fn the_database_must_be_there_and_be_this_vaults() {
    let world = World::new().await;
    world.stop().await;
    let other = world.dir.path().join("data/other.db");
    SqlStore::create(&Location::File(other.clone()), VaultId::generate(), Mode::Development).unwrap();
    fs::rename(&other, world.config.database()).unwrap();
    let sentence = |result: Result<_, service_runtime::StartError>| match result {
        Ok(_) => panic!("it starts"),
        Err(error) => error.sentence,
    };
    assert!(sentence(world.start().await).contains("another vault"));
    mode(&world.config.database(), 0o640);
    assert!(sentence(world.start().await).contains("chmod 600"));
    fs::remove_file(world.config.database()).unwrap();
    assert!(sentence(world.start().await).contains("run: encrypted-vault --config"));
    let Owner::Vault(id) = world.document.id else { panic!("a vault") };
    SqlStore::create(&world.config.location, id, Mode::Production).unwrap();
    assert!(sentence(world.start().await).contains("other mode"));
    put(&world.config.database(), "not a database at all, but long enough to be looked at");
    assert!(sentence(world.start().await).contains("vault.db"));
}

#[actix_web::test]
async fn production_refuses_a_runtime_directory_on_disk_unless_told() {
    let (dir, mut config, ..) = World::directories(Mode::Production);
    let clock = || std::sync::Arc::new(service_runtime::clock::ManualClock::new(crate::support::NOW, 9));
    assert!(encrypted_vault::app::Vault::open(&config, clock()).await.is_ok());
    if !service_runtime::process::is_memory_backed(dir.path()).unwrap() {
        config.danger.runtime_on_disk = false;
        let refused = encrypted_vault::app::Vault::open(&config, clock()).await.err().expect("a refusal");
        assert!(refused.sentence.contains("danger.runtime_on_disk"), "{refused}");
    }
    config.danger.runtime_on_disk = true;
    mode(&dir.path().join("runtime"), 0o755);
    assert!(encrypted_vault::app::Vault::open(&config, clock()).await.is_err(), "open to others");
}

#[test]
fn a_data_directory_has_one_vault() {
    let (_dir, config, ..) = World::directories(Mode::Development);
    let _first = DirectoryLock::acquire(&config.data_dir).unwrap();
    let second = DirectoryLock::acquire(&config.data_dir).unwrap_err();
    assert!(second.sentence.contains("in use"), "{second}");
}

#[test]
fn init_overwrites_nothing() {
    let (_dir, config, ..) = World::directories(Mode::Development);
    let before = fs::read(config.key_dir.join("identity.pem")).unwrap();
    assert!(encrypted_vault::keys::create(&config.key_dir, Mode::Development).is_err());
    assert_eq!(fs::read(config.key_dir.join("identity.pem")).unwrap(), before);
    // A key made anew has the right form too.
    RsaPrivate::from_pem(&rsa_pem()).unwrap();
    RsaPrivate::from_pem(transport_pem()).unwrap();
}
