//! The tables of a schema in an order in which they can be filled, read from the schema itself: no step can be forgotten.

use rusqlite::Connection;

use super::super::{Schema, SqlError, Tx};
use crate::{StartError, sqlite::migrate};

/// The most rows that are held at once. A row may have a mebibyte.
pub(super) const PAGE: usize = 64;

/// The names of tables that a service makes from other tables begin so. They are not copied: they may differ between engines, and
/// the service makes them again at its first start on the copy.
const DERIVED: &str = "search_";

/// One table, with its statements, which live as long as the process.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    /// Its columns.
    pub(super) columns: Vec<String>,
    /// The places of the primary key's columns among them, in its order; all of them in a table without one.
    pub(super) key: Vec<usize>,
    /// Whether there is a primary key.
    pub(super) is_keyed: bool,
    /// Reads the first rows in the order of the key; `LIMIT` is the only parameter.
    pub(super) first: &'static str,
    /// Reads the rows after a key; `LIMIT` is the last parameter.
    pub(super) next: &'static str,
    /// Whether the schema itself makes rows. A new target has them, too: they give way to those of the source.
    pub(super) is_seeded: bool,
    /// Removes all rows.
    pub(super) clear: &'static str,
    /// Finds any row.
    pub(super) any: &'static str,
    /// Counts the rows.
    pub(super) count: &'static str,
    /// Writes a row.
    pub(super) insert: &'static str,
    /// Writes [`PAGE`] rows.
    pub(super) insert_page: &'static str,
}

/// Reads the tables from a database in memory that the steps make. A table stands after those that it refers to.
///
/// # Errors
/// The steps fail, or tables refer to each other in a circle.
pub(super) fn tables(schema: &Schema) -> Result<Vec<Table>, StartError> {
    let failed =
        |error: SqlError| StartError::new(format!("The schema of the {} is unusable ({error}).", schema.service));
    let mut made = Connection::open_in_memory().map_err(|error| failed(error.into()))?;
    migrate(&mut made, schema.sqlite)?;
    let tx = &mut Tx::on(&made);
    let mut waiting = catalog(tx).map_err(failed)?.into_iter().map(|(table, _)| table).collect::<Vec<_>>();
    waiting.dedup();
    let mut ordered: Vec<Table> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let before = ordered.len();
        for name in std::mem::take(&mut waiting) {
            let parents = parents(tx, &name).map_err(failed)?;
            if parents.iter().all(|parent| *parent == name || ordered.iter().any(|table| table.name == *parent)) {
                ordered.push(Table::read(tx, name).map_err(failed)?);
            } else {
                waiting.push(name);
            }
        }
        if ordered.len() == before {
            return Err(failed(SqlError::unreadable()));
        }
    }
    Ok(ordered)
}

/// All tables that are copied and their columns, sorted.
///
/// # Errors
/// The database cannot be read.
pub(super) fn catalog(tx: &mut Tx<'_>) -> Result<Vec<(String, String)>, SqlError> {
    let query = tx.choose(
        "SELECT t.name, c.name FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
         WHERE t.type = 'table' AND substr(t.name, 1, 7) <> 'sqlite_'",
        "SELECT c.relname::TEXT, a.attname::TEXT FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
             AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())",
    );
    let mut found: Vec<(String, String)> = tx.all(query, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.retain(|(table, _)| !table.starts_with(DERIVED));
    found.sort_unstable();
    Ok(found)
}

fn parents(tx: &mut Tx<'_>, table: &str) -> Result<Vec<String>, SqlError> {
    tx.all("SELECT \"table\" FROM pragma_foreign_key_list(?1)", &[&table], |row| row.get(0))
}

impl Table {
    fn read(tx: &mut Tx<'_>, name: String) -> Result<Self, SqlError> {
        let found: Vec<(String, i64)> =
            tx.all("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid", &[&name.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut key: Vec<(i64, usize)> =
            (0..).zip(&found).filter(|(_, (_, rank))| *rank > 0).map(|(place, (_, rank))| (*rank, place)).collect();
        key.sort_unstable();
        let is_keyed = !key.is_empty();
        let key = if is_keyed { key.into_iter().map(|(_, place)| place).collect() } else { (0..found.len()).collect() };
        let columns = found.into_iter().map(|(column, _)| column).collect();
        let mut table = Self::new(name, columns, key, is_keyed);
        table.is_seeded = tx.exists(table.any, &[])?;
        Ok(table)
    }

    fn new(name: String, columns: Vec<String>, key: Vec<usize>, is_keyed: bool) -> Self {
        let table = quoted(&name);
        let listed = list(columns.iter().map(|column| quoted(column)));
        let keys = list(key.iter().filter_map(|place| columns.get(*place)).map(|column| quoted(column)));
        let row = |number: usize| {
            let first = number * columns.len() + 1;
            format!("({})", parameters(first, columns.len()))
        };
        let read = |which: &str, limit: usize| {
            kept(format!("SELECT {listed} FROM {table}{which} ORDER BY {keys} LIMIT ?{limit}"))
        };
        let insert = |rows: usize| kept(format!("INSERT INTO {table} ({listed}) VALUES {}", list((0..rows).map(row))));
        Self {
            first: read("", 1),
            next: read(&format!(" WHERE ({keys}) > ({})", parameters(1, key.len())), key.len() + 1),
            is_seeded: false,
            clear: kept(format!("DELETE FROM {table}")),
            any: kept(format!("SELECT 1 FROM {table} LIMIT 1")),
            count: kept(format!("SELECT count(*) FROM {table}")),
            insert: insert(1),
            insert_page: insert(PAGE),
            name,
            columns,
            key,
            is_keyed,
        }
    }
}

/// `?3, ?4, ?5` for 3 from `first` = 3.
fn parameters(first: usize, count: usize) -> String {
    list((first..first + count).map(|number| format!("?{number}")))
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A name of a schema. None has a quotation mark.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Keeps a statement for good, because connections remember statements by their place. A process copies once.
fn kept(statement: String) -> &'static str {
    Box::leak(statement.into_boxed_str())
}
