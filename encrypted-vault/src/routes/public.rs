//! What everybody may know of the vault: whether it works, its public keys and its routes.

use std::future::ready as ready_answer;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use service_runtime::http::{Answer, LIVE, Route, document, openapi_answer, ready};
use shared_proto::wire::vault::VaultStatements;

use super::DOCUMENT;
use crate::app::Vault;

pub(super) const ROUTES: &[Route] = &[
    Route::get("key_statement.list", "/api/key-statements", "The vault's public keys, signed by its identity key.")
        .answers(&[Answer::json::<VaultStatements>(200, "The statements.")])
        .public(|| web::to(key_statements)),
    LIVE,
    ready::<Arc<Vault>>(),
    document(|| web::to(|| ready_answer(openapi_answer(&DOCUMENT)))),
];

async fn key_statements(vault: web::Data<Arc<Vault>>) -> HttpResponse {
    HttpResponse::Ok().json(VaultStatements { id: vault.id, statements: vault.statements.own() })
}
