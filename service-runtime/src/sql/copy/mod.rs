//! The copying of a database to another engine or server, offline.
//!
//! Guarantees that at most one of the two databases can be used at any moment, whatever is killed when: the target has
//! a note that it is unfinished before its first row, and loses it after every row was read back and compared, and after
//! the source has a note that it was moved. A copy that was cut short goes on, and compares what is there. Refuses a target with
//! rows of its own, a source that another process uses or that has another schema, and rows that differ. Holds a page of
//! rows, and names a row by its key only.

mod command;
mod layout;
mod note;
mod rows;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use shared_proto::encoding::random;

pub use self::command::{MovedInstallation, migrate_store};
pub(super) use self::note::MoveNote;
pub(crate) use self::note::free_backup;
use self::{
    layout::{Table, catalog, tables},
    note::Part,
    rows::{Lacking, Pair, SameTable},
};
use super::{Database, Faults, Location, Schema, SqlError, Tx, location::Missing};
use crate::StartError;

/// The source and the target of a copy.
struct Plan<'p> {
    from: &'p Location,
    to: &'p Location,
    schema: &'p Schema,
    /// Whether the source is of the installation whose data directory is locked.
    belongs: &'p (dyn Fn(&mut Tx<'_>) -> Result<bool, SqlError> + Sync),
    /// Planned faults, for tests.
    faults: Option<Faults>,
}

/// The findings of a look at a database.
struct Found {
    version: usize,
    /// The first table and column that only one of program and database has.
    surplus: Option<String>,
    lacking: Option<String>,
    note: Option<MoveNote>,
    /// A table with rows that the schema does not make.
    filled: Option<String>,
}

impl Plan<'_> {
    /// Copies, compares, and hands the right to be used over.
    ///
    /// # Errors
    /// A database is refused, cannot be used, or a row differs. The source is as it was, unless the copy is whole.
    async fn carry_out(&self, say: &mut (dyn FnMut(&str) + Send)) -> Result<Vec<SameTable>, StartError> {
        let tables = tables(self.schema)?;
        let (from, to) = (shown(self.from), shown(self.to));
        if from == to {
            return Err(StartError::new(format!(
                "Both configurations name the database {from}; there is nothing to copy."
            )));
        }
        let moved = self.check_source(&tables)?;
        let unfinished = self.check_target(&tables, &from, moved.as_ref())?;
        let copy = unfinished.as_ref().map_or_else(|| hex::encode(random::<16>()), |note| note.copy.clone());
        let source = Database::open_as(self.from, self.schema, Missing::Copy)?;
        let target = match Database::open_as(self.to, self.schema, Missing::Copy) {
            Ok(target) => target,
            Err(error) => {
                source.close().await;
                return Err(error);
            }
        };
        // Both die together, like the process.
        let faulty = |database| self.faults.iter().cloned().fold(database, Database::with_faults);
        let (source, target) = (faulty(source), faulty(target));
        let pair = Pair { source, from, target, to };
        let copied = pair.run(&tables, copy, unfinished.is_none(), moved.is_none(), &mut Progress::new(say)).await;
        pair.target.close().await;
        pair.source.close().await;
        copied
    }

    /// Refuses a source that is not whole, and returns its note of an earlier run.
    fn check_source(&self, tables: &[Table]) -> Result<Option<MoveNote>, StartError> {
        let (at, service, newest) = (self.from, self.schema.service, self.newest(self.from));
        if !at.is_made()? {
            return Err(self.schema.missing(at));
        }
        let found = look(at, self.schema, tables)?;
        if let Some(strange) = found.surplus.or(found.lacking.filter(|_| found.version == newest)) {
            return Err(StartError::new(format!(
                "{at} is no database of the {service}: look at {strange}. Nothing was changed."
            )));
        }
        if found.version != newest {
            return Err(StartError::new(format!(
                "The database {at} has schema {}, this program copies schema {newest}; start the service once with this \
                 version, and stop it.",
                found.version
            )));
        }
        if !at.look(self.schema, |tx| (self.belongs)(tx))? {
            return Err(StartError::new(format!(
                "The database {at} is of another installation than the key folder. Nothing was changed."
            )));
        }
        match found.note {
            Some(note) if note.part == Part::Unfinished => Err(note.refusal(at)),
            note => Ok(note),
        }
    }

    /// Refuses a target that holds anything but a part of this copy, and returns its note.
    fn check_target(
        &self,
        tables: &[Table],
        from: &str,
        moved: Option<&MoveNote>,
    ) -> Result<Option<MoveNote>, StartError> {
        let (at, service) = (self.to, self.schema.service);
        let is_file = at.file().is_some();
        let found = if is_file && !at.is_made()? { None } else { Some(look(at, self.schema, tables)?) };
        let (note, strange, filled) =
            found.map_or((None, None, None), |found| (found.note, found.surplus, found.filled));
        if let Some(strange) = strange {
            return Err(StartError::new(format!(
                "{at} holds something else than a database of the {service}: look at {strange}. Name an empty one; nothing \
                 was changed."
            )));
        }
        match (note, moved) {
            (Some(note), _) if note.part == Part::Moved => Err(StartError::new(format!(
                "The database {at} was moved to {} itself, and nothing is copied over it; {}.",
                note.other,
                if is_file { "move it away, or name another" } else { "rename it, or make a new one" }
            ))),
            (Some(note), _) if note.other != from => Err(StartError::new(format!(
                "The database {at} is an unfinished copy of {}, not of {from}; name that one, or remove the copy.",
                note.other
            ))),
            (Some(note), Some(moved)) if note.copy == moved.copy => Ok(Some(note)),
            (_, Some(moved)) => Err(moved.refusal(self.from)),
            (Some(note), None) => Ok(Some(note)),
            (None, None) => filled.map_or(Ok(None), |table| {
                Err(StartError::new(format!(
                    "The database {at} is in use: its table {table} has rows. Name an empty one; nothing was changed."
                )))
            }),
        }
    }

    fn newest(&self, at: &Location) -> usize {
        if at.file().is_some() { self.schema.sqlite.len() } else { self.schema.postgres.len() }
    }
}

impl Pair {
    async fn run(
        &self,
        tables: &[Table],
        copy: String,
        is_new: bool,
        is_unmoved: bool,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<SameTable>, StartError> {
        if is_new {
            let note = MoveNote { copy: copy.clone(), part: Part::Unfinished, other: self.from.clone() };
            let seeded: Vec<_> = tables.iter().rev().filter(|table| table.is_seeded).map(|table| table.clear).collect();
            let noted = self.target.write("note_unfinished", move |tx| {
                seeded.iter().try_for_each(|clear| tx.execute(clear, &[]).map(drop))?;
                note.write(tx)
            });
            noted.await.map_err(|fault| unnoted(&self.to, &self.target.told(fault)))?;
        }
        for table in tables {
            self.walk(table, Lacking::Copy, progress).await?;
        }
        let mut same = Vec::with_capacity(tables.len());
        for table in tables {
            same.push(self.walk(table, Lacking::Refuse, progress).await?);
        }
        if is_unmoved {
            let note = MoveNote { copy, part: Part::Moved, other: self.to.clone() };
            let noted = self.source.write("note_moved", move |tx| note.write(tx)).await;
            noted.map_err(|fault| unnoted(&self.from, &self.source.told(fault)))?;
        }
        let finished = self.target.write("note_finished", MoveNote::remove).await;
        finished.map_err(|fault| unnoted(&self.to, &self.target.told(fault)))?;
        Ok(same)
    }
}

fn unnoted(at: &str, why: &str) -> StartError {
    StartError::new(format!("The state of {at} was not written ({why}); run the command again, which goes on there."))
}

/// Looks at a database without opening it for good.
fn look(at: &Location, schema: &Schema, tables: &[Table]) -> Result<Found, StartError> {
    let mut known: Vec<(&str, &str)> = tables
        .iter()
        .flat_map(|table| table.columns.iter().map(|column| (table.name.as_str(), column.as_str())))
        .collect();
    known.sort_unstable();
    let shown = |(table, column): (&str, &str)| format!("{table}.{column}");
    at.look(schema, |tx| {
        let catalog = catalog(tx)?;
        let is_there = |name: &str| catalog.iter().any(|(table, _)| table == name);
        let strange = |(table, _): &&(String, String)| table != note::TABLE && table != COPIES;
        let mut columns = catalog.iter().filter(strange).map(|(table, column)| (table.as_str(), column.as_str()));
        let surplus = columns.find(|pair| known.binary_search(pair).is_err()).map(shown);
        let has =
            |pair: &(&str, &str)| catalog.iter().any(|(table, column)| (table.as_str(), column.as_str()) == *pair);
        let lacking = known.iter().find(|pair| !has(pair)).copied().map(shown);
        let version = if at.file().is_some() || is_there(COPIES) {
            let query =
                tx.choose("SELECT user_version FROM pragma_user_version", "SELECT schema_version FROM service_copy");
            tx.one(query, &[], |row| row.get::<u64>(0))?
        } else {
            0
        };
        let mut filled = None;
        for table in tables {
            if filled.is_none() && !table.is_seeded && is_there(&table.name) && tx.exists(table.any, &[])? {
                filled = Some(table.name.clone());
            }
        }
        let version = usize::try_from(version).map_err(|_| SqlError::unreadable())?;
        Ok(Found { version, surplus, lacking, note: MoveNote::read(tx)?, filled })
    })
}

/// The table of a server's database that says which process uses it. It is not copied.
const COPIES: &str = "service_copy";

/// The same name for the same database, from wherever the command runs.
fn shown(at: &Location) -> String {
    let absolute = at.file().and_then(|file| {
        let folder = file.parent()?.canonicalize().ok()?;
        Some(folder.join(file.file_name()?).display().to_string())
    });
    absolute.unwrap_or_else(|| at.to_string())
}

/// Lines about how far a copy is: at the end of each table, and once a second.
struct Progress<'p> {
    say: &'p mut (dyn FnMut(&str) + Send),
    last: Instant,
}

impl<'p> Progress<'p> {
    fn new(say: &'p mut (dyn FnMut(&str) + Send)) -> Self {
        Self { say, last: Instant::now() }
    }

    fn note(&mut self, doing: Lacking, table: &str, rows: u64, total: Option<u64>, is_last: bool) {
        if !is_last && self.last.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.last = Instant::now();
        let doing = if doing == Lacking::Copy { "copying" } else { "comparing" };
        let total = total.map(|total| format!(" of {total}")).unwrap_or_default();
        (self.say)(&format!("{doing} {table}: {rows}{total} rows"));
    }
}
