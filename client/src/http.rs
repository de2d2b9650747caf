//! One request and its answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::TLS13;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_proto::error::Problem;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::error::TransportFault;
use crate::retry::{self, Retries};
use crate::{ClientError, Idempotency};

/// The HTTP library, set up once for both services.
pub(crate) fn library_client(deadline: Duration) -> Result<reqwest::Client, ClientError> {
    builder(deadline).build().map_err(|_| SET_UP)
}

/// The same, believing only the CAs in a file.
pub(crate) fn library_client_of(ca_file: &Path, deadline: Duration) -> Result<reqwest::Client, ClientError> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(ca_file).map_err(|_| SET_UP)? {
        roots.add(authority.map_err(|_| SET_UP)?).map_err(|_| SET_UP)?;
    }
    if roots.is_empty() {
        return Err(SET_UP);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let tls = versions.map_err(|_| SET_UP)?.with_root_certificates(roots).with_no_client_auth();
    builder(deadline).tls_backend_preconfigured(tls).build().map_err(|_| SET_UP)
}

fn builder(deadline: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .timeout(deadline)
}

const SET_UP: ClientError = ClientError::Transport(TransportFault::SetUp);

/// One of the two services.
#[derive(Clone)]
pub(crate) struct Peer {
    http: reqwest::Client,
    base: Address,
    pub(crate) retries: Retries,
}

impl Peer {
    pub(crate) fn new(http: reqwest::Client, base: &str) -> Result<Self, ClientError> {
        let base = Address::parse(base)?;
        Ok(Self { http, base, retries: Retries::none() })
    }

    /// The other service at this address, over the same connections and with the same TLS.
    ///
    /// # Errors
    /// The address is no bare origin, or plain HTTP over a network where this one has TLS or is this machine.
    pub(crate) fn sibling(&self, base: &str) -> Result<Self, ClientError> {
        let sibling = Self { retries: self.retries, ..Self::new(self.http.clone(), base)? };
        if self.base.has_tls() && !sibling.base.has_tls() {
            return Err(ClientError::Address("the manager is reached by https and names a vault without it"));
        }
        // Plain HTTP over a network was allowed for the manager, or for nobody.
        if self.base.is_private() && !sibling.base.is_private() {
            return Err(ClientError::Address(
                "the manager on this machine names a vault on another one, without https",
            ));
        }
        Ok(sibling)
    }

    pub(crate) fn is_at(&self, base: &str) -> bool {
        Address::parse(base).is_ok_and(|base| base == self.base)
    }

    /// `path` consists of constants and ids, which need no escaping.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        let mut url = self.base.url().clone();
        url.set_path(path);
        let repeatable = method == Method::GET;
        Request { http: self.http.clone(), method, url, headers: Vec::new(), retries: self.retries, repeatable }
    }
}

/// A request to be sent.
pub(crate) struct Request {
    http: reqwest::Client,
    method: Method,
    url: Url,
    headers: Vec<(&'static str, Zeroizing<String>)>,
    retries: Retries,
    /// True if it may be sent again although it may have been carried out.
    repeatable: bool,
}

impl Request {
    pub(crate) fn bearer(self, secret: &str) -> Self {
        let value = Zeroizing::new(format!("Bearer {secret}"));
        self.add(AUTHORIZATION.as_str(), value)
    }

    /// With this `Idempotency-Key`, if there is one: a repeat is recognized.
    pub(crate) fn idempotency(mut self, key: Idempotency<'_>) -> Self {
        let Some(key) = key else { return self };
        self.repeatable = true;
        self.add("Idempotency-Key", Zeroizing::new(key.to_owned()))
    }

    /// Changes nothing, although it is a POST.
    pub(crate) fn reads(mut self) -> Self {
        self.repeatable = true;
        self
    }

    pub(crate) fn query(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.url.query_pairs_mut().append_pair(name, value);
        }
        self
    }

    fn add(mut self, name: &'static str, value: Zeroizing<String>) -> Self {
        self.headers.push((name, value));
        self
    }

    fn build(&self) -> Result<RequestBuilder, ClientError> {
        let mut request = self.http.request(self.method.clone(), self.url.clone());
        for (name, value) in &self.headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| ClientError::Address("a credential, token or key has a character that cannot be sent"))?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        Ok(request)
    }
}

/// A request body that is wiped after it was sent.
pub(crate) struct Body(Option<Bytes>);

impl Body {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn json(document: &impl Serialize) -> Result<Self, ClientError> {
        const REFUSED: ClientError = ClientError::Address("the request cannot be written as JSON");
        // Measured first: a vector that grows would leave copies behind.
        let mut size = Size(0);
        serde_json::to_writer(&mut size, document).map_err(|_| REFUSED)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size.0));
        serde_json::to_writer(&mut *bytes, document).map_err(|_| REFUSED)?;
        Ok(Self(Some(Bytes::from_owner(bytes))))
    }
}

/// Counts what is written.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends a request and reads the answer; again as far as its retries and [`retry::repeats`] say.
pub(crate) async fn send<A: DeserializeOwned>(request: Request, body: Body) -> Result<A, ClientError> {
    let mut attempt = 1;
    loop {
        let (error, wait) = match send_once(&request, &body).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        match request.retries.pause(attempt, wait) {
            Some(pause) if retry::repeats(&error, request.repeatable) => tokio::time::sleep(pause).await,
            Some(_) | None => return Err(error),
        }
        attempt += 1;
    }
}

/// Sends it once. A failure comes with the time that the service asks to wait.
async fn send_once<A: DeserializeOwned>(request: &Request, body: &Body) -> Result<A, (ClientError, Option<Duration>)> {
    let mut builder = request.build().map_err(|error| (error, None))?;
    if let Some(bytes) = &body.0 {
        builder = builder.header(CONTENT_TYPE, "application/json").body(bytes.clone());
    }
    let mut response = builder.send().await.map_err(|error| (error.into(), None))?;
    let status = response.status();
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let malformed = ClientError::Malformed { status: status.as_u16() };
    let Some(bytes) = read_limited(&mut response).await.map_err(|error| (error, None))? else {
        return Err((malformed, None));
    };
    if status.is_success() {
        return serde_json::from_slice(&bytes).map_err(|_| (malformed, None));
    }
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) if problem.status == status.as_u16() => Err((ClientError::Refused(Box::new(problem)), wait)),
        Ok(_) | Err(_) => Err((malformed, wait)),
    }
}

/// The body, or nothing if it is too long.
async fn read_limited(response: &mut Response) -> Result<Option<Zeroizing<Vec<u8>>>, ClientError> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.min(MAX_ANSWER)));
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

const CONNECT: Duration = Duration::from_secs(5);

/// A batch of 8 MiB of control characters, each six bytes in JSON, and room for the rest.
const MAX_ANSWER: usize = 52 << 20;
