//! The command line of the real program.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use service_runtime::process::DirectoryLock;

/// A folder with a configuration, for the real program.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(mode: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let text = format!(
            "mode = \"{mode}\"\nlisten = \"127.0.0.1:0\"\nvault_url = \"http://127.0.0.1:9\"\n\
             data_dir = \"data\"\nkey_dir = \"keys\"\n"
        );
        std::fs::write(place.path("manager.toml"), text).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_master-key-manager"))
            .arg("--config")
            .arg(self.path("manager.toml"))
            .args(arguments)
            .output()
            .unwrap()
    }

    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn all_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { [vec![path.clone()], all_files(&path)].concat() } else { vec![path] })
        .collect()
}

#[test]
fn first_person_is_made_with_a_code_that_is_shown_once_or_written_to_a_private_file() {
    let place = Place::new("production");
    assert!(place.fails(&["person", "add", "--name", "ann"]).contains("manager"));
    place.succeeds(&["init"]);
    let said = place.succeeds(&["person", "add", "--name", "ann", "--role", "super_admin"]);
    assert!(said.contains("Made the person ann (usr_") && said.matches("spe_").count() == 1, "{said}");
    assert!(place.fails(&["person", "add", "--name", "ann"]).contains("There is a person with the name ann"));
    let file = place.path("bob.code");
    let file = file.to_str().unwrap();
    let arguments = ["person", "add", "--name", "bob", "--email", "bob@example.com", "--code-file", file];
    assert!(!place.succeeds(&arguments).contains("spe_"));
    assert!(std::fs::read_to_string(file).unwrap().starts_with("spe_") && mode_of(Path::new(file)) == 0o600);
    assert!(place.fails(&arguments).contains("is not overwritten"));
    for (option, wrong) in [("--name", "Ann"), ("--role", "root"), ("--email", "ann")] {
        let output = place.run(&["person", "add", "--name", "carl", option, wrong]);
        assert_eq!(output.status.code(), Some(2), "{option}");
    }
    let lock = DirectoryLock::acquire(&place.path("data")).unwrap();
    place.fails(&["person", "add", "--name", "dora"]);
    drop(lock);
    let shown = place.succeeds(&["policy", "show"]);
    assert!(shown.contains("(ann)") && shown.contains("role super_admin of usr_") && !shown.contains("(dora)"));
}

#[test]
fn init_makes_private_files_shows_the_credential_once_and_overwrites_nothing() {
    let place = Place::new("production");
    let said = place.succeeds(&["init"]);
    assert_eq!(said.matches("spv_").count(), 1);
    assert!(said.contains("BACK UP") && said.contains("Environment dev: env_"));
    for folder in ["data", "keys"] {
        assert_eq!(mode_of(&place.path(folder)), 0o700);
        for path in all_files(&place.path(folder)) {
            assert_eq!(mode_of(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        }
    }
    let credential = said.lines().last().unwrap().to_owned();
    for path in all_files(&place.path("data")).into_iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(20).any(|window| window == &credential.as_bytes()[4..24]), "{}", path.display());
    }
    let before: Vec<_> = all_files(&place.path("keys")).iter().map(|path| std::fs::read(path).ok()).collect();
    assert!(place.fails(&["init"]).contains("is not overwritten"));
    let after: Vec<_> = all_files(&place.path("keys")).iter().map(|path| std::fs::read(path).ok()).collect();
    assert_eq!(before, after);
}

#[test]
fn init_writes_the_credential_to_a_private_file_and_minds_its_mode() {
    let place = Place::new("development");
    let file = place.path("credential");
    let named = file.to_str().unwrap();
    assert!(place.fails(&["init", "--mode", "production"]).contains("contradicts the configuration"));
    std::fs::write(&file, "mine").unwrap();
    assert!(place.fails(&["init", "--credential-file", named]).contains("is not overwritten"));
    assert!(!place.path("data").exists(), "a refused init leaves nothing behind");
    std::fs::remove_file(&file).unwrap();
    let said = place.succeeds(&["init", "--mode", "development", "--credential-file", named]);
    assert!(!said.contains("spv_"));
    assert_eq!(mode_of(&file), 0o600);
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(first.starts_with("spv_") && first.ends_with('\n'));
    let said = place.succeeds(&["admin", "reset"]);
    let second = said.lines().last().unwrap();
    assert!(second.starts_with("spv_") && second != first.trim());
}

#[test]
fn init_beside_the_remains_of_another_leaves_nothing_behind() {
    for remains in ["keys/credential-hmac.key", "keys/identity.pem", "data/manager.db", "data/audit.jsonl"] {
        let place = Place::new("production");
        for folder in ["data", "keys"] {
            std::fs::create_dir(place.path(folder)).unwrap();
            std::fs::set_permissions(place.path(folder), PermissionsExt::from_mode(0o700)).unwrap();
        }
        std::fs::write(place.path(remains), "").unwrap();
        assert!(place.fails(&["init"]).contains("is not overwritten"));
        let files = [all_files(&place.path("keys")), all_files(&place.path("data"))].concat();
        let made = files.iter().filter(|path| !path.ends_with("lock") && **path != place.path(remains));
        assert_eq!(made.count(), 0, "{remains}");
    }
}

#[test]
fn init_that_does_not_reach_its_database_makes_no_key_and_can_be_run_again() {
    let (place, kept) = (Place::new("production"), test_postgres::Database::create());
    let text = std::fs::read_to_string(place.path("manager.toml")).unwrap();
    let wrong = place.path("wrong-password");
    service_runtime::files::create_private(&wrong, b"wrong").unwrap();
    let with_password = |password: &Path| {
        let (url, password, ca) = (kept.url(), password.display(), kept.ca_file().display());
        let server =
            format!("database = \"{url}\"\n{text}[postgres]\npassword_file = \"{password}\"\nca_file = \"{ca}\"\n");
        std::fs::write(place.path("manager.toml"), server).unwrap();
    };
    let fails = |word: &str| {
        let said = place.fails(&["init"]);
        assert!(said.contains(word), "{said}");
        assert_eq!(all_files(&place.path("keys")).len(), 0, "{word}");
    };
    with_password(&wrong);
    fails("postgres.password_file");
    with_password(&kept.password_file());
    let name = kept.name();
    kept.alter(&format!(
        "ALTER DATABASE {name} OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         GRANT CONNECT ON DATABASE {name} TO {}",
        kept.role()
    ));
    fails("OWNER TO");
    kept.alter(&format!("ALTER DATABASE {name} OWNER TO {}; GRANT CREATE ON SCHEMA public TO PUBLIC", kept.role()));
    assert!(place.succeeds(&["check-config"]).contains("was not asked"));
    // A key that cannot be used: the tables are there, and nothing else.
    let placed = place.path("keys/token-signing.pem");
    service_runtime::files::create_private(&placed, b"no key").unwrap();
    assert!(place.fails(&["init"]).contains("token-signing.pem"));
    std::fs::remove_file(&placed).unwrap();
    place.succeeds(&["init"]);
    std::fs::rename(place.path("keys"), place.path("keys-before")).unwrap();
    std::fs::rename(place.path("data"), place.path("data-before")).unwrap();
    fails("is not overwritten");
}

#[test]
fn a_service_that_cannot_start_says_why_in_one_sentence() {
    let place = Place::new("production");
    let one_line = |text: String| {
        assert_eq!(text.trim().lines().count(), 1, "{text}");
        text
    };
    assert!(one_line(place.fails(&["run"])).contains("init") || !place.path("data").exists());
    place.succeeds(&["init"]);
    assert!(one_line(place.fails(&["run"])).contains("pins"));
    let lock = DirectoryLock::acquire(&place.path("data")).unwrap();
    for command in [&["run"][..], &["admin", "reset"], &["restore", "x"]] {
        assert!(one_line(place.fails(command)).contains("in use by another process"), "{command:?}");
    }
    drop(lock);
    let text = std::fs::read_to_string(place.path("manager.toml")).unwrap();
    std::fs::write(place.path("manager.toml"), text.replace("production", "development")).unwrap();
    assert!(one_line(place.fails(&["run"])).contains("never mix"));
    std::fs::write(place.path("manager.toml"), text.replace("vault_url", "vault_uri")).unwrap();
    assert!(one_line(place.fails(&["check-config"])).contains("vault_ur"));
}

#[test]
fn a_backup_restores_and_the_document_needs_no_configuration() {
    let place = Place::new("production");
    place.succeeds(&["init"]);
    assert!(place.succeeds(&["check-config"]).contains("production mode"));
    let copy = place.path("copy.db");
    place.succeeds(&["backup", copy.to_str().unwrap()]);
    assert_eq!(mode_of(&copy), 0o600);
    place.fails(&["backup", copy.to_str().unwrap()]);
    place.succeeds(&["restore", copy.to_str().unwrap()]);
    let bare = Command::new(env!("CARGO_BIN_EXE_master-key-manager")).arg("openapi").output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&bare.stdout).unwrap();
    assert!(document["paths"]["/api/keys"]["post"].is_object());
}
