//! The one error of statements and jobs.

use std::{error::Error as _, fmt};

use crate::sqlite::{StoreFault, code_of, fault_of};

/// The reason why a statement or a job failed, as a code. Messages of an engine are dropped, for they may quote values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlError(Cause);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Sqlite(rusqlite::ffi::Error),
    /// The SQLSTATE of a server.
    Server([u8; 5]),
    /// The connection to the server has ended, or does not answer.
    Lost,
    Unreadable,
}

impl SqlError {
    /// A column, a parameter or a row does not have the form that the code expects.
    pub const fn unreadable() -> Self {
        Self(Cause::Unreadable)
    }

    /// The connection to the server has ended, or does not answer.
    pub(super) const fn lost() -> Self {
        Self(Cause::Lost)
    }

    /// The error of a server, or of the way to it.
    pub(super) fn from_server(error: &tokio_postgres::Error) -> Self {
        use tokio_postgres::error::Severity;
        if let Some(refusal) = error.as_db_error() {
            let ends = matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
            let code = refusal.code().code().as_bytes().try_into();
            return Self(if ends { Cause::Lost } else { code.map_or(Cause::Unreadable, Cause::Server) });
        }
        let unfit = error.source().is_some_and(<dyn std::error::Error>::is::<Unfit>);
        Self(if unfit { Cause::Unreadable } else { Cause::Lost })
    }

    /// Whether the connection cannot be used any more.
    pub(super) fn is_lost(self) -> bool {
        self.0 == Cause::Lost
    }

    /// Whether the transaction failed because of another one, and may succeed when it is run again.
    pub(super) fn is_conflict(self) -> bool {
        matches!(self.0, Cause::Server(code) if [SERIALIZATION, DEADLOCK].contains(&&code))
    }

    /// Whether a row was there already. Another transaction may have written it at the same time.
    pub(super) fn is_duplicate(self) -> bool {
        self.0 == Cause::Server(*UNIQUE)
    }

    /// Whether a transaction that ends with this error has certainly written nothing.
    pub(super) fn is_undone(self) -> bool {
        // Class 23: a constraint; class 40: a rollback, but for 40003: it is not known.
        matches!(self.0, Cause::Server(code) if code.starts_with(b"23") || code.starts_with(b"40") && code != *UNKNOWN)
    }

    /// Tells whether a table or a column is not there, as in a database of an earlier version.
    pub(super) fn is_of_schema(self) -> bool {
        match self.0 {
            Cause::Server(code) => [NO_TABLE, NO_COLUMN].contains(&&code),
            // SQLite has no code of its own for it.
            Cause::Sqlite(failure) => failure.extended_code == rusqlite::ffi::SQLITE_ERROR,
            Cause::Lost | Cause::Unreadable => false,
        }
    }

    /// Whether a lock was not free in time.
    pub(super) fn is_lock_timeout(self) -> bool {
        self.0 == Cause::Server(*LOCKED)
    }

    /// The fault for a statement that was not carried out.
    pub(super) fn fault(self) -> StoreFault {
        match self.0 {
            Cause::Sqlite(_) => fault_of(&self.into()),
            // Damaged data, a damaged index.
            Cause::Server(code) if code.starts_with(b"XX00") && !code.ends_with(b"0") => StoreFault::Corrupt,
            Cause::Server(_) | Cause::Lost | Cause::Unreadable => StoreFault::Unavailable,
        }
    }
}

/// A value that a parameter or column of a server does not take.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a value of another kind than the column")]
pub(super) struct Unfit;

// PostgreSQL, appendix A.
const SERIALIZATION: &[u8; 5] = b"40001";
const DEADLOCK: &[u8; 5] = b"40P01";
const UNKNOWN: &[u8; 5] = b"40003";
const UNIQUE: &[u8; 5] = b"23505";
const LOCKED: &[u8; 5] = b"55P03";
/// The role lacks a right.
pub(super) const NO_RIGHT: &str = "42501";
const NO_TABLE: &[u8; 5] = b"42P01";
const NO_COLUMN: &[u8; 5] = b"42703";

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::Server(code) if code == *NO_RIGHT.as_bytes() => write!(
                f,
                "PostgreSQL error {NO_RIGHT}: the role does not own the database and its tables; ALTER DATABASE … OWNER TO …, \
                 and ALTER TABLE … OWNER TO … for each table that is another role's"
            ),
            Cause::Server(code) => write!(f, "PostgreSQL error {}", String::from_utf8_lossy(&code)),
            Cause::Lost => f.write_str("the connection to the database was lost"),
            Cause::Sqlite(_) | Cause::Unreadable => f.write_str(&code_of(&rusqlite::Error::from(*self))),
        }
    }
}

impl std::error::Error for SqlError {}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive; the rest never reached SQLite")]
        match error {
            rusqlite::Error::SqliteFailure(failure, _) | rusqlite::Error::SqlInputError { error: failure, .. } => {
                Self(Cause::Sqlite(failure))
            }
            _ => Self::unreadable(),
        }
    }
}

impl From<SqlError> for rusqlite::Error {
    fn from(SqlError(cause): SqlError) -> Self {
        match cause {
            Cause::Sqlite(failure) => Self::SqliteFailure(failure, None),
            Cause::Server(_) | Cause::Lost | Cause::Unreadable => Self::InvalidQuery,
        }
    }
}
