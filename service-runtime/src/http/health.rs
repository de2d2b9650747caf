//! The liveness route, the same in both services.

use actix_web::{HttpResponse, http::Method, web};

use super::{Access, Answer, Route};

/// `GET /health/live`: the process answers. Says nothing about what it needs.
pub const LIVE: Route = Route {
    id: "health.live",
    method: Method::GET,
    path: "/health/live",
    access: Access::Public,
    body_limit: 0,
    summary: "Whether the process answers.",
    parameters: &[],
    request_schema: None,
    responses: &[Answer { status: 200, description: "It does.", schema: None }],
    problems: &[],
    handler: || web::to(live),
};

async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok")
}
