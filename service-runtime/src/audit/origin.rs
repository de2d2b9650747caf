//! Where a decision comes from: the request, and who made it.

use std::fmt::Display;

use serde::Serialize;

/// The source of a decision: a request and its actor, or the service itself.
///
/// Holds cleaned text only: control characters are removed, and each member is at most 256 characters long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    principal: Option<String>,
    credential: Option<String>,
    request_id: String,
    ip_address: String,
    user_agent: String,
}

/// The longest id, address or user agent that is recorded, in characters.
const MAX_CHARS: usize = 256;

impl Origin {
    /// A request whose actor is unknown.
    pub fn of_request(request_id: &str, ip_address: &str, user_agent: &str) -> Self {
        Self {
            request_id: clean(request_id, MAX_CHARS),
            ip_address: clean(ip_address, MAX_CHARS),
            user_agent: clean(user_agent, MAX_CHARS),
            ..Self::default()
        }
    }

    /// The service itself, without a request.
    pub fn background() -> Self {
        Self::default()
    }

    /// The same source with its authenticated actor. `principal` is the id of a subject, `credential` the id of what it
    /// showed.
    #[must_use]
    pub fn by(mut self, principal: Option<impl Display>, credential: Option<impl Display>) -> Self {
        self.principal = principal.map(|id| clean(&id.to_string(), MAX_CHARS));
        self.credential = credential.map(|id| clean(&id.to_string(), MAX_CHARS));
        self
    }

    /// The id that the service gave the request; empty without a request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The id of the authenticated subject.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }
}

/// `text` without control characters, cut to `max_chars`.
pub(super) fn clean(text: &str, max_chars: usize) -> String {
    // Ids, addresses and most agents: all bytes are looked at together, and copied at once.
    if text.len() <= max_chars && text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}
