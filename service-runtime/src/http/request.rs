//! The parts of a request for handlers: its origin, its credential, its body.
//!
//! Guarantees that a body is counted before it is kept, is wiped after use, and is read only when it has the media type
//! of the API: a browser cannot be made to send that type to another site without a preflight request.

use std::{rc::Rc, time::Duration};

use actix_web::{HttpMessage, HttpRequest, error::PayloadError, http::header, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use shared_proto::credential::bearer_in;
use shared_proto::error::ErrorCode;
use zeroize::Zeroizing;

use super::{Limits, client_address, connection::State, decode};
use crate::Refusal;
use crate::audit::Origin;

/// The origin of a request, for the audit log: the address is that of the client, or of the peer if the proxy does not
/// say an address that can be understood.
pub fn origin_of(req: &HttpRequest) -> Origin {
    let extensions = req.extensions();
    let request_id = extensions.get::<RequestId>().map_or("", |id| id.0.as_str());
    let address = client_address(req).or_else(|| req.peer_addr().map(|peer| peer.ip()));
    let ip_address = address.map(|address| address.to_string()).unwrap_or_default();
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
/// Another media type, a content encoding, a body that is too large, not UTF-8, not JSON, too deep, or not a `T`; a
/// name in it breaks its rules.
pub async fn read_json<T: DeserializeOwned>(
    req: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<T, Refusal> {
    check_media_type(req, "application/json")?;
    let body = read_body(req, payload, limit).await?;
    decode::decode(&body).map_err(|(code, detail)| Refusal::new(code).detail(detail))
}

/// Reads the bytes of a form of at most `limit` bytes.
///
/// # Errors
/// Another media type, a content encoding, or those of [`read_body`].
pub async fn read_form(req: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    check_media_type(req, "application/x-www-form-urlencoded")?;
    read_body(req, payload, limit).await
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// It is too large, was cut off, or did not arrive in time.
pub async fn read_body(req: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let too_large = || Refusal::new(ErrorCode::BodyTooLarge).detail(format!("This route takes at most {limit} bytes."));
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
    let stopping = async {
        match req.conn_data::<Rc<State>>() {
            Some(connection) => connection.stopped().await,
            None => std::future::pending().await,
        }
        tokio::time::sleep(BODY_AT_STOP).await;
    };
    tokio::select! {
        read = tokio::time::timeout(time, reading) => read.unwrap_or_else(|_late| {
            Err(Refusal::new(ErrorCode::BodyInvalid).detail("The body did not arrive in time."))
        })?,
        () = stopping => return Err(Refusal::new(ErrorCode::Overloaded).detail("The service stops.")),
    }
    Ok(body)
}

/// Reads the body of a request that takes none: nothing, or the empty object that some clients send for it.
///
/// # Errors
/// It is anything else, was cut off, or did not arrive in time.
pub async fn read_no_body(req: &HttpRequest, payload: web::Payload) -> Result<(), Refusal> {
    let body = read_body(req, payload, EMPTY_OBJECT).await?;
    let text = body.trim_ascii();
    let inside = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
    if text.is_empty() || inside.is_some_and(|inside| inside.trim_ascii().is_empty()) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::BodyInvalid).detail("This route takes no body."))
}

/// How long a stop waits for the rest of a body: an active sender needs no longer.
const BODY_AT_STOP: Duration = Duration::from_secs(2);
/// `{}` with white space.
const EMPTY_OBJECT: usize = 16;

fn declared_length(req: &HttpRequest) -> Result<Option<usize>, Refusal> {
    let Some(value) = req.headers().get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Refusal::new(ErrorCode::BodyTooLarge).detail("Content-Length cannot be read."))
}

fn refusal_of(error: &PayloadError) -> Refusal {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive; all others mean a broken body")]
    match error {
        PayloadError::Overflow => Refusal::new(ErrorCode::BodyTooLarge),
        _ => Refusal::new(ErrorCode::BodyInvalid).detail("The body was cut off or is not framed correctly."),
    }
}

fn check_media_type(req: &HttpRequest, media: &str) -> Result<(), Refusal> {
    let refused = || Err(Refusal::new(ErrorCode::MediaTypeUnsupported));
    if req.headers().contains_key(header::CONTENT_ENCODING) {
        return refused();
    }
    let mut all = req.headers().get_all(header::CONTENT_TYPE);
    let (Some(only), None) = (all.next(), all.next()) else { return refused() };
    if only.to_str().is_ok_and(|value| is_media(value, media)) { Ok(()) } else { refused() }
}

/// True if a media type is this one (RFC 9110 sections 5.6.6 and 8.3.1). Of its parameters only `charset` could mean another
/// text; the others mean nothing for JSON and forms.
fn is_media(value: &str, media: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    let ends_parameter = |character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return character == ';' && !quoted,
        }
        false
    };
    let mut parts = value.split(ends_parameter).map(|part| part.trim_matches([' ', '\t']));
    parts.next().is_some_and(|part| part.eq_ignore_ascii_case(media)) && parts.all(is_usable_parameter)
}

fn is_usable_parameter(parameter: &str) -> bool {
    if parameter.is_empty() {
        return true;
    }
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = match value.strip_prefix('"') {
        None => Some(value.to_owned()).filter(|value| is_token(value)),
        Some(rest) => rest.strip_suffix('"').and_then(unquoted),
    };
    let fits = |value: String| !name.eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8");
    is_token(name) && value.is_some_and(fits)
}

/// The text of a quoted string, from between its quotes.
fn unquoted(text: &str) -> Option<String> {
    let (mut plain, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => plain.push(characters.next()?),
            _ => plain.push(character),
        }
    }
    Some(plain)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
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
        for media in [
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json \t;\t charset=\"UTF\\-8\" ; profile=\"a;b=\\\"c\"",
            "application/json;",
            "application/json; ; v=1",
        ] {
            assert!(read(json("{}").insert_header(("content-type", media)), 2).await.is_ok(), "{media}");
        }
        let unsupported = [
            json("{}").insert_header(("content-type", "text/plain")),
            json("{}").insert_header(("content-type", "application/json; charset=latin1")),
            json("{}").insert_header(("content-type", "application/json; v=1; charset=\"latin1\"")),
            json("{}").insert_header(("content-type", "application/json; charset")),
            json("{}").insert_header(("content-type", "application/json; charset = utf-8")),
            json("{}").insert_header(("content-type", "application/json; charset=\"utf-8")),
            json("{}").insert_header(("content-type", "application/json; charset=\"utf\"-8\"")),
            json("{}").insert_header(("content-type", "application/json, text/plain")),
            json("{}").insert_header(("content-type", "application/ json")),
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
        assert_eq!(with(&["Bearer   abc"]).as_deref(), Some("abc"));
        for refused in [&["Bearer a", "Bearer a"][..], &["Basic a"], &["Bearer"], &["Bearer "], &["Bearer a b"], &[]] {
            assert_eq!(with(refused), None, "{refused:?}");
        }
    }

    #[actix_web::test]
    async fn body_where_none_is_taken_is_nothing_or_the_empty_object() {
        let read = async |body: &'static str| {
            let (req, mut payload) = TestRequest::delete().set_payload(body).to_http_parts();
            let payload = web::Payload::from_request(&req, &mut payload).await.unwrap();
            read_no_body(&req, payload).await.map_err(|error| error.code())
        };
        for body in ["", "{}", " { }\r\n"] {
            assert_eq!(read(body).await, Ok(()), "{body:?}");
        }
        for body in ["[]", "null", "{\"a\":1}", "{", "}", "{{}}"] {
            assert_eq!(read(body).await, Err(ErrorCode::BodyInvalid), "{body:?}");
        }
        assert_eq!(read("{                 }").await, Err(ErrorCode::BodyTooLarge));
    }
}
