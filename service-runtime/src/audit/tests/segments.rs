//! A log of several files.

use super::*;

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
                log.append(line()).await.unwrap();
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
        log.append(line()).await.unwrap();
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
                    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
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
    log.append(line()).await.unwrap();
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
    // All of them moved to another place: a new log begins.
    for path in &segments {
        std::fs::rename(path, path.with_extension("archived")).unwrap();
    }
    fixture.write(1).await;
    assert_eq!(verify(&fixture.path).unwrap(), 1);
}

#[tokio::test]
async fn full_segment_goes_on_where_no_other_can_be_made() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty_with(&fixture, SMALL);
    failing.store(4, Ordering::SeqCst);
    for _ in 0..20 {
        log.append(line()).await.unwrap();
    }
    assert!(fixture.later_segments().is_empty() && log.is_healthy());
    failing.store(0, Ordering::SeqCst);
    // Within the same second nothing is tried.
    log.append(line()).await.unwrap();
    assert!(fixture.later_segments().is_empty());
    fixture.clock.advance(1);
    log.append(line()).await.unwrap();
    log.flush_and_close().await;
    assert_eq!(fixture.later_segments().iter().map(|(first, _)| *first).collect::<Vec<_>>(), [22]);
    assert_eq!(verify(&fixture.path).unwrap(), 22);
}

#[tokio::test]
async fn segment_that_was_made_and_is_not_trusted_hides_no_line() {
    let fixture = Fixture::new();
    let (log, failing, _) = open_faulty_with(&fixture, SMALL);
    while std::fs::metadata(&fixture.path).unwrap().len() < SMALL.segment_bytes {
        log.append(line()).await.unwrap();
    }
    let before = u64::try_from(fixture.lines().len()).unwrap();
    failing.store(5, Ordering::SeqCst);
    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
    assert!(!log.is_healthy());
    failing.store(0, Ordering::SeqCst);
    fixture.clock.advance(1);
    log.append(line().key_id("after")).await.unwrap();
    log.flush_and_close().await;
    let (first, path) = fixture.later_segments().pop().unwrap();
    assert_eq!(first, before + 1);
    assert!(std::fs::read_to_string(path).unwrap().contains("after"));
    // The thread may have tried the disk by itself in between.
    let resumed = verify(&fixture.path).unwrap() - before - 1;
    assert!(resumed <= 1, "{resumed}");
}
