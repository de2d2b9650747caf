//! What an audit line says.
//!
//! The record has ids, fixed words and cleaned strings only: there is no member into which a value, a key or a token
//! would fit by habit. What comes from the client is cut and stripped of control characters.

use serde::Serialize;
use shared_proto::error::ErrorCode;

use crate::http::RequestMeta;

/// How a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditStatus {
    /// Allowed, and about to be done or done.
    Success,
    /// Refused.
    Denied,
    /// Allowed, but it could not be done; follows a `success` line when the outcome differed.
    Failed,
}

/// One decision.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    action: &'static str,
    status: AuditStatus,
    code: Option<ErrorCode>,
    key_id: Option<String>,
    key_path: Option<String>,
    jti: Option<String>,
    count: Option<u64>,
    request_id: String,
    ip_address: String,
    user_agent: String,
}

/// The longest user agent, id or address that is recorded.
const MAX_CHARS: usize = 256;
/// Paths have at most 512 bytes.
const MAX_PATH_CHARS: usize = 512;

impl AuditRecord {
    /// A decision about a request.
    pub fn new(action: &'static str, status: AuditStatus, request: &RequestMeta) -> Self {
        Self {
            action,
            status,
            code: None,
            key_id: None,
            key_path: None,
            jti: None,
            count: None,
            request_id: clean(&request.request_id, MAX_CHARS),
            ip_address: clean(&request.ip_address, MAX_CHARS),
            user_agent: clean(&request.user_agent, MAX_CHARS),
        }
    }

    /// A decision that no request asked for.
    pub fn background(action: &'static str, status: AuditStatus) -> Self {
        let nobody = RequestMeta { request_id: String::new(), ip_address: String::new(), user_agent: String::new() };
        Self::new(action, status, &nobody)
    }

    /// The secret that it is about.
    #[must_use]
    pub fn key_id(mut self, key_id: impl AsRef<str>) -> Self {
        self.key_id = Some(clean(key_id.as_ref(), MAX_CHARS));
        self
    }

    /// The secret's name; only the manager knows it.
    #[must_use]
    pub fn key_path(mut self, key_path: impl AsRef<str>) -> Self {
        self.key_path = Some(clean(key_path.as_ref(), MAX_PATH_CHARS));
        self
    }

    /// The id of the access token.
    #[must_use]
    pub fn jti(mut self, jti: impl AsRef<str>) -> Self {
        self.jti = Some(clean(jti.as_ref(), MAX_CHARS));
        self
    }

    /// How many things one decision is about.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Why it was refused.
    #[must_use]
    pub fn code(mut self, code: ErrorCode) -> Self {
        self.code = Some(code);
        self
    }

    /// What sampling counts together.
    pub(super) fn kind(&self) -> (&'static str, Option<ErrorCode>) {
        (self.action, self.code)
    }
}

/// A record on its way to the file.
pub(super) struct Entry {
    pub(super) timestamp: u64,
    pub(super) record: AuditRecord,
    pub(super) count: Option<u64>,
}

impl Entry {
    /// Appends the line, without its newline, to `buffer`.
    pub(super) fn write_line(
        &self,
        service_name: &str,
        sequence: u64,
        previous_hash: &str,
        buffer: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        let record = &self.record;
        let line = Line {
            timestamp: self.timestamp,
            service_name,
            key_id: record.key_id.as_deref(),
            key_path: record.key_path.as_deref(),
            action: record.action,
            status: record.status,
            code: record.code,
            count: self.count.or(record.count),
            request_id: &record.request_id,
            ip_address: &record.ip_address,
            user_agent: &record.user_agent,
            jti: record.jti.as_deref(),
            sequence,
            previous_hash,
        };
        serde_json::to_writer(buffer, &line)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: u64,
    service_name: &'a str,
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_path: Option<&'a str>,
    action: &'a str,
    status: AuditStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    request_id: &'a str,
    ip_address: &'a str,
    user_agent: &'a str,
    jti: Option<&'a str>,
    sequence: u64,
    previous_hash: &'a str,
}

fn clean(text: &str, max_chars: usize) -> String {
    // Ids, addresses and most agents: all bytes are looked at together, and copied at once.
    if text.len() <= max_chars && text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}
