//! Readiness, in one word, and the `OpenAPI` document.

use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};

use crate::app::Vault;

/// `GET /health/ready`: `ready` with 200, or `unavailable` with 503.
pub(super) async fn ready(vault: web::Data<Arc<Vault>>) -> HttpResponse {
    if vault.is_ready() {
        HttpResponse::Ok().content_type(ContentType::plaintext()).body("ready")
    } else {
        HttpResponse::ServiceUnavailable().content_type(ContentType::plaintext()).body("unavailable")
    }
}

/// `GET /openapi.json`.
pub(super) async fn openapi_document() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(super::openapi_json())
}
