//! Refusals and faults on their way to the client.
//!
//! The only file that knows status codes. What the client gets is a problem document with a code of the table; the
//! cause goes to the log and never to the client. Neither may hold a value, a key or a token.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use shared_proto::error::{ErrorCode, Problem, Retry};

use crate::{audit::AuditUnavailable, sqlite::StoreFault, tasks::BrokenDown};

/// A refusal or a fault.
#[derive(Clone, Debug)]
pub struct ApiError {
    // Boxed: every `Result` of the HTTP layer would carry the whole of it otherwise.
    parts: Box<Parts>,
}

#[derive(Clone, Debug)]
struct Parts {
    code: ErrorCode,
    detail: Option<String>,
    cause: Option<String>,
    expected: Option<u64>,
    lacking: Option<u64>,
    key_id: Option<String>,
    version: Option<u64>,
    allow: Option<String>,
}

impl ApiError {
    /// A refusal with this code.
    pub fn new(code: ErrorCode) -> Self {
        let (detail, cause, key_id, allow) = (None, None, None, None);
        Self {
            parts: Box::new(Parts { code, detail, cause, expected: None, lacking: None, key_id, version: None, allow }),
        }
    }

    /// What is wrong with this request, for the client. Never quotes a body.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.parts.detail = Some(detail.into());
        self
    }

    /// What happened, for the log. Never quotes a body either.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.parts.cause = Some(cause.into());
        self
    }

    /// The event number that is expected next.
    #[must_use]
    pub fn expected(mut self, expected: u64) -> Self {
        self.parts.expected = Some(expected);
        self
    }

    /// How many stored versions lack a key of the epoch.
    #[must_use]
    pub fn lacking(mut self, lacking: u64) -> Self {
        self.parts.lacking = Some(lacking);
        self
    }

    /// The secret that the first request wrote.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.parts.key_id = Some(key_id.into());
        self
    }

    /// The version that the first request wrote.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.parts.version = Some(version);
        self
    }

    /// The methods of the route, for `method_not_allowed`.
    #[must_use]
    pub(super) fn allow(mut self, methods: impl Into<String>) -> Self {
        self.parts.allow = Some(methods.into());
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.parts.code
    }

    /// The cause, for the log.
    pub fn cause_text(&self) -> Option<&str> {
        self.parts.cause.as_deref()
    }

    /// The answer. The middleware calls it with the id of the request.
    pub fn respond(&self, request_id: &str) -> HttpResponse {
        let problem = Problem {
            detail: self.parts.detail.clone(),
            expected: self.parts.expected,
            lacking: self.parts.lacking,
            key_id: self.parts.key_id.clone(),
            version: self.parts.version,
            ..Problem::new(self.parts.code, request_id)
        };
        let mut answer = HttpResponse::build(self.status_code());
        answer
            .insert_header((header::CONTENT_TYPE, PROBLEM_JSON))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((REQUEST_ID, request_id));
        if self.status_code() == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if matches!(self.parts.code.retry(), Retry::Later | Retry::SameKey) {
            answer.insert_header((header::RETRY_AFTER, "1"));
        }
        if let Some(methods) = &self.parts.allow {
            answer.insert_header((header::ALLOW, methods.as_str()));
        }
        // Text and numbers always serialize; an empty body would still carry the status.
        answer.body(serde_json::to_vec(&problem).unwrap_or_default())
    }

    /// What an answer of the framework means in our table.
    pub(super) fn from_status(status: StatusCode) -> Self {
        Self::new(match status.as_u16() {
            400 => ErrorCode::ParameterInvalid,
            401 => ErrorCode::CredentialInvalid,
            404 => ErrorCode::RouteNotFound,
            405 => ErrorCode::MethodNotAllowed,
            413 => ErrorCode::BodyTooLarge,
            415 => ErrorCode::MediaTypeUnsupported,
            429 => ErrorCode::RateLimited,
            431 => ErrorCode::HeaderTooLarge,
            503 => ErrorCode::Unavailable,
            402..500 => ErrorCode::BodyInvalid,
            _ => ErrorCode::Internal,
        })
    }
}

/// The media type of a problem document.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// The header of the request id.
pub(super) const REQUEST_ID: &str = "x-request-id";

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts.code.as_str())
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.parts.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Without the request id, which an error does not know: the middleware answers with [`ApiError::respond`].
    fn error_response(&self) -> HttpResponse {
        self.respond("")
    }
}

impl From<StoreFault> for ApiError {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Unavailable | StoreFault::Corrupt => {
                Self::new(ErrorCode::StorageUnavailable).cause(fault.to_string())
            }
            StoreFault::OutcomeUnknown => Self::new(ErrorCode::OutcomeUnknown).cause(fault.to_string()),
        }
    }
}

impl From<AuditUnavailable> for ApiError {
    fn from(fault: AuditUnavailable) -> Self {
        Self::new(ErrorCode::AuditUnavailable).cause(fault.to_string())
    }
}

impl From<BrokenDown> for ApiError {
    fn from(fault: BrokenDown) -> Self {
        Self::new(ErrorCode::Internal).cause(fault.to_string())
    }
}
