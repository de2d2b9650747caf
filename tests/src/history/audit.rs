//! The audit log of a service, read and verified from outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shared_proto::encoding::sha256;

/// What an audit log proves.
#[derive(Clone, Debug, Default)]
pub struct AuditTrail {
    /// The request ids of its `success` lines.
    pub requests: BTreeSet<String>,
    /// Where its chain breaks, if it does.
    pub broken: Option<String>,
}

impl AuditTrail {
    /// Reads the segments in a data directory. A segment counts up to where the next one begins, and a last line
    /// without its end does not count.
    pub fn of(data: &Path) -> Self {
        let (mut trail, mut sequence, mut hash) = (Self::default(), 0, "0".repeat(64));
        let segments = audit_segments(data);
        for (position, (_, path)) in segments.iter().enumerate() {
            let end = segments.get(position + 1).map(|(first, _)| *first);
            let bytes = std::fs::read(path).unwrap_or_default();
            for line in bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n")) {
                let next = sequence + 1;
                if end == Some(next) {
                    break;
                }
                let entry: Value = serde_json::from_slice(line).unwrap_or_default();
                if entry["sequence"] != next || entry["previous_hash"] != *hash {
                    trail.broken = Some(format!("{} after line {sequence}", path.display()));
                    return trail;
                }
                if entry["status"] == "success" {
                    trail.requests.insert(entry["request_id"].as_str().unwrap_or_default().to_owned());
                }
                (sequence, hash) = (next, hex::encode(sha256(line)));
            }
        }
        trail
    }
}

/// The segments in order, with the number of the first line of each.
pub fn audit_segments(data: &Path) -> Vec<(u64, PathBuf)> {
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix("audit")?.strip_suffix(".jsonl")?;
        if name.is_empty() { Some(1) } else { name.strip_prefix('-')?.parse().ok() }
    };
    let paths = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: usize) -> String {
        let (mut text, mut hash) = (String::new(), "0".repeat(64));
        for sequence in 1..=lines {
            let line = format!(
                r#"{{"status":"success","request_id":"r{sequence}","sequence":{sequence},"previous_hash":"{hash}"}}"#
            );
            hash = hex::encode(sha256(line.as_bytes()));
            text = text + &line + "\n";
        }
        text
    }

    fn read(segments: &[(&str, &str)]) -> AuditTrail {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in segments {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        AuditTrail::of(folder.path())
    }

    #[test]
    fn whole_log_is_accepted_and_an_altered_removed_or_repeated_line_is_not() {
        let whole = log(4);
        let trail = read(&[("audit.jsonl", &whole)]);
        assert_eq!((trail.requests.len(), trail.broken), (4, None));
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        for broken in [
            whole.replacen("r2", "x2", 1),
            [lines[0], lines[2], lines[3]].concat(),
            [lines[0], lines[1], lines[1], lines[2]].concat(),
            [lines[0], "\0\0\0\n", lines[1]].concat(),
        ] {
            assert!(read(&[("audit.jsonl", &broken)]).broken.is_some(), "{broken}");
        }
        let torn = &whole[..whole.len() - 1];
        assert_eq!(read(&[("audit.jsonl", torn)]).requests.len(), 3, "the last line is not whole");
    }

    #[test]
    fn later_segment_counts_from_its_number_on() {
        let whole = log(4);
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        let (first, second) = (lines[..3].concat(), lines[2..].concat());
        let trail = read(&[("audit.jsonl", &first), ("audit-3.jsonl", &second)]);
        assert_eq!((trail.requests.len(), trail.broken), (4, None));
    }
}
