//! A proxy between manager and vault: records all that passes, and does to it what the network, or an impostor, may do.
//!
//! It has a thread of its own, so that a test which blocks does not hold it up.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::message::Message;

/// A request and its answer, as they passed.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers of the request, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body of the request.
    pub request: Vec<u8>,
    /// Status of the answer; 0 if none passed.
    pub status: u16,
    /// Body of the answer.
    pub answer: Vec<u8>,
}

/// What the proxy does with a request.
pub enum Verdict {
    /// Passes it on, and the answer back.
    Pass,
    /// Hangs up without passing it on.
    DropRequest,
    /// Passes it on, and hangs up instead of passing the answer back.
    DropAnswer,
    /// Waits, then passes it on.
    DelayRequest(Duration),
    /// Passes it on, waits, then passes the answer back.
    DelayAnswer(Duration),
    /// Answers itself, with this status and JSON body.
    Answer(u16, Value),
    /// Passes it on, and changes the body of the answer.
    Alter(Box<dyn FnOnce(Value) -> Value + Send>),
}

type Rule = Box<dyn FnMut(&Exchange) -> Verdict + Send>;

/// A running proxy. It ends when this is dropped.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

struct State {
    upstream: u16,
    rule: Mutex<Rule>,
    exchanges: Mutex<VecDeque<Exchange>>,
}

impl Proxy {
    /// A proxy on a free port, towards a port of this machine.
    pub(crate) fn start(upstream: u16) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let rule: Mutex<Rule> = Mutex::new(Box::new(|_| Verdict::Pass));
        let state = Arc::new(State { upstream, rule, exchanges: Mutex::default() });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, state, stop: Some(stop) }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Decides about each request from now on.
    pub fn rule(&self, rule: impl FnMut(&Exchange) -> Verdict + Send + 'static) {
        *lock(&self.state.rule) = Box::new(rule);
    }

    /// Passes everything again.
    pub fn pass(&self) {
        self.rule(|_| Verdict::Pass);
    }

    /// What has passed until now.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.state.exchanges).iter().cloned().collect()
    }

    /// Writes what has passed into a folder, one file each, as the thief reads it.
    pub fn write_traffic(&self, folder: &Path) {
        crate::keys::make_folder(folder);
        for (number, exchange) in self.exchanges().iter().enumerate() {
            let file: PathBuf = folder.join(format!("{number:05}.json"));
            std::fs::write(file, exchange.to_json().to_string()).unwrap();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended_already = stop.send(());
        }
    }
}

impl Exchange {
    /// The `op` of the command in the `Authorization` header, read without checking anything.
    pub fn op(&self) -> String {
        let header = self.headers.iter().find(|(name, _)| name == "authorization");
        let payload = header.and_then(|(_, value)| value.split('.').nth(1).map(str::to_owned)).unwrap_or_default();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        claims["op"].as_str().unwrap_or_default().to_owned()
    }

    /// The record for the thief.
    pub fn to_json(&self) -> Value {
        let headers: serde_json::Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        json!({
            "method": self.method,
            "path": self.path,
            "headers": headers,
            "request_body_b64": STANDARD.encode(&self.request),
            "response_body_b64": STANDARD.encode(&self.answer),
        })
    }

    fn of(request: &Message) -> Self {
        let mut words = request.first_line().into_iter();
        let mut word = || words.next().unwrap_or_default();
        let (method, path) = (word(), word());
        Self { method, path, headers: request.headers(), request: request.body.clone(), status: 0, answer: Vec::new() }
    }
}

async fn accept(listener: std::net::TcpListener, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        // A broken connection is what the test asked for, or what a stopped service leaves.
        tokio::spawn(async move { serve(BufReader::new(stream), &state).await.unwrap_or_default() });
    }
}

async fn serve(mut client: BufReader<TcpStream>, state: &State) -> std::io::Result<()> {
    while let Some(request) = Message::read(&mut client, false).await? {
        let mut exchange = Exchange::of(&request);
        let verdict = (lock(&state.rule))(&exchange);
        let answer = pass(&request, verdict, state.upstream, &mut exchange).await;
        remember(state, exchange);
        let Some(answer) = answer? else { return Ok(()) };
        client.write_all(&answer.to_bytes()).await?;
        client.flush().await?;
    }
    Ok(())
}

/// Carries out a verdict. `None`: hang up.
async fn pass(
    request: &Message,
    verdict: Verdict,
    upstream: u16,
    exchange: &mut Exchange,
) -> std::io::Result<Option<Message>> {
    match &verdict {
        Verdict::DropRequest => return Ok(None),
        Verdict::Answer(status, document) => {
            let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n\r\n").into_bytes();
            return Ok(Some(Message { head, body: document.to_string().into_bytes() }));
        }
        Verdict::DelayRequest(time) => tokio::time::sleep(*time).await,
        Verdict::Pass | Verdict::DropAnswer | Verdict::DelayAnswer(_) | Verdict::Alter(_) => {}
    }
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", upstream)).await?);
    stream.write_all(&request.to_bytes()).await?;
    stream.flush().await?;
    let Some(mut answer) = Message::read(&mut stream, true).await? else { return Ok(None) };
    (exchange.status, exchange.answer) = (answer.status(), answer.body.clone());
    match verdict {
        Verdict::DropAnswer => return Ok(None),
        Verdict::DelayAnswer(time) => tokio::time::sleep(time).await,
        Verdict::Alter(change) => {
            answer.body = change(serde_json::from_slice(&answer.body).unwrap_or_default()).to_string().into_bytes();
        }
        Verdict::Pass | Verdict::DropRequest | Verdict::DelayRequest(_) | Verdict::Answer(..) => {}
    }
    Ok(Some(answer))
}

fn remember(state: &State, exchange: Exchange) {
    let mut exchanges = lock(&state.exchanges);
    // Polls come twenty times a second: the oldest go.
    if exchanges.len() == MOST_EXCHANGES {
        exchanges.pop_front();
    }
    exchanges.push_back(exchange);
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const MOST_EXCHANGES: usize = 20_000;
