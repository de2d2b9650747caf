//! The HTTP server of a process.
//!
//! Guarantees that a head which does not arrive is given up, that the number of connections is bounded, and that a stop
//! finishes what was accepted. Speaks HTTP/1.1 only: an idle HTTP/2 connection would hold up the stop.

use std::{future::Future, net::SocketAddr, path::PathBuf, time::Duration};

use actix_web::{App, HttpServer, web};
use tokio::signal::unix::{SignalKind, signal};

use super::{Route, Stack, mount};
use crate::{config::Mode, files, process::StartError};

/// How the server runs.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Address; port 0 takes a free one. Checked by `config::check_listen`, not here.
    pub listen: SocketAddr,
    /// Threads; 0 for one per core.
    pub workers: usize,
    /// Connections per worker.
    pub max_connections: usize,
    /// How long a request head may take.
    pub head_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long a stop waits for requests.
    pub shutdown_seconds: u64,
    /// Where to write the bound address, once connections are accepted.
    pub ready_file: Option<PathBuf>,
}

impl ServeConfig {
    /// The defaults for an address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            workers: 0,
            max_connections: 10_000,
            head_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            shutdown_seconds: 30,
            ready_file: None,
        }
    }
}

/// Serves `routes` until `shutdown` ends and what was accepted is answered. `configure` adds the application data; it
/// runs once per worker. Call it from the process's own runtime.
///
/// # Errors
/// The address is taken or not ours, the ready file cannot be written, or the server broke down.
pub async fn serve<C, F>(
    config: ServeConfig,
    mode: Mode,
    routes: &'static [Route],
    configure: C,
    shutdown: F,
) -> Result<(), StartError>
where
    C: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut server = HttpServer::new(move || {
        App::new().wrap(Stack::new(mode)).configure(configure.clone()).configure(mount(routes))
    })
    .client_request_timeout(config.head_timeout)
    .keep_alive(config.keep_alive)
    .max_connections(config.max_connections)
    .shutdown_timeout(config.shutdown_seconds)
    .shutdown_signal(shutdown);
    if config.workers > 0 {
        server = server.workers(config.workers);
    }
    let server = server.bind(config.listen).map_err(|error| {
        StartError::new(format!("Cannot listen on {} ({error}); choose another address.", config.listen))
    })?;
    let address = server.addrs().first().copied().unwrap_or(config.listen);
    let running = server.run();
    tracing::info!(%address, "listening");
    if let Some(path) = &config.ready_file {
        files::replace_private(path, address.to_string().as_bytes()).map_err(|error| {
            StartError::new(format!("The ready file {} cannot be written ({error}).", path.display()))
        })?;
    }
    running.await.map_err(|error| StartError::new(format!("The server broke down ({error}).")))
}

/// Ends when the process is asked to stop (SIGTERM or SIGINT). Call it early: signals count from then on.
///
/// # Errors
/// The handlers cannot be installed.
pub fn shutdown_signal() -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
    let cannot = |error: std::io::Error| StartError::new(format!("Signals cannot be handled ({error})."));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}
