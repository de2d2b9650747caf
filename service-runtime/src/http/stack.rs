//! The middleware, in its only order.
//!
//! Before routing: request id, size of the head, form of the path, host (development mode). Around the handler: panics
//! become `internal`. After it: answers of the framework itself become problem documents, every answer gets its
//! headers, and the log gets its line ([`super::log`]).

use std::{
    future::{Future, Ready, ready},
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    time::Instant,
};

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::InternalError,
    http::{
        Uri,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use shared_proto::error::ErrorCode;

use super::{
    error::{PROBLEM_JSON, REQUEST_ID},
    log::{Answered, log_cause},
    request::RequestId,
};
use crate::{Refusal, config::Mode};

/// The largest request head: method, target, header names and values. actix itself stops at 96 headers or 128 KiB,
/// also with 431 (but without a document, for it has no request by then).
pub const MAX_HEAD: usize = 16 * 1024;

/// The middleware: `App::new().wrap(Stack::new(mode))`.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    mode: Mode,
}

impl Stack {
    /// For a service in this mode.
    pub fn new(mode: Mode) -> Self {
        Self { mode }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Stack
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = StackService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(StackService { mode: self.mode, service: Rc::new(service) }))
    }
}

/// [`Stack`] around an application.
#[derive(Debug)]
pub struct StackService<S> {
    mode: Mode,
    service: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for StackService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(service);

    fn call(&self, req: ServiceRequest) -> Self::Future {
        let (mode, service) = (self.mode, Rc::clone(&self.service));
        Box::pin(async move {
            let started = Instant::now();
            let Some(id) = new_request_id() else {
                let refusal = Refusal::new(ErrorCode::Internal).respond("");
                return Ok(req.into_response(refusal));
            };
            req.extensions_mut().insert(RequestId(id.clone()));
            let admitted = check_head(req.method().as_str(), req.uri(), req.headers())
                .and_then(|()| check_target(req.uri()))
                .and_then(|()| if mode.is_development() { check_host(req.uri(), req.headers()) } else { Ok(()) });
            let response = match admitted {
                Err(refusal) => req.into_response(refusal.respond(&id)),
                Ok(()) => match AssertUnwindSafe(async { service.call(req).await }).catch_unwind().await {
                    Ok(Ok(response)) => as_problem(response.map_into_boxed_body(), &id),
                    // The request is gone by now: the answer travels as an error that holds it.
                    Ok(Err(error)) => return Err(bare_answer(&refusal_in(&error), &id, started)),
                    Err(_panic) => return Err(bare_answer(&Refusal::new(ErrorCode::Internal), &id, started)),
                },
            };
            Ok(finish(response, &id, started))
        })
    }
}

/// 128 random bits. None if the machine has no randomness, and then nothing works anyway.
fn new_request_id() -> Option<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

fn check_head(method: &str, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if method.len() + target + fields > MAX_HEAD {
        return Err(Refusal::new(ErrorCode::HeaderTooLarge));
    }
    Ok(())
}

/// Only the plain form is routed: the framework decodes `%2f` and repairs bad UTF-8 before a handler sees it.
fn check_target(uri: &Uri) -> Result<(), Refusal> {
    // The absolute form (RFC 9112 section 3.2.2) is what a client sends that takes us for a proxy.
    let form = match (uri.scheme_str(), uri.authority()) {
        (None, None) => true,
        (Some(scheme), Some(authority)) => matches!(scheme, "http" | "https") && !authority.as_str().contains('@'),
        (None, Some(_)) | (Some(_), None) => false,
    };
    let path = uri.path();
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%' && byte != b'\\');
    let dotted = path.split('/').any(|segment| segment == "." || segment == "..");
    if form && path.starts_with('/') && plain && !dotted && !path.contains("//") {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::PathInvalid))
}

/// Development mode trusts strangers, so it must not be reachable through a browser's rebound name or a proxy.
/// The name in an absolute target is the one that counts, so it must be the same.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = Err(Refusal::new(ErrorCode::HostInvalid));
    let mut hosts = headers.get_all(header::HOST);
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return refused };
    let forwarded = headers.keys().any(|name| {
        let name = name.as_str();
        matches!(name, "forwarded" | "x-real-ip" | "via") || name.starts_with("x-forwarded-")
    });
    let agrees = uri.authority().is_none_or(|named| host.as_bytes().eq_ignore_ascii_case(named.as_str().as_bytes()));
    if forwarded || !agrees || !host.to_str().is_ok_and(is_local_host) {
        return refused;
    }
    Ok(())
}

fn is_local_host(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| match host.strip_prefix(name) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()),
        None => false,
    })
}

fn refusal_in(error: &Error) -> Refusal {
    error
        .as_error::<Refusal>()
        .cloned()
        .unwrap_or_else(|| Refusal::from_status(error.as_response_error().status_code()))
}

/// Gives an error answer the form of the table. A handler's own answer (say, a readiness word with 503) stays.
fn as_problem(response: ServiceResponse, id: &str) -> ServiceResponse {
    let status = response.status();
    let refusal = match response.response().error() {
        Some(error) => refusal_in(error),
        None if (status.is_client_error() || status.is_server_error()) && is_bare(&response) => {
            Refusal::from_status(status)
        }
        None => return response,
    };
    log_cause(&refusal, id, Some(response.request()));
    response.into_response(refusal.respond(id))
}

fn is_bare(response: &ServiceResponse) -> bool {
    let problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == PROBLEM_JSON);
    !problem && matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0))
}

fn bare_answer(refusal: &Refusal, id: &str, started: Instant) -> Error {
    log_cause(refusal, id, None);
    let mut response = refusal.respond(id);
    set_headers(response.headers_mut(), id);
    Answered { id, status: response.status().as_u16(), started }.log(None);
    InternalError::from_response(refusal.code().as_str(), response).into()
}

fn finish(mut response: ServiceResponse, id: &str, started: Instant) -> ServiceResponse {
    set_headers(response.headers_mut(), id);
    Answered { id, status: response.status().as_u16(), started }.log(Some(response.request()));
    response
}

fn set_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static(REQUEST_ID), id);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
