//! One connection: its statements and its transactions, from a thread of its own.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls, Row, SimpleQueryMessage, Socket, Statement, tls::MakeTlsConnect, types::ToSql,
};

use super::{
    super::{Param, SqlError, Value},
    Server, advice,
};
use crate::StartError;

/// A connection. It belongs to the thread that made it: dropping it elsewhere may panic.
pub(in crate::sql) struct Session {
    // Before the runtime, on which its connection runs.
    client: Client,
    statements: HashMap<&'static str, Statement>,
    runtime: Runtime,
    limit: Duration,
    /// The server has sent a warning.
    warned: Arc<AtomicBool>,
}

/// The settings without which a server may lose what it has committed.
pub(super) const DURABILITY: &str =
    "current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')";
const NAMES: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];
/// The rest of what is asked of a server before it is used.
const OTHERS: &str = "current_setting('server_version_num'), current_setting('server_encoding'), pg_is_in_recovery()";
/// The oldest server version that is accepted.
const OLDEST: u32 = 13;

impl Session {
    /// Connects, and checks the settings of the server.
    ///
    /// # Errors
    /// The server cannot be reached, refuses the role, or is one on which commits would not last.
    pub(super) fn connect(server: &Server) -> Result<Self, StartError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::new(format!("The connections of the database cannot be driven ({error}).")))?;
        let (config, tls) = server.dial()?;
        let warned = Arc::new(AtomicBool::new(false));
        let dialled = runtime.block_on(async {
            // The limit of the configuration holds for the socket alone.
            let connected = async {
                match tls {
                    Some(tls) => open(&config, tls, Arc::clone(&warned)).await,
                    None => open(&config, NoTls, Arc::clone(&warned)).await,
                }
            };
            tokio::time::timeout(server.connect_limit(), connected).await
        });
        let (why, advice) = match dialled {
            Ok(Ok(client)) => {
                let (statements, limit) = (HashMap::new(), server.call_limit());
                let mut session = Self { client, statements, runtime, limit, warned };
                session.check_server(server)?;
                return Ok(session);
            }
            Ok(Err(error)) => advice::reason(&error),
            Err(_elapsed) => advice::silence(),
        };
        Err(StartError::new(format!("The database {server} cannot be reached ({why}); {advice}.")))
    }

    /// Refuses a server that may lose what it has committed, one that is too old, and a copy that cannot write.
    fn check_server(&mut self, server: &Server) -> Result<(), StartError> {
        let unreadable = |error: SqlError| StartError::new(format!("The database {server} cannot be read ({error})."));
        let rows = self.simple(&format!("SELECT {DURABILITY}, {OTHERS}")).map_err(unreadable)?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let found = |column| row.get(column).map(String::as_str).unwrap_or_default();
        let refused = |why: String| Err(StartError::new(format!("The database {server} is refused: {why}.")));
        if let Some(setting) = lossy(row, server) {
            return refused(format!(
                "{setting} is off, so that it may lose what it has committed, revocations too; switch it on, or set \
                 danger.postgres_without_durability"
            ));
        }
        let version = found(3).parse::<u32>().unwrap_or_default() / 10_000;
        if version < OLDEST {
            return refused(format!("PostgreSQL {version} is too old; use {OLDEST} or newer"));
        }
        if found(4) != "UTF8" {
            return refused("its encoding is not UTF8".to_owned());
        }
        if found(5) != "f" {
            return refused("it is a standby and cannot write; name the primary".to_owned());
        }
        Ok(())
    }

    /// Carries out statements without parameters, and returns their rows as text.
    ///
    /// # Errors
    /// One of them failed; those after it were not carried out.
    pub(in crate::sql) fn simple(&mut self, sql: &str) -> Result<Vec<Vec<String>>, SqlError> {
        let messages = self.call(|client| client.simple_query(sql))?;
        let text = |row: &tokio_postgres::SimpleQueryRow| {
            (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect()
        };
        Ok(messages
            .iter()
            .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(text(row)) } else { None })
            .collect())
    }

    /// The same connection with another limit of time for each call.
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Commits. A server that warns meanwhile has committed here, but perhaps not at its standbys.
    ///
    /// # Errors
    /// The transaction was undone, or its outcome is not known.
    pub(super) fn commit(&mut self) -> Result<(), SqlError> {
        self.warned.store(false, Ordering::SeqCst);
        self.simple("COMMIT")?;
        if self.warned.load(Ordering::SeqCst) { Err(SqlError::lost()) } else { Ok(()) }
    }

    /// Does work that may take long.
    pub(super) fn patiently<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let limit = std::mem::replace(&mut self.limit, Duration::MAX);
        let done = work(self);
        self.limit = limit;
        done
    }

    /// Carries out a statement and returns the number of rows that it changed.
    ///
    /// # Errors
    /// It failed, or a parameter does not fit.
    pub(in crate::sql) fn execute(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<usize, SqlError> {
        let statement = self.prepared(sql, params.len())?;
        let values = values(params)?;
        let changed = self.call(|client| async move {
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
            client.execute(&statement, &values).await
        })?;
        usize::try_from(changed).map_err(|_| SqlError::unreadable())
    }

    /// Reads the rows of a query.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub(in crate::sql) fn query(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<Vec<Row>, SqlError> {
        let statement = self.prepared(sql, params.len())?;
        let values = values(params)?;
        self.call(|client| async move {
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
            client.query(&statement, &values).await
        })
    }

    /// A statement, prepared once for each connection.
    fn prepared(&mut self, sql: &'static str, params: usize) -> Result<Statement, SqlError> {
        let statement = if let Some(statement) = self.statements.get(sql) {
            statement.clone()
        } else {
            let text = numbered(sql);
            let statement = self.call(|client| async move { client.prepare(&text).await })?;
            self.statements.insert(sql, statement.clone());
            statement
        };
        if statement.params().len() == params { Ok(statement) } else { Err(SqlError::unreadable()) }
    }

    /// Waits for a call to the server. After one that took too long the connection is not used again.
    fn call<'s, T, F>(&'s mut self, work: impl FnOnce(&'s Client) -> F) -> Result<T, SqlError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let Self { client, runtime, limit, .. } = self;
        let answered = runtime.block_on(async { tokio::time::timeout(*limit, work(client)).await });
        answered.map_or(Err(SqlError::lost()), |answer| answer.map_err(|error| SqlError::from_server(&error)))
    }
}

/// The first setting of [`DURABILITY`] that is off, unless that is accepted.
pub(super) fn lossy(row: &[String], server: &Server) -> Option<&'static str> {
    let off = row.iter().zip(NAMES).find(|(value, _)| *value == "off").map(|(_, name)| name);
    off.filter(|_| !server.accepts_loss())
}

async fn open<T>(config: &Config, tls: T, warned: Arc<AtomicBool>) -> Result<Client, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = config.connect(tls).await?;
    // Driven whenever the thread waits for an answer. Its error is that of the call that meets it.
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            // Its text may quote values.
            if let AsyncMessage::Notice(_) = message {
                warned.store(true, Ordering::SeqCst);
            }
        }
    });
    Ok(client)
}

fn values<'p>(params: &'p [&dyn Param]) -> Result<Vec<Value<'p>>, SqlError> {
    params.iter().copied().map(Param::value).collect()
}

/// The statement with the parameters of this engine: `$1` for `?1`. No statement has a question mark in its text.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}
