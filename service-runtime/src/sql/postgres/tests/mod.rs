mod advice;
mod proxy;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use test_postgres::Database as Kept;

use self::proxy::{Mode, Proxy};
use super::{
    super::{Database, Faults, Location, Schema, SqlError, StoreFault, Tx, tests::location},
    PostgresOptions, Server,
};

const FIRST: &str = "CREATE TABLE count (name TEXT PRIMARY KEY, value BIGINT NOT NULL)";
const SCHEMA: Schema = Schema { service: "counter", sqlite: &[], postgres: &[FIRST] };
const UNAVAILABLE: StoreFault = StoreFault::Unavailable;

fn open(location: &Location) -> Database {
    Database::open(location, &SCHEMA, true).unwrap()
}

fn refusal(location: &Location, schema: &Schema, make: bool) -> String {
    Database::open(location, schema, make).unwrap_err().sentence
}

/// Reads the number and writes the next one: two that run at once must not write the same.
fn raise(tx: &mut Tx<'_>) -> Result<u64, SqlError> {
    let found = tx.optional("SELECT value FROM count WHERE name = 'only'", &[], |row| row.get::<u64>(0))?;
    let next = found.unwrap_or(0) + 1;
    tx.execute(
        "INSERT INTO count (name, value) VALUES ('only', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[&next],
    )?;
    Ok(next)
}

fn value(tx: &mut Tx<'_>) -> Result<Option<u64>, SqlError> {
    tx.optional("SELECT value FROM count WHERE name = 'only'", &[], |row| row.get(0))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what}");
        thread::yield_now();
    }
}

/// As after a copy that was killed: nobody renews its lease any more.
fn let_lapse(kept: &Kept) {
    kept.alter("UPDATE service_copy SET held = FALSE");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_meet_are_run_again_and_no_caller_sees_it() {
    let kept = Kept::create();
    let database = open(&location(&kept, |options| options.write_connections = 4));
    let faults = Faults::default();
    faults.write_twice();
    let doubled = database.clone().with_faults(faults);
    let all = (0..40).map(|number| {
        let database = if number % 2 == 0 { database.clone() } else { doubled.clone() };
        tokio::spawn(async move { database.write("raise", raise).await })
    });
    let mut numbers = Vec::new();
    for one in all.collect::<Vec<_>>() {
        numbers.push(one.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn commit_whose_answer_is_lost_is_told_as_neither_success_nor_failure() {
    for (mode, written) in [(Mode::CutAfter(b"COMMIT"), Some(1)), (Mode::CutBefore(b"COMMIT"), None)] {
        let kept = Kept::create();
        let proxy = Proxy::to(&kept);
        let database = open(&proxy.location(&kept));
        assert_eq!(database.read("value", value).await, Ok(None));
        proxy.set(mode);
        assert_eq!(database.write("raise", raise).await, Err(StoreFault::OutcomeUnknown));
        proxy.set(Mode::Pass);
        // The server ends the transaction of a lost connection in its own time.
        wait_until("the outcome is there", || {
            kept.ask("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'") == "0"
        });
        assert_eq!(database.read("value", value).await, Ok(written), "{mode:?}");
        assert_eq!(database.write("raise", raise).await, Ok(written.unwrap_or(0) + 1));
    }
}

#[tokio::test]
async fn lost_connection_is_made_again_before_anything_is_written_twice() {
    let kept = Kept::create();
    let database = open(&location(&kept, |_| ()));
    for expected in 1..4 {
        assert_eq!(database.write("raise", raise).await, Ok(expected));
        assert_eq!(database.read("value", value).await, Ok(Some(expected)));
        kept.disconnect();
    }
}

#[tokio::test]
async fn second_copy_is_refused_while_the_first_one_lives_and_starts_after_its_end() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    let first = open(&place);
    assert!(refusal(&place, &SCHEMA, true).contains("Another copy"));
    assert_eq!(first.write("raise", raise).await, Ok(1));
    first.close().await;
    assert!(!first.is_held() && !first.is_healthy());
    assert_eq!(first.write("raise", raise).await, Err(UNAVAILABLE));
    assert_eq!(open(&place).write("raise", raise).await, Ok(2));
}

#[tokio::test]
async fn copy_that_was_replaced_reads_and_writes_nothing_more() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    let former = open(&place);
    assert_eq!(former.write("raise", raise).await, Ok(1));
    let_lapse(&kept);
    let next = open(&place);
    assert_eq!(former.write("raise", raise).await, Err(UNAVAILABLE));
    assert_eq!(former.read("value", value).await, Err(UNAVAILABLE));
    assert!(!former.is_held());
    // Not even when the next one has gone.
    next.close().await;
    assert_eq!(former.read("value", value).await, Err(UNAVAILABLE));
    assert_eq!(open(&place).read("value", value).await, Ok(Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn next_copy_waits_for_the_writes_that_are_in_flight() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    let former = open(&place);
    let (begin, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let slow = move |tx: &mut Tx<'_>| {
        begin.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        raise(tx)
    };
    let writing = tokio::spawn(async move { former.write("slow", slow).await });
    begun.recv().unwrap();
    let_lapse(&kept);
    let starting = thread::spawn(move || open(&place));
    wait_until("the next copy waits", || kept.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1");
    go.send(()).unwrap();
    assert_eq!(writing.await.unwrap(), Ok(1));
    assert_eq!(starting.join().unwrap().read("value", value).await, Ok(Some(1)));
}

#[tokio::test]
async fn copy_that_hears_nothing_of_its_server_stops_to_serve_and_goes_on_when_it_does() {
    let kept = Kept::create();
    let proxy = Proxy::to(&kept);
    let database = open(&proxy.location(&kept));
    assert_eq!(database.write("raise", raise).await, Ok(1));
    proxy.set(Mode::Silent);
    wait_until("it stops", || !database.is_held());
    assert_eq!(database.read("value", value).await, Err(UNAVAILABLE));
    assert!(!database.is_healthy());
    proxy.set(Mode::Pass);
    wait_until("it goes on", || database.is_held());
    assert_eq!(database.write("raise", raise).await, Ok(2));
}

#[tokio::test]
async fn read_that_ends_after_the_lease_is_not_given_out() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    let former = open(&place);
    let (begin, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let slow = move |tx: &mut Tx<'_>| {
        let found = value(tx)?;
        begin.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        Ok(found)
    };
    let reader = former.clone();
    let reading = tokio::spawn(async move { reader.read("slow", slow).await });
    tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
    let_lapse(&kept);
    let next = open(&place);
    tokio::task::spawn_blocking(move || {
        wait_until("it is noticed", || !former.is_held());
        go.send(()).unwrap();
    })
    .await
    .unwrap();
    assert_eq!(reading.await.unwrap(), Err(UNAVAILABLE));
    assert!(next.is_held());
}

#[tokio::test]
async fn database_that_went_back_ends_its_copy() {
    let kept = Kept::create();
    let database = open(&location(&kept, |_| ()));
    assert_eq!(database.write("raise", raise).await, Ok(1));
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    kept.dump(&dump);
    let renewal = || kept.ask("SELECT renewal FROM service_copy");
    let dumped = renewal();
    assert_eq!(database.write("raise", raise).await, Ok(2));
    wait_until("the lease is renewed", || renewal() != dumped);
    kept.restore(&dump);
    database.lost().await;
    assert_eq!(database.write("raise", raise).await, Err(UNAVAILABLE));
    assert_eq!(kept.ask("SELECT value FROM count"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn look_is_not_overtaken_by_a_write_that_it_did_not_see() {
    let kept = Kept::create();
    let database = open(&location(&kept, |options| options.write_connections = 2));
    let (begin, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let is_closed = |tx: &mut Tx<'_>| tx.exists("SELECT 1 FROM count WHERE name = 'closed'", &[]);
    let has_row = |tx: &mut Tx<'_>| tx.exists("SELECT 1 FROM count WHERE name = 'row'", &[]);
    let insert = move |tx: &mut Tx<'_>| {
        if is_closed(tx)? {
            return Ok(false);
        }
        if begin.send(()).is_ok() {
            // Of a second run nobody waits.
            let _second_run = wait.lock().unwrap().recv();
        }
        tx.execute("INSERT INTO count (name, value) VALUES ('row', 1)", &[]).map(|_| true)
    };
    let writer = database.clone();
    let inserting = tokio::spawn(async move { writer.write("insert", insert).await });
    begun.recv().unwrap();
    let close = |tx: &mut Tx<'_>| tx.execute("INSERT INTO count (name, value) VALUES ('closed', 1)", &[]);
    assert_eq!(database.write("close", close).await, Ok(1));
    assert_eq!(database.read("look", has_row).await, Ok(false));
    drop(begun);
    go.send(()).unwrap();
    drop(go);
    assert_eq!(inserting.await.unwrap(), Ok(false));
    assert_eq!(database.read("look", has_row).await, Ok(false));
}

#[tokio::test]
async fn commit_that_the_server_warns_of_is_not_told_as_success() {
    let kept = Kept::create();
    let database = open(&location(&kept, |_| ()));
    // As when the wait for a standby is given up.
    kept.alter(
        "CREATE FUNCTION warn() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'late'; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER warn AFTER INSERT ON count DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION warn();",
    );
    assert_eq!(database.write("raise", raise).await, Err(StoreFault::OutcomeUnknown));
    assert_eq!(database.write("raise", raise).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn end_waits_for_accepted_writes_and_takes_no_more() {
    let kept = Kept::create();
    let database = open(&location(&kept, |_| ()));
    let (begin, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let slow = move |tx: &mut Tx<'_>| {
        begin.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        raise(tx)
    };
    let (first, second, closing) = (database.clone(), database.clone(), database.clone());
    let first = tokio::spawn(async move { first.write("slow", slow).await });
    begun.recv().unwrap();
    // Queued behind the first one: there is one connection.
    let mut second = Box::pin(second.write("raise", raise));
    assert!(second.as_mut().now_or_never().is_none());
    let mut closing = Box::pin(closing.close());
    assert!(closing.as_mut().now_or_never().is_none());
    assert_eq!(database.write("late", raise).now_or_never(), Some(Err(UNAVAILABLE)));
    go.send(()).unwrap();
    closing.await;
    assert_eq!((first.await.unwrap(), second.await), (Ok(1), Ok(2)));
}

#[test]
fn database_that_is_foreign_newer_or_empty_is_refused_and_untouched() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    assert!(!place.is_made().unwrap());
    assert!(refusal(&place, &SCHEMA, false).contains("run: counter --config <file> init"));
    assert_eq!(kept.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    drop(open(&place));
    assert!(place.is_made().unwrap());
    let_lapse(&kept);
    let other = Schema { service: "other", ..SCHEMA };
    assert!(refusal(&place, &other, true).contains("belongs to the counter"));
    let older = Schema { postgres: &[], ..SCHEMA };
    assert!(refusal(&place, &older, true).contains("has schema 1, this program knows 0"));
    let newer = Schema { postgres: &[FIRST, "CREATE TABLE more (id BIGINT)"], ..SCHEMA };
    drop(Database::open(&place, &newer, false).unwrap());
    assert_eq!(kept.ask("SELECT schema_version FROM service_copy"), "2");
}

#[test]
fn failed_step_leaves_the_schema_as_it_was() {
    let kept = Kept::create();
    let place = location(&kept, |_| ());
    let broken = Schema { postgres: &[FIRST, "CREATE TABLE half (id BIGINT); SELECT 1 / 0"], ..SCHEMA };
    assert!(refusal(&place, &broken, true).contains("cannot be migrated (PostgreSQL error 22012)"));
    assert_eq!(kept.ask("SELECT schema_version, to_regclass('half') IS NULL FROM service_copy"), "1|t");
}

#[test]
fn server_that_may_lose_commits_is_refused_unless_that_is_accepted() {
    let kept = Kept::create();
    kept.alter(&format!("ALTER ROLE {} SET synchronous_commit = off", kept.role()));
    let place = location(&kept, |_| ());
    let sentence = refusal(&place, &SCHEMA, true);
    assert!(sentence.contains("synchronous_commit is off") && sentence.contains("danger."), "{sentence}");
    let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
    let accepting = Location::Server(Server::new(&kept.socket_url(), &options, Path::new("/"), true).unwrap());
    assert!(open(&accepting).is_held());
}

#[tokio::test]
async fn with_a_ca_the_connection_is_encrypted_and_the_server_must_show_its_certificate() {
    let kept = Kept::create();
    let encrypted = |tx: &mut Tx<'_>| {
        tx.one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[], |row| row.get::<bool>(0))
    };
    let plain = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
    let plain = Location::Server(Server::new(&kept.socket_url(), &plain, Path::new("/"), false).unwrap());
    for (place, expected) in [(plain, false), (location(&kept, |_| ()), true)] {
        let database = open(&place);
        assert_eq!(database.read("encrypted", encrypted).await, Ok(expected));
        database.close().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    crate::files::create_private(&other, other_authority().as_bytes()).unwrap();
    let sentence = refusal(&location(&kept, |options| options.ca_file = Some(other.clone())), &SCHEMA, true);
    assert!(sentence.contains("UnknownIssuer") && sentence.contains("postgres.ca_file"), "{sentence}");
}

fn other_authority() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn wrong_password_is_told_without_it() {
    const WRONG: &str = "hunter2-canary";
    let kept = Kept::create();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    crate::files::create_private(&file, WRONG.as_bytes()).unwrap();
    let place = location(&kept, |options| options.password_file = Some(file.clone()));
    let sentence = refusal(&place, &SCHEMA, true);
    assert!(sentence.contains("password authentication failed"), "{sentence}");
    assert!(sentence.contains("postgres.password_file"), "{sentence}");
    assert!(!sentence.contains(WRONG) && !format!("{place:?}").contains(WRONG));
}

#[test]
fn place_that_is_not_safe_or_not_clear_is_refused_without_its_text() {
    let options = PostgresOptions::default();
    let with_ca = PostgresOptions { ca_file: Some(PathBuf::from("ca.pem")), ..PostgresOptions::default() };
    let place = |url: &str, options: &PostgresOptions| Server::new(url, options, Path::new("/etc"), false);
    for url in [
        "postgres://r@127.0.0.1:5432/n",
        "postgres://r@localhost/n",
        "postgres://r@%2Frun%2Fpg/n",
        "postgres://r@[::1]/n",
    ] {
        assert!(place(url, &options).is_ok(), "{url}");
    }
    assert!(place("postgres://r@db.example.org/n", &with_ca).is_ok());
    for (url, why) in [
        ("postgres://r@db.example.org/n", "off loopback"),
        ("postgres://r:hunter2-canary@127.0.0.1/n", "a password does not belong there"),
        ("postgres://127.0.0.1/n", "name the role"),
        ("postgres://r@127.0.0.1", "name the role"),
        ("postgres://r@127.0.0.1,127.0.0.2/n", "name one host"),
        ("postgres://r@127.0.0.1/n?sslmode=disable", "it has parameters"),
        ("postgres://r@localhost/n?hostaddr=192.0.2.1", "it has parameters"),
        ("postgres://r@localhost/n?channel_binding=disable", "it has parameters"),
        ("postgres://r@localhost/n?hunter2-canary=1", "it is not"),
        ("hunter2-canary", "it is not"),
    ] {
        let sentence = place(url, &options).unwrap_err().sentence;
        assert!(sentence.contains(why) && !sentence.contains("hunter2"), "{url}: {sentence}");
    }
    let with_password =
        PostgresOptions { password_file: Some(PathBuf::from("password")), ..PostgresOptions::default() };
    assert!(
        place("postgres://r@localhost/n", &with_password)
            .unwrap_err()
            .sentence
            .contains("could take the server's port")
    );
    assert!(place("postgres://r@%2Frun%2Fpg/n", &with_password).is_ok());
    let with_both = PostgresOptions { ca_file: with_ca.ca_file.clone(), ..with_password };
    assert!(place("postgres://r@localhost/n", &with_both).is_ok());
    for (change, name) in [
        ((|options| options.write_connections = 0) as fn(&mut PostgresOptions), "write_connections"),
        (|options| options.read_connections = 65, "read_connections"),
        (|options| options.statement_timeout_ms = 99, "statement_timeout_ms"),
        (|options| options.lock_timeout_ms = 60_001, "lock_timeout_ms"),
        (|options| options.connect_timeout_ms = 0, "connect_timeout_ms"),
    ] {
        let mut options = PostgresOptions::default();
        change(&mut options);
        assert!(place("postgres://r@localhost/n", &options).unwrap_err().sentence.contains(name));
    }
}
