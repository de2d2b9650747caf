//! The thread that appends audit lines.
//!
//! It takes everything that is queued, appends it with one write and one fsync, and only then answers. Its idea of the
//! chain moves forward when the disk has confirmed, never before.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    AuditSync, AuditUnavailable,
    chain::{Tip, hash_of, read_all, segment_path},
    record::Entry,
};
use crate::{clock::Clock, files, process::StartError};

pub(super) type Reply = oneshot::Sender<Result<(), AuditUnavailable>>;

pub(super) enum Message {
    Line { entry: Box<Entry>, reply: Option<Reply> },
    Close(oneshot::Sender<()>),
}

/// The file that is appended to; tests put a failing one in its place.
pub(super) trait Segment: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
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
}

/// Lines taken into one write.
const MAX_BATCH: usize = 4_096;
/// Lines without a waiting caller that are kept while the disk does not work.
const MAX_RETAINED: usize = 4_096;

pub(super) struct Writer {
    path: PathBuf,
    service_name: &'static str,
    sync: AuditSync,
    clock: Arc<dyn Clock>,
    healthy: Arc<AtomicBool>,
    open_segment: OpenSegment,
    /// None while the last file is not trusted.
    segment: Option<Box<dyn Segment>>,
    tip: Tip,
    last_attempt: Option<u64>,
    retained: Vec<Entry>,
    unsynced: bool,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        service_name: &'static str,
        sync: AuditSync,
        clock: Arc<dyn Clock>,
        healthy: Arc<AtomicBool>,
        mut open_segment: OpenSegment,
    ) -> Result<Self, StartError> {
        let found = read_all(path)?;
        let cannot = |error: io::Error| {
            StartError::new(format!(
                "The audit log {} cannot be written ({error}); check the directory and the free space.",
                found.last_segment.display()
            ))
        };
        let segment = open_segment(&found.last_segment).map_err(cannot)?;
        cut_torn_line(&found.last_segment, found.whole_bytes).map_err(cannot)?;
        Ok(Self {
            path: path.to_path_buf(),
            service_name,
            sync,
            clock,
            healthy,
            open_segment,
            segment: Some(segment),
            tip: found.tip,
            last_attempt: None,
            retained: Vec::new(),
            unsynced: false,
        })
    }

    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        let _unhealthy_when_gone = UnhealthyWhenGone(Arc::clone(&self.healthy));
        loop {
            let first = if self.unsynced {
                match inbox.recv_timeout(Duration::from_secs(1)) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        self.sync_now();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match inbox.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                }
            };
            let (mut entries, mut replies, mut close) = (std::mem::take(&mut self.retained), Vec::new(), None);
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line { entry, reply: Some(reply) } => replies.push((*entry, reply)),
                    Message::Line { entry, reply: None } => entries.push(*entry),
                    Message::Close(reply) => {
                        close = Some(reply);
                        break;
                    }
                }
                next = if entries.len() + replies.len() < MAX_BATCH { inbox.try_recv().ok() } else { None };
            }
            self.write_batch(entries, replies);
            if let Some(reply) = close {
                self.sync_now();
                self.healthy.store(false, Ordering::SeqCst);
                drop(self);
                let _caller_gone = reply.send(());
                return;
            }
        }
        self.sync_now();
    }

    fn write_batch(&mut self, entries: Vec<Entry>, replies: Vec<(Entry, Reply)>) {
        let (waited, replies): (Vec<_>, Vec<_>) = replies.into_iter().unzip();
        let outcome =
            if entries.is_empty() && waited.is_empty() { Ok(()) } else { self.append(entries.iter().chain(&waited)) };
        if outcome.is_err() {
            let lost = entries.len().saturating_sub(MAX_RETAINED);
            if lost > 0 {
                tracing::error!(lost, "audit lines were lost while the audit log could not be written");
            }
            self.retained = entries.into_iter().skip(lost).collect();
        }
        for reply in replies {
            // A caller whose client went away has no use for the answer.
            let _caller_gone = reply.send(outcome);
        }
    }

    fn append<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>) -> Result<(), AuditUnavailable> {
        if self.segment.is_none() {
            self.continue_in_new_segment()?;
        }
        let (mut buffer, mut tip) = (Vec::new(), self.tip.clone());
        for entry in entries {
            let start = buffer.len();
            let sequence = tip.sequence.saturating_add(1);
            if entry.write_line(self.service_name, sequence, &tip.hash, &mut buffer).is_err() {
                return Err(AuditUnavailable);
            }
            tip = Tip { sequence, hash: hash_of(buffer.get(start..).unwrap_or_default()) };
            buffer.push(b'\n');
        }
        let durable = match (self.segment.as_mut(), self.sync) {
            (None, _) => Err(io::Error::from(io::ErrorKind::NotFound)),
            (Some(segment), AuditSync::Fsync) => segment.append(&buffer).and_then(|()| segment.sync()),
            (Some(segment), AuditSync::Os) => segment.append(&buffer),
        };
        match durable {
            Ok(()) => {
                self.tip = tip;
                self.unsynced = self.sync == AuditSync::Os;
                self.healthy.store(true, Ordering::SeqCst);
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// At most once a second: a new file, because the pages of one whose fsync failed may be gone although the kernel
    /// calls them clean.
    fn continue_in_new_segment(&mut self) -> Result<(), AuditUnavailable> {
        let second = self.clock.boot();
        if self.last_attempt == Some(second) {
            return Err(AuditUnavailable);
        }
        self.last_attempt = Some(second);
        let path = segment_path(&self.path, self.tip.sequence.saturating_add(1));
        // A file of this name holds no acknowledged line: the number is not yet taken.
        let opened = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => (self.open_segment)(&path),
        };
        match opened {
            Ok(segment) => {
                tracing::warn!(next = self.tip.sequence.saturating_add(1), "the audit log continues in a new segment");
                self.segment = Some(segment);
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn sync_now(&mut self) {
        if let Some(Err(error)) = self.unsynced.then(|| self.segment.as_mut().map(|segment| segment.sync())).flatten() {
            self.fail(&error);
        }
        self.unsynced = false;
    }

    fn fail(&mut self, error: &io::Error) -> AuditUnavailable {
        tracing::error!(%error, "the audit log cannot be written");
        self.segment = None;
        self.last_attempt = Some(self.clock.boot());
        self.unsynced = false;
        self.healthy.store(false, Ordering::SeqCst);
        AuditUnavailable
    }
}

struct UnhealthyWhenGone(Arc<AtomicBool>);

impl Drop for UnhealthyWhenGone {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
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
