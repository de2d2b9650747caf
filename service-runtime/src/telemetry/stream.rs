//! The stream of log lines to standard error: a bounded buffer that a thread of its own empties.
//!
//! Guarantees that no code that logs waits for the stream or fails with it. Lines that find no room, and lines that the
//! stream does not take, are dropped and counted. The number is logged as soon as the stream takes lines again.
//! `tracing-appender` was rejected (docs/adr/0018-own-log-writer.md).

use std::{
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::{
    MakeWriter,
    format::Writer,
    time::{FormatTime as _, SystemTime},
};

/// A buffer of lines.
#[derive(Debug)]
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug)]
struct Waiting {
    text: Vec<u8>,
    lost: u64,
    /// Whether the thread that writes waits for lines.
    idle: bool,
}

impl Lines {
    /// No lines.
    pub(super) const fn new() -> Self {
        let waiting = Waiting { text: Vec::new(), lost: 0, idle: false };
        Self { waiting: Mutex::new(waiting), filled: Condvar::new(), emptied: Condvar::new() }
    }

    /// Adds a line, which ends with a line feed, or counts it as lost.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.text.len().saturating_add(line.len()) > ROOM {
            waiting.lost = waiting.lost.saturating_add(1);
            return;
        }
        waiting.text.extend_from_slice(line);
        if std::mem::take(&mut waiting.idle) {
            self.filled.notify_one();
        }
    }

    /// Returns when all lines are written, and after `time` in any case.
    pub(super) fn wait_until_written(&self, time: Duration) {
        let behind = |waiting: &mut Waiting| !(waiting.idle && waiting.text.is_empty());
        drop(self.emptied.wait_timeout_while(self.lock(), time, behind));
    }

    /// Writes lines as they come, for as long as the process lives.
    pub(super) fn write_all_to(&self, stream: impl Write) -> ! {
        let mut stream = Stream { stream, torn: false };
        let mut batch = Vec::new();
        loop {
            self.write_batch(&mut batch, &mut stream);
        }
    }

    fn write_batch(&self, batch: &mut Vec<u8>, stream: &mut Stream<impl Write>) {
        let lost = self.take(batch) + count(stream.write(batch));
        // Told behind what was kept: the lines that found no room were newer.
        if lost > 0 && !stream.write(note("log lines were lost", "lost", lost).as_bytes()).is_empty() {
            self.lock().lost += lost;
        }
    }

    /// Waits for lines and takes them all, with the number of the lost ones.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        batch.clear();
        let mut waiting = self.lock();
        while waiting.text.is_empty() {
            waiting.idle = true;
            self.emptied.notify_all();
            if waiting.lost > 0 {
                waiting = self.filled.wait_timeout(waiting, RETRY).unwrap_or_else(PoisonError::into_inner).0;
                break;
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            drop(waiting);
            // To wake this thread for every line would cost whoever logs more than the line.
            thread::sleep(GATHER);
            waiting = self.lock();
        }
        waiting.idle = false;
        std::mem::swap(&mut waiting.text, batch);
        std::mem::take(&mut waiting.lost)
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.lock().text.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for &'static Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self)
    }
}

/// The writer of one line for `tracing`, which writes it at once and as a whole.
pub(super) struct Line(&'static Lines);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error without the lock of the library: a thread that holds it while the stream is blocked blocks others.
pub(super) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Stream<W> {
    stream: W,
    /// Whether the last thing written is a part of a line.
    torn: bool,
}

impl<W: Write> Stream<W> {
    /// Writes lines, and returns the rest that could not be written.
    fn write<'a>(&mut self, lines: &'a [u8]) -> &'a [u8] {
        if self.torn && !lines.is_empty() {
            if !self.write_bytes(b"\n").is_empty() {
                return lines;
            }
            self.torn = false;
        }
        let rest = self.write_bytes(lines);
        let written = lines.get(..lines.len() - rest.len()).unwrap_or_default();
        if let Some(last) = written.last() {
            self.torn = *last != b'\n';
        }
        rest
    }

    fn write_bytes<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return bytes,
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A pipe or terminal that somebody who shares it has set so.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL),
                Err(_) => return bytes,
            }
        }
        bytes
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// A line about a number of lost lines.
pub(super) fn note(message: &str, member: &str, number: u64) -> String {
    let mut timestamp = String::new();
    // An unknown time is left out.
    let _untold = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let target = module_path!();
    let line = serde_json::json!({
        "timestamp": timestamp, "level": "WARN", "message": message, member: number, "target": target,
    });
    format!("{line}\n")
}

/// Some 4,000 lines: seconds of a busy service.
const ROOM: usize = 1 << 20;
/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(2);
/// How long a stream that is full is left alone.
const FULL: Duration = Duration::from_millis(10);
/// How long until the number of lost lines is tried again without a new line.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that takes so many bytes and then fails.
    struct Disk {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room - self.text.len());
            self.text.extend(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lost_in(text: &[u8]) -> Vec<u64> {
        let lines = std::str::from_utf8(text).unwrap().lines();
        lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["lost"].as_u64()).collect()
    }

    #[test]
    fn lines_without_room_are_counted_and_the_count_is_told_behind_those_that_were_kept() {
        let lines = Lines::new();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..1_500 {
            lines.push(&line);
        }
        let mut stream = Stream { stream: Vec::new(), torn: false };
        lines.write_batch(&mut Vec::new(), &mut stream);
        assert_eq!(lost_in(&stream.stream), [1_500 - 1_024]);
        assert!(stream.stream.starts_with(&line) && stream.stream.len() < ROOM + 1_000);
        lines.push(b"later\n");
        lines.write_batch(&mut Vec::new(), &mut stream);
        assert!(stream.stream.ends_with(b"}\nlater\n"), "nothing more was lost");
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted_and_told_when_it_has_room_on_a_line_of_their_own() {
        let lines = Lines::new();
        let mut stream = Stream { stream: Disk { text: Vec::new(), room: 10 }, torn: false };
        let mut batch = Vec::new();
        for text in ["one\ntwo\nthree\nfour\n", "five\n"] {
            lines.push(text.as_bytes());
            lines.write_batch(&mut batch, &mut stream);
        }
        assert_eq!(stream.stream.text, b"one\ntwo\nth");
        stream.stream.room = 1_000;
        // Without a new line, too.
        lines.write_batch(&mut batch, &mut stream);
        assert_eq!(lost_in(&stream.stream.text), [3], "three, four and five");
        assert!(stream.stream.text.starts_with(b"one\ntwo\nth\n{"));
    }

    #[test]
    fn end_waits_for_lines_that_can_be_written_and_not_for_a_stream_that_is_blocked() {
        struct Blocked;
        impl Write for Blocked {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                loop {
                    thread::park();
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        static GOOD: Lines = Lines::new();
        static BLOCKED: Lines = Lines::new();
        let (reader, writer) = std::io::pipe().unwrap();
        thread::spawn(|| GOOD.write_all_to(writer));
        thread::spawn(|| BLOCKED.write_all_to(Blocked));
        for lines in [&GOOD, &BLOCKED] {
            lines.push(b"line\n");
        }
        GOOD.wait_until_written(Duration::from_mins(1));
        let mut text = [0; 5];
        io::Read::read_exact(&mut &reader, &mut text).unwrap();
        assert_eq!(&text, b"line\n");
        BLOCKED.wait_until_written(Duration::from_millis(1));
        BLOCKED.push(b"and nobody who logs waits\n");
    }
}
