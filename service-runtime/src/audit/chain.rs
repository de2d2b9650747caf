//! The chain of an audit log on disk, read from the first line to the last.
//!
//! Guarantees that every line that counts names the hash of the one before and the next number. Only what a crash left
//! of lines that were never acknowledged does not count: a last line without its newline, and everything from the first
//! zero byte on, which is what a power cut makes of the sectors of an append. The log continues beside such a file, so
//! that what lies behind the zeros stays as evidence.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::{files, process::StartError};

/// The end of a verified chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    /// Number of the last line, 0 before the first.
    pub(super) sequence: u64,
    /// Hash of the last line, 64 zeros before the first.
    pub(super) hash: String,
}

impl Tip {
    pub(super) fn start() -> Self {
        Self { sequence: 0, hash: "0".repeat(64) }
    }
}

/// The lowercase hex SHA-256 of a line without its newline.
pub(super) fn hash_of(line: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, line))
}

/// Verifies an audit log and returns how many lines it has. Changes nothing; a torn last line is left out.
///
/// # Errors
/// A line was altered, removed or inserted, or a file cannot be read.
pub fn verify(path: &Path) -> Result<u64, StartError> {
    Ok(read_all(path)?.tip.sequence)
}

/// What [`read_all`] found.
pub(super) struct Found {
    pub(super) tip: Tip,
    /// The file that is appended to, made if it is not there, and how many of its bytes are whole lines.
    pub(super) last_segment: PathBuf,
    pub(super) whole_bytes: u64,
}

/// Reads every segment in order.
pub(super) fn read_all(path: &Path) -> Result<Found, StartError> {
    let later = later_segments(path).map_err(|error| unreadable(path, &error))?;
    let mut tip = Tip::start();
    let mut segment = path.to_path_buf();
    let (mut whole_bytes, mut has_zeros) = (0, false);
    let mut ends = later.iter().map(|(first, next)| (Some(*first), Some(next))).collect::<Vec<_>>();
    ends.push((None, None));
    for (end, next) in ends {
        (whole_bytes, has_zeros) = read_segment(&segment, end, &mut tip)?;
        if let (Some(first), Some(next)) = (end, next) {
            if tip.sequence.checked_add(1) != Some(first) {
                return Err(StartError::new(format!(
                    "The audit log {} ends at line {} but continues at {first}: lines are missing; restore them, or \
                     move all segments away and keep them as evidence.",
                    segment.display(),
                    tip.sequence
                )));
            }
            segment.clone_from(next);
        }
    }
    if has_zeros {
        tracing::warn!(
            after_line = tip.sequence,
            "the audit log ends in zeros, as after a power cut: they are left behind"
        );
        return Ok(Found { last_segment: segment_path(path, tip.sequence.saturating_add(1)), tip, whole_bytes: 0 });
    }
    Ok(Found { tip, last_segment: segment, whole_bytes })
}

/// The name of the segment that begins with line `sequence`.
pub(super) fn segment_path(path: &Path, sequence: u64) -> PathBuf {
    let (stem, extension) = name_parts(path);
    path.with_file_name(format!("{stem}-{sequence}{extension}"))
}

/// Whether a file still has the last line of `tip` just before byte `end`.
pub(super) fn still_ends_with(path: &Path, end: u64, tip: &Tip) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).custom_flags(files::NO_FOLLOW).open(path)?;
    // The kernel's copy may be better than the disk's: it is given up, so that the disk is asked. A kernel may decline.
    let _asked = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let start = end.saturating_sub(MAX_LINE);
    let mut tail = vec![0; usize::try_from(end - start).unwrap_or(0)];
    match file.read_exact_at(&mut tail, start) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    if tail.pop() != Some(b'\n') {
        return Ok(false);
    }
    Ok(tail.rsplit(|byte| *byte == b'\n').next().is_some_and(|line| hash_of(line) == tip.hash))
}

#[derive(Deserialize)]
struct Link {
    sequence: u64,
    previous_hash: String,
}

/// More than any line of ours.
const MAX_LINE: u64 = 64 * 1024;

/// Reads lines below `end`, advances `tip`, returns the length of the whole lines, and whether zeros follow.
fn read_segment(path: &Path, end: Option<u64>, tip: &mut Tip) -> Result<(u64, bool), StartError> {
    let file = match OpenOptions::new().read(true).custom_flags(files::NO_FOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, false)),
        Err(error) => return Err(unreadable(path, &error)),
    };
    files::check_open_file(path, &file)?;
    let mut reader: BufReader<File> = BufReader::new(file);
    let (mut bytes, mut line) = (0, Vec::new());
    loop {
        let next = tip.sequence.saturating_add(1);
        if end == Some(next) {
            // From here on the next segment counts, whatever is left of this one.
            return Ok((bytes, false));
        }
        line.clear();
        let mut limited = reader.by_ref().take(MAX_LINE);
        let length = limited.read_until(b'\n', &mut line).map_err(|error| unreadable(path, &error))?;
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        // JSON has no zero byte.
        if end.is_none() && line.contains(&0) {
            return Ok((bytes, true));
        }
        if line.pop() != Some(b'\n') {
            if length == MAX_LINE {
                return Err(broken(path, tip));
            }
            // Nothing, or a last line that was cut by a crash.
            return Ok((bytes, false));
        }
        let parsed: Link = serde_json::from_slice(&line).map_err(|_| broken(path, tip))?;
        if parsed.sequence != next || parsed.previous_hash != tip.hash {
            return Err(broken(path, tip));
        }
        *tip = Tip { sequence: next, hash: hash_of(&line) };
        bytes += length;
    }
}

/// Segments after the first, with the number of their first line, in order.
fn later_segments(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let (stem, extension) = name_parts(path);
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(&format!("{stem}-")))
            .and_then(|rest| rest.strip_suffix(&extension))
            .and_then(|digits| digits.parse::<u64>().ok());
        if let Some(number) = number {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn name_parts(path: &Path) -> (String, String) {
    let text = |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = text(path.extension());
    (text(path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
}

fn unreadable(path: &Path, error: &io::Error) -> StartError {
    StartError::new(format!("The audit log {} cannot be read ({error}); check its owner and mode.", path.display()))
}

fn broken(path: &Path, tip: &Tip) -> StartError {
    StartError::new(format!(
        "The audit log {} was altered after line {}: the chain is broken; keep all segments as evidence, move them \
         away, and start again.",
        path.display(),
        tip.sequence
    ))
}
