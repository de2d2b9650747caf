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
    // The file itself again: another one in its place would not be that of what is in memory.
    std::fs::write(&path, &good).unwrap();
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
    let replaced = restore(&copy, &path, SCHEMA, |_| Ok(())).unwrap().unwrap();
    assert!(!wal.exists());
    assert_eq!(notes(&open_writer(&path).unwrap()).unwrap(), ["kept"]);
    assert_eq!(notes(&open_writer(&replaced).unwrap()).unwrap(), ["kept", "after the backup"]);
    let again = restore(&copy, &path, SCHEMA, |_| Ok(())).unwrap().unwrap();
    assert!(again != replaced, "one replaced database takes the place of another");
}

#[test]
fn restore_leaves_a_database_alone_that_another_program_reads() {
    let (dir, path, conn) = database();
    let copy = dir.path().join("backup.db");
    backup(&path, &copy).unwrap();
    let reader = open_writer(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert!(notes(&reader).unwrap().is_empty());
    conn.execute("INSERT INTO note (text) VALUES ('in the WAL')", []).unwrap();
    let refusal = restore(&copy, &path, SCHEMA, |_| Ok(())).unwrap_err();
    assert!(refusal.sentence.contains("another program uses it"), "{}", refusal.sentence);
    assert_eq!(notes(&conn).unwrap(), ["in the WAL"]);
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("replaced") && !name.contains("tmp")));
    drop((reader, conn));
    restore(&copy, &path, SCHEMA, |_| Ok(())).unwrap();
    assert!(notes(&open_writer(&path).unwrap()).unwrap().is_empty());
}

#[test]
fn restore_takes_no_database_that_its_service_did_not_make() {
    let (dir, path, conn) = database();
    conn.execute("INSERT INTO note (text) VALUES ('live')", []).unwrap();
    let made = |name: &str, change: &str| {
        let file = dir.path().join(name);
        let mut conn = open_writer(&file).unwrap();
        migrate(&mut conn, SCHEMA).unwrap();
        conn.execute_batch(change).unwrap();
        file
    };
    let foreign = [
        ("newer", "PRAGMA user_version = 2"),
        ("without a schema", "PRAGMA user_version = 0"),
        ("negative", "PRAGMA user_version = -1"),
        ("another table", "DROP TABLE note; CREATE TABLE other (id INTEGER PRIMARY KEY)"),
        ("one more table", "CREATE TABLE other (id INTEGER PRIMARY KEY)"),
        ("one more column", "ALTER TABLE note ADD COLUMN more TEXT"),
        ("a trigger", "CREATE TRIGGER t AFTER INSERT ON note BEGIN DELETE FROM note; END"),
    ];
    for (name, change) in foreign {
        let refusal = restore(&made(name, change), &path, SCHEMA, |_| Ok(())).unwrap_err();
        assert!(refusal.sentence.contains(name), "{name}: {refusal}");
    }
    let of_another = |_: &Connection| Err(StartError::new("of another installation"));
    assert!(restore(&made("well made", ""), &path, SCHEMA, of_another).is_err());
    assert_eq!(notes(&conn).unwrap(), ["live"]);
    let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("vault.db-replaced")));
    drop(conn);
    // Older than the program is what a later start brings to its schema.
    let steps = [SCHEMA[0], "CREATE TABLE other (id INTEGER PRIMARY KEY)"];
    restore(&made("older", ""), &path, &steps, |_| Ok(())).unwrap();
}

#[test]
fn damaged_or_empty_backup_leaves_the_database_alone() {
    let (dir, path, conn) = database();
    conn.execute("INSERT INTO note (text) VALUES ('kept')", []).unwrap();
    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, b"not a database at all, but long enough to be read as one").unwrap();
    assert!(restore(&garbage, &path, SCHEMA, |_| Ok(())).is_err());
    let empty = dir.path().join("empty.db");
    std::fs::write(&empty, b"").unwrap();
    assert!(restore(&empty, &path, SCHEMA, |_| Ok(())).is_err());
    assert_eq!(notes(&conn).unwrap(), ["kept"]);
    drop(conn);
    assert_eq!(notes(&open_writer(&path).unwrap()).unwrap(), ["kept"]);
}

/// Asks until the files are seen to be lost (none), or to be there, opened so many times.
async fn wait_for(health: &Health, generation: Option<u64>) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while health.generation() != generation {
        assert!(std::time::Instant::now() < deadline, "nobody looked at the files");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_into_a_file_that_is_not_at_its_path_is_not_acknowledged() {
    let (dir, path, conn) = database();
    let aside = dir.path().join("aside.db");
    let writer = Writer::spawn(conn).unwrap();
    let readers = Readers::open(&path, 1, writer.health()).unwrap();
    assert_eq!(writer.run(insert("kept")).await, Ok(1));
    std::fs::rename(&path, &aside).unwrap();
    assert_eq!(writer.run(insert("into nowhere")).await, Err(StoreFault::Unavailable));
    assert!(!writer.health().is_good());
    assert_eq!(readers.read(notes).await, Err(StoreFault::Unavailable));
    // Another database in its place, which belongs to nothing that is in memory.
    let another = dir.path().join("another.db");
    migrate(&mut open_writer(&another).unwrap(), SCHEMA).unwrap();
    std::fs::rename(&another, &path).unwrap();
    assert_eq!(writer.run(insert("into another")).await, Err(StoreFault::Unavailable));
    assert_eq!(readers.read(notes).await, Err(StoreFault::Unavailable));
    std::fs::rename(&aside, &path).unwrap();
    // Nobody asks for anything.
    wait_for(writer.health(), Some(1)).await;
    assert_eq!(writer.run(insert("later")).await, Ok(1));
    assert_eq!(readers.read(notes).await.unwrap(), ["kept", "later"]);
    std::fs::remove_file(&path).unwrap();
    wait_for(writer.health(), None).await;
    assert!(!path.exists(), "a new database was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_that_vanishes_during_the_commit_makes_its_outcome_unknown() {
    let (_dir, path, conn) = database();
    let writer = Writer::spawn(conn).unwrap();
    let gone = path.clone();
    let job = writer.run(move |conn| {
        std::fs::remove_file(gone).unwrap();
        conn.execute("INSERT INTO note (text) VALUES ('into nowhere')", [])
    });
    assert_eq!(job.await, Err(StoreFault::OutcomeUnknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_saved_from_a_log_that_vanishes() {
    for replaced in [false, true] {
        let (dir, path, conn) = database();
        let writer = Writer::spawn(conn).unwrap();
        let readers = Readers::open(&path, 2, writer.health()).unwrap();
        assert_eq!(writer.run(insert("kept")).await, Ok(1));
        let log = path.with_extension("db-wal");
        std::fs::remove_file(&log).unwrap();
        if replaced {
            std::fs::write(&log, "another").unwrap();
        }
        wait_for(writer.health(), Some(2)).await;
        assert_eq!(readers.read(notes).await.unwrap(), ["kept"]);
        assert_eq!(writer.run(insert("later")).await, Ok(1));
        assert_eq!(readers.read(notes).await.unwrap(), ["kept", "later"]);
        // As a crash leaves it.
        let copy = dir.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::copy(&log, copy.with_extension("db-wal")).unwrap();
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(notes(&open_writer(&copy).unwrap()).unwrap(), ["kept", "later"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn index_of_the_log_that_vanishes_takes_nothing_that_was_acknowledged_along() {
    for replaced in [false, true] {
        let (dir, path, conn) = database();
        let writer = Writer::spawn(conn).unwrap();
        let readers = Readers::open(&path, 2, writer.health()).unwrap();
        assert_eq!(writer.run(insert("before")).await, Ok(1));
        let index = path.with_extension("db-shm");
        std::fs::remove_file(&index).unwrap();
        if replaced {
            std::fs::write(&index, vec![0xff; 32_768]).unwrap();
            std::fs::set_permissions(&index, PermissionsExt::from_mode(0o600)).unwrap();
        }
        assert_eq!(writer.run(insert("after")).await, Ok(1));
        assert_eq!(readers.read(notes).await.unwrap(), ["before", "after"]);
        // Another connection of this process, as `backup` opens one.
        assert_eq!(notes(&open_reader(&path).unwrap()).unwrap(), ["before", "after"]);
        // As a crash leaves it.
        let copy = dir.path().join("copy.db");
        for suffix in ["db", "db-wal", "db-shm"] {
            let (from, to) = (path.with_extension(suffix), copy.with_extension(suffix));
            assert!(!from.exists() || std::fs::copy(&from, &to).is_ok());
        }
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(notes(&open_writer(&copy).unwrap()).unwrap(), ["before", "after"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_that_a_reader_let_grow_is_cut_when_nothing_is_written() {
    let (_dir, path, conn) = database();
    let log = path.with_extension("db-wal");
    let bytes = || i64::try_from(std::fs::metadata(&log).unwrap().len()).unwrap();
    let writer = Writer::spawn(conn).unwrap();
    let reader = open_reader(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM note").unwrap();
    for n in 0..40 {
        let text = format!("{n}{}", "x".repeat(1 << 19));
        writer.run(move |conn| conn.execute("INSERT INTO note (text) VALUES (?1)", [text])).await.unwrap();
    }
    assert!(bytes() > LOG_BYTES, "the reader holds it up");
    reader.execute_batch("ROLLBACK").unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while bytes() > 0 {
        assert!(std::time::Instant::now() < deadline, "{} bytes stay", bytes());
        tokio::task::yield_now().await;
    }
    assert_eq!(writer.run(insert("later")).await, Ok(1));
}

#[test]
fn advice_fits_the_cause_and_only_damage_asks_for_a_backup() {
    let (dir, path, _conn) = database();
    let sentence = |path: &Path| open_writer(path).unwrap_err().sentence;
    let mut cases = vec![("damaged", dir.path().join("damaged.db"))];
    crate::files::create_private(&cases[0].1, &[0x55; 8_192]).unwrap();
    // A folder in the place of the log: even root cannot open it.
    let log = dir.path().join("without-log.db");
    crate::files::create_private(&log, b"").unwrap();
    std::fs::create_dir(log.with_extension("db-wal")).unwrap();
    cases.push(("not opened", log));
    cases.push(("no folder", dir.path().join("missing/vault.db")));
    for (what, path) in cases {
        let said = sentence(&path);
        assert_eq!(said.contains("restore a backup"), what == "damaged", "{what}: {said}");
        assert!(said.contains(path.to_str().unwrap()), "{what}: {said}");
    }
    let said = sentence(&dir.path().join("without-log.db"));
    assert!(said.contains("without-log.db-wal: Is a directory"), "{said}");
    let busy = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
    assert!(cannot_open(&path, &busy).sentence.contains("another process"), "a lock is no damage");
}
