use std::path::Path;

use rusqlite::Connection;
use test_postgres::Database as Kept;

use super::{
    super::{KillPoint, tests::location},
    *,
};

// A child stands before its parent by name; a key is not in the order of the columns; one table has no key.
const SQLITE: &str = "
    CREATE TABLE child (
        value BLOB, parent BLOB NOT NULL REFERENCES parent (id), number INTEGER NOT NULL, name TEXT NOT NULL,
        PRIMARY KEY (name, number, parent)) STRICT, WITHOUT ROWID;
    CREATE TABLE parent (id BLOB PRIMARY KEY, before BLOB REFERENCES parent (id)) STRICT, WITHOUT ROWID;
    CREATE TABLE alone (name TEXT NOT NULL);
    CREATE TABLE loose (\"key\" INTEGER PRIMARY KEY, value TEXT);
    CREATE TABLE seeded (generation INTEGER PRIMARY KEY);
    INSERT INTO seeded (generation) VALUES (1);
    CREATE VIRTUAL TABLE search_words USING fts5(word);";
const POSTGRES: &str = "
    CREATE TABLE parent (id BYTEA PRIMARY KEY, before BYTEA REFERENCES parent (id));
    CREATE TABLE child (
        value BYTEA, parent BYTEA NOT NULL REFERENCES parent (id), number BIGINT NOT NULL,
        name TEXT COLLATE \"C\" NOT NULL, later BIGINT, PRIMARY KEY (name, number, parent));
    CREATE TABLE alone (name TEXT COLLATE \"C\" NOT NULL);
    CREATE TABLE loose (\"key\" BIGINT PRIMARY KEY, value TEXT COLLATE \"C\");
    CREATE TABLE seeded (generation BIGINT PRIMARY KEY);
    INSERT INTO seeded (generation) VALUES (1);
    CREATE TABLE search_marks (mark BIGINT);";
const SCHEMA: Schema = Schema {
    service: "mover",
    sqlite: &[SQLITE, "ALTER TABLE child ADD COLUMN later INTEGER;"],
    postgres: &[POSTGRES],
};
const ROWS: u64 = 150;
const ORDER: [&str; 5] = ["alone", "loose", "parent", "seeded", "child"];

/// A value, written out.
struct Shown(String);

impl super::super::Column for Shown {
    fn from_value(value: super::super::Value<'_>) -> Result<Self, SqlError> {
        use super::super::Value;
        Ok(Self(match value {
            Value::Null => "NULL".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => format!("{text:?}"),
            Value::Blob(bytes) => hex::encode(bytes),
        }))
    }
}

/// A database of a test.
struct Place {
    at: Location,
    kept: Result<Kept, tempfile::TempDir>,
}

impl Place {
    fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { at: Location::File(dir.path().join("mover.db")), kept: Err(dir) }
    }

    fn postgres() -> Self {
        let kept = Kept::create();
        Self { at: location(&kept, |_| ()), kept: Ok(kept) }
    }

    async fn filled(self) -> Self {
        let database = Database::open(&self.at, &SCHEMA, true).unwrap();
        database.write("fill", fill).await.unwrap();
        database.close().await;
        self
    }

    /// Runs a statement behind everybody's back.
    fn alter(&self, statement: &str) {
        match &self.kept {
            Ok(kept) => kept.alter(&statement.replace("x'", "'\\x")),
            Err(_) => Connection::open(self.file()).unwrap().execute_batch(statement).unwrap(),
        }
    }

    fn file(&self) -> &Path {
        self.at.file().unwrap()
    }

    /// Everything in it but what is the engine's.
    fn content(&self) -> Vec<Vec<String>> {
        let columns = ["name", "\"key\", value", "id, before", "generation", "name, number, parent, value, later"];
        let read = |(table, columns): (&str, &str)| {
            let query = format!("SELECT {columns} FROM {table} ORDER BY {columns}");
            let query: &'static str = Box::leak(query.into_boxed_str());
            let shown = move |row: &super::super::Row<'_>| {
                let cells = (0..columns.split(", ").count()).map(|column| row.get::<Shown>(column).map(|cell| cell.0));
                Ok(format!("{:?}", cells.collect::<Result<Vec<_>, _>>()?))
            };
            self.at.look(&SCHEMA, |tx| tx.all(query, &[], shown)).unwrap()
        };
        ORDER.into_iter().zip(columns).map(read).collect()
    }

    /// Why a service does not start on it.
    async fn refusal(&self) -> Option<String> {
        match Database::open(&self.at, &SCHEMA, false) {
            Ok(database) => {
                database.close().await;
                None
            }
            Err(error) => Some(error.sentence),
        }
    }
}

fn fill(tx: &mut Tx<'_>) -> Result<(), SqlError> {
    tx.execute("INSERT INTO alone (name) VALUES ('é')", &[])?;
    tx.execute("UPDATE seeded SET generation = 7", &[])?;
    for number in 0..ROWS {
        let id = number.to_be_bytes();
        let before = number.checked_sub(1).map(u64::to_be_bytes);
        tx.execute("INSERT INTO parent (id, before) VALUES (?1, ?2)", &[&id, &before])?;
        tx.execute(
            "INSERT INTO child (value, parent, number, name, later) VALUES (?1, ?2, ?3, ?4, ?5)",
            &[&Some(id), &id, &(i64::MAX - 1), &format!("Zä{}", number * 7 % 11), &None::<u64>],
        )?;
    }
    tx.execute("INSERT INTO loose (\"key\", value) VALUES (-1, '')", &[])?;
    Ok(())
}

async fn copy_with(from: &Place, to: &Place, faults: Option<Faults>) -> Result<Vec<SameTable>, String> {
    let plan = Plan { from: &from.at, to: &to.at, schema: &SCHEMA, belongs: &|_| Ok(true), faults };
    plan.carry_out(&mut |_| ()).await.map_err(|error| error.sentence)
}

async fn copy(from: &Place, to: &Place) -> Result<Vec<SameTable>, String> {
    copy_with(from, to, None).await
}

/// A copy that was cut short after some pages.
async fn half_copied(from: Place, to: Place) -> (Place, Place) {
    let from = from.filled().await;
    let faults = Faults::default();
    let dying = faults.clone();
    faults.after_calls("copy_rows", 4, move || async move { dying.kill_at(KillPoint::Before("copy_rows")) });
    assert!(copy_with(&from, &to, Some(faults)).await.unwrap_err().contains("run the command again"));
    (from, to)
}

#[tokio::test]
async fn every_row_is_copied_to_the_other_engine_and_back_and_only_the_newest_database_is_used() {
    let (first, second, third, back) =
        (Place::sqlite().filled().await, Place::postgres(), Place::postgres(), Place::sqlite());
    let mut said = Vec::new();
    let plan = Plan { from: &first.at, to: &second.at, schema: &SCHEMA, belongs: &|_| Ok(true), faults: None };
    let copied = plan.carry_out(&mut |line| said.push(line.to_owned())).await.unwrap();
    assert_eq!(copied.iter().map(|table| table.rows).collect::<Vec<_>>(), [1, 1, ROWS, 1, ROWS]);
    assert!(said.contains(&"copying child: 150 of 150 rows".to_owned()), "{said:?}");
    assert!(said.contains(&"comparing child: 150 of 150 rows".to_owned()), "{said:?}");
    assert_eq!(second.content(), first.content());
    assert_eq!(copy(&second, &third).await.unwrap(), copied);
    assert_eq!(copy(&third, &back).await.unwrap(), copied);
    assert_eq!(back.content(), first.content());
    for moved in [&first, &second, &third] {
        let refusal = moved.refusal().await.unwrap();
        assert!(refusal.contains("was moved to") && refusal.contains("use the configuration"), "{refusal}");
    }
    assert_eq!(back.refusal().await, None);
}

#[tokio::test]
async fn tables_that_are_made_from_others_are_left_out_on_each_engine() {
    let (first, second, back) = (Place::sqlite().filled().await, Place::postgres(), Place::sqlite());
    first.alter("INSERT INTO search_words (word) VALUES ('left out')");
    copy(&first, &second).await.unwrap();
    let kept = second.kept.as_ref().unwrap();
    assert_eq!(kept.ask("SELECT count(*) FROM search_marks"), "0");
    kept.alter("INSERT INTO search_marks (mark) VALUES (1)");
    copy(&second, &back).await.unwrap();
    assert_eq!(back.content(), first.content());
    let words = |tx: &mut Tx<'_>| tx.exists("SELECT 1 FROM search_words WHERE search_words MATCH 'left'", &[]);
    assert!(!back.at.look(&SCHEMA, words).unwrap() && first.at.look(&SCHEMA, words).is_ok_and(|found| found));
}

#[tokio::test]
async fn copy_that_is_given_too_few_connections_says_so() {
    for limit in [1, 2] {
        let (from, to) = (Place::sqlite().filled().await, Place::postgres());
        let role = to.kept.as_ref().map(|kept| kept.role().to_owned()).unwrap();
        to.alter(&format!("ALTER ROLE {role} CONNECTION LIMIT {limit}"));
        let sentence = copy(&from, &to).await.unwrap_err();
        let words = ["too many connections", "postgres.write_connections"];
        assert!(words.iter().all(|word| sentence.contains(word)), "{limit}: {sentence}");
        to.alter(&format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
        copy(&from, &to).await.unwrap();
    }
}

#[tokio::test]
async fn copy_that_is_cut_short_anywhere_goes_on_and_never_can_both_be_used() {
    let marks = ["note_unfinished", "note_moved", "note_finished"];
    let points = marks.into_iter().flat_map(|job| [(job, 0, true), (job, 0, false)]);
    let points: Vec<_> = points.chain([0, 3, 8].map(|calls| ("copy_rows", calls, calls % 2 == 0))).collect();
    for (job, calls, before) in points {
        let (from, to) = (Place::sqlite().filled().await, Place::postgres());
        let point = if before { KillPoint::Before(job) } else { KillPoint::After(job) };
        let faults = Faults::default();
        if calls == 0 {
            faults.kill_at(point);
        } else {
            let dying = faults.clone();
            faults.after_calls(job, calls, move || async move { dying.kill_at(point) });
        }
        let why = format!("{point:?} {calls}");
        copy_with(&from, &to, Some(faults.clone())).await.unwrap_err();
        assert!(faults.is_dead(), "{why}");
        let (old, new) = (from.refusal().await, to.refusal().await);
        let expected = match (job, before) {
            ("note_finished", false) => (true, false),
            ("note_finished", true) | ("note_moved", false) => (true, true),
            // Nothing but empty tables: a service refuses them, for they are of no installation.
            ("note_unfinished", true) => (false, false),
            _ => (false, true),
        };
        assert_eq!((old.is_some(), new.is_some()), expected, "{why}: {old:?} {new:?}");
        let again = copy(&from, &to).await;
        if expected == (true, false) {
            assert!(again.unwrap_err().contains("was moved to"), "{why}");
        } else {
            again.unwrap_or_else(|error| panic!("{why}: {error}"));
        }
        assert_eq!(to.content(), from.content(), "{why}");
        assert!(from.refusal().await.unwrap().contains("was moved"), "{why}");
        assert_eq!(to.refusal().await, None, "{why}");
    }
}

#[tokio::test]
async fn row_that_differs_between_source_and_half_copy_is_found() {
    let changes = [
        "UPDATE parent SET before = NULL WHERE id = x'0000000000000003'",
        "INSERT INTO parent (id) VALUES (x'00000000000000030a')",
        "UPDATE alone SET name = 'secret words'",
    ];
    for change in changes {
        for in_source in [true, false] {
            let (from, to) = half_copied(Place::sqlite(), Place::postgres()).await;
            if in_source { &from } else { &to }.alter(change);
            let refusal = copy(&from, &to).await.unwrap_err();
            let named = ["(0000000000000003) of the table parent", "(00000000000000030a) of the table parent", "alone"];
            assert!(named.iter().any(|row| refusal.contains(row)), "{refusal}");
            assert!(
                refusal.contains("remove the second and begin again") && from.refusal().await.is_none(),
                "{refusal}"
            );
            assert!(to.refusal().await.unwrap().contains("unfinished copy"));
        }
    }
}

#[tokio::test]
async fn row_that_changes_after_it_was_written_is_found_before_anything_is_moved() {
    let (from, to) = (Place::postgres().filled().await, Place::sqlite());
    let (faults, file) = (Faults::default(), to.file().to_owned());
    // The ninth call writes the last rows: three for parents, three for children, one for each other table.
    faults.after_calls("copy_rows", 9, move || async move {
        let damage = "UPDATE child SET value = x'00' WHERE name = 'Zä7' AND parent = x'0000000000000001'";
        assert_eq!(Connection::open(file).unwrap().execute(damage, []), Ok(1));
    });
    let refusal = copy_with(&from, &to, Some(faults)).await.unwrap_err();
    assert!(refusal.contains("(\"Zä7\", 9223372036854775806, 0000000000000001) of the table child"), "{refusal}");
    assert_eq!(from.refusal().await, None);
    assert!(to.refusal().await.unwrap().contains("unfinished copy"));
}

#[tokio::test]
async fn value_that_the_other_engine_does_not_hold_is_named_by_its_key() {
    for (value, named) in [("'secret' || char(0)", "The row (77) of the table loose"), ("x'73'", "The row (77)")] {
        let (from, to) = (Place::sqlite().filled().await, Place::postgres());
        from.alter(&format!("INSERT INTO loose (\"key\", value) VALUES (77, {value})"));
        let refusal = copy(&from, &to).await.unwrap_err();
        assert!(refusal.contains(named) && !refusal.contains("secret"), "{refusal}");
        assert_eq!(from.refusal().await, None);
        from.alter("UPDATE loose SET value = 'good' WHERE \"key\" = 77");
        copy(&from, &to).await.unwrap();
    }
}

#[tokio::test]
async fn target_that_holds_anything_else_is_refused_and_not_changed() {
    let (from, full) = (Place::sqlite().filled().await, Place::postgres().filled().await);
    let before = full.content();
    assert!(copy(&from, &full).await.unwrap_err().contains("its table alone has rows"));
    assert_eq!(full.content(), before);

    let strange = Place::postgres();
    strange.alter("CREATE TABLE invoice (number BIGINT)");
    assert!(copy(&from, &strange).await.unwrap_err().contains("invoice.number"));
    let kept = strange.kept.as_ref().unwrap();
    assert_eq!(kept.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");

    let (other, half) = half_copied(Place::sqlite(), Place::postgres()).await;
    let refusal = copy(&from, &half).await.unwrap_err();
    assert!(refusal.contains("unfinished copy of") && refusal.contains("remove the copy"), "{refusal}");
    assert!(copy(&half, &Place::sqlite()).await.unwrap_err().contains("unfinished copy"));
    copy(&other, &half).await.unwrap();
    assert!(copy(&half, &other).await.unwrap_err().contains("nothing is copied over it"));
    assert!(copy(&other, &Place::sqlite()).await.unwrap_err().contains("was moved to"));
    assert!(copy(&from, &from).await.unwrap_err().contains("nothing to copy"));
    assert_eq!(from.refusal().await, None);
}

#[tokio::test]
async fn source_that_is_not_whole_or_not_ours_or_in_use_is_refused() {
    let to = Place::sqlite();
    assert!(copy(&Place::sqlite(), &to).await.unwrap_err().contains("run: mover --config"));
    let from = Place::postgres().filled().await;
    let used = Database::open(&from.at, &SCHEMA, false).unwrap();
    assert!(copy(&from, &to).await.unwrap_err().contains("Another copy of this service uses the database"));
    used.close().await;
    let plan = Plan { from: &from.at, to: &to.at, schema: &SCHEMA, belongs: &|_| Ok(false), faults: None };
    assert!(plan.carry_out(&mut |_| ()).await.unwrap_err().sentence.contains("another installation"));
    from.alter("ALTER TABLE child DROP COLUMN later");
    assert!(copy(&from, &to).await.unwrap_err().contains("child.later"));
    let old = Schema { sqlite: &[SQLITE], ..SCHEMA };
    let older = Place::sqlite();
    Database::open(&older.at, &old, true).unwrap().close().await;
    let refusal = copy(&older, &to).await.unwrap_err();
    assert!(refusal.contains("has schema 1, this program copies schema 2"), "{refusal}");
    assert!(!to.at.is_made().unwrap());
}

#[tokio::test]
async fn moved_database_is_a_backup_of_its_last_day_and_an_unfinished_copy_is_none() {
    let (from, to) = half_copied(Place::postgres(), Place::sqlite()).await;
    let restore = |place: &Place| {
        let dir = tempfile::tempdir().unwrap();
        let restored = dir.path().join("restored.db");
        let done = crate::sqlite::restore(place.file(), &restored, SCHEMA.sqlite, |_| Ok(()));
        done.map(|_| Place { at: Location::File(restored), kept: Err(dir) })
    };
    assert!(restore(&to).err().unwrap().sentence.contains("unfinished copy"));
    copy(&from, &to).await.unwrap();
    copy(&to, &Place::postgres()).await.unwrap();
    let restored = restore(&to).unwrap();
    assert_eq!((restored.refusal().await, restored.content()), (None, to.content()));
}

#[test]
fn tables_stand_after_those_that_they_refer_to_and_a_circle_is_refused() {
    let names =
        |schema: &Schema| tables(schema).map(|tables| tables.into_iter().map(|table| table.name).collect::<Vec<_>>());
    assert_eq!(names(&SCHEMA).unwrap(), ORDER);
    let circle = "CREATE TABLE a (id INTEGER REFERENCES b (id)); CREATE TABLE b (id INTEGER REFERENCES a (id));";
    let steps: &'static [&'static str] = Box::leak(Box::new([circle]));
    assert!(names(&Schema { sqlite: steps, ..SCHEMA }).unwrap_err().sentence.contains("schema of the mover"));
}
