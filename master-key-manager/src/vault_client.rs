//! Signed commands to the vault over HTTP.
//!
//! Takes no proxy from the environment, follows no redirects and no address from an answer. Every request has a time
//! limit and every answer a size limit. Nothing is trusted because it came over this connection: feed states, receipts
//! and key statements are verified by their signatures where they are used.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service_runtime::StartError;
use service_runtime::clock::Clock;
use service_runtime::tls::{ClientFiles, Loaded, Reloading, Side, Why, client_config, client_without_trust};
use shared_proto::Rejected;
use shared_proto::command::{CommandClaims, Operation};
use shared_proto::encoding::from_json;
use shared_proto::error::{ErrorCode, Problem};
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityKey, Issuer};
use shared_proto::jws::{Kind, sign};

/// The manager's identity key, with the ids of issuer and audience.
pub struct Signing {
    /// The manager's identity key; it changes.
    pub identity: ArcSwap<IdentityKey>,
    /// The manager as an issuer.
    pub issuer: Issuer,
    /// The vault that it speaks to.
    pub vault: VaultId,
}

/// The HTTP client for one vault.
pub struct VaultClient {
    http: Arc<Reloading<Client>>,
    commands: Url,
    events: Url,
    signing: Arc<Signing>,
    clock: Arc<dyn Clock>,
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection was made: the vault never got the command.
    #[error("the vault cannot be reached: {0}")]
    NotSent(Unreached),
    /// The command may have arrived.
    #[error("the vault did not answer")]
    Unclear,
    /// The answer is not in the form of a vault's answer.
    #[error("the vault's answer is not understood")]
    BadAnswer,
    /// The vault refused.
    #[error("the vault refused: {}", .0.as_str())]
    Refused(ErrorCode),
}

/// Why no connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// The host in `vault_url` has no address.
    #[error("its name has no address")]
    Name,
    /// The handshake failed; the log has a line of its own with the reason.
    #[error("no TLS connection")]
    Tls,
    /// No answer came.
    #[error("no connection in time")]
    Late,
    /// The network failed in another way.
    #[error("no connection")]
    Network,
    /// The command could not be made.
    #[error("the command could not be signed")]
    Unsigned,
}

impl Unreached {
    fn of(error: &reqwest::Error) -> Self {
        if Why::find(error).is_some() {
            return Self::Tls;
        }
        let mut next = error.source();
        while let Some(cause) = next {
            let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if kind == Some(std::io::ErrorKind::ConnectionRefused) {
                return Self::Refused;
            }
            // The connector keeps the type of this error to itself.
            if cause.to_string().starts_with("dns error") {
                return Self::Name;
            }
            next = cause.source();
        }
        if error.is_timeout() { Self::Late } else { Self::Network }
    }
}

impl VaultClient {
    /// A client of the vault at `base`. With `tls` only that CA is believed. Call it on the runtime of the process.
    ///
    /// # Errors
    /// The URL is not valid, or the TLS files or the machine's trust store cannot be used.
    pub fn new(
        base: &str,
        tls: Option<ClientFiles>,
        signing: Arc<Signing>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let url = |path: &str| {
            Url::parse(base).and_then(|base| base.join(path)).map_err(|_| StartError::new("vault_url is not a URL."))
        };
        let files = tls.as_ref().map(ClientFiles::paths).unwrap_or_default();
        let address = base.to_owned();
        let http = Reloading::open(files, move || http_client(&address, tls.as_ref()))?;
        Ok(Self { http, commands: url("/api/commands")?, events: url("/api/events")?, signing, clock })
    }

    /// Sends a command and reads its answer.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn command<A: DeserializeOwned>(&self, op: Operation, request: &impl Serialize) -> Result<A, CallError> {
        self.command_signed_by(&self.signing.identity.load(), op, request).await
    }

    /// Sends a command that is signed by this identity key, to learn whether the vault accepts the key.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn command_signed_by<A: DeserializeOwned>(
        &self,
        identity: &IdentityKey,
        op: Operation,
        request: &impl Serialize,
    ) -> Result<A, CallError> {
        // Our own types always serialize; if not, nothing was sent.
        let body = serde_json::to_vec(request).map_err(|_| CallError::NotSent(Unreached::Unsigned))?;
        let command = self.sign(identity, op, &body).map_err(|Rejected| CallError::NotSent(Unreached::Unsigned))?;
        let url = match op {
            Operation::Push => self.events.clone(),
            Operation::Poll
            | Operation::Replay
            | Operation::Store
            | Operation::Settle
            | Operation::Inventory
            | Operation::Handout
            | Operation::Rewrap
            | Operation::Retire
            | Operation::Compare
            | Operation::Find => self.commands.clone(),
        };
        let request = self
            .http
            .current()
            .post(url)
            .timeout(time_of(op))
            .bearer_auth(command)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        let response = request.send().await.map_err(|error| {
            let error = error.without_url();
            tracing::debug!(%error, op = op.as_str(), "a command was not answered");
            if let Some(why) = Why::find(&error) {
                why.log(Side::Client, &self.commands.authority());
            }
            if error.is_connect() { CallError::NotSent(Unreached::of(&error)) } else { CallError::Unclear }
        })?;
        read_answer(response).await
    }

    fn sign(&self, identity: &IdentityKey, op: Operation, body: &[u8]) -> Result<String, Rejected> {
        let signing = &self.signing;
        let claims = CommandClaims::new(signing.issuer, signing.vault, op, body, self.clock.now());
        sign(Kind::Command, identity.kid(), &claims, |input| Ok(identity.sign(input).0.to_vec()))
    }
}

fn plain() -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIME)
        .pool_idle_timeout(IDLE_TIME)
        .tcp_nodelay(true)
}

/// Checks that there can be a client of the vault at `base`, as a start does.
///
/// # Errors
/// The TLS files or the machine's trust store cannot be used.
pub fn check_client(base: &str, tls: Option<&ClientFiles>) -> Result<(), StartError> {
    http_client(base, tls).map(drop)
}

fn http_client(base: &str, tls: Option<&ClientFiles>) -> Result<Loaded<Client>, StartError> {
    match tls {
        Some(files) => client_config(files)?.try_map(|config| build(plain().tls_backend_preconfigured(config))),
        None if base.starts_with("http:") => {
            build(plain().tls_backend_preconfigured(client_without_trust()?)).map(Loaded::without_files)
        }
        None => build(plain()).map(Loaded::without_files),
    }
}

fn build(builder: ClientBuilder) -> Result<Client, StartError> {
    let cannot = |_: reqwest::Error| {
        StartError::new(
            "The machine's CA certificates cannot be used; install them (ca-certificates), or name the vault's CA in \
             [vault_tls].",
        )
    };
    builder.build().map_err(cannot)
}

async fn read_answer<A: DeserializeOwned>(mut response: Response) -> Result<A, CallError> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| CallError::Unclear)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(CallError::BadAnswer);
        }
        body.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK || status == StatusCode::ACCEPTED {
        return from_json(&body).map_err(|_| CallError::BadAnswer);
    }
    let problem: Problem = from_json(&body).map_err(|_| CallError::BadAnswer)?;
    Err(CallError::Refused(problem.code))
}

fn time_of(op: Operation) -> Duration {
    match op {
        // A sync must not outlast several ticks.
        Operation::Poll | Operation::Push => Duration::from_secs(2),
        // 16 MiB and an fsync on a slow disk; after that the outcome is unclear and gets settled.
        Operation::Store => Duration::from_secs(8),
        // A retirement erases the wrapped keys of a whole environment; it is repeated until it is signed.
        Operation::Replay
        | Operation::Settle
        | Operation::Inventory
        | Operation::Handout
        | Operation::Rewrap
        | Operation::Retire
        | Operation::Compare
        | Operation::Find => Duration::from_secs(5),
    }
}

const CONNECT_TIME: Duration = Duration::from_secs(1);
// Below the 15 s after which the vault closes idle connections: a request on one that is being closed is unclear.
const IDLE_TIME: Duration = Duration::from_secs(8);
/// 256 events of 2,000 bytes make half of it.
const MAX_ANSWER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use service_runtime::clock::SystemClock;
    use shared_proto::id::ManagerId;
    use shared_proto::identity::Mode;
    use shared_proto::wire::vault::{Replay, ReplayAnswer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// The result of a command when the other side reads the request, sends these bytes and hangs up.
    async fn answered(bytes: Vec<u8>) -> Result<ReplayAnswer, CallError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16 << 10];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            // A client that has seen enough closes first.
            let _closed = stream.write_all(&bytes).await;
        });
        let result = ask(&format!("http://{address}")).await;
        server.await.unwrap();
        result
    }

    async fn ask(url: &str) -> Result<ReplayAnswer, CallError> {
        let issuer = Issuer { mode: Mode::Production, manager: ManagerId::generate() };
        let identity = ArcSwap::from_pointee(IdentityKey::generate().unwrap().0);
        let signing = Arc::new(Signing { identity, issuer, vault: VaultId::generate() });
        let client = VaultClient::new(url, None, signing, Arc::new(SystemClock)).unwrap();
        client.command(Operation::Replay, &Replay { after: 0, limit: 1 }).await
    }

    fn http(head: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[tokio::test]
    async fn a_command_that_may_have_arrived_is_never_called_unsent() {
        assert_eq!(answered(Vec::new()).await.err(), Some(CallError::Unclear));
        assert_eq!(
            answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()).await.err(),
            Some(CallError::Unclear)
        );
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(ask(&format!("http://{free}")).await.err(), Some(CallError::NotSent(Unreached::Refused)));
        let nowhere = ask("http://vault.invalid:1").await.err();
        assert_eq!(nowhere, Some(CallError::NotSent(Unreached::Name)));
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = silent.local_addr().unwrap();
        let no_tls = tokio::spawn(async move {
            let (mut stream, _) = silent.accept().await.unwrap();
            // A client that has seen enough closes first.
            let _closed = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            stream
        });
        assert_eq!(ask(&format!("https://{plain}")).await.err(), Some(CallError::NotSent(Unreached::Tls)));
        no_tls.await.unwrap();
    }

    #[tokio::test]
    async fn answers_are_bounded_strict_and_never_lead_elsewhere() {
        assert!(answered(http("200 OK", r#"{"events":[]}"#)).await.is_ok());
        let huge = format!("{{\"events\":[\"{}\"]}}", "x".repeat(MAX_ANSWER));
        let bad = [
            http("200 OK", &huge),
            http("200 OK", r#"{"events":[],"more":1}"#),
            http("307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/", ""),
            http("502 Bad Gateway", "<html>"),
        ];
        for bytes in bad {
            assert_eq!(answered(bytes).await.err(), Some(CallError::BadAnswer));
        }
        let problem = serde_json::to_string(&Problem::new(ErrorCode::EventGap, "id")).unwrap();
        let refused = answered(http("409 Conflict", &problem)).await.err();
        assert_eq!(refused, Some(CallError::Refused(ErrorCode::EventGap)));
    }
}
