//! A transaction as a job sees it, and the rows of its queries.

use rusqlite::{CachedStatement, Connection};

use super::{Column, Param, SqlError, Value};

/// An open transaction. The job neither begins nor ends it.
pub struct Tx<'c> {
    conn: &'c Connection,
    failure: Option<SqlError>,
}

/// One row of a query.
pub struct Row<'r>(&'r rusqlite::Row<'r>);

impl<'c> Tx<'c> {
    /// The transaction that is open on a SQLite connection. A bridge for code that uses the connection itself.
    pub fn on(conn: &'c Connection) -> Self {
        Self { conn, failure: None }
    }

    /// Carries out a statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// The statement failed. The job is undone, whatever it makes of the error.
    pub fn execute(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<usize, SqlError> {
        self.run(sql, params, |statement| Ok(statement.raw_execute()?))
    }

    /// Reads all rows of a query.
    ///
    /// # Errors
    /// As [`Tx::execute`], or `read` refused a row.
    pub fn all<T>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
        mut read: impl FnMut(&Row<'_>) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        self.run(sql, params, |statement| {
            let (mut rows, mut found) = (statement.raw_query(), Vec::new());
            while let Some(row) = rows.next()? {
                found.push(read(&Row(row))?);
            }
            Ok(found)
        })
    }

    /// Reads the first row of a query, if there is one.
    ///
    /// # Errors
    /// As [`Tx::all`].
    pub fn optional<T>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
        read: impl FnOnce(&Row<'_>) -> Result<T, SqlError>,
    ) -> Result<Option<T>, SqlError> {
        self.run(sql, params, |statement| statement.raw_query().next()?.map(|row| read(&Row(row))).transpose())
    }

    /// Reads the first row of a query that always has one, such as a count.
    ///
    /// # Errors
    /// As [`Tx::all`], or there is no row.
    pub fn one<T>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
        read: impl FnOnce(&Row<'_>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        self.run(sql, params, |statement| {
            statement.raw_query().next()?.map_or(Err(SqlError::unreadable()), |row| read(&Row(row)))
        })
    }

    /// Whether a query has a row.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn exists(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<bool, SqlError> {
        self.optional(sql, params, |_| Ok(())).map(|found| found.is_some())
    }

    /// The first error of a statement. Other engines refuse everything after it, so the job must not count.
    pub(super) fn failure(&self) -> Option<SqlError> {
        self.failure
    }

    fn run<T>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
        work: impl FnOnce(&mut CachedStatement<'_>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let done = prepare(self.conn, sql, params).and_then(|mut statement| work(&mut statement));
        if let Err(error) = &done {
            self.failure.get_or_insert(*error);
        }
        done
    }
}

impl<'r> Row<'r> {
    /// The row of a SQLite query. A bridge, like [`Tx::on`].
    pub fn of(row: &'r rusqlite::Row<'r>) -> Self {
        Self(row)
    }

    /// Reads a column; the first one is 0.
    ///
    /// # Errors
    /// There is no such column, or it holds something else.
    pub fn get<T: Column>(&self, column: usize) -> Result<T, SqlError> {
        T::from_value(self.value(column)?)
    }

    /// Reads a column of text as the type that it stands for.
    ///
    /// # Errors
    /// As [`Row::get`], or the text does not stand for a value of the type.
    pub fn parse<T: std::str::FromStr>(&self, column: usize) -> Result<T, SqlError> {
        let Value::Text(text) = self.value(column)? else { return Err(SqlError::unreadable()) };
        text.parse().map_err(|_| SqlError::unreadable())
    }

    fn value(&self, column: usize) -> Result<Value<'_>, SqlError> {
        self.0.get_ref(column)?.try_into()
    }
}

fn prepare<'c>(conn: &'c Connection, sql: &str, params: &[&dyn Param]) -> Result<CachedStatement<'c>, SqlError> {
    let mut statement = conn.prepare_cached(sql)?;
    // SQLite takes a missing one for NULL.
    if statement.parameter_count() != params.len() {
        return Err(SqlError::unreadable());
    }
    for (place, param) in (1_usize..).zip(params) {
        statement.raw_bind_parameter(place, param.value()?)?;
    }
    Ok(statement)
}
