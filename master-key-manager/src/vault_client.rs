//! Signed commands to the vault over HTTP.
//!
//! No proxy from the environment, no redirects, no address out of an answer; every request has a time limit and every
//! answer a size limit. Nothing in an answer counts because it came over this connection: feed states, receipts and
//! key statements are verified by their signatures where they are used.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service_runtime::StartError;
use service_runtime::clock::Clock;
use shared_proto::Rejected;
use shared_proto::command::{CommandClaims, Operation};
use shared_proto::encoding::from_json;
use shared_proto::error::{ErrorCode, Problem};
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityKey, Issuer};
use shared_proto::jws::{Kind, sign};

/// What the manager signs with, and for whom.
pub struct Signing {
    /// The manager's identity key.
    pub identity: IdentityKey,
    /// The manager as an issuer.
    pub issuer: Issuer,
    /// The vault that it speaks to.
    pub vault: VaultId,
}

/// The vault, as far as HTTP goes.
pub struct VaultClient {
    http: Client,
    commands: Url,
    events: Url,
    signing: Arc<Signing>,
    clock: Arc<dyn Clock>,
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection was made: the vault knows nothing of it.
    #[error("the vault cannot be reached")]
    NotSent,
    /// The command may have arrived.
    #[error("the vault did not answer")]
    Unclear,
    /// The answer is not one that a vault gives.
    #[error("the vault's answer is not understood")]
    BadAnswer,
    /// The vault refused.
    #[error("the vault refused: {}", .0.as_str())]
    Refused(ErrorCode),
}

impl VaultClient {
    /// A client of the vault at `base`.
    ///
    /// # Errors
    /// The URL is none, or the TLS library cannot be set up.
    pub fn new(base: &str, signing: Arc<Signing>, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let cannot = |_| StartError::new("The HTTP client cannot be set up; check the machine's TLS trust store.");
        let url = |path: &str| {
            Url::parse(base).and_then(|base| base.join(path)).map_err(|_| StartError::new("vault_url is not a URL."))
        };
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .pool_idle_timeout(IDLE_TIME)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| cannot(error.without_url()))?;
        Ok(Self { http, commands: url("/api/commands")?, events: url("/api/events")?, signing, clock })
    }

    /// Sends a command and reads its answer.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn command<A: DeserializeOwned>(&self, op: Operation, request: &impl Serialize) -> Result<A, CallError> {
        // Our own types always serialize; if not, nothing was sent.
        let body = serde_json::to_vec(request).map_err(|_| CallError::NotSent)?;
        let command = self.sign(op, &body).map_err(|Rejected| CallError::NotSent)?;
        let url = match op {
            Operation::Push => self.events.clone(),
            Operation::Poll | Operation::Replay | Operation::Store | Operation::Settle | Operation::Inventory => {
                self.commands.clone()
            }
        };
        let request = self
            .http
            .post(url)
            .timeout(time_of(op))
            .bearer_auth(command)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        let response = request.send().await.map_err(|error| {
            let error = error.without_url();
            tracing::debug!(%error, op = op.as_str(), "a command was not answered");
            if error.is_connect() { CallError::NotSent } else { CallError::Unclear }
        })?;
        read_answer(response).await
    }

    fn sign(&self, op: Operation, body: &[u8]) -> Result<String, Rejected> {
        let signing = &self.signing;
        let claims = CommandClaims::new(signing.issuer, signing.vault, op, body, self.clock.now());
        sign(Kind::Command, signing.identity.kid(), &claims, |input| Ok(signing.identity.sign(input).0.to_vec()))
    }
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
        // A round must not outlast several ticks.
        Operation::Poll | Operation::Push => Duration::from_secs(2),
        // 16 MiB and an fsync on a slow disk; after that the outcome is unclear and gets settled.
        Operation::Store => Duration::from_secs(8),
        Operation::Replay | Operation::Settle | Operation::Inventory => Duration::from_secs(5),
    }
}

const CONNECT_TIME: Duration = Duration::from_secs(1);
// Below the 15 s after which the vault closes idle connections: a request on one that is being closed is unclear.
const IDLE_TIME: Duration = Duration::from_secs(8);
/// 256 events of 2,000 bytes make half of it.
const MAX_ANSWER: usize = 1 << 20;
