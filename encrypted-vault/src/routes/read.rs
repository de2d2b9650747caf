//! Reading with an access token.

use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;
use shared_proto::wire::vault::{OpenedKey, ReadAnswer, ReadKeys};

use crate::app::Vault;
use crate::audit_event::action;
use crate::http::ReadCall;
use crate::reading::Opened;

/// The largest body of `POST /api/keys:read`, in bytes: 64 ids take about 2 KiB.
const READ_LIMIT: usize = 8 * 1024;

pub(super) const ROUTES: &[Route] = &[
    Route::get(action::SECRET_READ, "/api/keys/{key_id}", "Opens the version of a secret that the access token names.")
        .parameters(&[Parameter::path::<SecretId>("key_id", "The secret.")])
        .answers(&[Answer::json::<OpenedKey>(200, "The value.")])
        .problems(ON_READS)
        .needs(Access::AccessToken, || call(read_one)),
    Route::post("secret.read_batch", "/api/keys:read", "Opens up to 64 versions that one access token names.")
        .body::<ReadKeys>(READ_LIMIT)
        .answers(&[Answer::json::<ReadAnswer>(200, "A line for each id.")])
        .problems(ON_READS)
        .needs(Access::AccessToken, || call(read_many)),
];

const ON_READS: &[ErrorCode] = &[
    ErrorCode::SecretNotFound,
    ErrorCode::ParameterInvalid,
    ErrorCode::AuditUnavailable,
    ErrorCode::StorageUnavailable,
];

async fn read_one(call: ReadCall, vault: web::Data<Arc<Vault>>) -> Result<HttpResponse, Refusal> {
    let asked = call.path("key_id").parse().ok();
    let (caller, room) = call.into_parts();
    answer(vault.reader.read_one(caller, asked, &room).await?)
}

async fn read_many(
    call: ReadCall,
    payload: web::Payload,
    vault: web::Data<Arc<Vault>>,
) -> Result<HttpResponse, Refusal> {
    let asked: ReadKeys = call.json(payload).await?;
    let (caller, room) = call.into_parts();
    answer(vault.reader.read_many(caller, asked.key_ids, &room).await?)
}

/// The answer. Its bytes are wiped, and its room is free, when it is written.
fn answer(Opened { json, room }: Opened) -> Result<HttpResponse, Refusal> {
    room.keep_with(HttpResponse::Ok().content_type(ContentType::json()).body(Bytes::from_owner(json)))
}
