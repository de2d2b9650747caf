//! The place of a database on a server, and the way to connect to it.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tokio_postgres::{
    Config,
    config::{ChannelBinding, Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{StartError, files::read_private, tls::database_client};

/// `[postgres]` of a configuration. Relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresOptions {
    /// The file with the role's password, mode 0600; a newline at its end is not part of it. Default none. It is read
    /// again for each connection.
    pub password_file: Option<PathBuf>,
    /// The CA of the server, in PEM, mode 0600. With it every connection is TLS 1.3, and the server's certificate must
    /// be of this CA and bear the host's name. Default none. Required off loopback.
    pub ca_file: Option<PathBuf>,
    /// Connections that write, 1 to 64; default 4.
    pub write_connections: usize,
    /// Connections that read, 1 to 64; default 4.
    pub read_connections: usize,
    /// How long the server works on one statement, in milliseconds, 100 to 60,000; default 5,000.
    pub statement_timeout_ms: u64,
    /// How long a statement waits for a lock, in milliseconds, 10 to 60,000; default 2,000.
    pub lock_timeout_ms: u64,
    /// How long a new connection may take, in milliseconds, 100 to 60,000; default 2,000.
    pub connect_timeout_ms: u64,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            password_file: None,
            ca_file: None,
            write_connections: 4,
            read_connections: 4,
            statement_timeout_ms: 5_000,
            lock_timeout_ms: 2_000,
            connect_timeout_ms: 2_000,
        }
    }
}

/// A database on a server. Checked; holds no password. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Checked>);

struct Checked {
    config: Config,
    options: PostgresOptions,
    without_durability: bool,
}

impl Server {
    /// The database of a URL, `postgres://ROLE@HOST:PORT/NAME`, with paths of the options relative to `base`.
    /// `without_durability` accepts a server that may lose what it has committed.
    ///
    /// # Errors
    /// The URL is malformed, names no role or database, several hosts, a password, or settings that the options have;
    /// or the server is off loopback and there is no CA; or an option is out of its bounds.
    pub fn new(
        url: &str,
        options: &PostgresOptions,
        base: &Path,
        without_durability: bool,
    ) -> Result<Self, StartError> {
        // What is wrong is not repeated: there may be a password in it.
        let refused = |why: &str| Err(StartError::new(format!("The database of the configuration is refused: {why}.")));
        let Ok(config) = url.parse::<Config>() else {
            return refused("it is not postgres://ROLE@HOST:PORT/NAME");
        };
        if config.get_password().is_some() {
            return refused(
                "a password does not belong there; put it into a file and name that as postgres.password_file",
            );
        }
        if config.get_user().is_none() || config.get_dbname().is_none() {
            return refused("name the role and the database: postgres://ROLE@HOST:PORT/NAME");
        }
        if url.contains('?') {
            return refused("it has parameters; [postgres] has those that are used, and ca_file there switches TLS on");
        }
        let [host] = config.get_hosts() else { return refused("name one host") };
        if !is_local(host) && options.ca_file.is_none() {
            return refused("the server is off loopback, so name the CA of its certificate as postgres.ca_file");
        }
        if matches!(host, Host::Tcp(_)) && options.password_file.is_some() && options.ca_file.is_none() {
            return refused(
                "any user of this machine could take the server's port and be given the password; name the CA of its \
                 certificate as postgres.ca_file, or use its Unix socket",
            );
        }
        let options = PostgresOptions {
            password_file: options.password_file.as_ref().map(|file| base.join(file)),
            ca_file: options.ca_file.as_ref().map(|file| base.join(file)),
            ..options.clone()
        };
        check_bounds(&options)?;
        Ok(Self(Arc::new(Checked { config, options, without_durability })))
    }

    /// Threads that write, each with a connection.
    pub(super) fn write_connections(&self) -> usize {
        self.0.options.write_connections
    }

    /// Threads that read, each with a connection.
    pub(super) fn read_connections(&self) -> usize {
        self.0.options.read_connections
    }

    /// Whether a server that may lose what it has committed is accepted.
    pub(super) fn accepts_loss(&self) -> bool {
        self.0.without_durability
    }

    /// How long a call to the server may take: its own limit, and a second for the way.
    pub(super) fn call_limit(&self) -> Duration {
        Duration::from_millis(self.0.options.statement_timeout_ms) + Duration::from_secs(1)
    }

    /// How long a new connection may take.
    pub(super) fn connect_limit(&self) -> Duration {
        Duration::from_millis(self.0.options.connect_timeout_ms)
    }

    /// Reads the password and the CA, and returns how to connect.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(in crate::sql) fn dial(&self) -> Result<(Config, Option<MakeRustlsConnect>), StartError> {
        let mut config = self.0.config.clone();
        let PostgresOptions { statement_timeout_ms: statement, lock_timeout_ms: lock, .. } = self.0.options;
        config
            .application_name("splitvault")
            .options(format!(
                // A transaction whose client has stopped holds locks: it ends like a statement that takes too long.
                "-c statement_timeout={statement} -c lock_timeout={lock} -c idle_in_transaction_session_timeout={statement} \
                 -c client_min_messages=warning -c jit=off -c search_path=public"
            ))
            .connect_timeout(self.connect_limit())
            .tcp_user_timeout(self.call_limit())
            .keepalives_idle(Duration::from_secs(10))
            .ssl_mode(SslMode::Disable);
        if let Some(file) = &self.0.options.password_file {
            let bytes = read_private(file)?;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            if text.is_empty() {
                return Err(StartError::new(format!(
                    "The file {} is empty; put the role's password into it.",
                    file.display()
                )));
            }
            config.password(text);
        }
        let Some(ca) = &self.0.options.ca_file else { return Ok((config, None)) };
        config.ssl_mode(SslMode::Require);
        if self.0.options.password_file.is_some() {
            // SCRAM bound to the certificate, and no weaker method that a server might ask for.
            config.channel_binding(ChannelBinding::Require);
        }
        Ok((config, Some(MakeRustlsConnect::new(database_client(ca)?))))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.config.get_dbname().unwrap_or_default();
        match self.0.config.get_hosts().first() {
            Some(Host::Tcp(host)) => {
                let port = self.0.config.get_ports().first().copied().unwrap_or(5_432);
                write!(f, "postgres://{host}:{port}/{name}")
            }
            Some(Host::Unix(folder)) => write!(f, "postgres:///{name} at {}", folder.display()),
            None => write!(f, "postgres:///{name}"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

/// Whether the way to the host is inside of this machine.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    }
}

fn check_bounds(options: &PostgresOptions) -> Result<(), StartError> {
    let connections = 1..=64;
    let bounds = [
        ("write_connections", connections.contains(&options.write_connections), "1 to 64"),
        ("read_connections", connections.contains(&options.read_connections), "1 to 64"),
        ("statement_timeout_ms", (100..=60_000).contains(&options.statement_timeout_ms), "100 to 60,000"),
        ("lock_timeout_ms", (10..=60_000).contains(&options.lock_timeout_ms), "10 to 60,000"),
        ("connect_timeout_ms", (100..=60_000).contains(&options.connect_timeout_ms), "100 to 60,000"),
    ];
    match bounds.into_iter().find(|(_, fits, _)| !fits) {
        Some((name, _, bound)) => Err(StartError::new(format!("postgres.{name} must be {bound}."))),
        None => Ok(()),
    }
}
