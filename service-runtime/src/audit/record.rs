//! What an audit line says.
//!
//! The record has ids, fixed words and cleaned strings only: there is no member into which a value, a key or a token
//! would fit by habit. What comes from the client is cut and stripped of control characters.

use serde::Serialize;
use shared_proto::{
    error::ErrorCode,
    id::{SecretId, Version},
};

use super::origin::{Origin, clean};

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
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord {
    action: &'static str,
    status: AuditStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<ErrorCode>,
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_path: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SecretVersion>,
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(flatten)]
    origin: Origin,
}

/// One of the versions that a decision is about.
#[derive(Clone, Copy, Debug, Serialize)]
struct SecretVersion {
    key_id: SecretId,
    version: Version,
}

/// The longest id that is recorded, in characters.
const MAX_CHARS: usize = 256;
/// Paths have at most 512 bytes.
const MAX_PATH_CHARS: usize = 512;
/// A token has at most 64 grants, and so many versions are destroyed at once.
const MAX_SECRETS: usize = 64;

impl AuditRecord {
    /// A decision about a request.
    pub fn new(action: &'static str, status: AuditStatus, origin: &Origin) -> Self {
        Self {
            action,
            status,
            code: None,
            key_id: None,
            key_path: None,
            secrets: Vec::new(),
            jti: None,
            count: None,
            origin: origin.clone(),
        }
    }

    /// A decision that no request asked for.
    pub fn background(action: &'static str, status: AuditStatus) -> Self {
        Self::new(action, status, &Origin::background())
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

    /// All versions that it is about, at most 64.
    #[must_use]
    pub fn secrets(mut self, versions: impl IntoIterator<Item = (SecretId, Version)>) -> Self {
        let versions = versions.into_iter().take(MAX_SECRETS);
        self.secrets = versions.map(|(key_id, version)| SecretVersion { key_id, version }).collect();
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

    /// What sampling counts together: the action, its code, and the token or else the principal.
    pub(super) fn kind(&self) -> Kind {
        Kind {
            action: self.action,
            code: self.code,
            caller: self.jti.clone().or_else(|| self.origin.principal().map(str::to_owned)),
        }
    }
}

/// Refusals that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) action: &'static str,
    pub(super) code: Option<ErrorCode>,
    /// The token or the principal; absent for a stranger.
    pub(super) caller: Option<String>,
}

/// A record on its way to the file.
pub(super) struct Entry {
    pub(super) timestamp: u64,
    pub(super) record: AuditRecord,
    /// How many like it have no line of their own.
    pub(super) others: Option<u64>,
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
        let Self { timestamp, record, others } = self;
        let line = Line { timestamp: *timestamp, service_name, record, others: *others, sequence, previous_hash };
        serde_json::to_writer(buffer, &line)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: u64,
    service_name: &'a str,
    #[serde(flatten)]
    record: &'a AuditRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<u64>,
    sequence: u64,
    previous_hash: &'a str,
}
