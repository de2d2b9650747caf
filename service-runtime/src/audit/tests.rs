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

/// Eight lines, more or less.
const SMALL: AuditSettings = AuditSettings { sync: AuditSync::Fsync, segment_bytes: 4_096 };

#[tokio::test]
async fn full_segment_is_left_behind_and_the_chain_goes_on_in_the_next() {
    for sync in [AuditSync::Fsync, AuditSync::Os] {
        let fixture = Fixture::new();
        let settings = AuditSettings { sync, ..SMALL };
        for lines in 1..=2 {
            let log = fixture.open_with(settings).unwrap();
            for _ in 0..30 {
                log.record(line()).await.unwrap();
            }
            log.flush_and_close().await;
            assert_eq!(verify(&fixture.path).unwrap(), 30 * lines);
        }
        let later = fixture.later_segments();
        assert!(later.len() >= 5, "{later:?}");
        for (position, (next, _)) in later.iter().enumerate() {
            let path = position.checked_sub(1).map_or(&fixture.path, |before| &later[before].1);
            let text = std::fs::read_to_string(path).unwrap();
            assert!((4_096..8_192).contains(&text.len()), "{}", text.len());
            let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(last["sequence"], *next - 1, "no line is in two segments");
        }
        // Power was lost when a segment had been made and no line was in it yet.
        let (newest, _) = later.last().unwrap();
        let after = fixture.path.with_file_name("audit-61.jsonl");
        assert!(*newest < 61);
        std::fs::write(&after, "").unwrap();
        std::fs::set_permissions(&after, PermissionsExt::from_mode(0o600)).unwrap();
        fixture.write(1).await;
        assert!(std::fs::read_to_string(&after).unwrap().contains("\"sequence\":61,"));
        assert_eq!(verify(&fixture.path).unwrap(), 61);
    }
}

#[tokio::test]
async fn alteration_of_a_segment_is_found_at_the_start_or_soon_after_it() {
    let fixture = Fixture::new();
    let log = fixture.open_with(SMALL).unwrap();
    for _ in 0..60 {
        log.record(line()).await.unwrap();
    }
    log.flush_and_close().await;
    let mut segments: Vec<_> = fixture.later_segments().into_iter().map(|(_, path)| path).collect();
    segments.insert(0, fixture.path.clone());
    let newest = segments.len() - 2;
    for (position, path) in segments.iter().enumerate() {
        let good = std::fs::read_to_string(path).unwrap();
        let rest = good.split_once('\n').unwrap().1;
        let last = good.lines().last().unwrap();
        for (what, text) in [
            ("altered", good.replacen("sec_1", "sec_2", 1)),
            ("first line removed", rest.to_owned()),
            ("last line removed", good.strip_suffix(&format!("{last}\n")).unwrap().to_owned()),
            ("emptied", String::new()),
        ] {
            // The end of the whole log shows nothing of what was behind it.
            if position > newest && (what.starts_with("last") || what == "emptied") {
                continue;
            }
            std::fs::write(path, &text).unwrap();
            match fixture.open_with(SMALL) {
                Err(refusal) => {
                    assert!(position >= newest, "{what} in {position}: {refusal}");
                    assert_eq!(what.starts_with("last"), refusal.sentence.contains("lines are missing"), "{refusal}");
                }
                Ok(log) => {
                    assert!(position < newest, "{what} in {position} was not found");
                    wait_until("it is found", || !log.is_healthy());
                    assert_eq!(log.record(line()).await, Err(AuditUnavailable));
                }
            }
            assert_eq!(std::fs::read_to_string(path).unwrap(), text, "evidence was changed");
        }
        std::fs::write(path, good).unwrap();
    }
    std::fs::rename(&segments[1], fixture.path.with_file_name("elsewhere")).unwrap();
    let log = fixture.open_with(SMALL).unwrap();
    wait_until("a segment is missed", || !log.is_healthy());
    std::fs::rename(fixture.path.with_file_name("elsewhere"), &segments[1]).unwrap();
    let log = fixture.open_with(SMALL).unwrap();
    wait_until("all is verified", || Arc::weak_count(&log.shared.queue) == 0);
    log.record(line()).await.unwrap();
    log.flush_and_close().await;
    // The newest segments, chained anew behind a line that never was.
    let mut hash = "f".repeat(64);
    for path in &segments[newest..] {
        let text = std::fs::read_to_string(path).unwrap();
        let forged = text.lines().map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["previous_hash"] = std::mem::take(&mut hash).into();
            let line = line.to_string();
            hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, line.as_bytes()));
            line + "\n"
        });
        std::fs::write(path, forged.collect::<String>()).unwrap();
    }
    let log = fixture.open_with(SMALL).unwrap();
    wait_until("the segments do not fit", || !log.is_healthy());
}

#[tokio::test]
async fn full_segment_goes_on_where_no_other_can_be_made() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty_with(&fixture, SMALL);
    failing.store(4, Ordering::SeqCst);
    for _ in 0..20 {
        log.record(line()).await.unwrap();
    }
    assert!(fixture.later_segments().is_empty() && log.is_healthy());
    failing.store(0, Ordering::SeqCst);
    // Within the same second nothing is tried.
    log.record(line()).await.unwrap();
    assert!(fixture.later_segments().is_empty());
    fixture.clock.advance(1);
    log.record(line()).await.unwrap();
    log.flush_and_close().await;
    assert_eq!(fixture.later_segments().iter().map(|(first, _)| *first).collect::<Vec<_>>(), [22]);
    assert_eq!(verify(&fixture.path).unwrap(), 22);
}

#[tokio::test]
async fn segment_that_was_made_and_is_not_trusted_hides_no_line() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty_with(&fixture, SMALL);
    while std::fs::metadata(&fixture.path).unwrap().len() < SMALL.segment_bytes {
        log.record(line()).await.unwrap();
    }
    let before = u64::try_from(fixture.lines().len()).unwrap();
    failing.store(5, Ordering::SeqCst);
    assert_eq!(log.record(line()).await, Err(AuditUnavailable));
    assert!(!log.is_healthy());
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    log.record(line().key_id("after")).await.unwrap();
    log.flush_and_close().await;
    let (first, path) = fixture.later_segments().pop().unwrap();
    assert_eq!(first, before + 1);
    assert!(std::fs::read_to_string(path).unwrap().contains("after"));
    // The thread may have tried the disk by itself in between.
    let resumed = verify(&fixture.path).unwrap() - before - 1;
    assert!(resumed <= 1, "{resumed}");
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
async fn log_that_nobody_writes_to_notices_by_itself_that_the_disk_works_again() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty(&fixture);
    log.record(line()).await.unwrap();
    failing.store(2, Ordering::SeqCst);
    assert_eq!(log.record(line()).await, Err(AuditUnavailable));
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    wait_until("the log recovers", || log.is_healthy());
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
    let (log, failing, syncs) = open_faulty_with(&fixture, OS);
    for _ in 0..3 {
        log.record(line()).await.unwrap();
    }
    failing.store(2, Ordering::SeqCst);
    wait_until("an fsync fails", || syncs.load(Ordering::SeqCst) > 0 && !log.is_healthy());
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
    let log = AuditLog::open(&fixture.path, "test-service", OS, clock).unwrap();
    log.record(line()).await.unwrap();
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
    wait_until("the thread ends", || queue.strong_count() == 0);
    assert_eq!(verify(&fixture.path).unwrap(), 1);
}
