//! The reason why a request is refused or fails, in one form for both services.
//!
//! A refusal is a code of the table, a detail for the client and a cause for the log. It knows nothing of HTTP:
//! [`crate::http`] makes an answer of it. None of its texts holds a value, a key or a token.

use std::borrow::Cow;
use std::fmt;

use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};

use crate::{audit::AuditUnavailable, sqlite::StoreFault, tasks::BrokenDown};

/// A refusal or a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    // Boxed: every `Result` would carry the whole of it otherwise.
    parts: Box<Parts>,
}

/// A fact for programs, beside the sentence of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// With `event_gap`: the event number that is expected next.
    Expected(u64),
    /// With `epoch_incomplete`: how many stored versions lack a key of the epoch.
    Lacking(u64),
    /// The version that was written: with `idempotency_unknown` by the first request, else by this one, whose token is
    /// refused.
    Written(SecretId, Version),
    /// With `already_exists`: the id of the thing that is there.
    Id(String),
    /// With `rate_limited`: the seconds after which the request may be repeated.
    Wait(u64),
    /// With `method_not_allowed`: the methods of the path, as the `Allow` header lists them.
    Allow(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    code: ErrorCode,
    detail: Option<Cow<'static, str>>,
    cause: Option<Cow<'static, str>>,
    fact: Option<Fact>,
}

impl Refusal {
    /// A refusal with this code.
    pub fn new(code: ErrorCode) -> Self {
        Self { parts: Box::new(Parts { code, detail: None, cause: None, fact: None }) }
    }

    /// `parameter_invalid`, with what is wrong.
    pub fn parameter(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::ParameterInvalid).detail(detail)
    }

    /// `unavailable`: a needed part cannot be reached, and nothing was written.
    pub fn unavailable(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Unavailable).cause(cause)
    }

    /// `outcome_unknown`: the operation may have been carried out.
    pub fn outcome_unknown(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::OutcomeUnknown).cause(cause)
    }

    /// `internal`: a defect of the program.
    pub fn internal(cause: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Internal).cause(cause)
    }

    /// Adds the fault of this request, for the client. The text never quotes a body.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.parts.detail = Some(detail.into());
        self
    }

    /// Adds the cause, for the log. The text never quotes a body either.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.parts.cause = Some(cause.into());
        self
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn fact(mut self, fact: Fact) -> Self {
        self.parts.fact = Some(fact);
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.parts.code
    }

    /// The detail, for the client.
    pub fn detail_text(&self) -> Option<&str> {
        self.parts.detail.as_deref()
    }

    /// The cause, for the log.
    pub fn cause_text(&self) -> Option<&str> {
        self.parts.cause.as_deref()
    }

    /// The fact for programs.
    pub fn known_fact(&self) -> Option<&Fact> {
        self.parts.fact.as_ref()
    }
}

/// For the log: the code, and the cause if there is one.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code().as_str())?;
        self.cause_text().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Refusal {}

impl From<StoreFault> for Refusal {
    fn from(fault: StoreFault) -> Self {
        let code = match fault {
            StoreFault::Unavailable | StoreFault::Corrupt => ErrorCode::StorageUnavailable,
            StoreFault::OutcomeUnknown => ErrorCode::OutcomeUnknown,
        };
        Self::new(code).cause(fault.to_string())
    }
}

impl From<AuditUnavailable> for Refusal {
    fn from(fault: AuditUnavailable) -> Self {
        Self::new(ErrorCode::AuditUnavailable).cause(fault.to_string())
    }
}

impl From<BrokenDown> for Refusal {
    fn from(fault: BrokenDown) -> Self {
        Self::internal(fault.to_string())
    }
}
