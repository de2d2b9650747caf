use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
};

use super::*;

const SCHEMA: &[&str] = &["CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT"];

fn database() -> (tempfile::TempDir, PathBuf, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault.db");
    let mut conn = open_writer(&path).unwrap();
    migrate(&mut conn, SCHEMA).unwrap();
    (dir, path, conn)
}

fn insert(text: &'static str) -> impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send {
    move |conn| conn.execute("INSERT INTO note (text) VALUES (?1)", [text])
}

fn notes(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare("SELECT text FROM note ORDER BY id")?.query_map([], |row| row.get(0))?.collect()
}

/// Keeps the writer thread busy until the sender is dropped or used, so that later jobs wait together.
fn block(writer: &Writer) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), StoreFault>>) {
    let (go, wait) = mpsc::channel();
    let (started, begun) = mpsc::channel();
    let writer = writer.clone();
    let task = tokio::spawn(async move {
        writer
            .run(move |_| {
                started.send(()).unwrap();
                let _released = wait.recv();
                Ok(())
            })
            .await
    });
    std::thread::spawn(move || begun.recv().unwrap()).join().unwrap();
    (go, task)
}

#[test]
fn files_are_private_and_settings_are_durable() {
    let (dir, path, conn) = database();
    conn.execute("INSERT INTO note (text) VALUES ('a')", []).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    let pragma = |name| conn.pragma_query_value::<i64, _>(None, name, |row| row.get(0)).unwrap();
    assert_eq!((pragma("synchronous"), pragma("secure_delete"), pragma("trusted_schema")), (2, 1, 0));
    assert_eq!((pragma("foreign_keys"), pragma("temp_store"), pragma("wal_autocheckpoint")), (1, 2, 4_096));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(open_writer(&path).unwrap_err().sentence.contains("chmod 600"));
}

#[test]
fn migrations_run_once_and_a_newer_database_is_refused() {
    let (_dir, _path, mut conn) = database();
    migrate(&mut conn, SCHEMA).unwrap();
    assert_eq!(user_version(&conn).unwrap(), 1);
    let broken = [SCHEMA[0], "CREATE TABLE other (id INTEGER); CREATE TABLE note (id INTEGER)"];
    assert!(migrate(&mut conn, &broken).is_err());
    assert_eq!(user_version(&conn).unwrap(), 1);
    assert!(conn.prepare("SELECT id FROM other").is_err(), "half a migration stayed");
    assert!(migrate(&mut conn, &[]).unwrap_err().sentence.contains("newer program"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_jobs_share_one_commit_and_a_failed_one_spares_its_neighbours() {
    let (_dir, path, conn) = database();
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let writer = Writer::spawn_observed(conn, Some(Arc::new(move |jobs| seen.lock().unwrap().push(jobs)))).unwrap();
    let (go, blocked) = block(&writer);
    let first = Box::pin(writer.run(insert("first")));
    let twice = Box::pin(writer.run(insert("first")));
    let panics = Box::pin(writer.run(|conn| {
        conn.execute("INSERT INTO note (text) VALUES ('half')", [])?;
        if conn.is_busy() { Ok(()) } else { panic!("a defect in a job") }
    }));
    let last = Box::pin(writer.run(insert("last")));
    let (mut first, mut twice, mut panics, mut last) = (first, twice, panics, last);
    std::future::poll_fn(|cx| {
        assert!(first.as_mut().poll(cx).is_pending() && twice.as_mut().poll(cx).is_pending());
        assert!(panics.as_mut().poll(cx).is_pending() && last.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    go.send(()).unwrap();
    blocked.await.unwrap().unwrap();
    assert_eq!(first.await, Ok(1));
    assert_eq!(twice.await, Err(StoreFault::Unavailable));
    assert_eq!(panics.await, Err(StoreFault::Unavailable));
    assert_eq!(last.await, Ok(1));
    assert_eq!(*batches.lock().unwrap(), [1, 4]);
    writer.close().await;
    assert_eq!(notes(&open_reader(&path).unwrap()).unwrap(), ["first", "last"]);
    assert_eq!(writer.run(insert("late")).await, Err(StoreFault::Unavailable));
}

#[tokio::test]
async fn failed_commit_fails_every_job_and_writes_nothing() {
    let (_dir, path, conn) = database();
    conn.execute_batch("CREATE TABLE child (note INTEGER REFERENCES note (id) DEFERRABLE INITIALLY DEFERRED) STRICT")
        .unwrap();
    let writer = Writer::spawn(conn).unwrap();
    // The reference is checked at the commit only.
    let orphan = writer.run(|conn| conn.execute("INSERT INTO child (note) VALUES (99)", []));
    assert_eq!(orphan.await, Err(StoreFault::Unavailable));
    assert_eq!(writer.run(insert("after")).await, Ok(1));
    let count = |conn: &Connection| conn.query_row("SELECT count(*) FROM child", [], |row| row.get::<_, i64>(0));
    assert_eq!(count(&open_reader(&path).unwrap()).unwrap(), 0);
}

#[tokio::test]
async fn reader_sees_one_snapshot_and_cannot_write() {
    let (_dir, path, conn) = database();
    let readers = Readers::open(&path, 2, &Health::default()).unwrap();
    conn.execute("INSERT INTO note (text) VALUES ('old')", []).unwrap();
    let both = readers.read(move |reader| {
        let before = notes(reader)?;
        conn.execute("INSERT INTO note (text) VALUES ('new')", [])?;
        Ok((before, notes(reader)?))
    });
    let (before, after) = both.await.unwrap();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_eq!(readers.read(notes).await.unwrap().len(), 2);
    assert_eq!(readers.read(|reader| reader.execute("DELETE FROM note", [])).await, Err(StoreFault::Unavailable));
    // More panics than there are connections.
    for _ in 0..3 {
        let panics: Result<(), _> = readers.read(|_| panic!("a defect in a query")).await;
        assert_eq!(panics, Err(StoreFault::Unavailable));
    }
    assert_eq!(readers.read(notes).await.unwrap().len(), 2);
}

#[test]
fn reader_has_every_file_that_it_needs_before_the_first_read() {
    let (_dir, path, _conn) = database();
    let log = path.with_extension("db-wal");
    let open = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        files.filter(|file| std::fs::read_link(file.as_ref().unwrap().path()).is_ok_and(|of| of == log)).count()
    };
    let before = open();
    let _readers = Readers::open(&path, 3, &Health::default()).unwrap();
    assert_eq!(open(), before + 3);
}

/// Polls until the database is trusted again.
async fn wait_trusted(health: &Health) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !health.is_good() {
        assert!(std::time::Instant::now() < deadline, "the database is not trusted again");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_fails_the_whole_batch_and_writing_goes_on_when_there_is_space() {
    let (_dir, path, conn) = database();
    // As on a disk without space: the new connection that recovery opens has this limit no more.
    conn.execute_batch("PRAGMA max_page_count = 3").unwrap();
    let writer = Writer::spawn(conn).unwrap();
    let (go, blocked) = block(&writer);
    let small = writer.run(insert("small"));
    let large = writer.run(|conn| conn.execute("INSERT INTO note (text) VALUES (?1)", ["x".repeat(100_000)]));
    let (mut small, mut large) = (Box::pin(small), Box::pin(large));
    std::future::poll_fn(|cx| {
        assert!(small.as_mut().poll(cx).is_pending() && large.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    go.send(()).unwrap();
    blocked.await.unwrap().unwrap();
    assert_eq!((small.await, large.await), (Err(StoreFault::Unavailable), Err(StoreFault::Unavailable)));
    assert!(notes(&open_reader(&path).unwrap()).unwrap().is_empty());
    // Without any further write.
    wait_trusted(writer.health()).await;
    assert_eq!(writer.run(insert("later")).await, Ok(1));
}

#[tokio::test]
async fn damaged_database_takes_no_write_before_it_is_whole_again() {
    let (_dir, path, conn) = database();
    conn.execute("INSERT INTO note (text) VALUES ('kept')", []).unwrap();
    let writer = Writer::spawn(conn).unwrap();
    // Cuts the log, so that what is read comes from the file that is damaged.
    writer.run(insert("also kept")).await.unwrap();
    drop(open_writer(&path).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[4_096..].fill(0xff);
    std::fs::write(&path, bad).unwrap();
    let readers = Readers::open(&path, 1, writer.health()).unwrap();
    assert_eq!(readers.read(notes).await, Err(StoreFault::Corrupt));
    assert!(!writer.health().is_good());
    assert_eq!(writer.run(insert("on a damaged file")).await, Err(StoreFault::Unavailable));
    // Another file of that name: whoever keeps a connection goes on with the bad one.
    let repaired = path.with_extension("repaired");
    crate::files::create_private(&repaired, &good).unwrap();
    std::fs::rename(repaired, &path).unwrap();
    wait_trusted(writer.health()).await;
    assert_eq!(readers.read(notes).await.unwrap(), ["kept", "also kept"]);
    assert_eq!(writer.run(insert("later")).await, Ok(1));
}

#[test]
fn restore_never_meets_an_old_wal() {
    let (dir, path, conn) = database();
    conn.execute("INSERT INTO note (text) VALUES ('kept')", []).unwrap();
    let copy = dir.path().join("backup.db");
    backup(&path, &copy).unwrap();
    assert!(backup(&path, &copy).unwrap_err().sentence.contains("not overwritten"));
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    conn.execute("INSERT INTO note (text) VALUES ('after the backup')", []).unwrap();
    // The machine dies: the WAL with the later commit stays behind.
    let wal = dir.path().join("vault.db-wal");
    let stale = std::fs::read(&wal).unwrap();
    assert!(!stale.is_empty());
    drop(conn);
    std::fs::write(&wal, &stale).unwrap();
    assert_eq!(restore(&copy, &path).unwrap(), 1);
    assert!(!wal.exists());
    assert_eq!(notes(&open_writer(&path).unwrap()).unwrap(), ["kept"]);
}

#[test]
fn damaged_or_empty_backup_leaves_the_database_alone() {
    let (dir, path, conn) = database();
    conn.execute("INSERT INTO note (text) VALUES ('kept')", []).unwrap();
    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, b"not a database at all, but long enough to be read as one").unwrap();
    assert!(restore(&garbage, &path).is_err());
    let empty = dir.path().join("empty.db");
    std::fs::write(&empty, b"").unwrap();
    assert!(restore(&empty, &path).is_err());
    assert_eq!(notes(&conn).unwrap(), ["kept"]);
    drop(conn);
    assert_eq!(notes(&open_writer(&path).unwrap()).unwrap(), ["kept"]);
}
