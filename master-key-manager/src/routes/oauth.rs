//! The token endpoint of `OAuth` 2.0, and its metadata document. Answers and errors have the form of RFC 6749.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use manager_sign_on::oauth::{
    MAX_BODY_BYTES, METADATA_PATH, Metadata, OauthError, OauthErrorCode, TokenAnswer, TokenRequest,
};
use serde_json::json;
use service_runtime::Refusal;
use service_runtime::audit::{AuditRecord, Origin};
use service_runtime::http::{Answer, AnswerRoom, Route, client_address, note_known_sender, origin_of, read_form};
use shared_proto::error::ErrorCode;

use crate::app::App;
use crate::audit_event::action;
use crate::sign_on::{Answered, Failure};

pub(super) const ROUTES: &[Route] = &[
    Route::post(action::OAUTH_TOKEN, "/oauth/token", "Makes a token for a service that proves who it is (RFC 6749).")
        .form(MAX_BODY_BYTES)
        .answers(&[
            Answer::other(200, "The token (RFC 6749 section 5.1)."),
            Answer::other(400, "An error of RFC 6749 section 5.2."),
            Answer::other(401, "The error invalid_client of RFC 6749 section 5.2."),
            Answer::other(429, "The error temporarily_unavailable: too many requests."),
            Answer::other(500, "The error server_error."),
            Answer::other(503, "The error temporarily_unavailable."),
        ])
        .public(|| web::to(token)),
    Route::get(action::OAUTH_METADATA, METADATA_PATH, "Describes the token endpoint (RFC 8414).")
        .answers(&[Answer::other(200, "The document.")])
        .problems(&[ErrorCode::RouteNotFound])
        .public(|| web::to(metadata)),
];

/// The descriptions of bodies that cannot be read.
const UNREADABLE: [(ErrorCode, &str); 3] = [
    (ErrorCode::MediaTypeUnsupported, "Send application/x-www-form-urlencoded without content encoding."),
    (ErrorCode::BodyTooLarge, "The body is too large."),
    (ErrorCode::BodyInvalid, "The body was cut off, is not framed correctly, or did not arrive in time."),
];

async fn token(req: HttpRequest, payload: web::Payload, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (app, origin) = (app.into_inner(), origin_of(&req));
    let request = match take_address(&req, &app).await {
        Ok(()) => read(&req, payload).await,
        Err(failure) => Err(failure),
    };
    let (issued, origin) = match request {
        Ok(request) => {
            let (app, mut named, from) = (Arc::clone(&app), origin.clone(), client_address(&req));
            // To its end, whatever the client does: a key set that is fetched half would count as fetched.
            let task = Arc::clone(&app).gate.tasks.run_to_end(async move {
                let issued = issue(&app, &request, from, &mut named).await;
                (issued, named)
            });
            task.await.unwrap_or_else(|_| (Err(Refusal::internal("a task broke down").into()), origin))
        }
        Err(failure) => (Err(failure), origin),
    };
    match issued {
        Ok(answer) => {
            note_known_sender(&req);
            let body = serde_json::to_vec(&answer).map_err(|_| Refusal::internal("an answer cannot be written"))?;
            let room = AnswerRoom::of(&req).take(body.len())?;
            room.keep_with(with_headers(StatusCode::OK).body(body))
        }
        Err(failure) => {
            // One sort of line for all refusals of a route; they are sampled, those of each proven client by themselves.
            app.gate.audit.record_refusal(AuditRecord::refused(action::OAUTH_TOKEN, &failure.refusal, &origin));
            Ok(failed(&failure))
        }
    }
}

/// The token. Whoever is proven to ask is the actor of `origin`, also if he is refused.
async fn issue(
    app: &App,
    request: &TokenRequest,
    from: Option<IpAddr>,
    origin: &mut Origin,
) -> Result<TokenAnswer, Failure> {
    let proven = app.sign_on.prove(request, from, origin).await?;
    if let Some(subject) = proven.caller.subject() {
        app.gate.limits.take_principal(subject)?;
    }
    for (shown, code) in proven.shown() {
        app.gate.count_use(shown).await.map_err(|refusal| Failure::of_shown(refusal, code))?;
    }
    app.sign_on.issue(request, proven, origin).await
}

/// Takes a request from its address, by the limits of the moment.
async fn take_address(req: &HttpRequest, app: &App) -> Result<(), Failure> {
    app.gate.limits.set(app.registry.now().await?.rate_limits);
    Ok(app.gate.limits_of_address(req)?)
}

async fn read(req: &HttpRequest, payload: web::Payload) -> Result<TokenRequest, Failure> {
    let refused = |description| Failure::from(OauthError::new(OauthErrorCode::InvalidRequest, description));
    // RFC 6749 section 2.3.1: secrets must not be in the target, which others log.
    if !req.query_string().is_empty() {
        return Err(refused("The parameters are in the body; there is no query."));
    }
    let body = read_form(req, payload, MAX_BODY_BYTES).await.map_err(|refusal| {
        let code = refusal.code();
        let known = UNREADABLE.iter().find(|(known, _)| *known == code);
        known.map_or_else(|| refusal.into(), |(_, description)| refused(description))
    })?;
    let mut all = req.headers().get_all(header::AUTHORIZATION);
    let authorization = match (all.next(), all.next()) {
        (None, _) => None,
        (Some(only), None) => Some(only.to_str().unwrap_or_default()),
        (Some(_), Some(_)) => return Err(refused("There are several Authorization headers.")),
    };
    TokenRequest::parse(authorization, &body).map_err(Failure::from)
}

fn failed(failure: &Failure) -> HttpResponse {
    let error = |error: &str, text: &str| json!({"error": error, "error_description": text});
    match failure.answer {
        Answered::Error(OauthError { code, description }) => {
            let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let mut answer = with_headers(status);
            if status == StatusCode::UNAUTHORIZED {
                answer.insert_header((header::WWW_AUTHENTICATE, OauthError::CHALLENGE));
            }
            answer.json(error(code.as_str(), description))
        }
        Answered::Later => {
            let text =
                "Something that is needed cannot be reached, or changed meanwhile. Repeat it, with a new assertion.";
            let mut answer = with_headers(StatusCode::SERVICE_UNAVAILABLE);
            answer.insert_header((header::RETRY_AFTER, "2"));
            answer.json(error("temporarily_unavailable", text))
        }
        Answered::Limited(seconds) => {
            let mut answer = with_headers(StatusCode::TOO_MANY_REQUESTS);
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
            answer.json(error(
                "temporarily_unavailable",
                "There are too many requests of this client or address, or for a secret.",
            ))
        }
        Answered::Defect => {
            with_headers(StatusCode::INTERNAL_SERVER_ERROR).json(error("server_error", "A fault in the service."))
        }
    }
}

/// RFC 6749 section 5.1.
fn with_headers(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    answer
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::PRAGMA, HeaderValue::from_static("no-cache")));
    answer
}

async fn metadata(app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let issuer = app
        .sign_on
        .issuer()
        .ok_or_else(|| Refusal::new(ErrorCode::RouteNotFound).detail("This manager has no issuer configured."))?;
    Ok(HttpResponse::Ok().json(Metadata::new(issuer)))
}
