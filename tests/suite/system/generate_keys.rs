//! `scripts/generate-keys.sh`: all keys of an installation, private from the first moment, never overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use system_tests::{binaries, repository};
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    /// A folder that looks like a target directory to the script.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::os::unix::fs::symlink(binaries(), folder.path().join("release")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn generate(&self, mode: &str) -> Output {
        let mut command = Command::new(repository().join("scripts/generate-keys.sh"));
        command.args(["--mode", mode, "--keys"]).arg(self.path("keys")).arg("--run").arg(self.path("run"));
        command.env("CARGO_TARGET_DIR", self.0.path()).output().unwrap()
    }

    /// Every file with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for folder in ["keys", "run"] {
            collect(&self.path(folder), &mut found);
        }
        found
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn keys_of_both_services_are_made_private_pinned_and_fingerprinted() {
    for mode in ["development", "production"] {
        let place = Place::new();
        let text = printed(&place.generate(mode));
        let files = place.files();
        for (path, content) in &files {
            let bits = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(bits, 0o600, "{} has mode {bits:o}", path.display());
            if content.starts_with(b"-----BEGIN PRIVATE KEY-----") {
                assert!(text.contains(&fingerprint(path)), "{} has no fingerprint in {text}", path.display());
            }
        }
        let read = |name: &str| files[&place.path("keys").join(name)].clone();
        assert_eq!(read("master-key-manager/pins/vault.json"), read("encrypted-vault/identity.json"));
        assert_eq!(read("encrypted-vault/pins/manager.json"), read("master-key-manager/identity.json"));
        assert!(String::from_utf8(read("encrypted-vault/identity.json")).unwrap().contains(mode));
        let credential = String::from_utf8(files[&place.path("run/admin-credential")].clone()).unwrap();
        assert!(credential.starts_with("spv_") && !text.contains(credential.trim()), "{text}");
        assert!(text.contains("admin-credential"));
        for folder in ["keys/master-key-manager", "keys/encrypted-vault", "run"] {
            assert_eq!(fs::metadata(place.path(folder)).unwrap().permissions().mode() & 0o777, 0o700, "{folder}");
        }
    }
}

#[test]
fn second_run_overwrites_nothing_and_names_the_way_out() {
    let place = Place::new();
    printed(&place.generate("development"));
    let before = place.files();
    let output = place.generate("development");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.trim().lines().count() == 1, "{said}");
    assert!(said.contains("is not overwritten") && said.contains("move it away"), "{said}");
    assert!(place.files() == before, "a file was changed");
}

#[test]
fn interrupted_run_is_begun_anew() {
    let place = Place::new();
    for folder in ["keys/master-key-manager", "keys/encrypted-vault", "run/data/master-key-manager"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    fs::write(place.path("keys/master-key-manager/token-signing.pem"), "half a k").unwrap();
    assert!(!place.generate("development").status.success(), "without the marker these are somebody's keys");
    fs::write(place.path("keys/.unfinished"), "").unwrap();
    assert!(printed(&place.generate("development")).contains("interrupted"));
    assert!(!place.path("keys/.unfinished").exists());
    assert!(place.files().values().all(|content| content != b"half a k"));
}

/// SHA-256 of the public key in DER, as openssl sees it.
fn fingerprint(key: &Path) -> String {
    let pipe = "openssl pkey -in \"$0\" -pubout -outform DER | openssl dgst -sha256 -hex -r";
    let output = Command::new("bash").args(["-c", pipe]).arg(key).output().unwrap();
    printed(&output).split(' ').next().unwrap().to_owned()
}
