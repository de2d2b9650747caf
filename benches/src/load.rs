//! Many connections that send prepared requests as fast as they are answered.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::http::Connection;

/// What a run came to.
pub(crate) struct Outcome {
    /// Wall time of the whole run.
    elapsed: Duration,
    /// Latencies, sorted.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// Of these latencies.
    pub(crate) fn new(elapsed: Duration, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self { elapsed, latencies }
    }

    /// How many requests were answered as expected.
    pub(crate) fn answered(&self) -> usize {
        self.latencies.len()
    }

    /// Answers per second.
    #[expect(clippy::cast_precision_loss, reason = "a report")]
    pub(crate) fn per_second(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds that this share of the requests stayed below.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let found = self.latencies.get(self.latencies.len() * percent / 100).or(self.latencies.last());
        found.copied().unwrap_or_default().as_secs_f64() * 1e3
    }
}

/// Sends `count` requests, in turn those of `requests`, over `connections` connections, as fast as they are answered.
/// Every answer must have `status`; `seen` gets each body.
pub(crate) async fn drive(
    address: &str,
    requests: Rc<Vec<Vec<u8>>>,
    count: usize,
    how: (usize, u16),
    seen: impl Fn(&str) + Clone + 'static,
) -> Result<Outcome, Failure> {
    drive_paced(address, requests, count, how, Duration::ZERO, seen).await
}

/// [`drive`] with a request due in every `pace`. One that is sent late counts from when it was due.
pub(crate) async fn drive_paced(
    address: &str,
    requests: Rc<Vec<Vec<u8>>>,
    count: usize,
    (connections, status): (usize, u16),
    pace: Duration,
    seen: impl Fn(&str) + Clone + 'static,
) -> Result<Outcome, Failure> {
    let next = Rc::new(Cell::new(0));
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    let mut tasks = Vec::with_capacity(connections);
    for mut connection in open {
        let (requests, next, seen) = (Rc::clone(&requests), Rc::clone(&next), seen.clone());
        tasks.push(tokio::task::spawn_local(async move {
            let mut latencies = Vec::new();
            loop {
                let index = next.replace(next.get() + 1);
                if index >= count {
                    return Ok::<_, Failure>(latencies);
                }
                let request = requests.get(index % requests.len()).ok_or("no requests")?;
                let sent = begin(started + pace * u32::try_from(index)?, pace).await;
                let body = connection.expect(request, status).await?;
                latencies.push(sent.elapsed());
                seen(body);
            }
        }));
    }
    let mut latencies = Vec::with_capacity(count);
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(Outcome::new(started.elapsed(), latencies))
}

/// From when the latency of a request counts. A timer's own delay is not the service's.
async fn begin(due: Instant, pace: Duration) -> Instant {
    if pace.is_zero() {
        return Instant::now();
    }
    if Instant::now() >= due {
        return due;
    }
    tokio::time::sleep_until(due.into()).await;
    Instant::now()
}
