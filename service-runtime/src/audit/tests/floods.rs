//! What callers can cause in the log, and what is left for the others.

use shared_proto::error::ErrorCode;

use super::*;

fn refusal(action: &'static str, jti: Option<usize>, code: ErrorCode) -> AuditRecord {
    let record = AuditRecord::background(action, AuditStatus::Denied).code(code);
    match jti {
        Some(number) => record.jti(format!("tok_{number}")),
        None => record,
    }
}

/// How many refusals the lines tell of.
fn told(lines: &[serde_json::Value]) -> u64 {
    let refusals = lines.iter().filter(|line| line["status"] == "denied");
    refusals.map(|line| 1 + line["others"].as_u64().unwrap_or(0)).sum()
}

#[tokio::test]
async fn many_callers_write_at_most_fifty_refusal_lines_a_second_and_every_refusal_is_counted() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let codes = [ErrorCode::TokenInvalid, ErrorCode::SecretNotFound, ErrorCode::BodyInvalid];
    let actions: Vec<&'static str> = (0..60).map(|n| &*Box::leak(format!("action_{n}").into_boxed_str())).collect();
    let mut all = 0;
    for second in 1..=3 {
        for (number, action) in (0..3_000).zip(actions.iter().cycle()) {
            for code in codes {
                log.record_refusal(refusal("read", Some(number % 700), code));
                log.record_refusal(refusal(action, None, code));
                all += 2;
            }
        }
        log.append(line()).await.unwrap();
        let written = fixture.lines().iter().filter(|line| line["status"] == "denied").count();
        // Around the turn of a second, the lines of two come together.
        assert!((1..=second * 50).contains(&written), "{written} refusal lines in {second} seconds");
        fixture.clock.advance(1);
    }
    log.flush_and_close().await;
    assert_eq!(told(&fixture.lines()), all);
}

#[tokio::test]
async fn refusals_of_one_token_leave_lines_for_those_of_another_and_for_strangers() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    for _ in 0..5_000 {
        log.record_refusal(refusal("read", Some(1), ErrorCode::SecretNotFound));
    }
    log.record_refusal(refusal("read", Some(2), ErrorCode::SecretNotFound));
    log.record_refusal(refusal("read", Some(1), ErrorCode::TokenInvalid));
    log.record_refusal(refusal("read", None, ErrorCode::TokenInvalid));
    log.flush_and_close().await;
    let lines = fixture.lines();
    let of =
        |jti: serde_json::Value, code| lines.iter().filter(|line| line["jti"] == jti && line["code"] == code).count();
    assert_eq!(of("tok_1".into(), "secret_not_found"), 2, "the first, and the last with the number of the others");
    assert_eq!(of("tok_2".into(), "secret_not_found"), 1);
    assert_eq!(of("tok_1".into(), "token_invalid"), 1);
    assert_eq!(of(serde_json::Value::Null, "token_invalid"), 1);
    assert_eq!(told(&lines), 5_003);
}

#[tokio::test]
async fn failure_of_a_caller_is_not_counted_with_his_refusals_of_the_same_code() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let failed = AuditRecord::background("read", AuditStatus::Failed).code(ErrorCode::TokenInvalid).jti("tok_1");
    for _ in 0..3 {
        log.record_refusal(refusal("read", Some(1), ErrorCode::TokenInvalid));
    }
    log.record_refusal(failed);
    log.record_refusal(refusal("read", Some(1), ErrorCode::TokenInvalid));
    log.flush_and_close().await;
    let lines = fixture.lines();
    assert_eq!(lines.iter().filter(|line| line["status"] == "failed").count(), 1);
    assert_eq!(told(&lines), 4);
}

#[tokio::test]
async fn last_refusals_of_a_flood_are_written_when_no_other_comes() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    for _ in 0..4 {
        log.record_refusal(refusal("read", Some(1), ErrorCode::SecretNotFound));
    }
    fixture.clock.advance(1);
    wait_until("the open sample is written", || told(&fixture.whole_lines()) == 4);
    log.flush_and_close().await;
    assert_eq!(fixture.lines().len(), 2);
}

#[tokio::test]
async fn lines_that_nobody_waits_for_leave_room_for_those_that_somebody_waits_for() {
    const LINES: u64 = 100_000;
    let fixture = Fixture::new();
    let (log, failing, syncs) = open_faulty(&fixture);
    failing.store(3, Ordering::SeqCst);
    log.append_without_waiting(line().key_id("first"));
    wait_until("the disk hangs", || syncs.load(Ordering::SeqCst) > 0);
    for _ in 0..LINES {
        log.append_without_waiting(line().key_id("unawaited"));
    }
    let mut awaited = Box::pin(log.append(line().key_id("awaited")));
    assert_eq!(futures_util::FutureExt::now_or_never(&mut awaited), None, "there is room for it");
    failing.store(0, Ordering::SeqCst);
    awaited.await.unwrap();
    log.flush_and_close().await;
    let lines = fixture.lines();
    let written = lines.iter().filter(|line| line["key_id"] == "unawaited").count();
    let dropped: u64 =
        lines.iter().filter(|line| line["action"] == "audit.dropped").map(|l| l["count"].as_u64().unwrap()).sum();
    assert!(dropped > 0, "{written} lines waited");
    assert_eq!(u64::try_from(written).unwrap() + dropped, LINES);
}

#[tokio::test]
async fn lines_that_are_lost_while_the_disk_fails_are_counted_in_the_log() {
    const LINES: u64 = 6_000;
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty(&fixture);
    failing.store(2, Ordering::SeqCst);
    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
    for _ in 0..LINES {
        log.append_without_waiting(line().key_id("unawaited"));
    }
    // Those before it were looked at.
    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    log.append(line()).await.unwrap();
    log.flush_and_close().await;
    let text = std::fs::read_to_string(fixture.path.with_file_name("audit-1.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let written = lines.iter().filter(|line| line["key_id"] == "unawaited").count();
    let dropped: Vec<_> = lines.iter().filter(|line| line["action"] == "audit.dropped").collect();
    assert_eq!(dropped.len(), 1);
    assert_eq!(u64::try_from(written).unwrap() + dropped[0]["count"].as_u64().unwrap(), LINES);
}
