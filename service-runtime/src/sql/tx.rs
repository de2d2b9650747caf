//! A transaction as a job sees it, and the rows of its queries.

use rusqlite::{CachedStatement, Connection};

use super::{Column, Param, SqlError, Value, postgres::Session};

/// An open transaction. The job neither begins nor ends it.
pub struct Tx<'c> {
    on: On<'c>,
    failure: Option<SqlError>,
}

enum On<'c> {
    File(&'c Connection),
    Server(&'c mut Session),
}

/// One row of a query.
pub struct Row<'r>(Found<'r>);

enum Found<'r> {
    File(&'r rusqlite::Row<'r>),
    Server(&'r tokio_postgres::Row),
}

impl<'c> Tx<'c> {
    /// The transaction that is open on a SQLite connection. A bridge for code that uses the connection itself.
    pub fn on(conn: &'c Connection) -> Self {
        Self { on: On::File(conn), failure: None }
    }

    /// The transaction that is open on a connection to a server.
    pub(super) fn server(session: &'c mut Session) -> Self {
        Self { on: On::Server(session), failure: None }
    }

    /// Runs a job. Other engines refuse everything after a failed statement, so a job that had one does not count.
    ///
    /// # Errors
    /// The job failed, or one of its statements.
    pub(super) fn carry_out<T>(&mut self, job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>) -> Result<T, SqlError> {
        self.failure = None;
        let value = job(self)?;
        self.failure.map_or(Ok(value), Err)
    }

    /// Runs a job and undoes it, as after a failure that is worth another attempt.
    ///
    /// # Errors
    /// It cannot be undone.
    pub(super) fn rehearse<T>(&mut self, job: &impl Fn(&mut Tx<'_>) -> Result<T, SqlError>) -> Result<(), SqlError> {
        self.batch("SAVEPOINT rehearsal")?;
        let _undone = self.carry_out(job);
        self.batch("ROLLBACK TO SAVEPOINT rehearsal; RELEASE SAVEPOINT rehearsal")
    }

    /// The statement for the engine, where the catalogs differ.
    pub fn choose(&self, on_file: &'static str, on_server: &'static str) -> &'static str {
        match self.on {
            On::File(_) => on_file,
            On::Server(_) => on_server,
        }
    }

    fn batch(&mut self, sql: &str) -> Result<(), SqlError> {
        match &mut self.on {
            On::File(conn) => Ok(conn.execute_batch(sql)?),
            On::Server(session) => session.simple(sql).map(drop),
        }
    }

    /// Carries out a statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// The statement failed. The job is undone, whatever it makes of the error.
    pub fn execute(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<usize, SqlError> {
        let done = match &mut self.on {
            On::File(conn) => prepare(conn, sql, params).and_then(|mut statement| Ok(statement.raw_execute()?)),
            On::Server(session) => session.execute(sql, params),
        };
        self.note(done)
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
        let mut found = Vec::new();
        let done = self.rows(sql, params, |row| {
            found.push(read(row)?);
            Ok(true)
        });
        self.note(done.map(|()| found))
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
        let (mut read, mut first) = (Some(read), None);
        let done = self.rows(sql, params, |row| {
            first = read.take().map(|read| read(row)).transpose()?;
            Ok(false)
        });
        self.note(done.map(|()| first))
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
        let found = self.optional(sql, params, read).and_then(|found| found.ok_or(SqlError::unreadable()));
        self.note(found)
    }

    /// Whether a query has a row.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn exists(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<bool, SqlError> {
        self.optional(sql, params, |_| Ok(())).map(|found| found.is_some())
    }

    /// Gives the rows of a query to `take` until it wants no more.
    fn rows(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
        mut take: impl FnMut(&Row<'_>) -> Result<bool, SqlError>,
    ) -> Result<(), SqlError> {
        match &mut self.on {
            On::File(conn) => {
                let mut statement = prepare(conn, sql, params)?;
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    if !take(&Row(Found::File(row)))? {
                        break;
                    }
                }
            }
            On::Server(session) => {
                for row in &session.query(sql, params)? {
                    if !take(&Row(Found::Server(row)))? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Remembers the first error: the job must not count.
    fn note<T>(&mut self, done: Result<T, SqlError>) -> Result<T, SqlError> {
        if let Err(error) = &done {
            self.failure.get_or_insert(*error);
        }
        done
    }
}

impl Row<'_> {
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
        match self.0 {
            Found::File(row) => row.get_ref(column)?.try_into(),
            Found::Server(row) => row.try_get(column).map_err(|_| SqlError::unreadable()),
        }
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
