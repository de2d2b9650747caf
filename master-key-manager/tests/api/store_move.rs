//! The database moves to another engine, and back.

use actix_web::http::Method;
use master_key_manager::config::Config;
use master_key_manager::installation::migrate_store;
use rusqlite::Connection;
use serde_json::json;
use service_runtime::config::Mode;
use service_runtime::sql::PostgresOptions;
use test_postgres::Database as Kept;

use crate::commands::Place;
use crate::support::Installed;

/// A row for each table that `init` leaves empty.
const ROWS: &str = "
    INSERT INTO subjects (label, subject, tag) VALUES ('Jürgen', 'sub_1', zeroblob(32));
    INSERT INTO secrets (secret_id, environment_id, path, created_at, tag) SELECT x'00000000000000000000000000000001', environment_id,
        'a/b', 1, tag FROM environments WHERE name = 'dev';
    INSERT INTO envelopes (secret_id, envelope, state, epoch, digest)
        SELECT secret_id, 1, 'committed', 1, CAST(x'00000000000000000000000000000001' || secret_id AS BLOB) FROM secrets;
    INSERT INTO versions (secret_id, version, envelope, state, created_at)
        SELECT secret_id, 1, 1, 'committed', 2 FROM secrets UNION ALL SELECT secret_id, 2, 1, 'committed', 3 FROM secrets;
    INSERT INTO tokens (jti, subject, credential_id, environment_id, grants, rseq, issued_at, expires_at)
        SELECT secret_id, 'sub_1', x'00000000000000000000000000000002', environment_id, '[]', 0, 1, 2 FROM secrets;
    INSERT INTO events (seq, name, compact, hash, issued_at, lasting)
        SELECT 7, 'token:x', 'a.b.c', digest, 1, NULL FROM envelopes;
    INSERT INTO pending_revocations (position, name, created_at) VALUES (9007199254740993, 'token:y', 1);
    INSERT INTO idempotency (subject, key, secret_id, version, created_at) SELECT 'sub_1', 'k', secret_id, 1, 1 FROM secrets;
    INSERT INTO root_key_rotations (environment_id, epoch, changed_at, retirement)
        SELECT environment_id, 1, 1, NULL FROM environments;
    INSERT INTO lacking_envelopes (secret_id, envelope, epoch) SELECT secret_id, 1, 1 FROM secrets;
    INSERT INTO credentials (credential_id, subject, hmac, created_at) SELECT secret_id, 'sub_1', NULL, 1 FROM secrets;
    INSERT INTO credential_uses (credential_id, last_used_at) SELECT secret_id, 3600 FROM secrets;
    INSERT INTO rotations (secret_id, body, tag, ends_at) SELECT secret_id, '{}', zeroblob(32), NULL FROM secrets;
    INSERT INTO notices (number, kind, secret_id, version, threshold_days, due_at, created_at)
        SELECT 7, 'expiry', secret_id, 1, 30, 9, 8 FROM secrets;
    INSERT INTO notice_numbers (one, newest) VALUES (1, 7);";

/// Lines of tables in what the command printed.
fn tables(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains(" rows, SHA-256 ")).collect()
}

#[test]
fn every_table_moves_with_the_command_and_back_and_the_old_database_is_not_used_by_mistake() {
    let (place, kept) = (Place::new("production"), Kept::create());
    place.succeeds(&["init"]);
    let file = place.path("data/manager.db");
    Connection::open(&file).unwrap().execute_batch(ROWS).unwrap();
    let old = place.path("manager.toml");
    let text = std::fs::read_to_string(&old).unwrap();
    let new = place.path("new.toml");
    let server = format!(
        "database = \"{}\"\n{text}[postgres]\npassword_file = \"{}\"\n",
        kept.socket_url(),
        kept.password_file().display()
    );
    std::fs::write(&new, &server).unwrap();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let there = ["migrate-store", "--from", old, "--to", new];

    let other = place.path("other.toml");
    std::fs::write(&other, server.replace("\"data\"", "\"keys\"")).unwrap();
    assert!(place.fails(&["migrate-store", "--from", old, "--to", other.to_str().unwrap()]).contains("as data_dir"));
    let output = place.run(&there);
    let (said, progress) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{progress}");
    assert!(progress.contains("copying tokens: 1 of 1 rows\n") && progress.contains("comparing tokens"), "{progress}");
    let count = Connection::open(&file).unwrap().query_row(
        "SELECT count(*) FROM sqlite_schema
         WHERE type = 'table' AND name <> 'store_move' AND substr(name, 1, 7) <> 'search_'",
        [],
        |row| row.get::<_, u32>(0),
    );
    assert_eq!(tables(&said).len(), usize::try_from(count.unwrap()).unwrap(), "{said}");
    assert!(!said.contains(": 0 rows"), "a table without a row proves nothing: {said}");

    for command in [&["run"][..], &["admin", "reset"], &there] {
        assert!(place.fails(command).contains("was moved to postgres:///"), "{command:?}");
    }
    let back = ["migrate-store", "--from", new, "--to", old];
    assert!(place.fails(&back).contains("nothing is copied over it"));
    std::fs::rename(&file, place.path("data/manager.db-moved")).unwrap();
    let again = place.succeeds(&back);
    assert_eq!(tables(&again), tables(&said), "the digests are the same");
    assert!(place.succeeds(&["admin", "reset"]).contains("spv_"));
}

#[actix_web::test]
async fn manager_goes_on_after_a_move_as_after_a_restart() {
    let mut installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_with_key("k", "p", "v").await.expect(201);
    let secret = stored.member("key_id");
    manager.post("/api/revocations", json!({"kind": "all"})).await.expect(200);
    manager.stop().await;

    let kept = Kept::create();
    let mut raw = installed.config.get().clone();
    raw.database = Some(kept.socket_url());
    raw.postgres = Some(PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() });
    let (old, new) = (installed.config.clone(), Config::new(raw).unwrap());
    installed.config = new.clone();
    std::thread::spawn(move || migrate_store(&old, &new)).join().unwrap().unwrap();

    let manager = installed.start().await;
    let list = manager.admin(Method::GET, "/api/revocations", None).await.expect(200).json();
    assert_eq!(list["newest"], 1);
    let repeat = manager.store_with_key("k", "p", "v").await.expect(409);
    assert_eq!(repeat.refused("idempotency_unknown").json()["version"], 1);
    let minted = manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(201);
    assert_eq!(installed.vault.open(&minted.member("access_token"))[0].expose(), b"v");
    assert_eq!(manager.store_value("p", "w").await.expect(201).json()["version"], 2);
    manager.stop().await;
}
