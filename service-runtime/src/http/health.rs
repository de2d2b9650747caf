//! The routes that are the same in both services: liveness, readiness and the `OpenAPI` document.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::header::ContentType,
    web::{self, Bytes},
};

use super::{Answer, Route};
use crate::readiness::Readiness;

/// What these routes ask of a service. It is the application data `web::Data<S>`.
pub trait Health: 'static {
    /// Whether everything is there that it needs for its work, and what is not.
    fn readiness(&self) -> Readiness;
}

impl<S: Health> Health for Arc<S> {
    fn readiness(&self) -> Readiness {
        S::readiness(self)
    }
}

/// `GET /health/live`: the process answers. Says nothing about what it needs.
pub const LIVE: Route = Route::get("health.live", "/health/live", "Whether the process answers.")
    .answers(&[Answer::text(200, "It does.")])
    .public(|| web::to(live));

/// `GET /health/ready`.
pub const fn ready<S: Health>() -> Route {
    let summary = "Whether the service can do its work. In development mode with the words of the operator's listener.";
    Route::get("health.ready", "/health/ready", summary)
        .answers(const { &[Answer::text(200, "ready"), Answer::text(503, "not-ready")] })
        .public(|| web::to(word::<S>))
}

/// `GET /health/ready` of the operator's listener.
pub const fn operator_ready<S: Health>() -> Route {
    let summary = "Words: ready, or (with 503) what is wrong, from the table in docs/operations.md.";
    Route::get("operator.ready", "/health/ready", summary).answers(OPERATOR_ANSWERS).public(|| web::to(words::<S>))
}

const OPERATOR_ANSWERS: &[Answer] = &[
    Answer::text(200, "ready, and settings that weaken the service"),
    Answer::text(503, "what is wrong, the most important first, and such settings"),
];

/// `GET /openapi.json`; the handler answers with [`openapi_answer`].
pub const fn document(handler: fn() -> actix_web::Route) -> Route {
    Route::get("openapi.read", "/openapi.json", "This document.")
        .answers(const { &[Answer::other(200, "The OpenAPI document.")] })
        .public(handler)
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok")
}

async fn word<S: Health>(service: web::Data<S>) -> HttpResponse {
    let readiness = service.readiness();
    answer(&readiness, readiness.public_text())
}

async fn words<S: Health>(service: web::Data<S>) -> HttpResponse {
    let readiness = service.readiness();
    answer(&readiness, readiness.text())
}

fn answer(readiness: &Readiness, text: String) -> HttpResponse {
    let mut answer = if readiness.is_ready() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.content_type(ContentType::plaintext()).body(text)
}

/// The answer with an `OpenAPI` document in JSON, which is made once and shared by all answers.
pub fn openapi_answer(document: &Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(document.clone())
}
