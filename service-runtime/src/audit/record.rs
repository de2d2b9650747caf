//! What an audit line says.
//!
//! The record has ids, fixed words and cleaned strings only: there is no member into which a value, a key or a token
//! would fit by habit. What comes from the client is cut and stripped of control characters.

use std::io::Write;

use shared_proto::{
    error::ErrorCode,
    id::{SecretId, Version},
};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::origin::{Origin, clean};
use crate::Refusal;

/// How a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditStatus {
    /// Allowed, and about to be done or done.
    Success,
    /// Refused.
    Denied,
    /// Allowed, but it could not be done; follows a `success` line when the outcome differed.
    Failed,
}

impl AuditStatus {
    /// That of a refusal: a request that the service could not carry out has failed, every other one was denied.
    pub fn of(code: ErrorCode) -> Self {
        if code.status() < 500 { Self::Denied } else { Self::Failed }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// One decision.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    action: &'static str,
    status: AuditStatus,
    code: Option<ErrorCode>,
    key_id: Option<String>,
    key_path: Option<String>,
    former_path: Option<String>,
    changed: Vec<String>,
    secrets: Vec<(SecretId, Version)>,
    jti: Option<String>,
    target: Option<String>,
    count: Option<u64>,
    origin: Origin,
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
            former_path: None,
            changed: Vec::new(),
            secrets: Vec::new(),
            jti: None,
            target: None,
            count: None,
            origin: origin.clone(),
        }
    }

    /// A request that was refused, or that failed by a fault of the service.
    pub fn refused(action: &'static str, refusal: &Refusal, origin: &Origin) -> Self {
        Self::new(action, AuditStatus::of(refusal.code()), origin).code(refusal.code())
    }

    /// A decision that no request asked for.
    pub fn background(action: &'static str, status: AuditStatus) -> Self {
        Self::new(action, status, &Origin::background())
    }

    /// The secret that it is about.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(clean(key_id.into(), MAX_CHARS));
        self
    }

    /// The secret's name; only the manager knows it.
    #[must_use]
    pub fn key_path(mut self, key_path: impl Into<String>) -> Self {
        self.key_path = Some(clean(key_path.into(), MAX_PATH_CHARS));
        self
    }

    /// The name that the secret had before, if it gets another one.
    #[must_use]
    pub fn former_path(mut self, former_path: impl Into<String>) -> Self {
        self.former_path = Some(clean(former_path.into(), MAX_PATH_CHARS));
        self
    }

    /// The members that change, by their names and without what they say.
    #[must_use]
    pub fn changed(mut self, members: impl IntoIterator<Item = &'static str>) -> Self {
        self.changed = members.into_iter().map(str::to_owned).collect();
        self
    }

    /// All versions that it is about, at most 64.
    #[must_use]
    pub fn secrets(mut self, versions: impl IntoIterator<Item = (SecretId, Version)>) -> Self {
        self.secrets = versions.into_iter().take(MAX_SECRETS).collect();
        self
    }

    /// The id of the access token.
    #[must_use]
    pub fn jti(mut self, jti: impl Into<String>) -> Self {
        self.jti = Some(clean(jti.into(), MAX_CHARS));
        self
    }

    /// The id of what it is about when that is no secret and no token: a subject, a credential, a key.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(clean(target.into(), MAX_CHARS));
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

    /// A row of the reference: action, status, and the members that it has besides those of every line.
    pub(super) fn reference(&self) -> String {
        let members = [
            ("key_id", self.key_id.is_some()),
            ("key_path", self.key_path.is_some()),
            ("former_path", self.former_path.is_some()),
            ("changed", !self.changed.is_empty()),
            ("secrets", !self.secrets.is_empty()),
            ("jti", self.jti.is_some()),
            ("target", self.target.is_some()),
            ("count", self.count.is_some()),
            ("code", self.code.is_some()),
        ];
        let members: Vec<&str> = members.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        format!("`{}` | {} | {}", self.action, self.status.as_str(), members.join(", "))
    }

    /// What sampling counts together.
    pub(super) fn kind(&self) -> Kind {
        let caller = self.jti.as_deref().or(self.origin.principal());
        let caller = caller.map_or(Caller::Stranger, |id| Caller::Known(id.to_owned()));
        Kind { action: self.action, status: self.status, code: self.code, caller }
    }

    /// The same decision about several callers: nothing is left that only one of them did.
    pub(super) fn of_several(Kind { action, status, code, .. }: &Kind) -> Self {
        Self { code: *code, ..Self::background(action, *status) }
    }
}

/// Refusals that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) action: &'static str,
    pub(super) status: AuditStatus,
    pub(super) code: Option<ErrorCode>,
    pub(super) caller: Caller,
}

/// Who was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    /// Somebody unknown.
    Stranger,
    /// The holder of a token, or else the principal.
    Known(String),
    /// More callers than are told apart.
    Several,
}

/// A record with its time.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) timestamp: u64,
    pub(super) record: AuditRecord,
    /// How many like it have no line of their own.
    pub(super) others: u64,
}

/// Room for most lines.
const LINE_BYTES: usize = 512;

impl Entry {
    /// The line as far as it does not depend on its place in the chain.
    pub(super) fn render(&self, service_name: &str) -> Vec<u8> {
        let record = &self.record;
        let mut line = Members(Vec::with_capacity(LINE_BYTES));
        line.text("{\"timestamp\":", &rfc3339(self.timestamp));
        line.text(",\"service_name\":", service_name);
        line.text(",\"action\":", record.action);
        line.text(",\"status\":", record.status.as_str());
        if let Some(code) = record.code {
            line.text(",\"code\":", code.as_str());
        }
        line.text_or_null(",\"key_id\":", record.key_id.as_deref());
        if let Some(path) = &record.key_path {
            line.text(",\"key_path\":", path);
        }
        if let Some(path) = &record.former_path {
            line.text(",\"former_path\":", path);
        }
        line.texts(",\"changed\":[", &record.changed);
        line.versions(",\"secrets\":[", &record.secrets);
        line.text_or_null(",\"jti\":", record.jti.as_deref());
        if let Some(target) = &record.target {
            line.text(",\"target\":", target);
        }
        line.number(",\"count\":", record.count);
        let origin = &record.origin;
        line.text_or_null(",\"principal\":", origin.principal());
        line.text_or_null(",\"credential\":", origin.credential());
        if let Some(method) = origin.method() {
            line.text(",\"method\":", method);
        }
        line.texts(",\"policy\":[", &origin.rules());
        line.text(",\"request_id\":", origin.request_id());
        line.text(",\"ip_address\":", origin.ip_address());
        line.text(",\"user_agent\":", origin.user_agent());
        line.number(",\"others\":", Some(self.others).filter(|others| *others > 0));
        line.0
    }
}

/// A second as RFC 3339 section 5.6 writes it; as a number where the year has not four digits.
pub(super) fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

/// Appends a rendered line with its place in the chain, without a newline.
pub(super) fn chain(rendered: &[u8], sequence: u64, previous_hash: &str, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(rendered);
    let mut line = Members(std::mem::take(buffer));
    line.number(",\"sequence\":", Some(sequence));
    line.text(",\"previous_hash\":", previous_hash);
    line.0.push(b'}');
    *buffer = line.0;
}

/// A JSON object in the making. Names come with what stands around them.
struct Members(Vec<u8>);

impl Members {
    /// A list of texts, which is left out when it is empty.
    fn texts(&mut self, name: &'static str, texts: &[String]) {
        for (place, text) in texts.iter().enumerate() {
            self.text(if place == 0 { name } else { "," }, text);
        }
        if !texts.is_empty() {
            self.0.push(b']');
        }
    }

    fn text(&mut self, name: &'static str, text: &str) {
        self.0.extend_from_slice(name.as_bytes());
        // Nearly all texts: looked at together, and copied at once.
        let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
            self.0.push(b'"');
            self.0.extend_from_slice(text.as_bytes());
            self.0.push(b'"');
        } else {
            let _vector_takes_all = serde_json::to_writer(&mut self.0, text);
        }
    }

    fn text_or_null(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        } else {
            self.0.extend_from_slice(name.as_bytes());
            self.0.extend_from_slice(b"null");
        }
    }

    fn number(&mut self, name: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            let _vector_takes_all = write!(self.0, "{name}{number}");
        }
    }

    fn versions(&mut self, name: &'static str, versions: &[(SecretId, Version)]) {
        for (position, (key_id, version)) in versions.iter().enumerate() {
            let before = if position == 0 { name } else { "," };
            let _vector_takes_all = write!(self.0, "{before}{{\"key_id\":\"{key_id}\",\"version\":{version}}}");
        }
        if !versions.is_empty() {
            self.0.push(b']');
        }
    }
}
