//! `[limits]`: the resources that a peer can hold, and the time for which it can hold them.

use std::time::Duration;

use serde::Deserialize;

use crate::StartError;
use crate::process::open_file_limit;

/// Bounds of the server. Every field has a default; 0 is refused.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections in all. Lowered at the start if the process may not open that many files. Default 8192.
    pub connections: usize,
    /// Connections of one peer: an IPv4 address, or an IPv6 /64. Default 1024, an eighth of all.
    pub connections_per_peer: usize,
    /// Requests in work in all; more are answered 503 `overloaded`. Default 1024.
    pub requests: usize,
    /// Requests in work for one peer. Default 512, so that no peer takes all.
    pub requests_per_peer: usize,
    /// Bytes of answers in all that wait to be read by their clients; more are answered 503 `overloaded`. Default 32 MiB.
    /// Answers of less than 16 KiB are not counted.
    pub answer_bytes: usize,
    /// The same for one peer. Default 16 MiB.
    pub answer_bytes_per_peer: usize,
    /// How long a TLS handshake may take, in seconds. Default 5.
    pub handshake_seconds: u64,
    /// How long the head of a request may take, in seconds, from the connection or from its first byte. Default 5.
    pub head_seconds: u64,
    /// How long the body of a request may take, in seconds. Default 30.
    pub body_seconds: u64,
    /// How long a peer may take to read an answer, in seconds, from when it stops to keep up. Default 30.
    pub answer_seconds: u64,
    /// How long a connection is kept between requests, in seconds. Default 15.
    pub idle_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            connections_per_peer: 1_024,
            requests: 1_024,
            requests_per_peer: 512,
            answer_bytes: 32 << 20,
            answer_bytes_per_peer: 16 << 20,
            handshake_seconds: 5,
            head_seconds: 5,
            body_seconds: 30,
            answer_seconds: 30,
            idle_seconds: 15,
        }
    }
}

impl Limits {
    /// Checks the values.
    ///
    /// # Errors
    /// One of them is 0 or beyond all use, or the largest answer would never find room.
    pub fn check(&self) -> Result<(), StartError> {
        let counts = [self.connections, self.connections_per_peer, self.requests, self.requests_per_peer];
        let times =
            [self.handshake_seconds, self.head_seconds, self.body_seconds, self.answer_seconds, self.idle_seconds];
        if counts.contains(&0) || times.contains(&0) {
            return Err(StartError::new("A value in [limits] is 0; each is at least 1."));
        }
        if counts.iter().any(|count| *count > MAX_COUNT) || times.iter().any(|time| *time > MAX_SECONDS) {
            return Err(StartError::new(format!(
                "A value in [limits] is too large; counts are at most {MAX_COUNT}, and times at most {MAX_SECONDS} seconds."
            )));
        }
        if self.answer_bytes.min(self.answer_bytes_per_peer) < LARGEST_ANSWER {
            return Err(StartError::new(format!(
                "A value of answer_bytes in [limits] is below {LARGEST_ANSWER}: the largest answer would find no room."
            )));
        }
        Ok(())
    }

    /// With as many connections as the process may have files, those kept free that it needs itself when it serves with
    /// `threads`. A lowered number leaves a quarter to others than the peer that takes the most: there are readers and
    /// probes beside the manager.
    ///
    /// # Errors
    /// There would be too few.
    pub fn fitting(self, threads: usize) -> Result<Self, StartError> {
        self.fitting_in(usize::try_from(open_file_limit()).unwrap_or(usize::MAX), threads)
    }

    fn fitting_in(self, files: usize, threads: usize) -> Result<Self, StartError> {
        let own = OWN_FILES + OWN_FILES_PER_THREAD * threads;
        // Half: connections that are just being refused hold a file, too.
        let fitting = files.saturating_sub(own) / 2;
        if fitting >= self.connections {
            return Ok(self);
        }
        if fitting < FEWEST {
            return Err(StartError::new(format!(
                "The process may open {files} files, which are too few for {threads} workers; raise the limit (ulimit -n, \
                 LimitNOFILE) to {} or more.",
                own + 2 * FEWEST
            )));
        }
        tracing::warn!(fitting, asked = self.connections, "fewer connections: the limit of open files is too low");
        let per_peer = self.connections_per_peer.min(fitting - fitting / 4);
        Ok(Self { connections: fitting, connections_per_peer: per_peer, ..self })
    }

    pub(super) fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }
}

/// The largest batch read, and the names of its members.
const LARGEST_ANSWER: usize = 9 << 20;

/// Databases and their readers, logs, the operator's listener, connections to the other service, and room.
const OWN_FILES: usize = 80;
/// What a thread of the server waits with, and is woken by.
const OWN_FILES_PER_THREAD: usize = 4;
/// The manager, a reader and a probe are to be served.
const FEWEST: usize = 16;
/// Beyond what a machine has, and far from where numbers overflow.
const MAX_COUNT: usize = 1 << 20;
/// A day.
const MAX_SECONDS: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_leave_places_to_others_and_too_few_are_refused_with_the_number_that_is_needed() {
        let limits = Limits::default();
        for threads in [1, 2, 36, 512] {
            assert_eq!(limits.fitting_in(1 << 20, threads).unwrap().connections, 8_192);
            let sentence = limits.fitting_in(64, threads).unwrap_err().sentence;
            let numbers = sentence.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
            let needed = numbers.max().unwrap();
            assert_eq!(needed, 112 + 4 * threads, "the formula of docs/operations.md");
            let few = limits.fitting_in(needed, threads).unwrap();
            assert!(few.connections >= FEWEST && few.connections < 128, "{few:?}");
            assert!(few.connections_per_peer >= FEWEST / 2 && few.connections_per_peer < few.connections, "{few:?}");
            assert!(limits.fitting_in(needed - 2, threads).is_err(), "{sentence}");
        }
        // The usual limit, and as many threads as may be.
        assert!(limits.fitting_in(1_024, 512).unwrap_err().sentence.contains("512 workers"));
    }

    #[test]
    fn values_with_which_the_server_would_break_down_are_refused() {
        Limits::default().check().unwrap();
        for change in [
            |limits: &mut Limits| limits.idle_seconds = u64::MAX,
            |limits: &mut Limits| limits.head_seconds = MAX_SECONDS + 1,
            |limits: &mut Limits| limits.connections = usize::MAX,
            |limits: &mut Limits| limits.requests = 0,
        ] {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err();
        }
    }
}
