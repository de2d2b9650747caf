//! What an audit log promises, on real files and on files that fail.

mod chain;
mod faults;
mod floods;
mod lines;
mod place;
mod reader;
mod segments;

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicU64, AtomicUsize},
};

use shared_proto::error::ErrorCode;

use super::{writer::Segment, *};
use crate::clock::ManualClock;

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        Self { _dir: dir, path, clock: Arc::new(ManualClock::new(1_000, 50)) }
    }

    fn open(&self) -> Result<AuditLog, StartError> {
        self.open_with(AuditSettings::default())
    }

    fn open_with(&self, settings: AuditSettings) -> Result<AuditLog, StartError> {
        AuditLog::open(&self.path, "test-service", settings, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    /// Segments after the first, with the number of their first line.
    fn later_segments(&self) -> Vec<(u64, PathBuf)> {
        let names = std::fs::read_dir(self.path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let number =
            |path: &Path| path.file_name()?.to_str()?.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok();
        let mut found: Vec<_> = names.filter_map(|path| Some((number(&path)?, path))).collect();
        found.sort();
        found
    }

    async fn write(&self, lines: usize) {
        let log = self.open().unwrap();
        for _ in 0..lines {
            log.append(line()).await.unwrap();
        }
        log.flush_and_close().await;
    }

    /// Without a last line that is being written.
    fn whole_lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn line() -> AuditRecord {
    let agent = format!("evil\n\u{1b}[2Jagent{}", "x".repeat(400));
    let meta = Origin::of_request("req", "127.0.0.1", &agent);
    AuditRecord::new("secret.open", AuditStatus::Success, &meta).key_id("sec_1").jti("j1")
}

/// Fails while `failing` is 1 (write, half of it done) or 2 (fsync), hangs while it is 3, makes no file while it is 4,
/// makes one and fails while it is 5; counts fsyncs.
struct Faulty {
    inner: Box<dyn Segment>,
    failing: Arc<AtomicU64>,
    syncs: Arc<AtomicUsize>,
}

impl Segment for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.failing.load(Ordering::SeqCst) == 1 {
            self.inner.append(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        while self.failing.load(Ordering::SeqCst) == 3 {
            std::thread::yield_now();
        }
        if self.failing.load(Ordering::SeqCst) == 2 {
            return Err(io::Error::other("EIO"));
        }
        self.inner.sync()
    }

    fn file(&self) -> &std::fs::File {
        self.inner.file()
    }
}

fn open_faulty(fixture: &Fixture) -> (AuditLog, Arc<AtomicU64>, Arc<AtomicUsize>) {
    open_faulty_with(fixture, AuditSettings::default())
}

fn open_faulty_with(fixture: &Fixture, settings: AuditSettings) -> (AuditLog, Arc<AtomicU64>, Arc<AtomicUsize>) {
    let (failing, syncs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let (f, s) = (Arc::clone(&failing), Arc::clone(&syncs));
    let open: OpenSegment = Box::new(move |path| {
        let fault = f.load(Ordering::SeqCst);
        if fault == 4 {
            return Err(io::Error::from(rustix::io::Errno::MFILE));
        }
        let inner = open_segment_file(path)?;
        if fault == 5 {
            return Err(io::Error::other("EIO"));
        }
        Ok(Box::new(Faulty { inner, failing: Arc::clone(&f), syncs: Arc::clone(&s) }) as Box<dyn Segment>)
    });
    let clock = Arc::clone(&fixture.clock) as Arc<dyn Clock>;
    let log = AuditLog::open_on(&fixture.path, "test-service", settings, clock, open).unwrap();
    (log, failing, syncs)
}

const OS: AuditSettings = AuditSettings { sync: AuditSync::Os, segment_bytes: 1 << 20 };

/// Polls until it is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn refusals_of_strangers_are_sampled_and_counted() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let refused = || AuditRecord::background("secret.open", AuditStatus::Denied).code(ErrorCode::TokenInvalid);
    for _ in 0..1_000 {
        log.record_refusal(refused());
    }
    log.record_refusal(refused().code(ErrorCode::BodyInvalid));
    fixture.clock.advance(1);
    log.append(line()).await.unwrap();
    for _ in 0..4 {
        log.record_refusal(refused());
    }
    log.flush_and_close().await;
    let lines = fixture.lines();
    let counts: Vec<_> =
        lines.iter().filter(|l| l["code"] == "token_invalid").map(|l| l["others"].as_u64().unwrap_or(0)).collect();
    assert_eq!(counts, [0, 998, 3], "of the others that have no line");
    assert_eq!(lines.len(), 5);
    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
    assert!(!log.is_healthy());
}

#[tokio::test]
async fn concurrent_records_share_fsyncs() {
    let fixture = Fixture::new();
    let (log, failing, syncs) = open_faulty(&fixture);
    failing.store(3, Ordering::SeqCst);
    let mut all: Vec<_> = (0..500).map(|_| Box::pin(log.append(line()))).collect();
    std::future::poll_fn(|context| {
        assert!(all.iter_mut().all(|record| record.as_mut().poll(context).is_pending()));
        std::task::Poll::Ready(())
    })
    .await;
    failing.store(0, Ordering::SeqCst);
    for record in all {
        record.await.unwrap();
    }
    assert!(syncs.load(Ordering::SeqCst) <= 2, "{} fsyncs for 500 lines", syncs.load(Ordering::SeqCst));
    assert_eq!(verify(&fixture.path).unwrap(), 500);
}

#[tokio::test]
async fn line_handed_to_the_kernel_is_in_the_file_before_the_answer() {
    let fixture = Fixture::new();
    let clock = Arc::clone(&fixture.clock) as Arc<dyn Clock>;
    let log = AuditLog::open(&fixture.path, "test-service", OS, clock).unwrap();
    log.append(line()).await.unwrap();
    assert_eq!(fixture.lines().len(), 1);
    assert_eq!(log.sync(), AuditSync::Os);
    log.flush_and_close().await;
}

#[tokio::test]
async fn lines_that_never_stop_coming_are_on_disk_within_a_second_all_the_same() {
    let fixture = Fixture::new();
    let (log, _, syncs) = open_faulty_with(&fixture, OS);
    for second in 0..3 {
        for _ in 0..50 {
            log.append(line()).await.unwrap();
        }
        assert!(syncs.load(Ordering::SeqCst) >= second, "in second {second}");
        fixture.clock.advance(1);
    }
    log.flush_and_close().await;
    assert_eq!(verify(&fixture.path).unwrap(), 150);
}

#[test]
fn whoever_waits_is_answered_when_the_thread_has_gone() {
    let queue = Arc::new(Queue::default());
    let waiting = queue.push_awaited(Vec::new()).unwrap();
    queue.abandon();
    assert_eq!(futures_util::FutureExt::now_or_never(waiting), Some(Err(AuditUnavailable)));
    assert!(queue.push_awaited(Vec::new()).is_err());
}

#[tokio::test]
async fn thread_ends_with_the_last_handle_and_writes_what_waits_before() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let queue = Arc::downgrade(&log.shared.queue);
    log.append_without_waiting(line());
    drop(log);
    wait_until("the thread ends", || queue.strong_count() == 0);
    assert_eq!(verify(&fixture.path).unwrap(), 1);
}
