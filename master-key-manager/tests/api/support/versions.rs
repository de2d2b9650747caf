//! The versions in the database.

use rusqlite::{Connection, OpenFlags};

use super::Manager;

/// A version as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionLine {
    pub(crate) version: u64,
    pub(crate) envelope: u64,
    pub(crate) state: String,
}

impl Manager {
    /// Every version, by secret and number.
    pub(crate) fn versions(&self) -> Vec<VersionLine> {
        let database = Connection::open_with_flags(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let query = "SELECT version, envelope, state FROM versions ORDER BY secret_id, version";
        let mut statement = database.prepare(query).unwrap();
        let line = |row: &rusqlite::Row<'_>| {
            let number = |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap());
            Ok(VersionLine { version: number(0)?, envelope: number(1)?, state: row.get(2)? })
        };
        statement.query_map([], line).unwrap().map(Result::unwrap).collect()
    }
}
