use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicU64, AtomicUsize},
};

use super::{writer::Segment, *};
use crate::{clock::ManualClock, http::RequestMeta};

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
        AuditLog::open(&self.path, "test-service", AuditSync::Fsync, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    async fn write(&self, lines: usize) {
        let log = self.open().unwrap();
        for _ in 0..lines {
            log.record(line()).await.unwrap();
        }
        log.flush_and_close().await;
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn line() -> AuditRecord {
    let meta = RequestMeta {
        request_id: "req".to_owned(),
        ip_address: "127.0.0.1".to_owned(),
        user_agent: format!("evil\n\u{1b}[2Jagent{}", "x".repeat(400)),
    };
    AuditRecord::new("secret.open", AuditStatus::Success, &meta).key_id("sec_1").jti("j1")
}

#[tokio::test]
async fn lines_are_chained_and_have_exactly_the_documented_fields() {
    let fixture = Fixture::new();
    fixture.write(2).await;
    fixture.write(1).await;
    let lines = fixture.lines();
    assert_eq!(lines.len(), 3);
    let mut names: Vec<_> = lines[0].as_object().unwrap().keys().cloned().collect();
    names.sort();
    let expected = "action ip_address jti key_id previous_hash request_id sequence service_name status timestamp";
    assert_eq!(names.join(" "), format!("{expected} user_agent"));
    assert_eq!(lines[0]["previous_hash"], "0".repeat(64));
    let text = std::fs::read_to_string(&fixture.path).unwrap();
    let first = text.lines().next().unwrap();
    assert_eq!(
        lines[1]["previous_hash"],
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, first.as_bytes()))
    );
    assert_eq!(lines[2]["sequence"], 3);
    let agent = lines[0]["user_agent"].as_str().unwrap();
    assert!(agent.starts_with("evil[2Jagent") && agent.chars().count() == 256, "{agent}");
    assert_eq!(std::fs::metadata(&fixture.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(verify(&fixture.path).unwrap(), 3);
}

#[tokio::test]
async fn altered_removed_and_swapped_lines_are_found() {
    let fixture = Fixture::new();
    fixture.write(4).await;
    let good = std::fs::read_to_string(&fixture.path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let wrong = [
        good.replacen("sec_1", "sec_2", 1),
        format!("{}\n{}\n{}\n", lines[0], lines[2], lines[3]),
        format!("{}\n{}\n{}\n{}\n", lines[0], lines[2], lines[1], lines[3]),
        format!("{}\n{}\n{}\n", lines[1], lines[2], lines[3]),
        good.replacen("127.0.0.1", "127.0.0.2", 2),
        format!("{good}garbage\n"),
    ];
    for text in wrong {
        std::fs::write(&fixture.path, &text).unwrap();
        let refusal = fixture.open().map(|_| ()).unwrap_err();
        assert!(refusal.sentence.contains("chain is broken"), "{refusal}");
        assert_eq!(std::fs::read_to_string(&fixture.path).unwrap(), text, "evidence was changed");
    }
    std::fs::write(&fixture.path, good).unwrap();
    fixture.open().unwrap();
}

#[tokio::test]
async fn torn_last_line_is_cut_and_the_chain_goes_on() {
    let fixture = Fixture::new();
    fixture.write(2).await;
    let mut text = std::fs::read_to_string(&fixture.path).unwrap();
    text.push_str("{\"timestamp\":1000,\"serv");
    std::fs::write(&fixture.path, text).unwrap();
    fixture.write(1).await;
    assert_eq!(fixture.lines().len(), 3);
    assert_eq!(verify(&fixture.path).unwrap(), 3);
}

#[tokio::test]
async fn zeros_that_a_power_cut_left_are_kept_and_the_chain_goes_on_beside_them() {
    let fixture = Fixture::new();
    fixture.write(2).await;
    let whole = std::fs::read(&fixture.path).unwrap();
    fixture.write(2).await;
    let four = std::fs::read(&fixture.path).unwrap();
    // Sectors of the two last lines, which were one append, did not reach the disk: within one of them, over the end of
    // the first, all of the first, more than any line.
    let third = whole.len()..whole.len() + (four.len() - whole.len()) / 2;
    for (zeros, longer) in [
        (third.start + 5..third.start + 9, 0),
        (third.start + 5..third.end + 3, 0),
        (third, 0),
        (whole.len()..four.len(), 100_000),
    ] {
        let mut torn = four.clone();
        torn[zeros].fill(0);
        torn.resize(four.len() + longer, 0);
        std::fs::write(&fixture.path, &torn).unwrap();
        assert_eq!(verify(&fixture.path).unwrap(), 2);
        fixture.write(1).await;
        fixture.write(1).await;
        assert_eq!(verify(&fixture.path).unwrap(), 4);
        assert_eq!(std::fs::read(&fixture.path).unwrap(), torn, "it stays as evidence");
        let second = fixture.path.with_file_name("audit-3.jsonl");
        // Torn again, before any line of it was whole.
        std::fs::write(&second, [0; 700]).unwrap();
        fixture.write(1).await;
        assert_eq!(verify(&fixture.path).unwrap(), 3);
        // Zeros in front of a later segment are no end: lines are missing.
        std::fs::write(&fixture.path, [&whole[..10], &[0; 600], &whole[10..]].concat()).unwrap();
        assert!(fixture.open().is_err());
        std::fs::remove_file(second).unwrap();
    }
}

#[tokio::test]
async fn log_that_others_can_read_is_refused() {
    let fixture = Fixture::new();
    fixture.write(1).await;
    std::fs::set_permissions(&fixture.path, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(fixture.open().is_err());
}

#[tokio::test]
async fn refusals_of_strangers_are_sampled_and_counted() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let refused = || AuditRecord::background("secret.open", AuditStatus::Denied).code(ErrorCode::TokenInvalid);
    for _ in 0..1_000 {
        log.refusal_before_signature(refused());
    }
    log.refusal_before_signature(refused().code(ErrorCode::BodyInvalid));
    fixture.clock.advance(1);
    for _ in 0..4 {
        log.refusal_before_signature(refused());
    }
    log.flush_and_close().await;
    let lines = fixture.lines();
    let counts: Vec<_> =
        lines.iter().filter(|l| l["code"] == "token_invalid").map(|l| l["count"].as_u64().unwrap_or(0)).collect();
    assert_eq!(counts, [0, 999, 2]);
    assert_eq!(lines.len(), 4);
    assert_eq!(log.record(line()).await, Err(AuditUnavailable));
    assert!(!log.is_healthy());
}

/// Fails while `failing` is 1 (write, half of it done) or 2 (fsync), hangs while it is 3; counts fsyncs.
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
}

fn open_faulty(fixture: &Fixture) -> (AuditLog, Arc<AtomicU64>, Arc<AtomicUsize>) {
    open_faulty_with(fixture, AuditSync::Fsync)
}

fn open_faulty_with(fixture: &Fixture, sync: AuditSync) -> (AuditLog, Arc<AtomicU64>, Arc<AtomicUsize>) {
    let (failing, syncs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let (f, s) = (Arc::clone(&failing), Arc::clone(&syncs));
    let open: OpenSegment = Box::new(move |path| {
        let inner = open_segment_file(path)?;
        Ok(Box::new(Faulty { inner, failing: Arc::clone(&f), syncs: Arc::clone(&s) }) as Box<dyn Segment>)
    });
    let clock = Arc::clone(&fixture.clock) as Arc<dyn Clock>;
    let log = AuditLog::open_on(&fixture.path, "test-service", sync, clock, open).unwrap();
    (log, failing, syncs)
}

/// Polls until the log is healthy.
fn wait_healthy(log: &AuditLog) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !log.is_healthy() {
        assert!(std::time::Instant::now() < deadline, "the log does not recover");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn log_that_nobody_writes_to_notices_by_itself_that_the_disk_works_again() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty(&fixture);
    log.record(line()).await.unwrap();
    failing.store(2, Ordering::SeqCst);
    assert_eq!(log.record(line()).await, Err(AuditUnavailable));
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    wait_healthy(&log);
    log.flush_and_close().await;
    assert_eq!(verify(&fixture.path).unwrap(), 2);
    let second = std::fs::read_to_string(fixture.path.with_file_name("audit-2.jsonl")).unwrap();
    assert!(second.contains("audit_resumed"), "{second}");
}

#[tokio::test]
async fn log_that_lost_what_it_had_confirmed_does_not_go_on() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty(&fixture);
    log.record(line().key_id("one")).await.unwrap();
    log.record(line().key_id("two")).await.unwrap();
    let good = std::fs::read_to_string(&fixture.path).unwrap();
    failing.store(2, Ordering::SeqCst);
    assert_eq!(log.record(line()).await, Err(AuditUnavailable));
    failing.store(0, Ordering::SeqCst);
    for lost in [good.replace("two", "too"), good[..good.len() - 1].to_owned(), String::new()] {
        std::fs::write(&fixture.path, lost).unwrap();
        fixture.clock.advance(1);
        assert_eq!(log.record(line()).await, Err(AuditUnavailable));
        assert!(!log.is_healthy());
    }
    // What is there again, with anything behind it, is what was confirmed.
    std::fs::write(&fixture.path, format!("{good}torn")).unwrap();
    fixture.clock.advance(1);
    log.record(line()).await.unwrap();
    log.flush_and_close().await;
    assert_eq!(verify(&fixture.path).unwrap(), 3);
}

#[tokio::test]
async fn lines_not_yet_fsynced_are_written_again_when_the_fsync_fails() {
    let fixture = Fixture::new();
    let (log, failing, syncs) = open_faulty_with(&fixture, AuditSync::Os);
    for _ in 0..3 {
        log.record(line()).await.unwrap();
    }
    failing.store(2, Ordering::SeqCst);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while syncs.load(Ordering::SeqCst) == 0 || log.is_healthy() {
        assert!(std::time::Instant::now() < deadline, "nothing was fsynced");
        std::thread::yield_now();
    }
    // The pages of the failed fsync never reached the disk.
    std::fs::write(&fixture.path, "").unwrap();
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    log.record(line()).await.unwrap();
    log.flush_and_close().await;
    // The thread may have tried the disk by itself in between; then it says so in a line of its own.
    let segment = std::fs::read_to_string(fixture.path.with_file_name("audit-1.jsonl")).unwrap();
    let resumed = segment.lines().filter(|line| line.contains("audit_resumed")).count();
    assert!(resumed <= 1);
    assert_eq!(verify(&fixture.path).unwrap(), 4 + u64::try_from(resumed).unwrap());
}

#[tokio::test]
async fn failed_disk_fails_records_and_recovery_keeps_every_acknowledged_line() {
    for fault in [1, 2] {
        let fixture = Fixture::new();
        let (log, failing, _) = open_faulty(&fixture);
        log.record(line().key_id("before")).await.unwrap();
        failing.store(fault, Ordering::SeqCst);
        assert_eq!(log.record(line().key_id("lost")).await, Err(AuditUnavailable));
        assert!(!log.is_healthy());
        log.record_without_waiting(line().key_id("kept"));
        failing.store(0, Ordering::SeqCst);
        // Within the same second nothing is tried.
        assert_eq!(log.record(line()).await, Err(AuditUnavailable));
        fixture.clock.advance(1);
        log.record(line().key_id("after")).await.unwrap();
        assert!(log.is_healthy());
        log.flush_and_close().await;

        assert_eq!(verify(&fixture.path).unwrap(), 3);
        let second = std::fs::read_to_string(fixture.path.with_file_name("audit-2.jsonl")).unwrap();
        assert!(second.contains("kept") && second.contains("after") && !second.contains("lost"));
        // A later start goes on in the last segment.
        let log = fixture.open().unwrap();
        log.record(line()).await.unwrap();
        log.flush_and_close().await;
        assert_eq!(verify(&fixture.path).unwrap(), 4);
        // Control: without the first segment's acknowledged line the chain is broken.
        std::fs::write(&fixture.path, "").unwrap();
        assert!(verify(&fixture.path).is_err());
    }
}

#[tokio::test]
async fn concurrent_records_share_fsyncs() {
    let fixture = Fixture::new();
    let (log, failing, syncs) = open_faulty(&fixture);
    failing.store(3, Ordering::SeqCst);
    let mut all: Vec<_> = (0..500).map(|_| Box::pin(log.record(line()))).collect();
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
    let log = AuditLog::open(&fixture.path, "test-service", AuditSync::Os, clock).unwrap();
    log.record(line()).await.unwrap();
    assert_eq!(fixture.lines().len(), 1);
    assert_eq!(log.sync(), AuditSync::Os);
    log.flush_and_close().await;
}

#[tokio::test]
async fn lines_that_never_stop_coming_are_on_disk_within_a_second_all_the_same() {
    let fixture = Fixture::new();
    let (log, _, syncs) = open_faulty_with(&fixture, AuditSync::Os);
    for second in 0..3 {
        for _ in 0..50 {
            log.record(line()).await.unwrap();
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
    let entry = || Entry { timestamp: 0, record: line(), count: None };
    let waiting = queue.push(entry(), true).unwrap().unwrap();
    queue.abandon();
    assert_eq!(futures_util::FutureExt::now_or_never(waiting), Some(Err(AuditUnavailable)));
    assert!(queue.push(entry(), false).is_err());
}

#[tokio::test]
async fn thread_ends_with_the_last_handle_and_writes_what_waits_before() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let queue = Arc::downgrade(&log.shared.queue);
    log.record_without_waiting(line());
    drop(log);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while queue.strong_count() > 0 {
        assert!(std::time::Instant::now() < deadline, "the thread does not end");
        std::thread::yield_now();
    }
    assert_eq!(verify(&fixture.path).unwrap(), 1);
}
