//! Key folders that stop the start, each with one sentence and the repair.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use master_key_manager::installation::{open_store, read_installation};
use master_key_manager::keys::LoadedKeys;
use service_runtime::config::Mode;
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityDocument, IdentityKey, Mode as DocumentMode, Owner};
use shared_proto::jwk::PublicJwk;

use crate::support::{Holder, Installed, rsa_pem};

/// The sentence that stops the start; none if it starts.
async fn refusal(installed: &Installed) -> Option<String> {
    let store = match open_store(&installed.config) {
        Ok(store) => store,
        Err(refusal) => return Some(refusal.sentence),
    };
    let (installation, environments) = read_installation(&installed.config, &store).await.unwrap();
    LoadedKeys::at_start(&installed.config.get().key_dir, &installation, &environments)
        .err()
        .map(|refusal| refusal.sentence)
}

#[track_caller]
fn says(refusal: Option<String>, parts: &[&str]) {
    let sentence = refusal.expect("it should not start");
    for part in parts {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert!(!sentence.contains('\n') && sentence.ends_with('.') || sentence.contains("run: "), "{sentence}");
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn rsa_of(bits: &str, exponent: &str) -> String {
    let bits = format!("rsa_keygen_bits:{bits}");
    let exponent = format!("rsa_keygen_pubexp:{exponent}");
    openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &bits, "-pkeyopt", &exponent])
}

fn document(id: Owner, mode: DocumentMode, key: PublicJwk) -> String {
    serde_json::to_string(&IdentityDocument { id, mode, key }).unwrap()
}

#[actix_web::test]
async fn what_init_and_an_operator_made_starts() {
    let installed = Installed::new(Mode::Production).await;
    assert_eq!(refusal(&installed).await, None);
    let pem = installed.file("token-signing.pem");
    let public = openssl(&["pkey", "-in", pem.to_str().unwrap(), "-pubout"]);
    write(&installed.file("token-signing.pub.pem"), &public);
    assert_eq!(refusal(&installed).await, None);
}

#[actix_web::test]
async fn a_file_that_others_may_read_or_that_is_missing_stops_the_start() {
    let installed = Installed::new(Mode::Production).await;
    let roots: Vec<_> = std::fs::read_dir(installed.file("root-keys")).unwrap().map(|e| e.unwrap().path()).collect();
    let files = ["token-signing.pem", "identity.pem", "identity.json", "credential-hmac.key", "pins/vault.json"];
    for path in files.iter().map(|name| installed.file(name)).chain([roots[0].clone()]) {
        let shown = path.to_str().unwrap().to_owned();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        says(refusal(&installed).await, &[&shown, "chmod 600"]);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let away = path.with_file_name("away");
        std::fs::rename(&path, &away).unwrap();
        let keep = installed.config.get().data_dir.join("away");
        std::fs::rename(&away, &keep).unwrap();
        assert!(refusal(&installed).await.is_some(), "{shown}");
        std::os::unix::fs::symlink(&keep, &path).unwrap();
        assert!(refusal(&installed).await.is_some(), "{shown} as a link");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&keep, &path).unwrap();
    }
    std::fs::set_permissions(installed.file("root-keys"), PermissionsExt::from_mode(0o750)).unwrap();
    says(refusal(&installed).await, &["root-keys", "chmod 700"]);
    std::fs::set_permissions(installed.file("root-keys"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(refusal(&installed).await, None);
}

#[actix_web::test]
async fn a_weak_or_inconsistent_token_signing_key_stops_the_start() {
    let installed = Installed::new(Mode::Production).await;
    let pem = installed.file("token-signing.pem");
    let good = rsa_pem(Holder::Manager);
    write(&pem, &rsa_of("1024", "65537"));
    says(refusal(&installed).await, &["1024 bits", "init"]);
    write(&pem, &rsa_of("2048", "3"));
    says(refusal(&installed).await, &["exponent is below 65537"]);
    write(&pem, &openssl(&["genpkey", "-algorithm", "ED25519"]));
    says(refusal(&installed).await, &["token-signing.pem", "init"]);
    write(&pem, "");
    says(refusal(&installed).await, &["not an RSA private key"]);
    let lines: Vec<&str> = good.lines().collect();
    for damaged in [8, 20] {
        let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        lines[damaged] = lines[damaged].chars().rev().collect();
        write(&pem, &lines.join("\n"));
        assert!(refusal(&installed).await.is_some(), "line {damaged}");
    }
    write(&pem, &good);
    write(&installed.file("token-signing.pub.pem"), &{
        let other = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(other.path(), rsa_pem(Holder::Vault)).unwrap();
        openssl(&["pkey", "-in", other.path().to_str().unwrap(), "-pubout"])
    });
    says(refusal(&installed).await, &["does not belong to token-signing.pem"]);
}

#[actix_web::test]
async fn a_key_of_the_vault_or_an_unknown_file_stops_the_start() {
    let installed = Installed::new(Mode::Production).await;
    for name in ["transport.pem", "transport.pub.pem", "storage-keys", "seal-x.json"] {
        write(&installed.file(name), "x");
        says(refusal(&installed).await, &[name, "belongs to the vault"]);
        std::fs::remove_file(installed.file(name)).unwrap();
    }
    for name in ["notes.txt", "token-signing.pem.bak", "root-keys/notes", "root-keys/env_x.1.key", "pins/notes"] {
        // What is a key by its content is refused by its name.
        write(&installed.file(name), &"A".repeat(43));
        says(refusal(&installed).await, &[name, "move it away"]);
        std::fs::remove_file(installed.file(name)).unwrap();
    }
    assert_eq!(refusal(&installed).await, None);
}

#[actix_web::test]
async fn an_identity_that_does_not_fit_stops_the_start() {
    let installed = Installed::new(Mode::Production).await;
    let path = installed.file("identity.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let good: IdentityDocument = serde_json::from_str(&text).unwrap();
    let stranger = IdentityKey::generate().unwrap().0.public().clone();
    write(&path, &document(good.id, good.mode, stranger));
    says(refusal(&installed).await, &["does not belong to identity.pem"]);
    write(&path, &document(good.id, DocumentMode::Development, good.key.clone()));
    says(refusal(&installed).await, &["made in development mode"]);
    write(&path, &document(Owner::Manager(shared_proto::id::ManagerId::generate()), good.mode, good.key));
    says(refusal(&installed).await, &["another manager than the database"]);
    write(&path, "{}");
    says(refusal(&installed).await, &["not an identity document"]);
    write(&path, &text);
    write(&installed.file("identity.pem"), &rsa_pem(Holder::Manager));
    says(refusal(&installed).await, &["not an Ed25519 private key"]);
}

#[actix_web::test]
async fn pins_that_do_not_fit_stop_the_start() {
    let installed = Installed::new(Mode::Production).await;
    let pin = installed.file("pins/vault.json");
    let good = installed.vault.document(DocumentMode::Production);
    write(&pin, &document(good.id, DocumentMode::Development, good.key.clone()));
    says(refusal(&installed).await, &["development mode", "pin a service of the same mode"]);
    write(&pin, &std::fs::read_to_string(installed.file("identity.json")).unwrap());
    says(refusal(&installed).await, &["pins a manager"]);
    std::fs::remove_file(&pin).unwrap();
    says(refusal(&installed).await, &["no identity", "identity.json"]);
    let next = IdentityKey::generate().unwrap().0.public().clone();
    write(&pin, &document(good.id, good.mode, good.key));
    write(&installed.file("pins/next.json"), &document(good.id, good.mode, next.clone()));
    assert_eq!(refusal(&installed).await, None);
    write(&installed.file("pins/third.json"), &document(good.id, good.mode, next.clone()));
    says(refusal(&installed).await, &["more than two"]);
    std::fs::remove_file(installed.file("pins/third.json")).unwrap();
    write(&installed.file("pins/next.json"), &document(Owner::Vault(VaultId::generate()), good.mode, next));
    says(refusal(&installed).await, &["not of one service"]);
}

#[actix_web::test]
async fn an_environment_without_its_root_key_stops_the_start() {
    let installed = Installed::new(Mode::Production).await;
    let folder = installed.file("root-keys");
    let one = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&one).unwrap();
    write(&one, "short\n");
    says(refusal(&installed).await, &["is not a key"]);
    std::fs::remove_file(&one).unwrap();
    says(refusal(&installed).await, &["has no root key", "restore it from the backup"]);
    write(&one, &text);
    assert_eq!(refusal(&installed).await, None);
}

/// Name, number and time of every file in the key folder.
fn listing(installed: &Installed) -> Vec<(String, u64, std::time::SystemTime)> {
    use std::os::unix::fs::MetadataExt as _;

    let entries = std::fs::read_dir(installed.file("")).unwrap().map(|entry| {
        let (entry, meta) = entry.and_then(|entry| entry.metadata().map(|meta| (entry, meta))).unwrap();
        (entry.file_name().to_string_lossy().into_owned(), meta.ino(), meta.modified().unwrap())
    });
    let mut all: Vec<_> = entries.collect();
    all.sort();
    all
}

/// What looks cut short may be what the running service is doing at this moment.
#[actix_web::test]
async fn status_changes_nothing_in_the_key_folder_also_when_a_change_is_under_way() {
    let installed = Installed::new(Mode::Production).await;
    installed.rotates(&["token-signing", "--wait", "0"]);
    installed.rotates(&["identity"]);
    std::fs::hard_link(installed.file("token-signing.pem"), installed.file("token-signing-previous.pem")).unwrap();
    std::fs::rename(installed.file("identity-next.pem"), installed.file("identity.pem")).unwrap();
    let before = listing(&installed);
    let report = installed.rotates(&["status"]);
    assert!(report.contains("token-signing") && report.contains("identity"), "{report}");
    assert_eq!(listing(&installed), before);
    // The service is the one that finishes it.
    installed.start_unready().await.stop().await;
    assert!(!installed.file("token-signing-next.pem").exists() && !installed.file("identity-next.json").exists());
}

#[actix_web::test]
async fn two_looks_at_the_key_folder_take_turns_so_that_the_older_one_never_wins() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start_unready().await;
    let keys = Arc::clone(&manager.app.keys);
    let look = {
        let (path, installation) = (installed.config.get().key_dir.clone(), manager.app.installation.clone());
        let environments = manager.app.environments.now();
        move || LoadedKeys::load(&path, &installation, &environments)
    };
    let (inside, is_inside) = std::sync::mpsc::channel();
    let (overtakes, is_overtaken) = std::sync::mpsc::channel();
    let older = std::thread::spawn({
        let (keys, look) = (Arc::clone(&keys), look.clone());
        move || {
            let mut overtaken = false;
            let reloaded = keys.reload_by(|| {
                inside.send(()).unwrap();
                // The other one comes in within this time, or waits outside.
                overtaken = is_overtaken.recv_timeout(std::time::Duration::from_millis(300)).is_ok();
                look()
            });
            reloaded.map(|()| overtaken)
        }
    });
    is_inside.recv().unwrap();
    let newer = std::thread::spawn(move || {
        keys.reload_by(|| {
            let _nobody_listens_any_more = overtakes.send(());
            look()
        })
    });
    assert_eq!(older.join().unwrap().map_err(|error| error.sentence), Ok(false));
    newer.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
    manager.stop().await;
}
