//! The operator's listener, which answers what strangers must not learn.
//!
//! A Unix socket that only the user of the service may use, or a port of loopback, which every user of the machine may
//! use. It has threads and connections of its own, so that a flood at the public address does not reach it. Browsers
//! are refused by the `Host` that they send.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::unix::{ffi::OsStrExt as _, fs::FileTypeExt as _, net::UnixListener},
    path::{Path, PathBuf},
    time::Duration,
};

use actix_web::{App, HttpServer, dev::Server, web};
use tokio::{
    net::{UnixSocket, UnixStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Stack, Table, mount};
use crate::{StartError, config::Mode};

/// The address of the operator's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorListen {
    /// A Unix socket of this path.
    Socket(PathBuf),
    /// A port of loopback.
    Port(SocketAddr),
}

impl OperatorListen {
    /// The address that a configuration names: an address with a port, or a path relative to `base`. Without a name it
    /// is a socket in the data directory.
    ///
    /// # Errors
    /// The address is not of loopback, or the path is too long for a socket.
    pub fn new(named: Option<&str>, base: &Path, data_dir: &Path) -> Result<Self, StartError> {
        if let Some(address) = named.and_then(|text| text.parse::<SocketAddr>().ok()) {
            return if address.ip().is_loopback() {
                Ok(Self::Port(address))
            } else {
                Err(StartError::new(format!("operator_listen is {address}; it is a path, or a port of loopback.")))
            };
        }
        let path = named.map_or_else(|| data_dir.join(SOCKET), |text| base.join(text));
        let length = path.as_os_str().as_bytes().len();
        if length > MAX_PATH {
            return Err(StartError::new(format!(
                "The operator's socket {} has {length} bytes in its path, and the system takes {MAX_PATH}; name a shorter \
                 path, or a port of loopback, in operator_listen.",
                path.display()
            )));
        }
        Ok(Self::Socket(path))
    }

    /// Listens there and serves `routes` until `stop`.
    pub(super) async fn serve<C>(
        self,
        routes: Table,
        configure: C,
        stop: CancellationToken,
    ) -> Result<impl Future<Output = ()>, StartError>
    where
        C: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    {
        let server = HttpServer::new(move || {
            // The host is checked as in development mode, because a page in a browser can reach a port of loopback.
            App::new().wrap(Stack::new(Mode::Development)).configure(configure.clone()).configure(mount(routes))
        });
        let server = server
            .workers(1)
            .max_connections(CONNECTIONS)
            .keep_alive(PATIENCE)
            .client_request_timeout(PATIENCE)
            .shutdown_timeout(1)
            .shutdown_signal(stop.cancelled_owned());
        let cannot = |error: io::Error| StartError::new(format!("The operator's listener cannot be made ({error})."));
        let running: Server = match &self {
            Self::Socket(path) => server.listen_uds(bind(path).await?).map_err(cannot)?.run(),
            Self::Port(address) => server.bind(address).map_err(cannot)?.run(),
        };
        Ok(async move {
            if let Err(error) = running.await {
                tracing::error!(%error, "the operator's listener broke down");
            }
            if let Self::Socket(path) = self {
                let _replaced_at_the_next_start = std::fs::remove_file(path);
            }
        })
    }
}

/// A socket with mode 0600 from its first moment. Only a socket on which nobody listens is replaced.
async fn bind(path: &Path) -> Result<UnixListener, StartError> {
    let shown = path.display();
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            let refused = timeout(PATIENCE, UnixStream::connect(path)).await;
            if !matches!(&refused, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused) {
                return Err(StartError::new(format!(
                    "Another process listens on the operator's socket {shown}; stop it."
                )));
            }
            std::fs::remove_file(path).map_err(|error| cannot_bind(path, &error))?;
        }
        Ok(_) => {
            return Err(StartError::new(format!("{shown} is no socket and is not replaced; move it away.")));
        }
        Err(_) => {}
    }
    let bound = || {
        let socket = UnixSocket::new_stream()?;
        // The mode of the file is that of the socket when it is bound.
        rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
        socket.bind(path)?;
        socket.listen(CONNECTIONS_WAITING)?.into_std()
    };
    bound().map_err(|error: io::Error| cannot_bind(path, &error))
}

fn cannot_bind(path: &Path, error: &io::Error) -> StartError {
    let shown = path.display();
    StartError::new(format!("The operator's socket {shown} cannot be made ({error}); name another in operator_listen."))
}

/// Its name in the data directory.
const SOCKET: &str = "operator.sock";
/// `sun_path` has 108 bytes, the last of which is 0.
const MAX_PATH: usize = 107;
const CONNECTIONS: usize = 16;
const CONNECTIONS_WAITING: u32 = 16;
/// How long a request may take to arrive, and a connection to be idle.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn place_is_a_short_path_or_a_port_of_loopback() {
        let new = |named: Option<&str>| OperatorListen::new(named, Path::new("/etc/x"), Path::new("/data"));
        assert_eq!(new(None).unwrap(), OperatorListen::Socket("/data/operator.sock".into()));
        assert_eq!(new(Some("run/o")).unwrap(), OperatorListen::Socket("/etc/x/run/o".into()));
        assert_eq!(new(Some("127.0.0.1:9")).unwrap(), OperatorListen::Port("127.0.0.1:9".parse().unwrap()));
        assert!(new(Some("0.0.0.0:9")).unwrap_err().sentence.contains("loopback"));
        let path = |length: usize| format!("/{}", "x".repeat(length - 1));
        assert!(new(Some(&path(MAX_PATH))).is_ok());
        let sentence = new(Some(&path(MAX_PATH + 1))).unwrap_err().sentence;
        assert!(sentence.contains("108 bytes") && sentence.contains("operator_listen"), "{sentence}");
    }

    #[tokio::test]
    async fn longest_path_can_be_bound_is_private_and_a_stale_socket_is_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let name = "x".repeat(MAX_PATH - dir.path().as_os_str().len() - 1);
        let path = dir.path().join(name);
        let listener = bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(bind(&path).await.unwrap_err().sentence.contains("Another process"));
        drop(listener);
        drop(bind(&path).await.unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "something else").unwrap();
        assert!(bind(&path).await.unwrap_err().sentence.contains("no socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    }
}
