//! Lists for the administrator: names and ids, never values.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use manager_api::cursor::VersionCursor;
use manager_api::name::EnvironmentName;
use manager_api::wire::{GrantRequest, SecretList, SecretSummary, TokenList, TokenSummary, VersionSummary};
use serde::Deserialize;
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, TokenId, Version};

use crate::app::App;
use crate::audit_event::Act;
use crate::http::{Authed, NoBody, Page, give_out, query};
use crate::store::{SecretRow, TokenRow};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedSecrets {
    environment: Option<EnvironmentName>,
    after: Option<VersionCursor>,
    #[serde(default)]
    limit: Page,
}

pub(super) async fn secrets(req: HttpRequest, authed: Authed<NoBody>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, app, .. } = authed;
    let asked: AskedSecrets = query(&req)?;
    let environment = asked.environment.map(|name| environment_id(&app, &name)).transpose()?;
    let (store, actor) = (Arc::clone(&app.store), caller.actor());
    let after = asked.after.map(|cursor| (cursor.key_id, cursor.version.unwrap_or(Version::LAST)));
    let read = async move { store.secrets(actor, environment, after, asked.limit.rows()).await };
    let rows = give_out(&app, Act::SecretList, meta, read).await?;
    let shown: usize = rows.iter().map(|row| row.versions.len()).sum();
    let next = next_after(shown, asked.limit, || {
        let row = rows.last()?;
        let version = row.versions.last().map(|(version, ..)| *version);
        Some(VersionCursor { key_id: row.secret, version }.to_string())
    });
    let secrets = rows.into_iter().map(|row| secret_summary(&app, row)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(SecretList { secrets, next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedTokens {
    after: Option<TokenId>,
    #[serde(default)]
    limit: Page,
}

pub(super) async fn tokens(req: HttpRequest, authed: Authed<NoBody>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, app, .. } = authed;
    let asked: AskedTokens = query(&req)?;
    let (store, actor, now) = (Arc::clone(&app.store), caller.actor(), app.clock.now());
    let read = async move { store.tokens(actor, asked.after, asked.limit.rows(), now).await };
    let rows = give_out(&app, Act::TokenList, meta, read).await?;
    let next = next_after(rows.len(), asked.limit, || rows.last().map(|row| row.token.jti.to_string()));
    let tokens = rows.into_iter().map(|row| token_summary(&app, row)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(TokenList { tokens, next }))
}

fn secret_summary(app: &App, row: SecretRow) -> Result<SecretSummary, Refusal> {
    let versions = row.versions.into_iter();
    Ok(SecretSummary {
        key_id: row.secret,
        environment: environment_name(app, row.environment)?,
        path: row.path,
        versions: versions.map(|(version, state, created_at)| VersionSummary { version, state, created_at }).collect(),
    })
}

fn token_summary(app: &App, row: TokenRow) -> Result<TokenSummary, Refusal> {
    let token = row.token;
    let grants = token.grants.iter();
    Ok(TokenSummary {
        jti: token.jti,
        sub: token.subject,
        user_id: row.label,
        client_id: token.credential,
        environment: environment_name(app, token.environment)?,
        grants: grants.map(|grant| GrantRequest { key_id: grant.secret, version: Some(grant.version) }).collect(),
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        revoked: row.revoked_by.is_some() || row.revocation_deferred,
    })
}

fn environment_id(app: &App, name: &EnvironmentName) -> Result<EnvironmentId, Refusal> {
    let known = app.installation.environments.iter().find(|known| known.name == *name);
    known
        .map(|known| known.id)
        .ok_or_else(|| Refusal::new(ErrorCode::NameInvalid).detail("There is no such environment."))
}

fn environment_name(app: &App, id: EnvironmentId) -> Result<EnvironmentName, Refusal> {
    let known = app.installation.environments.iter().find(|known| known.id == id);
    known
        .map(|known| known.name.clone())
        .ok_or_else(|| Refusal::new(ErrorCode::Internal).cause("an unknown environment"))
}

/// A full page may be followed by another.
fn next_after(shown: usize, limit: Page, last: impl FnOnce() -> Option<String>) -> Option<String> {
    if shown < limit.rows() { None } else { last() }
}
