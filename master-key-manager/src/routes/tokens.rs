//! Minting, listing and revoking tokens.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::tokens::{MintAnswer, MintToken, WantedSecret};
use manager_api::wire::{OpenedVersion, TokenList, TokenSummary};
use manager_policy::{ReadAudit, Scope, Share};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::TokenId;

use super::revocations::{REVOKED, answer};
use super::{LIMIT, after, environment_name, next_after};
use crate::app::App;
use crate::audit_event::{Act, Outcome, action};
use crate::http::{Call, Page};
use crate::issuer::{MintRequest, granted};
use manager_store::{Decision, TokenRow};

/// 64 paths of 512 bytes, with room for the rest.
const MINT_LIMIT: usize = 64 << 10;

pub(super) const ROUTES: &[Route] = &[
    Route::post(action::TOKEN_MINT, "/api/tokens", "Makes a token for secrets, by id or by environment and path.")
        .body::<MintToken>(MINT_LIMIT)
        .answers(&[Answer::json::<MintAnswer>(201, "The token.")])
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::NameInvalid,
            ErrorCode::SecretNotFound,
            ErrorCode::MfaRequired,
            ErrorCode::SecretDeleted,
            ErrorCode::SecretFrozen,
            ErrorCode::ApprovalRequired,
            ErrorCode::VersionExpired,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(mint)),
    Route::get(action::TOKEN_LIST, "/api/tokens", "Lists the tokens that have not expired: all, or the caller's own.")
        .parameters(&[after::<TokenId>(), LIMIT])
        .answers(&[Answer::json::<TokenList>(200, "A page.")])
        .problems(&[ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::delete(action::TOKEN_REVOKE, "/api/tokens/{jti}", "Revokes a token: any, or one of the caller's own.")
        .parameters(&[Parameter::path::<TokenId>("jti", "The token.")])
        .answers(REVOKED)
        .problems(&[ErrorCode::TokenNotFound, ErrorCode::OutcomeUnknown])
        .needs(Access::Credential, || call(revoke)),
];

async fn mint(call: Call<Json<MintToken>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secrets: Result<Vec<WantedSecret>, Malformed> = body.secrets.into_iter().map(TryInto::try_into).collect();
    let secrets = call.recorded(secrets.map_err(|Malformed(reason)| Refusal::parameter(reason)))?;
    let asked = secrets.clone();
    let request = MintRequest { secrets, label: body.user_id, life: body.life_seconds };
    let issuer = Arc::clone(&app.secret_writer.mint);
    let minted = call.run(|caller, origin| async move { issuer.mint(request, &caller, &origin).await }).await?;
    let secrets = granted(&asked, &minted);
    Ok(HttpResponse::Created().json(MintAnswer {
        token: minted.token,
        secrets,
        vault_url: Some(app.public_vault_url.clone()),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<TokenId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let (parts, now) = (Arc::clone(&app), app.clock.now());
    let rows = call
        .run(|caller, origin| async move {
            let (after, limit) = (asked.after, asked.limit.rows());
            let rows = match caller.permit::<ReadAudit>(&Scope::Installation) {
                Ok(permit) => parts.store.tokens(&permit, after, limit, now).await?,
                Err(_own_only) => {
                    let view = parts.registry.now().await?;
                    let (basis, own) = caller.own_credentials(&view)?;
                    parts.store.own_tokens(basis, own, after, limit, now).await?
                }
            };
            parts.gate.audit.record(Act::TokenList, &origin).await?;
            Ok(rows)
        })
        .await?;
    let next = next_after(rows.len(), asked.limit, || rows.last().map(|row| row.token.jti.to_string()));
    let tokens = rows.into_iter().map(|row| summary(&app, row)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(TokenList { tokens, next }))
}

async fn revoke(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let jti: TokenId = call.id("jti", ErrorCode::TokenNotFound)?;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let decision = match caller.permit::<Share>(&Scope::Installation) {
                // Also one that is not in our list: a manager that was restored does not know what it minted meanwhile.
                Ok(permit) => Decision::revoke_tokens(&permit, Event::Token(jti))?,
                Err(_own_only) => {
                    let view = app.registry.now().await?;
                    let (basis, own) = caller.own_credentials(&view)?;
                    let found = app.store.own_token(basis, own, jti).await?;
                    Decision::revoke_own_token(found.ok_or_else(|| Refusal::new(ErrorCode::TokenNotFound))?)
                }
            };
            let done = app.revocations.record(vec![decision]).await?;
            // A revocation never waits for the audit log, and a line never tells of one that did not happen.
            app.gate.audit.note(Outcome::TokenRevoke(jti), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

fn summary(app: &App, row: TokenRow) -> Result<TokenSummary, Refusal> {
    let token = row.token;
    let grants = token.grants.iter().zip(&token.versions).map(|(grant, version)| OpenedVersion {
        key_id: grant.secret,
        version: *version,
        envelope: grant.version,
    });
    Ok(TokenSummary {
        jti: token.jti,
        sub: token.subject,
        user_id: row.label,
        client_id: token.credential,
        environment: environment_name(app, token.environment)?,
        grants: grants.collect(),
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        revoked: row.revoked_by.is_some() || row.revocation_deferred,
    })
}
