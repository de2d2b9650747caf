//! One connection, and its time limits.
//!
//! Guarantees that each of these ends in time, whatever the peer does: the wait for a request, the reading of its head,
//! and the peer's reading of an answer. A stop ends every connection on which no request is in work. The body has its
//! limit in its reader (`request.rs`), and the handshake in the server, because these know the answer.
//!
//! actix times the head of the first request of a connection only, and never the reading of an answer.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::rt::{net::TcpStream, time::Sleep};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Duration, Instant, sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Limits, Room, admission::Slot};
use crate::{tasks::Held, tls::ClientName};

/// The state of a connection that its requests read and change.
#[derive(Debug)]
pub(super) struct State {
    /// Requests whose answer is not yet written to the socket.
    in_work: Cell<usize>,
    /// Of these, what is kept for the ones whose answer the HTTP library has taken over.
    unwritten: RefCell<Vec<Kept>>,
    /// Whether there was a request since the wait for one was timed: most are answered between two looks.
    asked: Cell<bool>,
    /// The terms of the handshake.
    tls: Option<Terms>,
    began: Instant,
    stop: CancellationToken,
}

/// The terms that a handshake agreed on.
#[derive(Debug)]
pub(super) struct Terms {
    /// The configuration at that time, with the service's certificate and the clients' CA.
    pub(super) config: Arc<ServerConfig>,
    /// Whether the client proved to be the one that may send commands.
    pub(super) client: ClientName,
}

impl State {
    pub(super) fn new(tls: Option<Terms>, stop: CancellationToken) -> Rc<Self> {
        let (in_work, asked, unwritten) = (Cell::new(0), Cell::new(false), RefCell::default());
        Rc::new(Self { in_work, unwritten, asked, tls, began: Instant::now(), stop })
    }

    /// Returns when the process is asked to stop.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Releases the answers that have been written.
    fn written(&self) {
        let written = std::mem::take(&mut *self.unwritten.borrow_mut());
        self.in_work.set(self.in_work.get().saturating_sub(written.len()));
    }

    pub(super) fn client(&self) -> ClientName {
        self.tls.as_ref().map_or(ClientName::Absent, |terms| terms.client)
    }

    /// Whether the answer in work is to be the last: at a stop, and when the certificates are not those of the
    /// handshake any more, or that was long ago.
    pub(super) fn is_outdated(&self, current: Option<&Arc<ServerConfig>>) -> bool {
        let old = match (&self.tls, current) {
            (Some(terms), Some(current)) => {
                !Arc::ptr_eq(&terms.config, current) || self.began.elapsed() > HANDSHAKE_COUNTS
            }
            (None, _) | (_, None) => false,
        };
        old || self.stop.is_cancelled()
    }
}

/// The life of a connection with a client certificate, which is checked in the handshake only.
const HANDSHAKE_COUNTS: Duration = Duration::from_hours(1);

/// The slot and room of a request, which are held until its answer is written.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Its slot among the requests in work.
    _place: Option<Held>,
    /// The room of its answer.
    pub(super) room: Option<Room>,
}

/// A request in work, until its answer is written: from the drop of this value on, the connection keeps what is kept.
pub(super) struct InWork {
    state: Rc<State>,
    pub(super) kept: Kept,
}

impl InWork {
    pub(super) fn start(state: Rc<State>, slot: Option<Held>) -> Self {
        state.in_work.set(state.in_work.get().saturating_add(1));
        state.asked.set(true);
        Self { state, kept: Kept { _place: slot, room: None } }
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.state.unwritten.borrow_mut().push(std::mem::take(&mut self.kept));
    }
}

/// The bytes of a connection.
pub(super) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// In TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection as the HTTP library sees it.
pub(super) struct Connection {
    stream: Stream,
    state: Rc<State>,
    limits: Limits,
    /// Whether the rest of a head is awaited, or else its first byte.
    head_begun: bool,
    /// When that wait ends.
    reading: Pin<Box<Sleep>>,
    /// When a blocked answer is given up.
    writing: Option<Pin<Box<Sleep>>>,
    /// Whether the HTTP library wanted to read meanwhile.
    read_put_off: bool,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Slot,
}

impl Connection {
    pub(super) fn new(stream: Stream, state: Rc<State>, limits: Limits, slot: Slot) -> Self {
        let stop = Box::pin(state.stop.clone().cancelled_owned());
        // A new connection may not be idle: a client that connects has a request.
        let reading = Box::pin(sleep(Duration::from_secs(limits.head_seconds)));
        Self {
            stream,
            state,
            limits,
            head_begun: true,
            reading,
            writing: None,
            read_put_off: false,
            stop,
            _place: slot,
        }
    }

    pub(super) fn state(&self) -> Rc<State> {
        Rc::clone(&self.state)
    }

    /// Ready when the wait ends: the time has passed, or the process stops.
    fn poll_end_of_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.in_work.get() > 0 {
            return Poll::Pending;
        }
        if self.state.asked.replace(false) {
            self.wait(false, self.limits.idle_seconds);
        }
        match self.stop.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.reading.as_mut().poll(cx),
        }
    }

    fn wait(&mut self, head_begun: bool, seconds: u64) {
        self.head_begun = head_begun;
        self.reading.as_mut().reset(Instant::now() + Duration::from_secs(seconds));
    }

    /// Notes the result of an attempt to write. The time of an answer runs from the first blocked attempt.
    fn timed<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            let time = Duration::from_secs(self.limits.answer_seconds);
            let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(time)));
            if writing.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl Stream {
    fn pin(&mut self) -> Pin<&mut (dyn Bytes + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream as &mut (dyn Bytes + Unpin)),
            Self::Tls(stream) => Pin::new(&mut **stream as &mut (dyn Bytes + Unpin)),
        }
    }
}

trait Bytes: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Bytes for T {}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poll_end_of_wait(cx).is_ready() {
            // To the HTTP library the peer has hung up: it writes what is left of an answer, and closes.
            return Poll::Ready(Ok(()));
        }
        if this.writing.is_some() {
            // The library would take up the next requests and pile up their answers behind the one that is not read.
            this.read_put_off = true;
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = this.stream.pin().poll_read(cx, buf);
        if !this.head_begun && this.state.in_work.get() == 0 && buf.filled().len() > before {
            this.wait(true, this.limits.head_seconds);
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.stream.pin().poll_write(cx, buf);
        this.timed(cx, polled)
    }

    /// Called when everything was handed to the stream that there was: from here on the next request is waited for.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = this.stream.pin().poll_flush(cx);
        if polled.is_ready() {
            this.writing = None;
            this.state.written();
            if std::mem::take(&mut this.read_put_off) {
                cx.waker().wake_by_ref();
            }
            if this.poll_end_of_wait(cx).is_ready() {
                // The next read reports it.
                cx.waker().wake_by_ref();
            }
        }
        this.timed(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = this.stream.pin().poll_shutdown(cx);
        this.timed(cx, polled)
    }
}
