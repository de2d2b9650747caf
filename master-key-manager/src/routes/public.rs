//! What everybody may know of the manager: its public keys.

use actix_web::{HttpResponse, web};

use crate::app::App;

pub(super) async fn jwks(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(app.jwks())
}
