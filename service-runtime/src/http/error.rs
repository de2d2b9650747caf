//! Conversion of refusals into answers.
//!
//! The only file that knows status codes. The client gets a problem document with a code of the table. The cause goes
//! to the log and never to the client.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use shared_proto::error::{ErrorCode, Problem, Retry};

use crate::{Fact, Refusal};

impl Refusal {
    /// The answer. The middleware calls it with the id of the request.
    pub(super) fn respond(&self, request_id: &str) -> HttpResponse {
        let mut problem =
            Problem { detail: self.detail_text().map(str::to_owned), ..Problem::new(self.code(), request_id) };
        let (mut allow, mut wait) = (None, 1);
        match self.known_fact() {
            Some(Fact::Expected(number)) => problem.expected = Some(*number),
            Some(Fact::Id(id)) => problem.id = Some(id.clone()),
            Some(Fact::Wait(seconds)) => wait = *seconds,
            Some(Fact::Lacking(versions)) => problem.lacking = Some(*versions),
            Some(Fact::Written(secret, version)) => {
                problem.key_id = Some(secret.to_string());
                problem.version = Some(version.get());
            }
            Some(Fact::Allow(methods)) => allow = Some(methods.as_str()),
            None => {}
        }
        let mut answer = HttpResponse::build(self.status_code());
        answer
            .insert_header((header::CONTENT_TYPE, PROBLEM_JSON))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((REQUEST_ID, request_id));
        if self.status_code() == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if matches!(self.code().retry(), Retry::Later | Retry::SameKey) {
            answer.insert_header((header::RETRY_AFTER, wait.to_string()));
        }
        if let Some(methods) = allow {
            answer.insert_header((header::ALLOW, methods));
        }
        // Text and numbers always serialize; an empty body would still carry the status.
        answer.body(serde_json::to_vec(&problem).unwrap_or_default())
    }

    /// The code of the table for an answer of the framework.
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

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Without the request id, which an error does not know: the middleware answers with the document that has it.
    fn error_response(&self) -> HttpResponse {
        self.respond("")
    }
}
