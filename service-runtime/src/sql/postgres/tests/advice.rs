//! Advice for an operator when there is no connection, or no right.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{Kept, Location, PostgresOptions, SCHEMA, Schema, location, open, other_authority, refusal};
use crate::files::create_private;

fn says(sentence: &str, words: &[&str]) {
    assert!(words.iter().all(|word| sentence.contains(word)), "{sentence}");
}

/// The place of a test's database, by another URL.
fn at(kept: &Kept, url: &str) -> Location {
    let options = PostgresOptions {
        password_file: Some(kept.password_file()),
        ca_file: Some(kept.ca_file().to_owned()),
        ..PostgresOptions::default()
    };
    Location::new(Some(url), Some(&options), Path::new("/"), PathBuf::new(), false).unwrap()
}

#[test]
fn refused_connection_names_the_setting_to_look_at() {
    let kept = Kept::create();
    let refused = |place: &Location, words: &[&str]| says(&refusal(place, &SCHEMA, true), words);
    let without = location(&kept, |options| options.password_file = None);
    refused(&without, &["password missing", "postgres.password_file"]);
    let missing =
        kept.url().rsplit_once('/').map(|(server, _)| format!("{server}/splitvault_no_such_database")).unwrap();
    refused(&at(&kept, &missing), &["cannot be reached", "in database"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("postgres://role@127.0.0.1:{closed}/name");
    refused(&at(&kept, &nobody), &["refused", "the host and the port in database"]);
    kept.alter(&format!("ALTER ROLE {} CONNECTION LIMIT 0", kept.role()));
    refused(&location(&kept, |_| ()), &["too many connections", "postgres.write_connections", "limit of the role"]);
    kept.alter(&format!("ALTER ROLE {} NOLOGIN", kept.role()));
    refused(&location(&kept, |_| ()), &["not permitted to log in", "pg_hba.conf"]);
}

#[test]
fn database_or_tables_of_another_role_are_told_from_an_earlier_version() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    kept.alter(&format!(
        "ALTER DATABASE {} OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        kept.name()
    ));
    says(&refusal(&place, &SCHEMA, true), &["permission denied", "ALTER DATABASE … OWNER TO …"]);
    kept.alter(&format!("GRANT CONNECT ON DATABASE {} TO {}", kept.name(), kept.role()));
    says(&refusal(&place, &SCHEMA, true), &["42501", "ALTER DATABASE … OWNER TO …"]);
    kept.alter("CREATE TABLE count (name TEXT)");
    let look = || place.look(&SCHEMA, |tx| tx.exists("SELECT 1 FROM count", &[])).unwrap_err().sentence;
    let sentence = look();
    says(&sentence, &["42501", "ALTER TABLE … OWNER TO …"]);
    assert!(!sentence.contains("earlier version"), "{sentence}");
    kept.alter("DROP TABLE count");
    says(&look(), &["42P01", "earlier version", "start the service once"]);
}

#[tokio::test]
async fn look_at_the_database_of_another_service_names_it() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    open(&place).close().await;
    let other = Schema { service: "other", ..SCHEMA };
    let looked = place.look(&other, |tx| tx.exists("SELECT 1 FROM nothing", &[]));
    says(&looked.unwrap_err().sentence, &["belongs to the counter", "name the database of the other"]);
}

#[test]
fn files_of_a_server_are_checked_without_asking_it() {
    let kept = Kept::create();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        create_private(&path, content.as_bytes()).unwrap();
        path
    };
    let (password, empty) = (file("password", "p\n"), file("empty", "\n"));
    let (ca, garbage) = (file("ca.pem", &other_authority()), file("garbage.pem", "no certificate"));
    let check = |password: &Path, ca: &Path| {
        let place = location(&kept, |options| {
            (options.password_file, options.ca_file) = (Some(password.to_owned()), Some(ca.to_owned()));
        });
        place.check_files().map_err(|error| error.sentence)
    };
    // Neither is the server's.
    assert_eq!(check(&password, &ca), Ok(()));
    says(&check(&folder.path().join("none"), &ca).unwrap_err(), &["none", "put it there"]);
    says(&check(&empty, &ca).unwrap_err(), &["is empty"]);
    says(&check(&password, &garbage).unwrap_err(), &["garbage.pem"]);
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    says(&check(&password, &ca).unwrap_err(), &["chmod 600"]);
}
