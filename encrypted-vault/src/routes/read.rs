//! Reading with an access token.

use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use service_runtime::Refusal;
use service_runtime::http::{AnswerRoom, bearer, note_known_sender, origin_of, read_json};
use shared_proto::wire::vault::ReadKeys;

use crate::app::Vault;
use crate::reading::Opened;

/// The largest body of `POST /api/keys:read`, in bytes: 64 ids take about 2 KiB.
pub(super) const READ_LIMIT: usize = 8 * 1024;

/// `GET /api/keys/{key_id}`.
pub(super) async fn read_one(req: HttpRequest, vault: web::Data<Arc<Vault>>) -> Result<HttpResponse, Refusal> {
    let caller = vault.reader.authenticate(bearer(&req), origin_of(&req))?;
    note_known_sender(&req);
    let asked = req.match_info().query("key_id").parse().ok();
    answer(vault.reader.read_one(caller, asked, &AnswerRoom::of(&req)).await?)
}

/// `POST /api/keys:read`.
pub(super) async fn read_many(
    req: HttpRequest,
    payload: web::Payload,
    vault: web::Data<Arc<Vault>>,
) -> Result<HttpResponse, Refusal> {
    let caller = vault.reader.authenticate(bearer(&req), origin_of(&req))?;
    note_known_sender(&req);
    let asked: ReadKeys = read_json(&req, payload, READ_LIMIT).await?;
    answer(vault.reader.read_many(caller, asked.key_ids, &AnswerRoom::of(&req)).await?)
}

/// The answer. Its bytes are wiped, and its room is free, when it is written.
fn answer(Opened { json, room }: Opened) -> Result<HttpResponse, Refusal> {
    room.keep_with(HttpResponse::Ok().content_type(ContentType::json()).body(Bytes::from_owner(json)))
}
