//! Integrity of one secret, and of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::cursor::VersionCursor;
use manager_api::integrity::{CheckedVersion, FoundFault, InstallationIntegrity, SecretIntegrity};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};

use super::after;
use crate::app::App;
use crate::audit_event::action;
use crate::catalogue::CheckedPage;
use crate::http::Call;

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        action::SECRET_CHECK,
        "/api/secrets/{key_id}/integrity",
        "Compares the versions of a secret with what the vault signs that it has, without opening a value.",
    )
    .parameters(&[Parameter::path::<SecretId>("key_id", "The secret."), after::<Version>()])
    .answers(&[Answer::json::<SecretIntegrity>(200, "A page of its versions.")])
    .problems(&[ErrorCode::SecretNotFound, ErrorCode::RateLimited, ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(of_secret)),
    Route::get(
        action::CATALOGUE_CHECK,
        "/api/integrity",
        "Compares all secrets with what the vault signs that it has, and answers with what is wrong.",
    )
    .parameters(&[after::<VersionCursor>()])
    .answers(&[Answer::json::<InstallationIntegrity>(200, "What is wrong on a page.")])
    .problems(&[ErrorCode::NotPermitted, ErrorCode::RateLimited, ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(of_all)),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After<T> {
    after: Option<T>,
}

async fn of_secret(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let After { after } = call.query::<After<Version>>()?;
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let integrity = Arc::clone(&app.integrity);
    let page = call
        .run_in_turn(|caller, origin| async move { integrity.of_secret(secret, after, &caller, &origin).await })
        .await?;
    let CheckedPage { secrets, versions, next } = page;
    let faults: Vec<_> = secrets.into_values().flatten().collect();
    let versions: Vec<CheckedVersion> = versions.into_iter().map(|(_, version)| version).collect();
    let ok = faults.is_empty() && versions.iter().all(|version| version.faults.is_empty());
    let next = next.map(|(_, version)| version);
    Ok(HttpResponse::Ok().json(SecretIntegrity { key_id: secret, ok, faults, versions, next }))
}

async fn of_all(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let After { after } = call.query::<After<VersionCursor>>()?;
    let after = after.map(|cursor| (cursor.key_id, cursor.version.unwrap_or(Version::LAST)));
    let integrity = Arc::clone(&app.integrity);
    let page =
        call.run_in_turn(|caller, origin| async move { integrity.of_all(after, &caller, &origin).await }).await?;
    let CheckedPage { secrets, versions, next } = page;
    let checked = versions.len().try_into().unwrap_or(u64::MAX);
    let mut found: BTreeMap<SecretId, FoundFault> = BTreeMap::new();
    for (key_id, faults) in secrets {
        let faults = faults.into_iter().collect();
        found.insert(key_id, FoundFault { key_id, faults, versions: Vec::new() });
    }
    for (key_id, version) in versions.into_iter().filter(|(_, version)| !version.faults.is_empty()) {
        let empty = || FoundFault { key_id, faults: Vec::new(), versions: Vec::new() };
        found.entry(key_id).or_insert_with(empty).versions.push(version);
    }
    let next = next.map(|(key_id, version)| VersionCursor { key_id, version: Some(version) });
    let found: Vec<FoundFault> = found.into_values().collect();
    Ok(HttpResponse::Ok().json(InstallationIntegrity { ok: found.is_empty(), checked, found, next }))
}
