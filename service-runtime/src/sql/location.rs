//! The place of a service's database, and the schema that it has there.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{
    MoveNote, SqlError, Tx,
    postgres::{self, PostgresOptions, Server},
};
use crate::{StartError, sqlite::open_reader};

/// The schema of a service's database on each engine: steps, of which a released one is never edited.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The service, by the name of its program.
    pub service: &'static str,
    /// The steps on SQLite.
    pub sqlite: &'static [&'static str],
    /// The steps on PostgreSQL.
    pub postgres: &'static [&'static str],
}

impl Schema {
    /// The error for a database that does not exist.
    pub(super) fn missing(&self, at: &dyn fmt::Display) -> StartError {
        StartError::new(format!(
            "There is no database {at}; run: {} --config <file> init, or restore a backup of it.",
            self.service
        ))
    }
}

/// The treatment of a database that a service cannot use yet, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Tables are made in an empty one.
    Make,
    /// An empty one is refused.
    Refuse,
    /// Tables are made in an empty one, and one that takes part in a move is taken: it is copied, or filled.
    Copy,
}

impl Missing {
    /// Refuses a database that takes part in a move.
    ///
    /// # Errors
    /// It does, or cannot be read.
    pub(super) fn refuse_moved(self, tx: &mut Tx<'_>, at: &dyn fmt::Display) -> Result<(), StartError> {
        if self == Self::Copy {
            return Ok(());
        }
        let note = MoveNote::read(tx)
            .map_err(|error| StartError::new(format!("The database {at} cannot be read ({error}).")))?;
        note.map_or(Ok(()), |note| Err(note.refusal(at)))
    }
}

/// Where a database is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A SQLite file.
    File(PathBuf),
    /// A database on a PostgreSQL server.
    Server(Server),
}

impl Location {
    /// The place of a configuration: `database` if that is a URL, and `file` without one. `base` is the folder of the
    /// configuration.
    ///
    /// # Errors
    /// Those of [`Server::new`], or there are options of a server without a URL.
    pub fn new(
        database: Option<&str>,
        options: Option<&PostgresOptions>,
        base: &Path,
        file: PathBuf,
        without_durability: bool,
    ) -> Result<Self, StartError> {
        match (database, options) {
            (None, None) => Ok(Self::File(file)),
            (None, Some(_)) => {
                Err(StartError::new("There is [postgres], but database names none; add database = \"postgres://…\"."))
            }
            (Some(url), options) => {
                let (default, options) = (PostgresOptions::default(), options);
                Server::new(url, options.unwrap_or(&default), base, without_durability).map(Self::Server)
            }
        }
    }

    /// The file, of an engine that has one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// The file, for a command that copies or replaces it.
    ///
    /// # Errors
    /// The database is on a server, whose own tools do that: `tools` of them are named.
    pub fn file_for(&self, tools: &str) -> Result<&Path, StartError> {
        self.file().ok_or_else(|| {
            StartError::new(format!(
                "The database {self} is on a server; use {tools} there, as docs/operations.md says."
            ))
        })
    }

    /// Whether there is a database of a service.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn is_made(&self) -> Result<bool, StartError> {
        match self {
            Self::File(path) => Ok(std::fs::symlink_metadata(path).is_ok()),
            Self::Server(server) => postgres::is_made(server),
        }
    }

    /// Reads the password and the CA of a server, as a connection does. The server is not asked.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn check_files(&self) -> Result<(), StartError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Server(server) => server.dial().map(drop),
        }
    }

    /// The sentence for what [`Location::check_files`] leaves out; empty without a server.
    pub fn unchecked(&self) -> String {
        match self {
            Self::File(_) => String::new(),
            Self::Server(server) => format!(" The server of {server} was not asked."),
        }
    }

    /// Runs `job` on one snapshot of a database of this schema, beside the process that uses it.
    ///
    /// # Errors
    /// The database cannot be opened, is another service's, or the job failed: it may be of an earlier version.
    pub fn look<T: Send>(
        &self,
        schema: &Schema,
        job: impl Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + Sync,
    ) -> Result<T, StartError> {
        let cannot = |error: SqlError| {
            let fix = "; if it is of an earlier version, start the service once with this version";
            let fix = if error.is_of_schema() { fix } else { "" };
            StartError::new(format!("The database {self} cannot be read ({error}){fix}."))
        };
        match self {
            Self::File(path) => {
                let conn = open_reader(path)?;
                let snapshot = conn.unchecked_transaction().map_err(|error| cannot(error.into()))?;
                Tx::on(&snapshot).carry_out(&job).map_err(cannot)
            }
            Self::Server(server) => postgres::look(server, schema, &job)?.map_err(cannot),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}
