//! The database of a service, whatever its engine: asked, altered, backed up, copied.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use test_postgres::{Database, Server};

use crate::loot::copy_tree;
use crate::service::Service;
use crate::target_dir;

/// Where services keep their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file in the data directory.
    Sqlite,
    /// A database for each service, on the server of the environment or on servers of their own.
    Postgres,
}

impl Engine {
    /// The engine of this run: `SPLITVAULT_TEST_ENGINE`, or SQLite.
    pub fn of_tests() -> Self {
        match std::env::var("SPLITVAULT_TEST_ENGINE").as_deref() {
            Err(_) | Ok("sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok(other) => panic!("SPLITVAULT_TEST_ENGINE is sqlite or postgres, not {other}"),
        }
    }
}

/// Whether the engine of this run is the one that a test is about.
#[expect(clippy::print_stdout, reason = "captured by the test runner")]
pub fn only_on(engine: Engine, reason: &str) -> bool {
    let is_it = Engine::of_tests() == engine;
    if !is_it {
        println!("only on {engine:?}: {reason}");
    }
    is_it
}

/// The PostgreSQL database of a service to be made: on this server, or apart from others, or on that of the environment.
pub(crate) fn of_service(apart: bool, server: Option<&Arc<Server>>) -> Option<Database> {
    if Engine::of_tests() == Engine::Sqlite {
        return None;
    }
    Some(match server {
        Some(server) => Database::create_on(server),
        None if apart => {
            let database = Database::create_on(&Server::own());
            forget_how_it_was_made(database.server());
            database
        }
        None => Database::create(),
    })
}

impl Service {
    /// The only column of the only row of a query. Blobs are written as `X'00ff'`.
    pub fn ask(&self, query: &str) -> i64 {
        let answer = match &self.database {
            Some(database) => database.ask(&in_postgres(query)),
            None => self.in_sqlite("print(db.execute(sys.argv[2]).fetchone()[0])", query),
        };
        answer.trim().parse().unwrap_or_else(|_| panic!("{query}: {answer}"))
    }

    /// The names of its tables, in order.
    pub fn tables(&self) -> Vec<String> {
        let answer = match &self.database {
            Some(database) => database.ask(
                "SELECT string_agg(table_name, ' ' ORDER BY table_name COLLATE \"C\") FROM information_schema.tables
                 WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
            ),
            None => self.in_sqlite(
                "print(' '.join(row[0] for row in db.execute(sys.argv[2])))",
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
            ),
        };
        answer.split_whitespace().map(str::to_owned).collect()
    }

    /// Runs one statement behind the service's back. Returns the number of rows that it changed.
    pub fn alter(&self, statement: &str) -> u64 {
        let answer = match &self.database {
            Some(database) => database
                .ask(&format!("WITH done AS ({} RETURNING 1) SELECT count(*) FROM done", in_postgres(statement))),
            None => self.in_sqlite("print(db.execute(sys.argv[2]).rowcount)", statement),
        };
        answer.trim().parse().unwrap_or_else(|_| panic!("{statement}: {answer}"))
    }

    /// Backs the database up to a file that does not exist yet, as docs/operations.md says. The service may run.
    pub fn back_up(&self, file: &Path) {
        match &self.database {
            Some(database) => database.dump(file),
            None => drop(self.run_well(&["backup", file.to_str().unwrap()])),
        }
    }

    /// Replaces the database of the stopped service by a backup, as docs/operations.md says.
    pub fn restore(&self, file: &Path) {
        match &self.database {
            Some(database) => database.restore(file),
            None => drop(self.run_well(&["restore", file.to_str().unwrap()])),
        }
        if self.name() == "master-key-manager" {
            // Who holds rights in an older database is an operator's word.
            let shown = self.run_well(&["policy", "show"]);
            let word = shown.split_whitespace().next_back().unwrap().to_owned();
            self.run_well(&["policy", "confirm", &word]);
        }
    }

    /// Copies what a thief of the storage finds: the data directory, and of PostgreSQL a dump as text, and all files of a
    /// server that serves nobody else.
    pub fn steal_data(&self, to: &Path) {
        copy_tree(&self.data(), to);
        if let Some(database) = &self.database {
            database.dump_text(&to.join("dump.sql"));
            if database.server().is_own() {
                steal_server(database.server(), &to.join("server"));
            }
        }
    }

    /// Keeps the data of the stopped service.
    pub fn keep_data(&self, folder: &Path) -> KeptData {
        copy_tree(&self.data(), folder);
        KeptData { folder: folder.to_owned(), database: self.database.as_ref().map(|database| database.copy()) }
    }

    /// Puts kept data in the place of that of the stopped service.
    pub fn put_data_back(&self, kept: &KeptData) {
        crate::loot::put_back(&kept.folder, &self.data());
        if let (Some(database), Some(copy)) = (&self.database, &kept.database) {
            database.put_back(copy);
        }
    }

    /// Moves the database of the stopped service to the other engine and its configuration with it, as docs/operations.md
    /// says. A refusal changes nothing.
    ///
    /// # Panics
    ///
    /// When files cannot be moved.
    pub fn move_to_other_engine(&mut self) -> Output {
        let old_config = self.folder.join("old.toml");
        std::fs::copy(self.config(), &old_config).unwrap();
        let old = self.database.take();
        if old.is_none() {
            self.database = Some(Arc::new(Database::create()));
        } else if self.sqlite_file().exists() {
            // It was moved from there.
            std::fs::rename(self.sqlite_file(), self.data().join("moved.db")).unwrap();
        }
        self.write_config();
        let (from, to) = (old_config.to_str().unwrap().to_owned(), self.config().to_str().unwrap().to_owned());
        let moved = self.run(&["migrate-store", "--from", &from, "--to", &to]);
        if !moved.status.success() {
            self.database = old;
            self.write_config();
        }
        moved
    }

    /// Gives it the database of another service, and the other its own. Counts from the next start.
    pub fn exchange_databases(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.database, &mut other.database);
        self.write_config();
        other.write_config();
    }

    /// Its database on PostgreSQL.
    ///
    /// # Panics
    ///
    /// When the engine is another.
    pub fn postgres(&self) -> &Arc<Database> {
        self.database.as_ref().expect("the engine is PostgreSQL")
    }

    /// What tests/thief/tamper.py takes as `--database`.
    pub fn tampering_address(&self) -> String {
        match &self.database {
            Some(database) => database.superuser_address(),
            None => self.sqlite_file().to_str().expect("a plain path").to_owned(),
        }
    }

    /// The file of the database on SQLite.
    ///
    /// # Panics
    ///
    /// When the engine is another.
    pub fn sqlite_file(&self) -> PathBuf {
        assert!(self.database.is_none(), "{} keeps its data in PostgreSQL", self.name());
        self.data().join(if self.name() == "encrypted-vault" { "vault.db" } else { "manager.db" })
    }

    fn in_sqlite(&self, expression: &str, statement: &str) -> String {
        let python =
            std::env::var_os("SPLITVAULT_PYTHON").map_or_else(|| target_dir().join("venv/bin/python3"), PathBuf::from);
        let program = format!("import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as db: {expression}");
        let output =
            Command::new(python).args(["-c", &program]).arg(self.sqlite_file()).arg(statement).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Data that [`Service::keep_data`] kept.
#[derive(Debug)]
pub struct KeptData {
    folder: PathBuf,
    database: Option<Database>,
}

/// Blobs as PostgreSQL writes them.
fn in_postgres(statement: &str) -> String {
    statement.replace("X'", "'\\x")
}

/// Removes the log of how the server was made: the thief would try everything in it that looks like a key.
fn forget_how_it_was_made(server: &Server) {
    for statement in
        ["ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()", "SELECT pg_switch_wal()", "CHECKPOINT"]
    {
        server.tell("postgres", statement);
    }
}

/// All files of a server but its catalogs: they are most of it, and of them only statistics hold values.
fn steal_server(server: &Server, to: &Path) {
    // What is in memory is on its way to the disk all the time.
    server.tell("postgres", "CHECKPOINT");
    copy_tree(server.data(), to);
    for database in std::fs::read_dir(to.join("base")).unwrap() {
        for file in std::fs::read_dir(database.unwrap().path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().to_string_lossy().into_owned();
            let number = name.split(['.', '_']).next().and_then(|number| number.parse::<u32>().ok());
            if number.is_some_and(|number| number < FIRST_TABLE && !STATISTICS.contains(&number)) {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
    }
    for file in std::fs::read_dir(to.join("pg_wal")).unwrap().map(|file| file.unwrap().path()) {
        // A segment of the log is made of zeros before it is written to.
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            std::fs::write(file, &bytes[..written]).unwrap();
        }
    }
}

/// The first number of a file that is no catalog's.
const FIRST_TABLE: u32 = 16_384;
/// The files of `pg_statistic`, which holds frequent values of columns.
const STATISTICS: [u32; 2] = [2_619, 2_840];
