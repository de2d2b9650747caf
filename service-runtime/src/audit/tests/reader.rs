//! Lines that are read back while others are written.

use super::*;

#[derive(serde::Deserialize)]
struct Line {
    sequence: u64,
}

fn number(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Line>(line).ok().map(|line| line.sequence)
}

/// The numbers of all lines before a place, as pages that each end after `page` lines give them.
async fn all(log: &AuditLog, page: usize) -> Vec<u64> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let block = log.read_back(before, number).await.unwrap();
        found.extend(block.lines.iter().take(page).map(|(_, number)| number));
        // As a caller who shows no more than that.
        before = if block.lines.len() > page { Some(block.lines[page - 1].0) } else { block.next };
        before = before.map(|place| AuditPlace::from_bytes(place.to_bytes()));
        if before.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn all_lines_are_read_back_across_blocks_and_segments_also_while_the_log_goes_on() {
    for segment_bytes in [4_096, 32 << 20] {
        let fixture = Fixture::new();
        let log = fixture.open_with(AuditSettings { segment_bytes, ..AuditSettings::default() }).unwrap();
        assert_eq!(all(&log, 9).await, [0; 0], "an empty log");
        let lines: u64 = 1_500;
        for _ in 0..lines {
            log.append_without_waiting(line());
        }
        log.append(line()).await.unwrap();
        let expected: Vec<u64> = (1..=lines + 1).rev().collect();
        for page in [250, usize::MAX] {
            assert_eq!(all(&log, page).await, expected, "{segment_bytes} {page}");
        }
        let text = std::fs::metadata(&fixture.path).unwrap().len();
        assert!(segment_bytes == 4_096 || text > 2 * BLOCK_BYTES, "there are several blocks: {text}");
        // A place stays what it is, whatever comes behind it.
        let newest = log.read_back(None, number).await.unwrap();
        let place = newest.lines[0].0;
        for _ in 0..30 {
            log.append(line()).await.unwrap();
        }
        let before = log.read_back(Some(place), number).await.unwrap();
        assert_eq!(before.lines[0].1, lines);
        assert_eq!(log.read_back(None, number).await.unwrap().lines[0].1, lines + 31);
        log.flush_and_close().await;
    }
}

#[tokio::test]
async fn lines_that_do_not_count_are_not_read_back() {
    let fixture = Fixture::new();
    fixture.write(4).await;
    let good = std::fs::read_to_string(&fixture.path).unwrap();
    let log = fixture.open().unwrap();
    std::fs::write(&fixture.path, format!("{good}{{\"sequence\":5,\"half of")).unwrap();
    assert_eq!(all(&log, 2).await, [4, 3, 2, 1], "the last line is not whole yet");
    std::fs::write(&fixture.path, format!("{good}\0\0\0\0\n\0\0")).unwrap();
    assert_eq!(all(&log, 2).await, [4, 3, 2, 1], "zeros are no line");
    // What was behind line 3 in a file that failed is in the next one again, or was never acknowledged.
    let next = fixture.path.with_file_name("audit-4.jsonl");
    let fourth = good.lines().nth(3).unwrap();
    std::fs::write(&next, format!("{fourth}\n")).unwrap();
    std::fs::set_permissions(&next, PermissionsExt::from_mode(0o600)).unwrap();
    for page in [1, 3, 9] {
        assert_eq!(all(&log, page).await, [4, 3, 2, 1], "each once");
    }
    std::fs::remove_file(&fixture.path).unwrap();
    assert_eq!(all(&log, 1).await, [4], "the older file was moved away");
    std::fs::set_permissions(&next, PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!(log.read_back(None, number).await.err(), Some(AuditUnavailable), "it is open to others");
}

/// Zeros, or a line of no end, are passed over a block at a time.
#[tokio::test]
async fn what_is_no_line_ends_no_reading() {
    let fixture = Fixture::new();
    fixture.write(2).await;
    let good = std::fs::read(&fixture.path).unwrap();
    let log = fixture.open().unwrap();
    let junk = vec![b'x'; usize::try_from(3 * BLOCK_BYTES + 17).unwrap()];
    std::fs::write(&fixture.path, [&good[..], &junk, b"\n", &junk].concat()).unwrap();
    assert_eq!(all(&log, 5).await, [2, 1]);
}
