//! `[limits]`: how much a peer can hold, and for how long.

use std::time::Duration;

use serde::Deserialize;

use crate::process::{StartError, open_file_limit};

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
    /// One of them is 0, or the largest answer would never find room.
    pub fn check(&self) -> Result<(), StartError> {
        let counts = [self.connections, self.connections_per_peer, self.requests, self.requests_per_peer];
        let times =
            [self.handshake_seconds, self.head_seconds, self.body_seconds, self.answer_seconds, self.idle_seconds];
        if counts.contains(&0) || times.contains(&0) {
            return Err(StartError::new("A value in [limits] is 0; each is at least 1."));
        }
        if self.answer_bytes.min(self.answer_bytes_per_peer) < LARGEST_ANSWER {
            return Err(StartError::new(format!(
                "A value of answer_bytes in [limits] is below {LARGEST_ANSWER}: the largest answer would find no room."
            )));
        }
        Ok(())
    }

    /// As many connections as the process may have files, with the files kept free that it needs itself.
    pub(super) fn fitting_connections(&self) -> usize {
        let files = usize::try_from(open_file_limit()).unwrap_or(usize::MAX);
        // Half: connections that are just being refused hold a file, too.
        let fitting = (files.saturating_sub(OWN_FILES) / 2).max(1);
        if fitting < self.connections {
            tracing::warn!(fitting, asked = self.connections, "fewer connections: the limit of open files is too low");
        }
        self.connections.min(fitting)
    }

    pub(super) fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }
}

/// The largest batch read, and the names of its members.
const LARGEST_ANSWER: usize = 9 << 20;

/// Databases, their readers, logs, connections to the other service, and room.
const OWN_FILES: usize = 256;
