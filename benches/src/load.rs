//! Keep-alive HTTP/1.1 connections that send prepared requests as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;

/// What a run came to.
pub(crate) struct Outcome {
    /// Requests answered as expected.
    pub(crate) answered: usize,
    /// Wall time of the whole run.
    pub(crate) elapsed: Duration,
    /// Latencies, sorted.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// Answers per second.
    #[expect(clippy::cast_precision_loss, reason = "a report")]
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the requests stayed below.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.latencies.get(self.latencies.len() * percent / 100).or(self.latencies.last()).copied().unwrap_or_default()
    }
}

/// Sends each request once over `connections` connections; every answer must have `status`.
pub(crate) async fn drive(
    address: &str,
    requests: Arc<Vec<Vec<u8>>>,
    count: usize,
    connections: usize,
    status: u16,
) -> Result<Outcome, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::with_capacity(connections);
    let mut sockets = Vec::with_capacity(connections);
    for _ in 0..connections {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    let started = Instant::now();
    for socket in sockets {
        tasks.push(tokio::spawn(one_connection(socket, Arc::clone(&requests), Arc::clone(&next), count, status)));
    }
    let mut latencies = Vec::with_capacity(count);
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Ok(Outcome { answered: latencies.len(), elapsed, latencies })
}

async fn one_connection(
    mut socket: TcpStream,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
    count: usize,
    status: u16,
) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count {
            return Ok(latencies);
        }
        let request = requests.get(index % requests.len()).ok_or("no requests")?;
        let sent = Instant::now();
        socket.write_all(request).await?;
        let answer = read_answer(&mut socket, &mut buffer).await?;
        latencies.push(sent.elapsed());
        if answer.0 != status {
            return Err(format!("status {} instead of {status}: {}", answer.0, answer.1).into());
        }
    }
}

/// Sends one request on a connection of its own and answers with the body.
pub(crate) async fn once(address: &str, request: &[u8], status: u16) -> Result<String, Failure> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request).await?;
    let answer = read_answer(&mut socket, &mut Vec::new()).await?;
    if answer.0 == status { Ok(answer.1) } else { Err(format!("status {}: {}", answer.0, answer.1).into()) }
}

async fn read_answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(u16, String), Failure> {
    buffer.clear();
    loop {
        if let Some(head_end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(buffer.get(..head_end).unwrap_or_default()).to_ascii_lowercase();
            let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no status")?;
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|text| text.trim().parse().ok())
                .ok_or("no content-length")?;
            while buffer.len() < head_end + 4 + length {
                if socket.read_buf(buffer).await? == 0 {
                    return Err("the connection was closed".into());
                }
            }
            let body = String::from_utf8_lossy(buffer.get(head_end + 4..).unwrap_or_default()).into_owned();
            return Ok((status, body));
        }
        if socket.read_buf(buffer).await? == 0 {
            return Err("the connection was closed".into());
        }
    }
}

/// A request without a body.
pub(crate) fn get(address: &str, path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// A request with a JSON body.
pub(crate) fn post(address: &str, path: &str, credential: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
