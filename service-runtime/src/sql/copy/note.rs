//! The note in a database that no service may use: the unfinished copy, and the one that was moved.

use std::fmt;

use super::super::{SqlError, Tx};
use crate::StartError;

/// The table of the note. It is not there in a database that a service may use.
pub(super) const TABLE: &str = "store_move";

/// The part of a database in a move to another engine or server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MoveNote {
    /// The random name of the move, in both databases.
    pub(super) copy: String,
    /// The part of this database.
    pub(super) part: Part,
    /// The other database.
    pub(super) other: String,
}

/// The part of a database in a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is filled.
    Unfinished,
    /// What it holds is somewhere else, and changes there.
    Moved,
}

impl MoveNote {
    /// The note of a database, if it has one.
    ///
    /// # Errors
    /// It cannot be read.
    pub(in crate::sql) fn read(tx: &mut Tx<'_>) -> Result<Option<Self>, SqlError> {
        let is_there = tx.choose(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'store_move'",
            "SELECT 1 WHERE to_regclass('store_move') IS NOT NULL",
        );
        if !tx.exists(is_there, &[])? {
            return Ok(None);
        }
        tx.optional("SELECT copy, part, other FROM store_move", &[], |row| {
            let part = match row.get::<String>(1)?.as_str() {
                "unfinished" => Part::Unfinished,
                "moved" => Part::Moved,
                _ => return Err(SqlError::unreadable()),
            };
            Ok(Self { copy: row.get(0)?, part, other: row.get(2)? })
        })
    }

    /// Writes the note into a database that has none.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, tx: &mut Tx<'_>) -> Result<(), SqlError> {
        let part = match self.part {
            Part::Unfinished => "unfinished",
            Part::Moved => "moved",
        };
        tx.execute(
            "CREATE TABLE store_move (
                only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
                copy TEXT NOT NULL,
                part TEXT NOT NULL,
                other TEXT NOT NULL
            )",
            &[],
        )?;
        tx.execute(
            "INSERT INTO store_move (only_row, copy, part, other) VALUES (1, ?1, ?2, ?3)",
            &[&self.copy, &part, &self.other],
        )?;
        Ok(())
    }

    /// Removes the note: the database may be used.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn remove(tx: &mut Tx<'_>) -> Result<(), SqlError> {
        tx.execute("DROP TABLE store_move", &[]).map(drop)
    }

    /// Why a service does not use the database.
    pub(in crate::sql) fn refusal(&self, at: &dyn fmt::Display) -> StartError {
        let other = &self.other;
        StartError::new(match self.part {
            Part::Unfinished => {
                format!(
                    "The database {at} is an unfinished copy of {other}; run migrate-store again, which goes on with it."
                )
            }
            Part::Moved => format!(
                "The database {at} was moved to {other}, which alone knows what was revoked since; use the configuration \
                 that names that one (docs/operations.md: Moving between engines)."
            ),
        })
    }
}

/// Makes the copy of a backup usable. That of a database that was moved is what it was on that day.
///
/// # Errors
/// It is an unfinished copy, or cannot be used.
pub(crate) fn free_backup(conn: &rusqlite::Connection, at: &dyn fmt::Display) -> Result<(), StartError> {
    let tx = &mut Tx::on(conn);
    let cannot = |error: SqlError| StartError::new(format!("{at} cannot be used as a database ({error})."));
    match MoveNote::read(tx).map_err(cannot)? {
        None => Ok(()),
        Some(MoveNote { part: Part::Moved, .. }) => MoveNote::remove(tx).map_err(cannot),
        Some(note @ MoveNote { part: Part::Unfinished, .. }) => Err(note.refusal(at)),
    }
}
