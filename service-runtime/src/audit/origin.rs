//! Where a decision comes from: the request, and who made it.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

/// The source of a decision: a request and its actor, or the service itself. Clones share it.
///
/// Holds cleaned text only: control characters are removed, and each member is at most 256 characters long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin(Arc<Parts>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts {
    principal: Option<String>,
    credential: Option<String>,
    method: Option<&'static str>,
    rules: DecidingRules,
    request_id: String,
    ip_address: String,
    user_agent: String,
}

/// The longest id, address or user agent that is recorded, in characters.
const MAX_CHARS: usize = 256;

/// The rules of policy by which a request was let through or refused, in the order of their use. Clones share them: who
/// decides adds to them, and each later line of the request names them.
#[derive(Clone, Debug, Default)]
pub struct DecidingRules(Arc<Mutex<Vec<String>>>);

/// The most rules that a line names.
const MAX_RULES: usize = 8;

impl DecidingRules {
    /// Adds one, unless it is there, or there are as many as a line names.
    pub fn add(&self, rule: impl Display) {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.len() >= MAX_RULES {
            return;
        }
        let rule = clean(rule.to_string(), MAX_CHARS);
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }

    /// Those of now.
    pub fn now(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PartialEq for DecidingRules {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.now() == other.now()
    }
}

impl Eq for DecidingRules {}

impl Origin {
    /// A request whose actor is unknown.
    pub fn of_request(request_id: &str, ip_address: &str, user_agent: &str) -> Self {
        Self(Arc::new(Parts {
            request_id: clean(request_id.to_owned(), MAX_CHARS),
            ip_address: clean(ip_address.to_owned(), MAX_CHARS),
            user_agent: clean(user_agent.to_owned(), MAX_CHARS),
            ..Parts::default()
        }))
    }

    /// The service itself, without a request.
    pub fn background() -> Self {
        Self::default()
    }

    /// The same source with its authenticated actor. `principal` is the id of a subject, `credential` the id of what it
    /// showed.
    #[must_use]
    pub fn by(mut self, principal: Option<impl Display>, credential: Option<impl Display>) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        parts.principal = principal.map(|id| clean(id.to_string(), MAX_CHARS));
        parts.credential = credential.map(|id| clean(id.to_string(), MAX_CHARS));
        self
    }

    /// The same source with the way in which its actor was authenticated, and the rules by which it is decided.
    #[must_use]
    pub fn authenticated(mut self, method: &'static str, rules: DecidingRules) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        parts.method = Some(method);
        parts.rules = rules;
        self
    }

    /// The way in which the actor was authenticated.
    pub fn method(&self) -> Option<&'static str> {
        self.0.method
    }

    /// The rules by which it was decided so far.
    pub fn rules(&self) -> Vec<String> {
        self.0.rules.now()
    }

    /// The id of the authenticated subject.
    pub fn principal(&self) -> Option<&str> {
        self.0.principal.as_deref()
    }

    /// The id of the credential that was shown.
    pub fn credential(&self) -> Option<&str> {
        self.0.credential.as_deref()
    }

    /// The id that the service gave the request; empty without a request.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The address of the peer.
    pub fn ip_address(&self) -> &str {
        &self.0.ip_address
    }

    /// The client's `User-Agent`.
    pub fn user_agent(&self) -> &str {
        &self.0.user_agent
    }
}

/// `text` without control characters, cut to `max_chars`.
pub(super) fn clean(text: String, max_chars: usize) -> String {
    // Ids, addresses and most agents: all bytes are looked at together.
    if text.len() <= max_chars && text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~')) {
        return text;
    }
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}
