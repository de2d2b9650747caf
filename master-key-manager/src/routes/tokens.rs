//! Minting and revoking tokens.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::wire::{GrantRequest, MintAnswer, MintToken};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::TokenId;

use super::revocations::answer;
use crate::audit_event::{Outcome, action};
use crate::http::{Authed, Json, NoBody, perform};
use crate::issuer::MintRequest;
use crate::store::Decision;

pub(super) async fn mint(authed: Authed<Json<MintToken>>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, body: Json(body), app } = authed;
    let request = MintRequest {
        grants: body.grants.iter().map(|grant| (grant.key_id, grant.version)).collect(),
        label: body.user_id,
        life: body.life_seconds,
    };
    let (issuer, at) = (Arc::clone(&app.flow.mint), meta.clone());
    let minted =
        perform(&app, action::TOKEN_MINT, meta, async move { issuer.mint(request, caller, &at).await }).await?;
    let grants = minted.grants.iter().map(|grant| GrantRequest { key_id: grant.secret, version: Some(grant.version) });
    Ok(HttpResponse::Created().json(MintAnswer { token: minted.token, grants: grants.collect() }))
}

pub(super) async fn revoke(jti: web::Path<String>, authed: Authed<NoBody>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, app, .. } = authed;
    let jti: TokenId = jti.parse().map_err(|_| Refusal::new(ErrorCode::TokenNotFound))?;
    let (worker, at) = (Arc::clone(&app), meta.clone());
    let done = perform(&app, action::TOKEN_REVOKE, meta, async move {
        // Also one that is not in our list: a manager that was restored does not know what it minted meanwhile.
        let done = worker.revocations.record(caller.actor(), vec![Decision::Event(Event::Token(jti))]).await?;
        // A revocation never waits for the audit log, and a line never tells of one that did not happen.
        worker.audit.note(Outcome::TokenRevoke(jti), &at);
        Ok(done)
    })
    .await?;
    Ok(answer(&done))
}
