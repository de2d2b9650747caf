//! The HTTP server of a process.
//!
//! Guarantees that the number of connections and of requests in work is bounded, in all and for one peer, and that each
//! has a time limit. With TLS configured, nothing is answered in the clear. A stop finishes the accepted requests. The
//! server speaks HTTP/1.1 only: an idle HTTP/2 connection would delay the stop.
//!
//! It is built from the parts of actix-web, because `HttpServer` stops to accept when it is full, for everybody
//! (docs/adr/0006-admission.md).

use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::{ConnectionType, HttpService, KeepAlive, Request, Response};
use actix_server::Server;
use actix_service::{ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config};
use actix_web::{
    App, Error, HttpMessage as _,
    body::{BodySize, BoxBody, MessageBody},
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    rt::net::TcpStream,
    web::{self, Bytes},
};
use futures_util::future::OptionFuture;
use shared_proto::error::ErrorCode;
use tokio::{net::TcpSocket, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Access, LIVE, Limits, Room, Stack, Table,
    admission::{CommandSlot, Full, Slots},
    answers::{Answers, make_room},
    connection::{Connection, InWork, State, Stream, Terms},
    mount,
    operator::OperatorListen,
    route::CommandsNeedCertificate,
};
use crate::{
    Refusal, StartError,
    config::Mode,
    files,
    sampled::Sampled,
    tasks::{Held, holding},
    tls::{self, ServerFiles, ServerTls, Side},
};

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Address; port 0 takes a free one. Checked by `config::check_listen`, not here.
    pub listen: SocketAddr,
    /// Threads; 0 for one per core.
    pub workers: usize,
    /// Bounds.
    pub limits: Limits,
    /// Certificate and key; without them plain HTTP is spoken.
    pub tls: Option<ServerFiles>,
    /// How long a stop waits for requests. Checked by [`Self::check`].
    pub shutdown_seconds: u64,
    /// Where to write the bound address, once connections are accepted.
    pub ready_file: Option<PathBuf>,
    /// The operator's listener; none in tests that need none.
    pub operator: Option<OperatorListen>,
}

/// The routes of a service.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// For everybody.
    pub public: Table,
    /// For its operator.
    pub operator: Table,
}

impl ServeConfig {
    /// Checks the values and the files that they name: everything that can be known before the start.
    ///
    /// # Errors
    /// A value is out of its range, or a file cannot be used.
    pub fn check(&self) -> Result<(), StartError> {
        self.limits.check()?;
        if self.workers > MAX_WORKERS {
            return Err(StartError::new(format!("workers is {}; it is at most {MAX_WORKERS}.", self.workers)));
        }
        check_shutdown(self.shutdown_seconds)?;
        self.ready_file.as_deref().map_or(Ok(()), files::refuse_special)
    }

    /// Checks the values against this machine, as the start does.
    ///
    /// # Errors
    /// A file cannot be used, or too few may be open.
    pub fn check_machine(&self) -> Result<(), StartError> {
        self.limits.fitting(self.threads())?;
        self.tls.as_ref().map_or(Ok(()), ServerFiles::try_files)
    }

    /// The number of threads that will serve.
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        if self.workers > 0 { self.workers } else { cores() }
    }

    /// The defaults for an address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            workers: 0,
            limits: Limits::default(),
            tls: None,
            shutdown_seconds: DEFAULT_SHUTDOWN_SECONDS,
            ready_file: None,
            operator: None,
        }
    }
}

/// How long a stop waits for requests, without a setting. With what follows it stays below the 30 seconds after which
/// Kubernetes kills.
pub const DEFAULT_SHUTDOWN_SECONDS: u64 = 20;
/// With what follows this stays below the 60 seconds of the units in deploy/, and the 90 of systemd without a setting.
const MAX_SHUTDOWN_SECONDS: u64 = 50;

/// Checks how long a stop may wait for requests.
///
/// # Errors
/// It is 0, or so long that the process would be killed.
fn check_shutdown(seconds: u64) -> Result<(), StartError> {
    if (1..=MAX_SHUTDOWN_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(StartError::new(format!("shutdown_seconds is {seconds}; it is 1 to {MAX_SHUTDOWN_SECONDS}.")))
}

/// Serves `tables` until `shutdown` ends and the accepted requests are answered. `configure` adds the application data,
/// and runs once per worker. Call it from the process's own runtime.
///
/// # Errors
/// The certificate is not usable, the address is taken or not one of this machine, the ready file cannot be written, or
/// the server broke down.
pub async fn serve<C, F>(
    config: ServeConfig,
    mode: Mode,
    tables: Tables,
    configure: C,
    shutdown: F,
) -> Result<(), StartError>
where
    C: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    if let Some(path) = &config.ready_file {
        files::refuse_special(path)?;
    }
    let threads = config.threads();
    let operator_stop = CancellationToken::new();
    let operator = match config.operator {
        Some(listen) => Some(listen.serve(tables.operator, configure.clone(), operator_stop.clone()).await?),
        None => None,
    };
    let limits = config.limits.fitting(threads)?;
    let connections = limits.connections;
    let tls = config.tls.map(ServerTls::open).transpose()?.map(Arc::new);
    let commands = CommandsNeedCertificate(tls.as_ref().is_some_and(|tls| tls.names_a_client()));
    let stop = CancellationToken::new();
    let entrance =
        Entrance { slots: Slots::new(connections, limits.connections_per_peer), tls, limits, stop: stop.clone() };
    let requests = Requests::new(&limits, tables.public);
    let answers = Answers::new(&limits);
    let listener = listen(config.listen).map_err(|error| {
        StartError::new(format!("Cannot listen on {} ({error}); choose another address.", config.listen))
    })?;
    let address = listener.local_addr().unwrap_or(config.listen);

    let service = move || {
        let (configure, requests) = (configure.clone(), requests.clone());
        let app = App::new()
            .app_data(limits)
            .app_data(commands)
            .app_data(answers.clone())
            .wrap(from_fn(work))
            .wrap(Stack::new(mode))
            .configure(configure)
            .configure(mount(tables.public));
        let current = entrance.tls.clone();
        let app = apply_fn_factory(map_config(app, |()| AppConfig::default()), move |req: Request, app: &_| {
            answer(current.clone(), &requests, req, app)
        });
        let http = HttpService::build()
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(LINGER)
            .on_connect_ext(|connection: &Connection, data| {
                data.insert(connection.state());
            })
            .h1(app)
            .map_err(drop);
        let entrance = entrance.clone();
        fn_service(move |stream: TcpStream| entrance.clone().enter(stream)).and_then(http)
    };
    let server = Server::build()
        .workers(threads)
        .max_concurrent_connections(connections.saturating_add(BEING_REFUSED))
        .shutdown_timeout(config.shutdown_seconds)
        .shutdown_signal(async move {
            shutdown.await;
            stop.cancel();
        });
    let server = server.listen("http", listener, service);
    let running = server.map_err(|error| StartError::new(format!("Cannot listen on {address} ({error}).")))?.run();
    tracing::info!(%address, "listening");
    if let Some(path) = &config.ready_file {
        files::replace_private(path, address.to_string().as_bytes()).map_err(|error| {
            StartError::new(format!("The ready file {} cannot be written ({error}).", path.display()))
        })?;
    }
    let served = async {
        let ended = running.await;
        operator_stop.cancel();
        ended
    };
    let (served, _) = tokio::join!(served, OptionFuture::from(operator));
    served.map_err(|error| StartError::new(format!("The server broke down ({error}).")))
}

/// The service that admits a connection: takes a slot for it, and makes the TLS handshake.
#[derive(Clone)]
struct Entrance {
    slots: Arc<Slots>,
    tls: Option<Arc<ServerTls>>,
    limits: Limits,
    stop: CancellationToken,
}

impl Entrance {
    /// Takes a slot and makes the handshake. A refused peer gets no answer: answering a flood costs work.
    async fn enter(self, stream: TcpStream) -> Result<(Connection, Option<SocketAddr>), ()> {
        let peer = stream.peer_addr().map_err(drop)?;
        let slot = self.slots.take(peer.ip(), 1).map_err(|full| log_refused_connection(peer, full))?;
        stream.set_nodelay(true).map_err(drop)?;
        let (stream, terms) = match &self.tls {
            None => (Stream::Plain(stream), None),
            Some(tls) => {
                let (stream, terms) = self.shake_hands(tls, stream, peer).await?;
                (stream, Some(terms))
            }
        };
        let state = State::new(terms, self.stop);
        Ok((Connection::new(stream, state, self.limits, slot), Some(peer)))
    }

    async fn shake_hands(&self, tls: &ServerTls, stream: TcpStream, peer: SocketAddr) -> Result<(Stream, Terms), ()> {
        let config = tls.current();
        let shaking = tokio_rustls::TlsAcceptor::from(Arc::clone(&config)).accept(stream);
        let time = Duration::from_secs(self.limits.handshake_seconds);
        let why = tokio::select! {
            () = self.stop.cancelled() => return Err(()),
            shaken = timeout(time, shaking) => match shaken {
                Ok(Ok(stream)) => {
                    let client = tls.name_of(stream.get_ref().1.peer_certificates());
                    return Ok((Stream::Tls(Box::new(stream)), Terms { config, client }));
                }
                Ok(Err(error)) => tls::Why::of(&error),
                Err(_late) => tls::Why::LATE,
            },
        };
        why.log(Side::Server, &peer);
        Err(())
    }
}

fn log_refused_connection(peer: SocketAddr, full: Full) {
    static LINES: Sampled = Sampled::new();
    let why = full.as_str();
    if let Some(unlogged) = LINES.line(why) {
        tracing::warn!(%peer, why, unlogged, "connection refused");
    }
}

/// The slot of a request in work, or the reason why it has none. In the extensions of the request.
struct Admitted(Result<Option<Held>, Full>);

/// Slots for requests in work. Commands have slots of their own, because they bring revocations: a reader that holds
/// all slots of readers must not block its own revocation. A command takes its slot when its handler has verified it
/// ([`admit_command`](super::admit_command)), so that strangers hold none with refusals that they do not read. Until
/// then it costs as much as its connection: its body is not read.
#[derive(Clone)]
struct Requests {
    all: Arc<Slots>,
    commands: Arc<Slots>,
    command_paths: Arc<[&'static str]>,
}

impl Requests {
    fn new(limits: &Limits, table: Table) -> Self {
        let commands = table.rows().filter(|row| row.access == Access::Command).map(|row| row.path);
        Self {
            all: Slots::new(limits.requests, limits.requests_per_peer),
            commands: Slots::new(COMMANDS, COMMANDS_PER_PEER),
            command_paths: commands.collect(),
        }
    }

    /// Takes a slot for a request in work. Liveness is answered without one.
    fn admit(&self, req: &Request) -> Admitted {
        let Some(peer) = req.peer_addr().filter(|_| req.path() != LIVE.path) else { return Admitted(Ok(None)) };
        if self.command_paths.contains(&req.path()) {
            let slot = Arc::new(CommandSlot::new(Arc::clone(&self.commands), peer.ip()));
            req.extensions_mut().insert(Arc::clone(&slot));
            return Admitted(Ok(Some(slot)));
        }
        Admitted(self.all.take(peer.ip(), 1).map(|slot| Some(Arc::new(slot) as Held)))
    }
}

/// Commands in work at once. The manager keeps a handful under way, and some more while it exchanges a root key.
const COMMANDS: usize = 64;
/// Commands in work for one peer: an attacker that replays recorded commands leaves slots for the manager.
const COMMANDS_PER_PEER: usize = 48;

/// Runs a request that has a slot, with all work for it, and passes its answer on if there is room for it.
async fn work(req: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let admitted = req.extensions_mut().remove::<Admitted>().map_or(Ok(None), |admitted| admitted.0);
    let slot = admitted.map_err(|full| Refusal::new(ErrorCode::Overloaded).cause(full.as_str()))?;
    let working = next.call(req);
    let mut answered = match slot {
        Some(slot) => holding(slot, working).await,
        None => working.await,
    }?;
    make_room(&mut answered)?;
    Ok(answered)
}

/// Passes a request on with its slot, and marks it in its connection as in work until its answer is written.
fn answer<S>(
    tls: Option<Arc<ServerTls>>,
    requests: &Requests,
    req: Request,
    app: &S,
) -> impl Future<Output = Result<Response<InWorkBody>, Error>> + use<S>
where
    S: actix_service::Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let admitted = requests.admit(&req);
    let slot = admitted.0.as_ref().ok().and_then(Option::clone);
    let state = req.conn_data::<Rc<State>>().cloned();
    let mut in_work = state.clone().map(|state| InWork::start(state, slot));
    req.extensions_mut().insert(admitted);
    let answering = app.call(req);
    async move {
        let mut response: Response<BoxBody> = answering.await?.into();
        let current = tls.as_ref().map(|tls| tls.current());
        if state.is_some_and(|state| state.is_outdated(current.as_ref())) {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        if let Some(in_work) = &mut in_work {
            in_work.kept.room = response.extensions_mut().remove::<Room>();
        }
        Ok(response.map_body(|_, body| InWorkBody { body, piece: Bytes::new(), _in_work: in_work }))
    }
}

/// The body of an answer, in pieces: the library copies each before it is written. While the body lives, its request is
/// in work.
struct InWorkBody {
    body: BoxBody,
    piece: Bytes,
    _in_work: Option<InWork>,
}

impl MessageBody for InWorkBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.piece.is_empty() {
            match Pin::new(&mut self.body).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => self.piece = bytes,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let length = self.piece.len().min(PIECE);
        Poll::Ready(Some(Ok(self.piece.split_to(length))))
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// The most that actix-server takes; it panics at more.
const MAX_WORKERS: usize = 512;
/// Connections that the kernel holds while the server refuses others.
const BACKLOG: u32 = 1_024;
/// Connections of a thread that have no slot and wait for their refusal.
const BEING_REFUSED: usize = 128;
/// As much of an answer as the HTTP library copies at a time.
const PIECE: usize = 16 * 1024;
/// How long an unread rest of a request is read and thrown away, so that the peer sees its refusal.
const LINGER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_workers_as_pass_the_check_can_be_started() {
        let mut config = ServeConfig::new(([127, 0, 0, 1], 0).into());
        assert!((1..=MAX_WORKERS).contains(&config.threads()), "one for each core");
        config.workers = MAX_WORKERS;
        config.check().unwrap();
        // It panics at what it does not take.
        let _not_run = Server::build().workers(config.threads());
        config.workers = MAX_WORKERS + 1;
        config.check().unwrap_err();
    }
}
