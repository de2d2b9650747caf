//! A disk that fails, and what was promised before.

use super::*;

#[tokio::test]
async fn log_that_nobody_writes_to_notices_by_itself_that_the_disk_works_again() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty(&fixture);
    log.append(line()).await.unwrap();
    failing.store(2, Ordering::SeqCst);
    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    wait_until("the log recovers", || log.is_healthy());
    log.flush_and_close().await;
    assert_eq!(verify(&fixture.path).unwrap(), 2);
    let second = std::fs::read_to_string(fixture.path.with_file_name("audit-2.jsonl")).unwrap();
    assert!(second.contains("audit.resumed"), "{second}");
}

#[tokio::test]
async fn log_that_lost_what_it_had_confirmed_does_not_go_on() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty(&fixture);
    log.append(line().key_id("one")).await.unwrap();
    log.append(line().key_id("two")).await.unwrap();
    let good = std::fs::read_to_string(&fixture.path).unwrap();
    failing.store(2, Ordering::SeqCst);
    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
    failing.store(0, Ordering::SeqCst);
    for lost in [good.replace("two", "too"), good[..good.len() - 1].to_owned(), String::new()] {
        std::fs::write(&fixture.path, lost).unwrap();
        fixture.clock.advance(1);
        assert_eq!(log.append(line()).await, Err(AuditUnavailable));
        assert!(!log.is_healthy());
    }
    // What is there again, with anything behind it, is what was confirmed.
    std::fs::write(&fixture.path, format!("{good}torn")).unwrap();
    fixture.clock.advance(1);
    log.append(line()).await.unwrap();
    log.flush_and_close().await;
    assert_eq!(verify(&fixture.path).unwrap(), 3);
}

#[tokio::test]
async fn lines_not_yet_fsynced_are_written_again_when_the_fsync_fails() {
    let fixture = Fixture::new();
    let (log, failing, syncs) = open_faulty_with(&fixture, OS);
    for _ in 0..3 {
        log.append(line()).await.unwrap();
    }
    failing.store(2, Ordering::SeqCst);
    wait_until("an fsync fails", || syncs.load(Ordering::SeqCst) > 0 && !log.is_healthy());
    // The pages of the failed fsync never reached the disk.
    std::fs::write(&fixture.path, "").unwrap();
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    log.append(line()).await.unwrap();
    log.flush_and_close().await;
    // The thread may have tried the disk by itself in between; then it says so in a line of its own.
    let segment = std::fs::read_to_string(fixture.path.with_file_name("audit-1.jsonl")).unwrap();
    let resumed = segment.lines().filter(|line| line.contains("audit.resumed")).count();
    assert!(resumed <= 1);
    assert_eq!(verify(&fixture.path).unwrap(), 4 + u64::try_from(resumed).unwrap());
}

#[tokio::test]
async fn failed_disk_fails_records_and_recovery_keeps_every_acknowledged_line() {
    for fault in [1, 2] {
        let fixture = Fixture::new();
        let (log, failing, _) = open_faulty(&fixture);
        log.append(line().key_id("before")).await.unwrap();
        failing.store(fault, Ordering::SeqCst);
        assert_eq!(log.append(line().key_id("lost")).await, Err(AuditUnavailable));
        assert!(!log.is_healthy());
        log.append_without_waiting(line().key_id("kept"));
        failing.store(0, Ordering::SeqCst);
        // Within the same second nothing is tried.
        assert_eq!(log.append(line()).await, Err(AuditUnavailable));
        fixture.clock.advance(1);
        log.append(line().key_id("after")).await.unwrap();
        assert!(log.is_healthy());
        log.flush_and_close().await;

        assert_eq!(verify(&fixture.path).unwrap(), 3);
        let second = std::fs::read_to_string(fixture.path.with_file_name("audit-2.jsonl")).unwrap();
        assert!(second.contains("kept") && second.contains("after") && !second.contains("lost"));
        // A later start goes on in the last segment.
        let log = fixture.open().unwrap();
        log.append(line()).await.unwrap();
        log.flush_and_close().await;
        assert_eq!(verify(&fixture.path).unwrap(), 4);
        // Control: without the first segment's acknowledged line the chain is broken.
        std::fs::write(&fixture.path, "").unwrap();
        assert!(verify(&fixture.path).is_err());
    }
}
