//! `scripts/generate-keys.sh`: all keys of an installation, private from the first moment, never overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use client::shared_proto::encoding::b64;
use client::shared_proto::identity::IdentityDocument;
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
        self.generate_in(mode, "run")
    }

    fn generate_in(&self, mode: &str, run: &str) -> Output {
        let mut command = Command::new(repository().join("scripts/generate-keys.sh"));
        command.args(["--mode", mode, "--keys"]).arg(self.path("keys")).arg("--run").arg(self.path(run));
        command.env("SPLITVAULT_BIN_DIR", self.path("release")).output().unwrap()
    }

    /// A run that ends in its middle: the manager's `init` fails when the keys of the vault are made.
    fn interrupt(&self, run: &str) {
        let release = self.path("release");
        fs::rename(&release, self.path("whole")).unwrap();
        fs::create_dir(&release).unwrap();
        std::os::unix::fs::symlink(binaries().join("encrypted-vault"), release.join("encrypted-vault")).unwrap();
        std::os::unix::fs::symlink("/bin/false", release.join("master-key-manager")).unwrap();
        assert!(!self.generate_in("development", run).status.success());
        assert!(self.path("keys/encrypted-vault/identity.pem").exists(), "it ended too early");
        fs::remove_dir_all(&release).unwrap();
        fs::rename(self.path("whole"), &release).unwrap();
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
        for path in files.keys() {
            let bits = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(bits, 0o600, "{} has mode {bits:o}", path.display());
        }
        assert_eq!(fingerprints(&text).len(), 4, "{text}");
        for folder in ["keys/master-key-manager", "keys/encrypted-vault"] {
            let shown = thumbprint(&files[&place.path(folder).join("identity.json")]);
            assert!(fingerprints(&text).contains(&shown), "{text}");
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
    place.interrupt("run");
    let half = fs::read(place.path("keys/encrypted-vault/identity.pem")).unwrap();
    assert!(printed(&place.generate("production")).contains("interrupted"));
    assert!(!place.path("keys/.unfinished").exists());
    assert!(place.files().values().all(|content| *content != half), "a key of the interrupted run is used");
    let config = fs::read_to_string(place.path("run/encrypted-vault.toml")).unwrap();
    assert!(config.contains("production"), "{config}");
}

#[test]
fn run_that_begins_anew_removes_nothing_that_another_made() {
    let place = Place::new();
    // Another installation, which is run, and whose keys lie elsewhere.
    let foreign = ["other/data/master-key-manager/manager.db", "other/data/encrypted-vault/vault.db"];
    for file in foreign {
        fs::create_dir_all(place.path(file).parent().unwrap()).unwrap();
        fs::write(place.path(file), "of another installation").unwrap();
    }
    fs::write(place.path("other/admin-credential"), "of another installation").unwrap();
    place.interrupt("run");
    let refused = place.generate_in("development", "other");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("other/data"), "{said}");
    for file in foreign.into_iter().chain(["other/admin-credential"]) {
        assert_eq!(fs::read(place.path(file)).unwrap(), b"of another installation");
    }
    // What has taken the place of something that was made is not what was made.
    place.interrupt("run");
    fs::rename(place.path("run/data/encrypted-vault"), place.path("moved away")).unwrap();
    fs::create_dir(place.path("run/data/encrypted-vault")).unwrap();
    fs::write(place.path("run/data/encrypted-vault/vault.db"), "restored by hand").unwrap();
    assert!(!place.generate("development").status.success());
    assert_eq!(fs::read(place.path("run/data/encrypted-vault/vault.db")).unwrap(), b"restored by hand");
    fs::remove_dir_all(place.path("run/data/encrypted-vault")).unwrap();
    printed(&place.generate("development"));
}

#[test]
fn run_that_is_at_work_and_keys_that_were_used_are_no_interrupted_run() {
    let place = Place::new();
    place.interrupt("run");
    let before = place.files();
    let at_work = fs::File::open(place.path("keys")).unwrap();
    at_work.lock().unwrap();
    let refused = |why: &str| {
        let said = String::from_utf8_lossy(&place.generate("development").stderr).into_owned();
        assert!(said.contains(why), "{said}");
    };
    refused("another run is at work");
    drop(at_work);
    let audit = place.path("run/data/encrypted-vault/audit.jsonl");
    fs::write(&audit, "").unwrap();
    refused("was used since it was made");
    fs::remove_file(audit).unwrap();
    assert!(place.files() == before, "a file was changed");
    printed(&place.generate("development"));
}

#[test]
fn folders_of_another_user_are_refused_before_anything_is_made() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a folder away. Of root's, then: it is another user's for everybody else.
        let script = repository().join("scripts/make-certificates.sh");
        let output = Command::new(script).args(["--out", "/", "a.example", "b.example"]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("belongs to"), "{output:?}");
        return;
    }
    for given in ["keys", "run"] {
        let place = Place::new();
        fs::create_dir(place.path(given)).unwrap();
        std::os::unix::fs::chown(place.path(given), Some(12_345), None).unwrap();
        let output = place.generate("development");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("belongs to") && said.contains(given), "{said}");
        let made = ["keys", "run"].map(|folder| fs::read_dir(place.path(folder)).map_or(0, Iterator::count));
        assert_eq!(made, [0, 0]);
    }
    let place = Place::new();
    let certificates = |more: &[&str]| {
        let mut command = Command::new(repository().join("scripts/make-certificates.sh"));
        command.arg("--out").arg(place.path("certificates")).args(more).args(["a.example", "b.example"]);
        command.output().unwrap()
    };
    printed(&certificates(&[]));
    let listener = place.path("certificates/encrypted-vault/listener.pem");
    let before = fs::read(&listener).unwrap();
    std::os::unix::fs::chown(place.path("certificates/encrypted-vault"), Some(12_345), None).unwrap();
    let output = certificates(&["--renew"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("belongs to"), "{output:?}");
    assert_eq!(fs::read(&listener).unwrap(), before);
}

/// The last words of the lines that show a fingerprint.
fn fingerprints(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.contains(" key: ") && !line.contains('('));
    lines.filter_map(|line| line.split(' ').next_back()).map(str::to_owned).collect()
}

/// The thumbprint of an identity document's key.
fn thumbprint(document: &[u8]) -> String {
    let document: IdentityDocument = serde_json::from_slice(document).unwrap();
    b64(&document.key.thumbprint().0)
}
