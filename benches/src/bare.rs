//! An actix-web handler that answers what a read answers, from memory.

use actix_web::{App, HttpResponse, HttpServer, web};

use crate::Failure;

/// Serves until the process is ended.
pub(crate) fn serve(port: u16) -> Result<(), Failure> {
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(|| App::new().route("/api/keys/{key_id}", web::get().to(answer)))
            .bind(("127.0.0.1", port))?
            .run()
            .await
    })?;
    Ok(())
}

async fn answer() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header(("x-request-id", "AAAAAAAAAAAAAAAAAAAAAA"))
        .content_type("application/json")
        .body(r#"{"key_id":"sec_AAAAAAAAAAAAAAAAAAAAAA","version":1,"encoding":"text","decrypted_key":"super_secret_value"}"#)
}
