//! The chain of an audit log on disk.
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

use crate::{StartError, files};

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
    Ok(read(&segments(path)?, Tip::start(), None)?.tip.sequence)
}

/// The end of a log.
pub(super) struct End {
    pub(super) tip: Tip,
    /// The file that is appended to, made if it is not there, and how many of its bytes are whole lines.
    pub(super) last_segment: PathBuf,
    pub(super) whole_bytes: u64,
    /// The file before it with a whole line, and where the last one ends.
    pub(super) before: Option<(PathBuf, u64)>,
}

/// The segments before the newest ones, and where those begin.
pub(super) struct Older {
    segments: Vec<Segment>,
    end: Tip,
}

/// Verifies the two newest segments: the last may be empty, and the one before is joined to it. What the first of them
/// says of the line before it is for [`Older::verify`].
pub(super) fn read_newest(path: &Path) -> Result<(End, Older), StartError> {
    let mut older = segments(path)?;
    let newest = older.split_off(older.len().saturating_sub(2));
    let start = match newest.first() {
        Some(first) if !older.is_empty() => before_first_line(first)?,
        Some(_) | None => Tip::start(),
    };
    let mut end = read(&newest, start.clone(), None)?;
    if end.has_zeros {
        tracing::warn!(
            after_line = end.tip.sequence,
            "the audit log ends in zeros, as after a power cut: they are left behind"
        );
        end.leave(segment_path(path, end.tip.sequence.saturating_add(1)));
    }
    let ReadUpTo { tip, path: last_segment, whole_bytes, before, .. } = end;
    Ok((End { tip, last_segment, whole_bytes, before }, Older { segments: older, end: start }))
}

impl Older {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Reads them from the first line to where the newer ones begin; returns how many lines there are.
    pub(super) fn verify(&self) -> Result<u64, StartError> {
        let found = read(&self.segments, Tip::start(), Some(self.end.sequence.saturating_add(1)))?;
        if found.tip == self.end { Ok(found.tip.sequence) } else { Err(broken(&found.path, &found.tip)) }
    }
}

/// How far a log was read.
struct ReadUpTo {
    tip: Tip,
    path: PathBuf,
    whole_bytes: u64,
    before: Option<(PathBuf, u64)>,
    has_zeros: bool,
}

impl ReadUpTo {
    /// Goes on to the next file.
    fn leave(&mut self, next: PathBuf) {
        let path = std::mem::replace(&mut self.path, next);
        let end = std::mem::take(&mut self.whole_bytes);
        if end > 0 {
            self.before = Some((path, end));
        }
    }
}

/// Reads segments in order, from the line after `tip` to the line before `end`, or to the last.
fn read(segments: &[Segment], tip: Tip, end: Option<u64>) -> Result<ReadUpTo, StartError> {
    let mut found = ReadUpTo { tip, path: PathBuf::new(), whole_bytes: 0, before: None, has_zeros: false };
    let ends = segments.iter().skip(1).map(|next| Some(next.first)).chain([end]);
    for (segment, end) in segments.iter().zip(ends) {
        found.leave(segment.path.clone());
        (found.whole_bytes, found.has_zeros) = read_segment(&segment.path, end, &mut found.tip)?;
        if let Some(next) = end.filter(|next| found.tip.sequence.checked_add(1) != Some(*next)) {
            return Err(StartError::new(format!(
                "The audit log {} ends at line {} but continues at {next}: lines are missing; restore them, or move \
                 all segments away and keep them as evidence.",
                found.path.display(),
                found.tip.sequence
            )));
        }
    }
    Ok(found)
}

/// What the first line of a segment says of the line before it.
fn before_first_line(segment: &Segment) -> Result<Tip, StartError> {
    let sequence = segment.first.saturating_sub(1);
    let unknown = Tip { sequence, hash: String::new() };
    let mut reader = open(&segment.path)?.ok_or_else(|| broken(&segment.path, &unknown))?.take(MAX_LINE);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).map_err(|error| unreadable(&segment.path, &error))?;
    let link: Link = serde_json::from_slice(&line).map_err(|_| broken(&segment.path, &unknown))?;
    Ok(Tip { sequence, hash: link.previous_hash })
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
    let Some(mut reader) = open(path)? else { return Ok((0, false)) };
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

pub(super) fn open(path: &Path) -> Result<Option<BufReader<File>>, StartError> {
    let file = match OpenOptions::new().read(true).custom_flags(files::NO_FOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    files::check_open_file(path, &file)?;
    Ok(Some(BufReader::new(file)))
}

/// A file of the log, with the number of its first line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

/// The segments in order; the first may not be there.
pub(super) fn segments(path: &Path) -> Result<Vec<Segment>, StartError> {
    let (stem, extension) = name_parts(path);
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = |error: io::Error| unreadable(path, &error);
    let mut later = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(&format!("{stem}-")))
            .and_then(|rest| rest.strip_suffix(&extension))
            .and_then(|digits| digits.parse::<u64>().ok());
        if let Some(first) = number {
            later.push(Segment { first, path: entry.path() });
        }
    }
    later.sort_unstable();
    later.insert(0, Segment { first: 1, path: path.to_path_buf() });
    Ok(later)
}

fn name_parts(path: &Path) -> (String, String) {
    let text = |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = text(path.extension());
    (text(path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> StartError {
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
