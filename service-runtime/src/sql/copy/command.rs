//! The command `migrate-store` of both services.

use std::{
    io::{self, Write as _},
    path::Path,
};

use super::{Location, Plan, Schema, SqlError, Tx};
use crate::{
    StartError,
    cli::{print, runtime},
    config::Mode,
    process::DirectoryLock,
};

/// An installation, as one of the two configurations names it.
#[derive(Clone, Copy, Debug)]
pub struct MovedInstallation<'c> {
    /// Development or production.
    pub mode: Mode,
    /// The data directory.
    pub data_dir: &'c Path,
    /// The key folder.
    pub key_dir: &'c Path,
    /// The database.
    pub location: &'c Location,
}

/// Copies the database of `from` to the one of `to`, which are two configurations of the same installation. `belongs`
/// tells whether a database is of that installation. Blocks the thread; tells the progress on standard error, and what was
/// copied on standard output.
///
/// # Errors
/// The configurations differ in more than the database, the service runs, a database is refused, or a row differs. Nothing
/// can be used then that could not be used before.
pub fn migrate_store(
    from: MovedInstallation<'_>,
    to: MovedInstallation<'_>,
    schema: &Schema,
    belongs: impl Fn(&mut Tx<'_>) -> Result<bool, SqlError> + Sync,
) -> Result<(), StartError> {
    let folders = [("data_dir", from.data_dir, to.data_dir), ("key_dir", from.key_dir, to.key_dir)];
    for (name, one, other) in folders {
        // The audit log, the local refusals, the keys and the pins stay where they are.
        if !is_same(one, other)? {
            return Err(StartError::new(format!(
                "The two configurations name different folders as {name}; only the database may differ."
            )));
        }
    }
    if from.mode != to.mode {
        return Err(StartError::new("The two configurations are of different modes; only the database may differ."));
    }
    let _lock = DirectoryLock::acquire(from.data_dir)?;
    let plan = Plan { from: from.location, to: to.location, schema, belongs: &belongs, faults: None };
    let mut say = |line: &str| {
        // Nobody may be listening.
        let _closed = writeln!(io::stderr(), "{line}");
    };
    let same = runtime()?.block_on(plan.carry_out(&mut say))?;
    for table in same {
        print(&format!("{}: {} rows, SHA-256 {}", table.name, table.rows, table.digest))?;
    }
    print(&format!(
        "Copied {} to {}, and compared every row. No service starts on the first one any more.",
        from.location, to.location
    ))
}

fn is_same(one: &Path, other: &Path) -> Result<bool, StartError> {
    let real = |path: &Path| {
        let found = path.canonicalize();
        found.map_err(|error| StartError::new(format!("The folder {} cannot be used ({error}).", path.display())))
    };
    Ok(real(one)? == real(other)?)
}
