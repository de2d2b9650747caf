use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::sqlite::{migrate, open_writer};

const SCHEMA: &[&str] = &["
    CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT UNIQUE, bytes BLOB) STRICT;
    CREATE TRIGGER loud BEFORE INSERT ON note WHEN NEW.text LIKE 'loud%' BEGIN SELECT RAISE(ABORT, NEW.text); END;"];
const INSERT: &str = "INSERT INTO note (text) VALUES (?1)";
const UNAVAILABLE: StoreFault = StoreFault::Unavailable;

fn database() -> (tempfile::TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seam.db");
    let mut conn = open_writer(&path).unwrap();
    migrate(&mut conn, SCHEMA).unwrap();
    let writer = Writer::spawn(conn).unwrap();
    let readers = Readers::open(&path, 1, writer.health()).unwrap();
    (dir, Database::sqlite(writer, readers))
}

fn insert(text: &'static str) -> impl Fn(&mut Tx<'_>) -> Result<usize, SqlError> {
    move |tx| tx.execute(INSERT, &[&text])
}

async fn notes(database: &Database) -> Vec<String> {
    let all = |tx: &mut Tx<'_>| tx.all("SELECT text FROM note ORDER BY id", &[], |row| row.get(0));
    database.read("notes", all).await.unwrap()
}

type Look = fn(&mut Tx<'_>) -> Result<(), SqlError>;

fn seven<T: Column>(tx: &mut Tx<'_>, column: usize) -> Result<(), SqlError> {
    tx.one("SELECT id, text, bytes, NULL, 1.5 FROM note WHERE id = 7", &[], |row| row.get::<T>(column).map(|_| ()))
}

/// Has what the threads of a database log from now on written here.
async fn log_of(database: &Database) -> Log {
    let log = Log::default();
    let writer = log.clone();
    let listen = move |_: &mut Tx<'_>| {
        let writer = writer.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        // Until the thread ends.
        std::mem::forget(tracing::subscriber::set_default(subscriber));
        Ok(())
    };
    database.write("listen", listen.clone()).await.unwrap();
    database.read("listen", listen).await.unwrap();
    log
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn failed_job_is_undone_also_when_it_hides_the_failure() {
    let (_dir, database) = database();
    let fails = |tx: &mut Tx<'_>| {
        insert("half")(tx)?;
        Err::<(), _>(SqlError::unreadable())
    };
    let hides = |tx: &mut Tx<'_>| {
        insert("hidden")(tx)?;
        let twice = insert("hidden")(tx);
        Ok(twice.is_ok())
    };
    assert_eq!(database.write("fails", fails).await, Err(UNAVAILABLE));
    assert_eq!(database.write("hides", hides).await, Err(UNAVAILABLE));
    assert_eq!(database.write("insert", insert("whole")).await, Ok(1));
    assert_eq!(notes(&database).await, ["whole"]);
    assert!(database.is_healthy());
    database.close().await;
    assert_eq!(database.write("insert", insert("late")).await, Err(UNAVAILABLE));
}

#[tokio::test]
async fn write_that_runs_twice_writes_once_and_answers_the_same() {
    let (_dir, database) = database();
    let faults = Faults::default();
    faults.write_twice();
    let database = database.with_faults(faults);
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let job = move |tx: &mut Tx<'_>| {
        count.fetch_add(1, Ordering::SeqCst);
        tx.execute(INSERT, &[&"once"])?;
        tx.one("SELECT count(*) FROM note", &[], |row| row.get::<u64>(0))
    };
    assert_eq!(database.write("count", job).await, Ok(1));
    assert_eq!(database.write("twice", insert("once")).await, Err(UNAVAILABLE));
    assert_eq!((runs.load(Ordering::SeqCst), notes(&database).await), (2, vec!["once".to_owned()]));
}

#[tokio::test]
async fn slow_job_is_named_in_the_log_and_a_quick_one_is_not() {
    let (_dir, mut database) = database();
    let log = log_of(&database).await;
    for (slow, lines) in [(Duration::MAX, 0), (Duration::ZERO, 1)] {
        database.slow = slow;
        database.write("insert_note", insert(if lines == 0 { "a" } else { "b" })).await.unwrap();
        notes(&database).await;
        let text = log.take();
        for job in ["insert_note", "notes"] {
            let named = |line: &&str| line.contains("WARN") && line.contains("slow") && line.contains(job);
            assert_eq!(text.lines().filter(named).count(), lines, "{slow:?} {job}: {text}");
        }
    }
}

#[tokio::test]
async fn error_names_the_job_and_never_a_value() {
    const SECRET: &str = "loud and confidential";
    let (_dir, database) = database();
    let log = log_of(&database).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let statements: [&'static str; 4] = [
        // SQLite's message is the value.
        INSERT,
        "INSERT INTO note (id) VALUES (?1)",
        "SELECT confidential FROM note WHERE text = ?1",
        "SELECT ?1, ?2",
    ];
    for sql in statements {
        let errors = Arc::clone(&told);
        let job =
            move |tx: &mut Tx<'_>| tx.execute(sql, &[&SECRET]).inspect_err(|error| errors.lock().unwrap().push(*error));
        assert_eq!(database.write("tell", job).await, Err(UNAVAILABLE), "{sql}");
    }
    let row = |tx: &mut Tx<'_>| tx.optional("SELECT ?1", &[&SECRET], |row| row.get::<u64>(0));
    assert_eq!(database.read("tell", row).await, Err(UNAVAILABLE));
    let text = log.take();
    assert!(!text.contains("confidential"), "{text}");
    assert_eq!(text.matches("tell").count(), 5, "{text}");
    let errors = told.lock().unwrap();
    assert_eq!(errors.len(), 4);
    for error in errors.iter() {
        let source = std::error::Error::source(error).is_some();
        let engine = rusqlite::Error::from(*error);
        let text = format!("{error} {error:?} {engine} {engine:?}");
        assert!(!source && !text.contains("confidential"), "{text}");
    }
}

#[tokio::test]
async fn values_come_back_as_they_went_in_and_what_does_not_fit_is_an_error() {
    let (_dir, database) = database();
    let whole = |tx: &mut Tx<'_>| {
        let none = None::<String>;
        tx.execute("INSERT INTO note (id, text, bytes) VALUES (?1, ?2, ?3)", &[&7_u64, &"sieben", &[7_u8; 3]])?;
        tx.execute("INSERT INTO note (id, text, bytes) VALUES (?1, ?2, ?3)", &[&-1_i64, &none, &Some(vec![1_u8])])?;
        tx.all("SELECT id, text, bytes FROM note ORDER BY id", &[], |row| {
            Ok((row.get::<i64>(0)?, row.get::<Option<String>>(1)?, row.get::<Vec<u8>>(2)?))
        })
    };
    let expected = [(-1, None, vec![1]), (7, Some("sieben".to_owned()), vec![7; 3])];
    assert_eq!(database.write("whole", whole).await.unwrap(), expected);
    let fitting: [Look; 5] = [
        |tx| seven::<u32>(tx, 0),
        |tx| seven::<String>(tx, 1),
        |tx| seven::<[u8; 3]>(tx, 2),
        |tx| seven::<Option<u64>>(tx, 3),
        |tx| tx.exists("SELECT 1 FROM note WHERE id = ?1", &[&7_u32]).map(|found| assert!(found)),
    ];
    for (number, job) in fitting.into_iter().enumerate() {
        assert_eq!(database.read("fits", job).await, Ok(()), "{number}");
    }
    let wrong: [Look; 12] = [
        |tx| seven::<bool>(tx, 0),
        |tx| seven::<u64>(tx, 1),
        |tx| seven::<[u8; 4]>(tx, 2),
        |tx| seven::<String>(tx, 2),
        |tx| seven::<u64>(tx, 3),
        |tx| seven::<i64>(tx, 4),
        |tx| seven::<i64>(tx, 5),
        |tx| tx.one("SELECT text FROM note WHERE id = 7", &[], |row| row.parse::<u8>(0)).map(|_| ()),
        |tx| tx.one("SELECT id FROM note WHERE id = -1", &[], |row| row.get::<u64>(0)).map(|_| ()),
        |tx| tx.one("SELECT id FROM note WHERE id = ?1", &[&u64::MAX], |_| Ok(())),
        |tx| tx.one("SELECT id FROM note WHERE id = 8", &[], |_| Ok(())),
        |tx| tx.exists("SELECT 1 FROM note WHERE ?1 IS NULL", &[]).map(|_| ()),
    ];
    for (number, job) in wrong.into_iter().enumerate() {
        assert_eq!(database.read("wrong", job).await, Err(UNAVAILABLE), "{number}");
    }
}

#[tokio::test]
async fn planned_death_comes_before_or_after_the_job_of_its_name_and_ends_everything() {
    for (point, answer, written) in [
        (KillPoint::Before("last"), UNAVAILABLE, vec!["first"]),
        (KillPoint::After("last"), StoreFault::OutcomeUnknown, vec!["first", "last"]),
    ] {
        let (_dir, sound) = database();
        let faults = Faults::default();
        let database = sound.clone().with_faults(faults.clone());
        faults.kill_at(point);
        assert_eq!(database.write("first", insert("first")).await, Ok(1));
        assert!(!faults.is_dead());
        assert_eq!(database.write("last", insert("last")).await, Err(answer));
        assert!(faults.is_dead());
        assert_eq!(database.write("first", insert("third")).await, Err(UNAVAILABLE));
        assert_eq!(database.read("look", |_| Ok(())).await, Err(UNAVAILABLE));
        assert_eq!(notes(&sound).await, written, "{point:?}");
    }
}

#[tokio::test]
async fn act_after_a_call_happens_once_and_before_the_caller_hears() {
    let (_dir, sound) = database();
    let faults = Faults::default();
    let database = sound.clone().with_faults(faults.clone());
    let other = sound.clone();
    faults.after_calls("insert", 2, move || async move {
        other.write("insert", insert("meanwhile")).await.unwrap();
    });
    for (text, length) in [("a", 1), ("b", 3), ("c", 4)] {
        assert_eq!(database.write("insert", insert(text)).await, Ok(1));
        assert_eq!(notes(&sound).await.len(), length);
    }
    assert_eq!((faults.calls("insert"), faults.calls("other")), (3, 0));
    assert_eq!(notes(&sound).await, ["a", "b", "meanwhile", "c"]);
}

#[tokio::test]
async fn fault_of_a_kind_meets_its_jobs_until_another_one_is_set() {
    let unknown = StoreFault::OutcomeUnknown;
    for (fault, write, read, written) in [
        (Fault::None, Ok(1), Ok(()), 1),
        (Fault::WritesFail, Err(UNAVAILABLE), Ok(()), 0),
        (Fault::AnswersLost, Err(unknown), Ok(()), 1),
        (Fault::ReadsFail, Ok(1), Err(UNAVAILABLE), 1),
        (Fault::Blind, Err(unknown), Err(UNAVAILABLE), 1),
    ] {
        let (_dir, sound) = database();
        let faults = Faults::default();
        let database = sound.clone().with_faults(faults.clone());
        faults.set(fault);
        assert_eq!(database.is_healthy(), fault == Fault::None, "{fault:?}");
        assert_eq!(database.write("insert", insert("meanwhile")).await, write, "{fault:?}");
        assert_eq!(database.read("look", |_| Ok(())).await, read, "{fault:?}");
        assert_eq!(notes(&sound).await.len(), written, "{fault:?}");
        faults.set(Fault::None);
        assert_eq!(database.write("insert", insert("after")).await, Ok(1), "{fault:?}");
        assert_eq!((notes(&database).await.len(), database.is_healthy()), (written + 1, true), "{fault:?}");
    }
}

#[tokio::test]
async fn read_that_waits_sees_what_was_written_meanwhile() {
    let (_dir, sound) = database();
    let faults = Faults::default();
    let database = sound.with_faults(faults.clone());
    faults.set(Fault::ReadsWait);
    let writing = async {
        faults.read_begun().await;
        database.write("insert", insert("meanwhile")).await.unwrap();
        faults.set(Fault::None);
    };
    let (found, ()) = tokio::join!(notes(&database), writing);
    assert_eq!(found, ["meanwhile"]);
}

#[tokio::test]
async fn what_follows_a_commit_happens_once_before_the_caller_hears() {
    let (dir, database) = database();
    let path = dir.path().join("seam.db");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = || {
        let (path, seen) = (path.clone(), Arc::clone(&seen));
        move || {
            let count = "SELECT count(*) FROM note";
            let notes = Connection::open(path).unwrap().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap();
            seen.lock().unwrap().push(notes);
        }
    };
    assert_eq!(database.write_then("insert", insert("first"), look()).await, Ok(1));
    assert_eq!(*seen.lock().unwrap(), [1]);
    assert_eq!(database.write_then("insert", insert("first"), look()).await, Err(UNAVAILABLE));
    assert_eq!(*seen.lock().unwrap(), [1, 1]);
    let faults = Faults::default();
    faults.write_twice();
    let (also_seen, shown) = (Arc::clone(&seen), Arc::clone(&seen));
    faults.after_calls("insert", 1, || async move { assert_eq!(also_seen.lock().unwrap().len(), 3) });
    let faulty = database.clone().with_faults(faults.clone());
    assert_eq!(faulty.write_then("insert", insert("second"), look()).await, Ok(1));
    faults.kill_at(KillPoint::After("insert"));
    let unknown = faulty.write_then("insert", insert("third"), look()).await;
    assert_eq!((unknown, shown.lock().unwrap().clone()), (Err(StoreFault::OutcomeUnknown), vec![1, 1, 2, 3]));
    assert!(!faulty.is_healthy() && database.is_healthy());
    faulty.close().await;
    assert_eq!(database.write_then("insert", insert("late"), look()).await, Err(UNAVAILABLE));
    assert_eq!(seen.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn what_follows_a_commit_happens_also_when_the_caller_has_gone() {
    let (_dir, database) = database();
    let (done, happened) = tokio::sync::oneshot::channel();
    let mut call = Box::pin(database.write_then("insert", insert("alone"), move || done.send(()).unwrap()));
    tokio::select! { biased; _ = &mut call => {}, () = std::future::ready(()) => {} }
    drop(call);
    happened.await.unwrap();
    assert_eq!(notes(&database).await, ["alone"]);
}
