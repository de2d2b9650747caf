//! The one error of statements and jobs.

use std::fmt;

use crate::sqlite::code_of;

/// The reason why a statement or a job failed, as a code. Messages of an engine are dropped, for they may quote values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlError(Cause);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Sqlite(rusqlite::ffi::Error),
    Unreadable,
}

impl SqlError {
    /// A column, a parameter or a row does not have the form that the code expects.
    pub const fn unreadable() -> Self {
        Self(Cause::Unreadable)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&code_of(&rusqlite::Error::from(*self)))
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
            Cause::Unreadable => Self::InvalidQuery,
        }
    }
}
