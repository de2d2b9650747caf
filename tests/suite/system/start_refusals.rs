//! Refuse to start rather than run weak: one sentence, and the fix.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use system_tests::loot::{copy_tree, put_back, set_mode};
use system_tests::{Installation, Service};

/// Starts a service that must refuse, and checks that it says why, in one sentence with the file's name.
async fn refuses(service: &mut Service, what: &str, words: &[&str]) {
    let said = service.try_start().await.unwrap_or_else(|| panic!("{what}: {} starts", service.name()));
    let sentence = said.lines().rfind(|line| !line.starts_with('{')).unwrap_or_else(|| panic!("{what}: {said}"));
    for word in words {
        assert!(sentence.contains(word), "{what}: {sentence:?} lacks {word:?}");
    }
    assert!(!said.contains("panicked") && !said.contains("PRIVATE"), "{what}: {said}");
}

/// Spoils the key folder in one way, checks that the service refuses, and puts the folder back.
async fn spoiled(service: &mut Service, what: &str, spoil: impl FnOnce(&Path), words: &[&str]) {
    let copy = service.keys().with_file_name("keys-copy");
    copy_tree(&service.keys(), &copy);
    spoil(&service.keys());
    refuses(service, what, words).await;
    put_back(&copy, &service.keys());
    set_mode(&service.keys(), 0o700);
    fs::remove_dir_all(&copy).unwrap();
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn rsa_key(file: &Path, bits: u32, exponent: u32) {
    let (bits, exponent) = (format!("rsa_keygen_bits:{bits}"), format!("rsa_keygen_pubexp:{exponent}"));
    let out = file.to_str().unwrap();
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits, "-pkeyopt", &exponent, "-out", out]);
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn weak_wrong_or_open_key_stops_the_start_of_either_service() {
    let mut installation = Installation::builder().make();
    for (service, name) in [(&mut installation.vault, "transport"), (&mut installation.manager, "token-signing")] {
        let (pem, public) = (format!("{name}.pem"), format!("{name}.pub.pem"));
        for mode in [0o640, 0o604] {
            spoiled(service, "open to others", |keys| set_mode(&keys.join(&pem), mode), &[&pem, "chmod 600"]).await;
        }
        spoiled(service, "open identity", |keys| set_mode(&keys.join("identity.pem"), 0o644), &["identity.pem"]).await;
        spoiled(service, "open folder", |keys| set_mode(keys, 0o750), &["keys", "chmod 700"]).await;
        spoiled(service, "missing", |keys| fs::remove_file(keys.join(&pem)).unwrap(), &[&pem]).await;
        spoiled(service, "empty", |keys| fs::write(keys.join(&pem), "").unwrap(), &[&pem]).await;
        let short = |keys: &Path| {
            fs::remove_file(keys.join(&public)).unwrap();
            rsa_key(&keys.join(&pem), 1024, 65537);
        };
        spoiled(service, "short key", short, &[&pem, "1024", "2048"]).await;
        let small_exponent = |keys: &Path| {
            fs::remove_file(keys.join(&public)).unwrap();
            rsa_key(&keys.join(&pem), 2048, 3);
        };
        spoiled(service, "small exponent", small_exponent, &[&pem, "65537"]).await;
        let other_pair = |keys: &Path| rsa_key(&keys.join(&pem), 2048, 65537);
        spoiled(service, "wrong pair", other_pair, &[&public]).await;
        let other_identity = |keys: &Path| {
            openssl(&["genpkey", "-algorithm", "ed25519", "-out", keys.join("identity.pem").to_str().unwrap()]);
        };
        spoiled(service, "wrong identity pair", other_identity, &["identity"]).await;
        let link = |keys: &Path| {
            fs::rename(keys.join(&pem), keys.with_file_name("elsewhere.pem")).unwrap();
            std::os::unix::fs::symlink(keys.with_file_name("elsewhere.pem"), keys.join(&pem)).unwrap();
        };
        spoiled(service, "symbolic link", link, &[&pem]).await;
    }
    installation.start().await;
}

#[tokio::test]
async fn key_of_one_service_in_the_folder_of_the_other_stops_its_start() {
    let mut installation = Installation::builder().make();
    let (vault, manager) = (installation.vault.keys(), installation.manager.keys());
    for name in ["transport.pem", "transport.pub.pem", "storage-keys/1.key"] {
        let plain = name.rsplit('/').next().unwrap();
        let target = if plain == name { plain } else { "storage-key.key" };
        let copy = |keys: &Path| copy_file(&vault.join(name), keys.join(target));
        spoiled(&mut installation.manager, name, copy, &[target]).await;
    }
    for name in ["token-signing.pem", "credential-hmac.key"] {
        let copy = |keys: &Path| copy_file(&manager.join(name), keys.join(name));
        spoiled(&mut installation.vault, name, copy, &[name]).await;
    }
    // Under the name of its own key, too: the identity and the transport key of the vault are not the manager's.
    let swap = |keys: &Path| copy_file(&vault.join("identity.json"), keys.join("identity.json"));
    spoiled(&mut installation.manager, "the vault's identity as its own", swap, &["identity.json"]).await;
    let own_pin = |keys: &Path| copy_file(&keys.join("identity.json"), keys.join("pins/vault.json"));
    spoiled(&mut installation.manager, "its own identity as a pin", own_pin, &["pins"]).await;
    let no_pin = |keys: &Path| fs::remove_file(keys.join("pins/manager.json")).unwrap();
    spoiled(&mut installation.vault, "no pin", no_pin, &["pins"]).await;
    installation.start().await;
}

#[tokio::test]
async fn second_process_on_a_data_directory_is_refused_and_the_first_goes_on() {
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    for service in [&installation.vault, &installation.manager] {
        let output = service.run(&["run"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("in use by another process"), "{said}");
        let output = service.run(&["init"]);
        assert!(!output.status.success(), "init overwrites nothing");
    }
    assert!(installation.opens(&stored).await);
    installation.restart_vault().await;
    installation.restart_manager().await;
}

#[tokio::test]
async fn what_was_made_in_one_mode_is_refused_in_the_other() {
    for production in [false, true] {
        let builder = Installation::builder();
        let mut installation = if production { builder.production() } else { builder }.make();
        let words = if production { ["production", "development"] } else { ["development", "production"] };
        for service in [&mut installation.vault, &mut installation.manager] {
            service.replace_in_head(&format!("mode = \"{}\"", words[0]), &format!("mode = \"{}\"", words[1]));
            refuses(service, "other mode", &["mode"]).await;
            service.replace_in_head(&format!("mode = \"{}\"", words[1]), &format!("mode = \"{}\"", words[0]));
        }
        installation.start().await;
    }
}

#[tokio::test]
async fn configuration_that_would_expose_or_that_is_not_understood_is_refused() {
    let mut installation = Installation::builder().make();
    for service in [&mut installation.vault, &mut installation.manager] {
        for (line, words) in [
            ("no_such_setting = 1", ["no_such_setting", "line"]),
            ("workers = \"canary-7f3\"", ["workers", "line"]),
            ("log = 5", ["log", "line"]),
        ] {
            service.set(line);
            refuses(service, line, &words).await;
            assert!(!service.log().contains("canary-7f3"), "a value from the file is never repeated");
            service.unset(line);
        }
        service.listen_on("0.0.0.0:0");
        refuses(service, "off loopback", &["loopback"]).await;
        service.listen_on("");
        let said = service.run_well(&["check-config"]);
        assert!(said.contains("development"), "{said}");
    }
    installation.start().await;
}

#[tokio::test]
async fn init_overwrites_nothing_and_leaves_private_files_only() {
    let installation = Installation::builder().make();
    for service in [&installation.vault, &installation.manager] {
        let output = service.run(&["init"]);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("not overwritten"), "{output:?}");
        private_only(&service.keys());
        private_only(&service.data());
    }
}

fn private_only(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            private_only(&entry.unwrap().path());
        }
    }
}

fn copy_file(from: &Path, to: impl AsRef<Path>) {
    fs::copy(from, to).unwrap();
}
