//! Rows on their way from one database to another: read in the order of their keys, compared, written.

use std::{
    fmt::Write as _,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};

use super::{
    super::{Column, Database, Param, SqlError, StoreFault, Tx, Value, row_limit},
    Progress,
    layout::{PAGE, Table},
};
use crate::StartError;

/// A value of a row. Values of one column have the order that databases give them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

type Row = Vec<Cell>;

/// The database that is copied, and the one that is filled, with the names that they have in messages.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) source: Database,
    pub(super) from: String,
    pub(super) target: Database,
    pub(super) to: String,
}

/// The treatment of rows that the target lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lacking {
    /// They are written.
    Copy,
    /// They are an error.
    Refuse,
}

/// A table whose rows are the same in both databases.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SameTable {
    /// Its name.
    pub(super) name: String,
    /// Its rows.
    pub(super) rows: u64,
    /// The SHA-256 of all values, in hexadecimal; the same on each engine.
    pub(super) digest: String,
}

impl Pair {
    /// Goes through a table in both databases, in the order of its keys. Whatever the target has already is compared.
    ///
    /// # Errors
    /// A row differs, or cannot be read or written. The pages before it are written.
    pub(super) async fn walk(
        &self,
        table: &Table,
        lacking: Lacking,
        progress: &mut Progress<'_>,
    ) -> Result<SameTable, StartError> {
        // For the eye only: it may take too long on a server.
        let total = self.source.read("count_rows", count(table)).await.ok();
        let (mut after, mut rows, mut digest) = (None, 0_u64, Context::new(&SHA256));
        loop {
            let (theirs, ours) = tokio::join!(
                page(&self.source, &self.from, table, after.clone()),
                page(&self.target, &self.to, table, after.clone())
            );
            let (theirs, ours) = (theirs?, ours?);
            if !theirs.starts_with(&ours) || (lacking == Lacking::Refuse && ours.len() < theirs.len()) {
                return Err(self.differs(table, &theirs, &ours));
            }
            if !table.is_keyed && theirs.len() >= PAGE {
                return Err(StartError::new(format!(
                    "The table {} has no key and too many rows to be copied.",
                    table.name
                )));
            }
            theirs.iter().flatten().for_each(|cell| cell.feed(&mut digest));
            rows += theirs.len() as u64;
            let is_last = theirs.len() < PAGE;
            after = theirs.last().map(|row| key_of(table, row));
            let missing = theirs.into_iter().skip(ours.len()).collect::<Vec<_>>();
            if !missing.is_empty() {
                self.insert(table, missing).await?;
            }
            progress.note(lacking, &table.name, rows, total, is_last);
            if is_last {
                let digest = hex::encode(digest.finish());
                return Ok(SameTable { name: table.name.clone(), rows, digest });
            }
        }
    }

    fn differs(&self, table: &Table, theirs: &[Row], ours: &[Row]) -> StartError {
        let same = theirs.iter().zip(ours).take_while(|(row, copy)| row == copy).count();
        // The one that the other database lacks, if it is that.
        let keys = theirs.get(same).into_iter().chain(ours.get(same)).map(|row| key_of(table, row));
        let row = keys.min().map(|key| shown(&key)).unwrap_or_default();
        StartError::new(format!(
            "The row {row} of the table {} is not the same in {} and {}: the first was used since the copy began, or the \
             second was altered; remove the second and begin again.",
            table.name, self.from, self.to
        ))
    }

    /// Writes rows in one transaction. If the database does not take them, one after the other, to find the one.
    async fn insert(&self, table: &Table, rows: Vec<Row>) -> Result<(), StartError> {
        let (count, rows) = (rows.len(), Arc::new(rows));
        let stopped = |fault: StoreFault| {
            StartError::new(format!(
                "Rows of the table {} were not written to {} ({}); run the command again, which goes on there.",
                table.name,
                self.to,
                self.target.told(fault)
            ))
        };
        match self.write(table, &rows, 0..count).await {
            Ok(()) => return Ok(()),
            Err((_, Some(error))) if !error.is_lost() => {}
            Err((fault, _)) => return Err(stopped(fault)),
        }
        for (number, row) in rows.iter().enumerate() {
            self.write(table, &rows, number..number + 1).await.map_err(|(fault, error)| match error {
                Some(error) if !error.is_lost() => StartError::new(format!(
                    "The row {} of the table {} cannot be written to {} ({error}).",
                    shown(&key_of(table, row)),
                    table.name,
                    self.to
                )),
                Some(_) | None => stopped(fault),
            })?;
        }
        Ok(())
    }

    /// Writes some of the rows. The error has the failed statement's reason, if one failed.
    async fn write(
        &self,
        table: &Table,
        rows: &Arc<Vec<Row>>,
        which: Range<usize>,
    ) -> Result<(), (StoreFault, Option<SqlError>)> {
        let (insert, insert_page, rows) = (table.insert, table.insert_page, Arc::clone(rows));
        let job = move |tx: &mut Tx<'_>| {
            for some in rows.get(which.clone()).unwrap_or_default().chunks(PAGE) {
                if some.len() == PAGE {
                    tx.execute(insert_page, &some.iter().flatten().map(|cell| cell as &dyn Param).collect::<Vec<_>>())?;
                } else {
                    for row in some {
                        tx.execute(insert, &row.iter().map(|cell| cell as &dyn Param).collect::<Vec<_>>())?;
                    }
                }
            }
            Ok(())
        };
        let (job, reason) = noting(job);
        self.target.write("copy_rows", job).await.map_err(|fault| (fault, reason()))
    }
}

/// Reads the rows after a key.
async fn page(database: &Database, shown_as: &str, table: &Table, after: Option<Row>) -> Result<Vec<Row>, StartError> {
    let (first, next, columns) = (table.first, table.next, table.columns.len());
    let behind = after.as_deref().map(|key| format!(" after {}", shown(key))).unwrap_or_default();
    let job = move |tx: &mut Tx<'_>| {
        let limit = row_limit(PAGE);
        let mut params: Vec<&dyn Param> = after.iter().flatten().map(|cell| cell as _).collect();
        params.push(&limit);
        let statement = if after.is_some() { next } else { first };
        tx.all(statement, &params, |row| (0..columns).map(|column| row.get(column)).collect())
    };
    let (job, reason) = noting(job);
    database.read("copied_rows", job).await.map_err(|fault| {
        let why = reason().map_or_else(|| database.told(fault), |error| error.to_string());
        StartError::new(format!("The rows of the table {}{behind} cannot be read from {shown_as} ({why}).", table.name))
    })
}

fn count(table: &Table) -> impl Fn(&mut Tx<'_>) -> Result<u64, SqlError> + Send + 'static {
    let count = table.count;
    move |tx| tx.one(count, &[], |row| row.get(0))
}

/// A job whose last error can be asked for: a [`StoreFault`] does not tell it.
fn noting<T>(
    job: impl Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static,
) -> (impl Fn(&mut Tx<'_>) -> Result<T, SqlError> + Send + 'static, impl Fn() -> Option<SqlError>) {
    let reason = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&reason);
    let job = move |tx: &mut Tx<'_>| {
        job(tx).inspect_err(|error| *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(*error))
    };
    (job, move || *reason.lock().unwrap_or_else(PoisonError::into_inner))
}

fn key_of(table: &Table, row: &[Cell]) -> Row {
    table.key.iter().filter_map(|place| row.get(*place)).cloned().collect()
}

/// A key for the eye.
fn shown(key: &[Cell]) -> String {
    let parts = key.iter().map(|cell| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Text(text) => format!("{:?}", text.chars().take(64).collect::<String>()),
        Cell::Blob(bytes) => bytes.iter().take(64).fold(String::new(), |mut text, byte| {
            let _never_fails = write!(text, "{byte:02x}");
            text
        }),
    });
    format!("({})", parts.collect::<Vec<_>>().join(", "))
}

impl Cell {
    /// Adds kind, length and bytes, so that no two rows are alike to the digest.
    fn feed(&self, digest: &mut Context) {
        let number;
        let (kind, bytes): (u8, &[u8]) = match self {
            Self::Null => (0, &[]),
            Self::Integer(value) => {
                number = value.to_be_bytes();
                (1, &number)
            }
            Self::Text(text) => (2, text.as_bytes()),
            Self::Blob(bytes) => (3, bytes),
        };
        digest.update(&[kind]);
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    }
}

impl Param for Cell {
    fn value(&self) -> Result<Value<'_>, SqlError> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
            Self::Blob(bytes) => Value::Blob(bytes),
        })
    }
}

impl Column for Cell {
    fn from_value(value: Value<'_>) -> Result<Self, SqlError> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::Text(text) => Self::Text(text.to_owned()),
            Value::Blob(bytes) => Self::Blob(bytes.to_vec()),
        })
    }
}
