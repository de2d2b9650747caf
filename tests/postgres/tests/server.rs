//! What the other tests rely on.

use test_postgres::{Database, Server};

#[test]
fn database_belongs_to_its_role_alone_and_copies_and_dumps_have_what_it_has() {
    let database = Database::create();
    assert!(database.role_may("CREATE TABLE note (text TEXT COLLATE \"C\")"));
    database.alter("INSERT INTO note VALUES ('first')");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    database.dump(&file);
    let copy = database.copy();
    database.alter("INSERT INTO note VALUES ('second')");
    for count in ["2", "1"] {
        assert_eq!(database.ask("SELECT count(*) FROM note"), count);
        database.put_back(&copy);
    }
    database.alter("DROP TABLE note");
    database.restore(&file);
    assert_eq!(database.ask("SELECT text FROM note"), "first");
    assert!(database.role_may("INSERT INTO note VALUES ('third')"));
    let stranger = Database::create();
    assert!(!stranger.role_may(&format!("\\connect {}", database.name())));
    assert!(!stranger.role_may("CREATE DATABASE another") && !stranger.role_may("CREATE ROLE another"));
    let name = database.name().to_owned();
    let server = std::sync::Arc::clone(database.server());
    drop((database, copy));
    let left = format!("SELECT count(*) FROM pg_roles, pg_database WHERE rolname = '{name}' OR datname = '{name}'");
    assert_eq!(server.tell("postgres", &left), "0");
}

#[test]
fn server_is_durable_and_orders_texts_otherwise_than_their_bytes() {
    let server = Server::of_environment();
    for setting in ["fsync", "full_page_writes", "synchronous_commit", "ssl"] {
        assert_eq!(server.tell("postgres", &format!("SHOW {setting}")), "on", "{setting}");
    }
    assert_eq!(server.tell("postgres", "SELECT 'B' < 'a', 'B' < 'a' COLLATE \"C\""), "f|t");
}

#[test]
fn server_of_its_own_keeps_what_was_committed_when_it_is_halted_or_killed() {
    let server = Server::own();
    let database = Database::create_on(&server);
    database.alter("CREATE TABLE note (number BIGINT)");
    for (count, end) in [("1", Server::halt as fn(&Server)), ("2", Server::kill)] {
        database.alter("INSERT INTO note VALUES (1)");
        end(&server);
        assert!(!database.role_may("SELECT 1"));
        server.start();
        assert_eq!(database.ask("SELECT count(*) FROM note"), count);
    }
}
