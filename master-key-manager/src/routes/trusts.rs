//! Making, trying, changing and disabling trusts.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::trusts::{ChangeTrust, CreateTrust, DryRunTrust, TrustDetails, TrustDryRunAnswer, TrustList};
use manager_registry::Credential;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, Subject};

use super::revocations::{REVOKED, answer};
use super::secrets::IDEMPOTENCY_KEY;
use super::{LIMIT, after, next_after};
use crate::app::App;
use crate::audit_event::{Act, Outcome, RegistryAct, RegistryOutcome, action};
use crate::http::{Call, Page};

const TRUST: &[Parameter] = &[Parameter::path::<CredentialId>("trust_id", "The trust.")];
/// A pinned key set of 16 KiB, in which each quotation mark is escaped, and 16 conditions.
const TRUST_LIMIT: usize = 48 << 10;
/// A token of 16 KiB.
const TOKEN_LIMIT: usize = 20 << 10;

// The verb stands before the bare id, whose pattern fits it too.
pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::TRUST_CREATE,
        "/api/trusts",
        "Makes a trust: tokens of an external issuer stand for a service.",
    )
    .body::<CreateTrust>(TRUST_LIMIT)
    .parameters(&[IDEMPOTENCY_KEY])
    .answers(&[Answer::json::<TrustDetails>(201, "It is made.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::TooManyCredentials,
        ErrorCode::IdempotencyMismatch,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(create)),
    Route::get(action::TRUST_LIST, "/api/trusts", "Lists trusts, ordered by id.")
        .parameters(&[after::<CredentialId>(), LIMIT])
        .answers(&[Answer::json::<TrustList>(200, "A page.")])
        .problems(&[ErrorCode::NotPermitted, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::post(
        action::TRUST_DRY_RUN,
        "/api/trusts/{trust_id}:dry-run",
        "Checks a token of the issuer, and says which checks fail.",
    )
    .parameters(TRUST)
    .body::<DryRunTrust>(TOKEN_LIMIT)
    .answers(&[Answer::json::<TrustDryRunAnswer>(200, "What the token would give.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::TrustNotFound,
        ErrorCode::Unavailable,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(dry_run)),
    Route::get(action::TRUST_SHOW, "/api/trusts/{trust_id}", "Describes a trust.")
        .parameters(TRUST)
        .answers(&[Answer::json::<TrustDetails>(200, "The trust.")])
        .problems(&[ErrorCode::NotPermitted, ErrorCode::TrustNotFound, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(show)),
    Route::patch(
        action::TRUST_UPDATE,
        "/api/trusts/{trust_id}",
        "Changes the name of a trust, or the tokens that count.",
    )
    .parameters(TRUST)
    .body::<ChangeTrust>(TRUST_LIMIT)
    .answers(&[Answer::json::<TrustDetails>(200, "The trust as it is now.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::TrustNotFound,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(update)),
    Route::delete(
        action::TRUST_DISABLE,
        "/api/trusts/{trust_id}",
        "Disables a trust, and revokes the tokens that were made by it.",
    )
    .parameters(TRUST)
    .answers(REVOKED)
    .problems(&[ErrorCode::NotPermitted, ErrorCode::TrustNotFound, ErrorCode::OutcomeUnknown])
    .needs(Access::Credential, || call(disable)),
];

async fn create(call: Call<Json<CreateTrust>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let key = call.idempotency_key()?;
    let sign_on = Arc::clone(&app.sign_on);
    let make =
        call.run(|caller, origin| async move { sign_on.create_trust(body, key.as_ref(), (&caller, &origin)).await });
    Ok(HttpResponse::Created().json(details(&make.await?)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<CredentialId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let page = (asked.after, asked.limit.rows());
    let app = app.into_inner();
    let rows = call
        .run(|caller, origin| async move {
            let (rows, basis) = app.sign_on.trusts(page, &caller).await?;
            app.store.look_again_at(basis).await?;
            app.gate.audit.record(Act::Registry(RegistryAct::TrustList, None), &origin).await?;
            Ok(rows)
        })
        .await?;
    let next = next_after(rows.len(), asked.limit, || rows.last().map(|row| row.credential_id.to_string()));
    let trusts = rows.iter().map(details).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(TrustList { trusts, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let app = app.into_inner();
    let found = call
        .run(|caller, origin| async move {
            let (found, basis) = app.sign_on.trust(id, &caller).await?;
            app.store.look_again_at(basis).await?;
            app.gate.audit.record(Act::Registry(RegistryAct::TrustShow, Some(id.to_string())), &origin).await?;
            Ok(found)
        })
        .await?;
    Ok(HttpResponse::Ok().json(details(&found)?))
}

async fn update(call: Call<Json<ChangeTrust>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let id = id_of(&call)?;
    let sign_on = Arc::clone(&app.sign_on);
    let change = (body.name, body.trust);
    let changed = call.run(|caller, origin| async move { sign_on.change_trust(id, change, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(details(&changed.await?)?))
}

async fn disable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let done = app.sign_on.disable_trust(id, &caller).await?;
            app.gate.audit.note(Outcome::Registry(RegistryOutcome::TrustDisable, id.to_string()), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

async fn dry_run(call: Call<Json<DryRunTrust>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let id = id_of(&call)?;
    let app = app.into_inner();
    let found = call
        .run(|caller, origin| async move {
            let (found, basis) = app.sign_on.dry_run(id, &body.jwt, (&caller, &origin)).await?;
            app.store.look_again_at(basis).await?;
            Ok(found)
        })
        .await?;
    let admitted = found.checks.iter().all(|check| check.fault.is_none());
    Ok(HttpResponse::Ok().json(TrustDryRunAnswer { admitted, service_id: found.service, checks: found.checks }))
}

fn id_of(call: &Call) -> Result<CredentialId, Refusal> {
    call.id("trust_id", ErrorCode::TrustNotFound)
}

fn details(trust: &Credential) -> Result<TrustDetails, Refusal> {
    let unreadable = || Refusal::internal("a trust cannot be shown");
    let Subject::Service(service_id) = trust.subject else { return Err(unreadable()) };
    Ok(TrustDetails {
        trust_id: trust.credential_id,
        name: trust.name.clone(),
        service_id,
        trust: trust.proof.trust().ok_or_else(unreadable)?.clone(),
        created_at: trust.created_at,
        disabled_at: trust.disabled_at,
    })
}
