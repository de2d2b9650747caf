//! The routes that are the same in both services: liveness, readiness and the `OpenAPI` document.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::{Method, header::ContentType},
    web::{self, Bytes},
};

use super::{Access, Answer, Route, TEXT};
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
pub const LIVE: Route = public(
    "health.live",
    "/health/live",
    "Whether the process answers.",
    &[Answer { status: 200, description: "It does.", schema: TEXT }],
    || web::to(live),
);

/// `GET /health/ready`.
pub const fn ready<S: Health>() -> Route {
    const RESPONSES: &[Answer] = &[
        Answer { status: 200, description: "ready", schema: TEXT },
        Answer { status: 503, description: "not-ready", schema: TEXT },
    ];
    let summary = "Whether the service can do its work. In development mode with the words of the operator's listener.";
    public("health.ready", "/health/ready", summary, RESPONSES, || web::to(word::<S>))
}

/// `GET /health/ready` of the operator's listener.
pub const fn operator_ready<S: Health>() -> Route {
    const RESPONSES: &[Answer] = &[
        Answer { status: 200, description: "ready, and settings that weaken the service", schema: TEXT },
        Answer { status: 503, description: "what is wrong, the most important first, and such settings", schema: TEXT },
    ];
    let summary = "Words: ready, or (with 503) what is wrong, from the table in docs/operations.md.";
    public("operator.ready", "/health/ready", summary, RESPONSES, || web::to(words::<S>))
}

/// `GET /openapi.json`; the handler answers with [`openapi_answer`].
pub const fn document(handler: fn() -> actix_web::Route) -> Route {
    const RESPONSES: &[Answer] = &[Answer { status: 200, description: "The OpenAPI document.", schema: None }];
    public("openapi.read", "/openapi.json", "This document.", RESPONSES, handler)
}

const fn public(
    id: &'static str,
    path: &'static str,
    summary: &'static str,
    responses: &'static [Answer],
    handler: fn() -> actix_web::Route,
) -> Route {
    Route {
        id,
        method: Method::GET,
        path,
        access: Access::Public,
        body_limit: 0,
        summary,
        parameters: &[],
        request_schema: None,
        responses,
        problems: &[],
        handler,
    }
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok")
}

async fn word<S: Health>(service: web::Data<S>) -> HttpResponse {
    let readiness = service.readiness();
    told(&readiness, readiness.public_text())
}

async fn words<S: Health>(service: web::Data<S>) -> HttpResponse {
    let readiness = service.readiness();
    told(&readiness, readiness.text())
}

fn told(readiness: &Readiness, text: String) -> HttpResponse {
    let mut answer = if readiness.is_ready() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.content_type(ContentType::plaintext()).body(text)
}

/// The answer with an `OpenAPI` document in JSON, which is made once and shared by all answers.
pub fn openapi_answer(document: &Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(document.clone())
}
