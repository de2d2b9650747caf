//! What everybody may know of the manager: whether it works, its public keys and its routes.

use std::future::ready as ready_answer;

use actix_web::{HttpResponse, web};
use service_runtime::http::{Answer, LIVE, Route, document, openapi_answer, ready};

use super::DOCUMENT;
use crate::app::App;

pub(super) const ROUTES: &[Route] = &[
    LIVE,
    ready::<App>(),
    document(|| web::to(|| ready_answer(openapi_answer(&DOCUMENT)))),
    Route::get(
        "token_signing_key.list",
        "/.well-known/jwks.json",
        "The public keys that access tokens are signed with.",
    )
    .answers(&[Answer::other(200, "The keys.")])
    .public(|| web::to(jwks)),
];

async fn jwks(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(app.jwks())
}
