//! What everybody may know: that the service answers, whether it is ready, and public keys.

use actix_web::{HttpResponse, web};

use crate::app::App;

pub(super) async fn ready(app: web::Data<App>) -> HttpResponse {
    let ready = app.link.is_ready() && app.audit.is_healthy();
    let (mut answer, word) =
        if ready { (HttpResponse::Ok(), "ready") } else { (HttpResponse::ServiceUnavailable(), "unavailable") };
    answer.content_type("text/plain; charset=utf-8").body(word)
}

pub(super) async fn jwks(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(app.jwks.clone())
}

pub(super) async fn openapi_document(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(app.openapi.clone())
}
