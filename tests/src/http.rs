//! A request from a test: sent as written, on a connection of its own, so that any path, header and body is possible.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixStream};

use crate::message::Message;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    port: u16,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    deadline: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Call {
    /// A request to a port of this machine. `path` is sent as it is.
    pub fn new(port: u16, method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        let headers = vec![("host".to_owned(), format!("127.0.0.1:{port}"))];
        Self { port, method, path, headers, body: None, deadline: Duration::from_mins(1) }
    }

    /// With a token, credential or command.
    #[must_use]
    pub fn bearer(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    /// With a header; one of the same name is replaced.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, document: &Value) -> Self {
        self.header("content-type", "application/json").body(document.to_string())
    }

    /// With a body as it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With another deadline than 60 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends it.
    ///
    /// # Panics
    ///
    /// When no answer arrives.
    pub async fn send(self) -> Answer {
        let shown = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    /// Sends it; an error when no answer arrives.
    pub async fn try_send(self) -> std::io::Result<Answer> {
        tokio::time::timeout(self.deadline, raw(self.port, &self.to_bytes())).await?
    }

    /// Sends it to a Unix socket; an error when no answer arrives.
    ///
    /// # Errors
    /// No answer arrives.
    pub async fn try_send_to_socket(self, path: &Path) -> std::io::Result<Answer> {
        let bytes = self.to_bytes();
        let asked = async { exchange(UnixStream::connect(path).await?.into_split(), &bytes).await };
        tokio::time::timeout(self.deadline, asked).await?
    }

    /// Sends the first `length` bytes and hangs up.
    pub async fn send_and_hang_up(self, length: Option<usize>) {
        let bytes = self.to_bytes();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(&bytes[..length.unwrap_or(bytes.len())]).await.unwrap();
        stream.flush().await.unwrap();
    }

    /// The bytes of the request.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes("connection: close\r\n")
    }

    fn bytes(&self, connection: &str) -> Vec<u8> {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path)];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let announced = self.headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding");
        if let (Some(body), false) = (&self.body, announced) {
            lines.push(format!("content-length: {}", body.len()));
        }
        lines.push(format!("{connection}\r\n"));
        [lines.join("\r\n").as_bytes(), self.body.as_deref().unwrap_or_default()].concat()
    }
}

/// A connection that stays open from request to request.
pub struct Connection {
    reading: BufReader<OwnedReadHalf>,
    writing: OwnedWriteHalf,
}

impl Connection {
    /// Connects to a port of this machine.
    pub async fn open(port: u16) -> Self {
        let (reading, writing) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
        Self { reading: BufReader::new(reading), writing }
    }

    /// Sends a request and reads its answer.
    pub async fn send(&mut self, call: Call) -> Answer {
        self.writing.write_all(&call.bytes("")).await.unwrap();
        let message = Message::read(&mut self.reading, true).await.unwrap().expect("an answer");
        Answer { status: message.status(), headers: message.headers(), body: message.body }
    }
}

/// Sends any bytes to a port and reads one answer, which may come before everything is sent.
pub async fn raw(port: u16, bytes: &[u8]) -> std::io::Result<Answer> {
    exchange(TcpStream::connect(("127.0.0.1", port)).await?.into_split(), bytes).await
}

async fn exchange(
    (reading, mut writing): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> std::io::Result<Answer> {
    let mut reading = BufReader::new(reading);
    let send = async {
        // A service may refuse, and stop reading, before it has everything: what it answered is what counts.
        let _refused_early = writing.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let message = tokio::select! {
        message = Message::read(&mut reading, true) => message?,
        () = send => None,
    };
    let message = message.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(Answer { status: message.status(), headers: message.headers(), body: message.body })
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self}"))
    }

    /// A string member of the body.
    pub fn text(&self, member: &str) -> String {
        let document = self.json();
        document[member].as_str().unwrap_or_else(|| panic!("no text {member}: {self}")).to_owned()
    }

    /// An integer member of the body.
    pub fn number(&self, member: &str) -> u64 {
        self.json()[member].as_u64().unwrap_or_else(|| panic!("no number {member}: {self}"))
    }

    /// The code of a problem document; also checks its form.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        assert_eq!(self.number("status"), u64::from(self.status), "{self}");
        self.text("code")
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The answer, if it has this status.
    ///
    /// # Panics
    ///
    /// When it has another.
    #[expect(clippy::return_self_not_must_use, reason = "often it is called for its check alone")]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Checks that this is a refusal with this code (and therefore with the status that the table gives it).
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn expect_code(&self, code: &str) {
        assert_eq!(self.code(), code, "{self}");
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let start: String = body.chars().take(400).collect();
        write!(formatter, "{} {start}", self.status)
    }
}
