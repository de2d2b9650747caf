//! The thread that appends audit lines.
//!
//! It takes everything that is queued, appends it with one write and one fsync, and only then answers. Its idea of the
//! chain moves forward when the disk has confirmed, never before. After a fault it goes on in a new segment once the
//! disk still has the end of what it had confirmed; what was answered for and not yet fsynced is written again.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    AuditSettings, AuditSync, AuditUnavailable,
    chain::{End, Tip, hash_of, segment_path, still_ends_with},
    queue::{Batch, Line, Queue},
    record::{self, AuditRecord, AuditStatus, Entry},
    sampler::Sampler,
};
use crate::{StartError, clock::Clock, files};

/// The file that is appended to; tests put a failing one in its place.
pub(super) trait Segment: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn file(&self) -> &File;
}

/// Opens a segment for appending, made if it is not there.
pub(super) type OpenSegment = Box<dyn FnMut(&Path) -> io::Result<Box<dyn Segment>> + Send>;

pub(super) fn open_segment_file(path: &Path) -> io::Result<Box<dyn Segment>> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(files::NO_FOLLOW).open(path)?;
    file.set_permissions(PermissionsExt::from_mode(0o600))?;
    file.sync_all()?;
    files::sync_parent(path)?;
    Ok(Box::new(file))
}

impl Segment for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn file(&self) -> &File {
        self
    }
}

/// How long the thread sleeps at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines without a waiting caller that are kept while the disk does not work.
const MAX_RETAINED: usize = 4_096;
/// Bytes that are kept until they are fsynced.
const MAX_UNSYNCED: usize = 8 << 20;
/// Lines and bytes for which room is kept from one write to the next.
const KEPT_LINES: usize = 1_024;
const KEPT_BYTES: usize = 512 * KEPT_LINES;

pub(super) struct Writer {
    path: PathBuf,
    service_name: &'static str,
    settings: AuditSettings,
    clock: Arc<dyn Clock>,
    healthy: Arc<AtomicBool>,
    open_segment: OpenSegment,
    /// None while the last file is not trusted.
    segment: Option<Box<dyn Segment>>,
    /// The file that is, or was, appended to.
    segment_path: PathBuf,
    /// The file before that one with a durable line, and where the last one ends.
    before: Option<(PathBuf, u64)>,
    /// A file that is no longer at its path. It stays open, so that its lines can be had from it.
    misplaced: Option<Box<dyn Segment>>,
    /// The end of what was answered for.
    tip: Tip,
    /// The end of what was fsynced, and where that is in the file.
    durable: (Tip, u64),
    /// Lines between the two.
    unsynced: Vec<u8>,
    last_attempt: Option<u64>,
    retained: Vec<Line>,
    /// Lines that were lost and that no line tells of yet.
    dropped: u64,
    /// The second of the boot clock in which the samples were looked at.
    second: u64,
    /// The second of the boot clock of the first of the lines that are not yet fsynced.
    unsynced_since: u64,
}

impl Writer {
    /// Goes on at the end of a log that was read.
    pub(super) fn start(
        path: &Path,
        end: End,
        service_name: &'static str,
        settings: AuditSettings,
        clock: Arc<dyn Clock>,
        healthy: Arc<AtomicBool>,
        mut open_segment: OpenSegment,
    ) -> Result<Self, StartError> {
        let cannot = |error: io::Error| {
            StartError::new(format!(
                "The audit log {} cannot be written ({error}); check the directory and the free space.",
                end.last_segment.display()
            ))
        };
        let segment = open_segment(&end.last_segment).map_err(cannot)?;
        cut_torn_line(&end.last_segment, end.whole_bytes).map_err(cannot)?;
        Ok(Self {
            path: path.to_path_buf(),
            service_name,
            settings,
            second: clock.boot(),
            clock,
            healthy,
            open_segment,
            segment: Some(segment),
            segment_path: end.last_segment,
            before: end.before,
            misplaced: None,
            durable: (end.tip.clone(), end.whole_bytes),
            tip: end.tip,
            unsynced: Vec::new(),
            last_attempt: None,
            retained: Vec::new(),
            dropped: 0,
            unsynced_since: 0,
        })
    }

    pub(super) fn run(mut self, queue: &Queue, sampler: &Sampler) {
        let _when_gone = WhenGone { healthy: Arc::clone(&self.healthy), queue };
        let mut room = Vec::new();
        loop {
            let taken = queue.take(std::mem::take(&mut room), PATIENCE);
            let is_idle = taken.is_none();
            let mut batch = taken.unwrap_or_default();
            let is_next_second = self.is_next_second();
            if is_next_second {
                self.check_place();
            }
            if is_next_second || batch.closing.is_some() {
                // Behind the first line of their kind, which may be in this batch.
                batch.lines.extend(sampler.tick().iter().map(|entry| self.unawaited(entry)));
            }
            if is_idle {
                self.sync_now();
                self.try_again();
            }
            let closing = self.write(batch, &mut room);
            if closing.is_some() || self.is_sync_due() {
                self.sync_now();
            }
            if let Some(closing) = closing {
                self.healthy.store(false, Ordering::SeqCst);
                drop(self);
                let _caller_gone = closing.send(());
                return;
            }
        }
    }

    /// Whether a second has begun since it was asked last.
    fn is_next_second(&mut self) -> bool {
        let now = self.clock.boot();
        std::mem::replace(&mut self.second, now) != now
    }

    /// Writes a batch and answers those who wait for it; gives its vector back in `room`.
    fn write(&mut self, batch: Batch, room: &mut Vec<Line>) -> Option<oneshot::Sender<()>> {
        let Batch { mut lines, waiting, dropped, closing, .. } = batch;
        self.dropped = self.dropped.saturating_add(dropped);
        let retained = std::mem::take(&mut self.retained);
        let note = (self.dropped > 0).then(|| self.note_of_dropped());
        let mut all = retained.iter().chain(&lines).chain(&note).peekable();
        let outcome = if all.peek().is_none() { Ok(()) } else { self.append(all) };
        if outcome.is_ok() {
            if note.is_some() {
                tracing::error!(dropped = self.dropped, "audit lines were lost: too many came that nobody waits for");
            }
            self.dropped = 0;
        } else {
            self.retained = retained;
            self.retained.extend(lines.drain(..).filter(|line| !line.awaited));
            let lost = self.retained.len().saturating_sub(MAX_RETAINED);
            self.retained.drain(..lost);
            self.dropped = self.dropped.saturating_add(u64::try_from(lost).unwrap_or(u64::MAX));
        }
        waiting.answer(outcome);
        lines.clear();
        lines.shrink_to(KEPT_LINES);
        *room = lines;
        closing
    }

    /// The number of the lines that nobody will find.
    fn note_of_dropped(&self) -> Line {
        self.own_line(AuditRecord::background("audit.dropped", AuditStatus::Failed).count(self.dropped))
    }

    fn own_line(&self, record: AuditRecord) -> Line {
        self.unawaited(&Entry { timestamp: self.clock.now(), record, others: 0 })
    }

    fn unawaited(&self, entry: &Entry) -> Line {
        Line::unawaited(entry.render(self.service_name))
    }

    fn append<'e>(&mut self, lines: impl Iterator<Item = &'e Line>) -> Result<(), AuditUnavailable> {
        if self.segment.is_none() {
            self.continue_after_fault()?;
        } else if self.is_full() {
            self.leave_full_segment()?;
        }
        let (before, mut tip) = (self.unsynced.len(), self.tip.clone());
        for line in lines {
            let (start, sequence) = (self.unsynced.len(), tip.sequence.saturating_add(1));
            record::chain(&line.rendered, sequence, &tip.hash, &mut self.unsynced);
            tip = Tip { sequence, hash: hash_of(self.unsynced.get(start..).unwrap_or_default()) };
            self.unsynced.push(b'\n');
        }
        let bytes = self.unsynced.get(before..).unwrap_or_default();
        let written = match (self.segment.as_mut(), self.settings.sync) {
            (None, _) => Err(io::Error::from(io::ErrorKind::NotFound)),
            (Some(segment), AuditSync::Fsync) => segment.append(bytes).and_then(|()| segment.sync()),
            (Some(segment), AuditSync::Os) => segment.append(bytes),
        };
        if let Err(error) = written {
            self.unsynced.truncate(before);
            return Err(self.fail(&error));
        }
        self.tip = tip;
        if self.settings.sync == AuditSync::Fsync {
            self.all_is_durable();
        } else if before == 0 {
            self.unsynced_since = self.clock.boot();
        }
        self.healthy.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// At most once a second: a new file, because the pages of one whose fsync failed may be gone although the kernel
    /// calls them clean.
    fn continue_after_fault(&mut self) -> Result<(), AuditUnavailable> {
        if self.was_tried_now() {
            return Err(AuditUnavailable);
        }
        let (durable, end) = &self.durable;
        let place = if *end > 0 { Some((&self.segment_path, *end)) } else { None };
        let place = place.or(self.before.as_ref().map(|(path, end)| (path, *end)));
        let checked = place.map_or(Ok(true), |(path, end)| still_ends_with(path, end, durable));
        let lost = || {
            io::Error::other(format!(
                "{} has lost lines up to {} that it had confirmed; keep it as evidence and restart",
                place.map_or(&self.path, |(path, _)| path).display(),
                durable.sequence
            ))
        };
        let checked = checked.and_then(|is_there| if is_there { Ok(()) } else { Err(lost()) });
        checked.and_then(|()| self.begin_segment()).map_err(|error| self.fail(&error))
    }

    /// The file that is open must be the one at its path, with what was written and nothing else. Otherwise lines would
    /// be acknowledged that nobody finds after a restart.
    fn check_place(&mut self) {
        let Some(segment) = self.segment.take() else { return };
        let written = self.durable.1.saturating_add(u64::try_from(self.unsynced.len()).unwrap_or(u64::MAX));
        let trouble = match (segment.file().metadata(), std::fs::symlink_metadata(&self.segment_path)) {
            (Ok(open), Ok(there)) if (open.dev(), open.ino()) != (there.dev(), there.ino()) => {
                "was replaced".to_owned()
            }
            (Ok(open), Ok(_)) if open.len() != written => {
                format!("has {} bytes, but {written} were written", open.len())
            }
            (Ok(_), Ok(_)) => {
                self.segment = Some(segment);
                return;
            }
            (Ok(_), Err(missing)) if missing.kind() == io::ErrorKind::NotFound => "was removed or renamed".to_owned(),
            (Err(error), _) | (_, Err(error)) => format!("cannot be looked at ({error})"),
        };
        self.fail(&io::Error::other(format!(
            "{} {trouble}; put back what was there. The file that was written to can be read at /proc/{}/fd/{} until then",
            self.segment_path.display(),
            std::process::id(),
            segment.file().as_raw_fd(),
        )));
        self.misplaced = Some(segment);
    }

    fn is_full(&self) -> bool {
        let unsynced = u64::try_from(self.unsynced.len()).unwrap_or(u64::MAX);
        self.durable.1.saturating_add(unsynced) >= self.settings.segment_bytes && !self.was_tried_now()
    }

    /// So that a start need not read the whole log. The full file goes on where none can be made, say for want of
    /// descriptors.
    fn leave_full_segment(&mut self) -> Result<(), AuditUnavailable> {
        self.sync_now();
        if self.segment.is_none() {
            return Err(AuditUnavailable);
        }
        let Err(error) = self.begin_segment() else { return Ok(()) };
        self.last_attempt = Some(self.clock.boot());
        match std::fs::symlink_metadata(self.next_segment_path()) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the next segment of the audit log cannot be made; the full one goes on");
                Ok(())
            }
            // Its lines would hide those that the full one gets from here on.
            Ok(_) | Err(_) => Err(self.fail(&error)),
        }
    }

    /// Whether something was tried in this second.
    fn was_tried_now(&self) -> bool {
        self.last_attempt == Some(self.clock.boot())
    }

    fn next_segment_path(&self) -> PathBuf {
        segment_path(&self.path, self.durable.0.sequence.saturating_add(1))
    }

    /// A file for the first line that is not durable, and those after it.
    fn begin_segment(&mut self) -> io::Result<()> {
        let path = self.next_segment_path();
        // A file of this name holds no line that is not here.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut segment = (self.open_segment)(&path)?;
        if !self.unsynced.is_empty() {
            segment.append(&self.unsynced)?;
            segment.sync()?;
        }
        tracing::info!(after_line = self.durable.0.sequence, "the audit log continues in a new segment");
        let left = std::mem::replace(&mut self.segment_path, path);
        if self.durable.1 > 0 {
            self.before = Some((left, self.durable.1));
        }
        (self.segment, self.misplaced, self.durable.1) = (Some(segment), None, 0);
        self.all_is_durable();
        Ok(())
    }

    /// While nothing is to be written it must still be noticed that the disk works again. The line that shows it says
    /// in the log itself that lines before it may be missing.
    fn try_again(&mut self) {
        if self.segment.is_some() || self.was_tried_now() {
            return;
        }
        if self.retained.is_empty() {
            let resumed = self.own_line(AuditRecord::background("audit.resumed", AuditStatus::Success));
            self.retained.push(resumed);
        }
        self.write(Batch::default(), &mut Vec::new());
    }

    /// Lines that never stop coming are fsynced all the same.
    fn is_sync_due(&self) -> bool {
        self.unsynced.len() > MAX_UNSYNCED || (!self.unsynced.is_empty() && self.unsynced_since < self.clock.boot())
    }

    fn sync_now(&mut self) {
        if self.unsynced.is_empty() {
            return;
        }
        match self.segment.as_mut().map(|segment| segment.sync()) {
            Some(Ok(())) => self.all_is_durable(),
            Some(Err(error)) => drop(self.fail(&error)),
            None => {}
        }
    }

    fn all_is_durable(&mut self) {
        let bytes = u64::try_from(self.unsynced.len()).unwrap_or(u64::MAX);
        self.durable = (self.tip.clone(), self.durable.1.saturating_add(bytes));
        self.unsynced.clear();
        self.unsynced.shrink_to(KEPT_BYTES);
    }

    fn fail(&mut self, error: &io::Error) -> AuditUnavailable {
        tracing::error!(%error, "the audit log cannot be written");
        self.segment = None;
        self.last_attempt = Some(self.clock.boot());
        self.healthy.store(false, Ordering::SeqCst);
        AuditUnavailable
    }
}

/// Also when the thread panics: nobody waits for it in vain.
struct WhenGone<'a> {
    healthy: Arc<AtomicBool>,
    queue: &'a Queue,
}

impl Drop for WhenGone<'_> {
    fn drop(&mut self) {
        self.healthy.store(false, Ordering::SeqCst);
        self.queue.abandon();
    }
}

fn cut_torn_line(path: &Path, whole_bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(files::NO_FOLLOW).open(path)?;
    if file.metadata()?.len() > whole_bytes {
        tracing::warn!("an incomplete last line of the audit log is cut off");
        file.set_len(whole_bytes)?;
        file.sync_all()?;
    }
    Ok(())
}
