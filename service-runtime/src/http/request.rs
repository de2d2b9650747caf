//! What handlers take from a request: where it came from, its credential, its body.
//!
//! Guarantees that a body is counted before it is kept, is wiped after use, and is read only when its media type is
//! the one of the API: a browser cannot be made to send that without asking first.

use actix_web::{HttpMessage, HttpRequest, error::PayloadError, http::header, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use shared_proto::credential::bearer_in;
use shared_proto::error::ErrorCode;
use zeroize::Zeroizing;

use super::{ApiError, Limits, decode};
use crate::audit::Origin;

/// Where a request came from, for the audit log. Forwarding headers are not believed.
pub fn origin_of(req: &HttpRequest) -> Origin {
    let extensions = req.extensions();
    let request_id = extensions.get::<RequestId>().map_or("", |id| id.0.as_str());
    let ip_address = req.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    let user_agent = req.headers().get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Origin::of_request(request_id, &ip_address, &user_agent.unwrap_or_default())
}

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// The bearer credential: exactly one `Authorization` header with that scheme and one word, else none.
pub fn bearer(req: &HttpRequest) -> Option<&str> {
    let mut all = req.headers().get_all(header::AUTHORIZATION);
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    // Looks at several bytes at once, where `HeaderValue::to_str` looks at one.
    bearer_in(std::str::from_utf8(only.as_bytes()).ok()?)
}

/// Reads and decodes a JSON body of at most `limit` bytes.
///
/// # Errors
/// Another media type, a content encoding, a body that is too large, not UTF-8, not JSON, too deep, or not a `T`.
pub async fn read_json<T: DeserializeOwned>(
    req: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<T, ApiError> {
    check_media_type(req)?;
    let body = read_body(req, payload, limit).await?;
    decode::decode(&body).map_err(|detail| ApiError::new(ErrorCode::BodyInvalid).detail(detail))
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// It is too large, was cut off, or did not arrive in time.
pub async fn read_body(req: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let too_large =
        || ApiError::new(ErrorCode::BodyTooLarge).detail(format!("This route takes at most {limit} bytes."));
    let declared = declared_length(req)?;
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    // All the room at once: a vector that grows leaves copies behind which nobody wipes.
    let mut body = Zeroizing::new(Vec::with_capacity(declared.unwrap_or(limit)));
    let mut payload = payload;
    let reading = async {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| refusal_of(&error))?;
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let time = req.app_data::<Limits>().copied().unwrap_or_default().body_time();
    tokio::time::timeout(time, reading).await.unwrap_or_else(|_late| {
        Err(ApiError::new(ErrorCode::BodyInvalid).detail("The body did not arrive in time."))
    })?;
    Ok(body)
}

fn declared_length(req: &HttpRequest) -> Result<Option<usize>, ApiError> {
    let Some(value) = req.headers().get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| ApiError::new(ErrorCode::BodyTooLarge).detail("Content-Length cannot be read."))
}

fn refusal_of(error: &PayloadError) -> ApiError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive; all others mean a broken body")]
    match error {
        PayloadError::Overflow => ApiError::new(ErrorCode::BodyTooLarge),
        _ => ApiError::new(ErrorCode::BodyInvalid).detail("The body was cut off or is not framed correctly."),
    }
}

fn check_media_type(req: &HttpRequest) -> Result<(), ApiError> {
    let refused = || Err(ApiError::new(ErrorCode::MediaTypeUnsupported));
    if req.headers().contains_key(header::CONTENT_ENCODING) {
        return refused();
    }
    let mut all = req.headers().get_all(header::CONTENT_TYPE);
    let (Some(only), None) = (all.next(), all.next()) else { return refused() };
    let Ok(value) = only.to_str() else { return refused() };
    let mut parts = value.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let charset = parts.next().is_none_or(|parameter| {
        parameter.eq_ignore_ascii_case("charset=utf-8") || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
    });
    if json && charset && parts.next().is_none() { Ok(()) } else { refused() }
}

#[cfg(test)]
mod tests {
    use actix_web::{FromRequest, test::TestRequest};

    use super::*;

    async fn read(request: TestRequest, limit: usize) -> Result<serde_json::Value, ErrorCode> {
        let (req, mut payload) = request.to_http_parts();
        let payload = web::Payload::from_request(&req, &mut payload).await.unwrap();
        read_json(&req, payload, limit).await.map_err(|error| error.code())
    }

    fn json(body: &'static str) -> TestRequest {
        TestRequest::post().insert_header(("content-type", "application/json")).set_payload(body)
    }

    #[actix_web::test]
    async fn only_plain_json_is_read() {
        assert!(read(json("{}"), 2).await.is_ok());
        assert!(read(json("{}").insert_header(("content-type", "Application/JSON; charset=UTF-8")), 2).await.is_ok());
        let unsupported = [
            json("{}").insert_header(("content-type", "text/plain")),
            json("{}").insert_header(("content-type", "application/json; charset=latin1")),
            json("{}").insert_header(("content-type", "application/json-patch+json")),
            json("{}").append_header(("content-type", "application/json")),
            json("{}").insert_header(("content-encoding", "gzip")),
            TestRequest::post().set_payload("{}"),
        ];
        for request in unsupported {
            assert_eq!(read(request, 9).await, Err(ErrorCode::MediaTypeUnsupported));
        }
    }

    #[actix_web::test]
    async fn bodies_over_the_limit_are_refused_declared_or_streamed() {
        assert_eq!(read(json("{\"a\":1}"), 6).await, Err(ErrorCode::BodyTooLarge));
        assert_eq!(read(json("{}").insert_header(("content-length", "5")), 4).await, Err(ErrorCode::BodyTooLarge));
        assert!(read(json("{\"a\":1}"), 7).await.is_ok());
    }

    #[test]
    fn bearer_needs_exactly_one_header_of_that_scheme() {
        let with = |values: &[&str]| {
            let mut request = TestRequest::get();
            for value in values {
                request = request.append_header(("authorization", *value));
            }
            bearer(&request.to_http_request()).map(str::to_owned)
        };
        assert_eq!(with(&["bEaReR abc"]).as_deref(), Some("abc"));
        for refused in [&["Bearer a", "Bearer a"][..], &["Basic a"], &["Bearer"], &["Bearer "], &["Bearer a b"], &[]] {
            assert_eq!(with(refused), None, "{refused:?}");
        }
    }
}
