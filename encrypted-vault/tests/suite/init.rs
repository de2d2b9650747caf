//! `init` with a database that it cannot use.

use std::process::{Command, Output};

use service_runtime::files::create_private;
use test_postgres::Database as Kept;

#[test]
fn init_that_does_not_reach_its_database_makes_no_key_and_can_be_run_again() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::create());
    let place = |name: &str| dir.path().join(name);
    let wrong = place("wrong-password");
    create_private(&wrong, b"wrong").unwrap();
    let init = |password: &std::path::Path| -> Output {
        let text = format!(
            "mode = \"development\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nkey_dir = \"keys\"\n\
             database = \"{}\"\n[postgres]\npassword_file = \"{}\"\nca_file = \"{}\"\n",
            kept.url(),
            password.display(),
            kept.ca_file().display()
        );
        std::fs::write(place("vault.toml"), text).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_encrypted-vault"));
        program.arg("--config").arg(place("vault.toml")).arg("init").output().unwrap()
    };
    let fails = |password: &std::path::Path, word: &str| {
        let output = init(password);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{said}");
        assert!(!place("keys").exists(), "{word}");
    };
    fails(&wrong, "postgres.password_file");
    kept.alter(&format!(
        "ALTER DATABASE {} OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         GRANT CONNECT ON DATABASE {} TO {}",
        kept.name(),
        kept.name(),
        kept.role()
    ));
    fails(&kept.password_file(), "OWNER TO");
    kept.alter(&format!(
        "ALTER DATABASE {} OWNER TO {}; GRANT CREATE ON SCHEMA public TO PUBLIC",
        kept.name(),
        kept.role()
    ));
    // The folder for keys cannot be made: the tables are there, and nothing else.
    std::fs::write(place("keys"), "").unwrap();
    assert!(!init(&kept.password_file()).status.success());
    std::fs::remove_file(place("keys")).unwrap();
    let made = init(&kept.password_file());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // Neither keys nor database are made twice.
    let again = init(&kept.password_file());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not overwritten"), "{again:?}");
    std::fs::rename(place("keys"), place("keys-before")).unwrap();
    fails(&kept.password_file(), "is of a vault already");
}
