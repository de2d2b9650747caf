//! The credentials of services: made, listed, renewed and disabled.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::services::{
    CreateCredential, CreateServiceToken, CredentialDetails, CredentialLimit, CredentialList, NewCredential,
    ServiceToken,
};
use manager_registry::Credential;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use super::revocations::{REVOKED, answer};
use super::secrets::IDEMPOTENCY_KEY;
use super::services::{LARGE_LIMIT, SERVICE, id_of};
use super::{LIMIT, SMALL_LIMIT, after, environment_id, environment_name, next_after};
use crate::access::Caller;
use crate::app::App;
use crate::audit_event::{Act, Outcome, RegistryAct, action};
use crate::http::{Call, Page};
use crate::services::{KnownCredential, MadeCredential, Of, Terms};

const CREDENTIAL: Parameter = Parameter::path::<CredentialId>("credential_id", "The credential.");
const MADE: &[Answer] = &[Answer::json::<NewCredential>(201, "The credential, which is shown once.")];

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::CREDENTIAL_CREATE,
        "/api/services/{service_id}/credentials",
        "Makes a credential of a service.",
    )
    .body::<CreateCredential>(LARGE_LIMIT)
    .parameters(&[SERVICE, IDEMPOTENCY_KEY])
    .answers(MADE)
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::AlreadyExists,
        ErrorCode::TooManyCredentials,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(create)),
    Route::get(
        action::CREDENTIAL_LIST,
        "/api/services/{service_id}/credentials",
        "Lists the credentials of a service, with the hour of their last use.",
    )
    .parameters(&[SERVICE, after::<CredentialId>(), LIMIT])
    .answers(&[Answer::json::<CredentialList>(200, "A page.")])
    .problems(&[ErrorCode::ServiceNotFound, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(list)),
    Route::post(
        action::CREDENTIAL_RENEW,
        "/api/services/{service_id}/credentials/{credential_id}:renew",
        "Makes the next credential with the terms of one, which stays.",
    )
    .parameters(&[SERVICE, CREDENTIAL, IDEMPOTENCY_KEY])
    .answers(MADE)
    .problems(&[
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::CredentialNotFound,
        ErrorCode::AlreadyExists,
        ErrorCode::TooManyCredentials,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(renew)),
    Route::delete(
        action::CREDENTIAL_DISABLE,
        "/api/services/{service_id}/credentials/{credential_id}",
        "Disables a credential, and revokes the tokens that were made with it.",
    )
    .parameters(&[SERVICE, CREDENTIAL])
    .answers(REVOKED)
    .problems(&[
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::CredentialNotFound,
        ErrorCode::LastAdministrator,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
    ])
    .needs(Access::Credential, || call(disable)),
    Route::post(
        action::SERVICE_TOKEN_CREATE,
        "/tokens",
        "Makes a credential of a service by its name. The service must be registered.",
    )
    .body::<CreateServiceToken>(SMALL_LIMIT)
    .parameters(&[IDEMPOTENCY_KEY])
    .answers(&[Answer::json::<ServiceToken>(201, "The credential, which is shown once.")])
    .problems(&[
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::AlreadyExists,
        ErrorCode::TooManyCredentials,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(create_token)),
];

async fn create(call: Call<Json<CreateCredential>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (id, key) = (id_of(&call)?, call.idempotency_key()?);
    let terms = call.recorded(terms(&app, call.caller(), body))?;
    let services = Arc::clone(&app.services);
    let made = call
        .run(|caller, origin| async move {
            let act = (RegistryAct::CredentialCreate, key.as_ref());
            services.make_credential(Of::Id(id), terms, act, &caller, &origin).await
        })
        .await?;
    shown_once(&app, made)
}

async fn create_token(call: Call<Json<CreateServiceToken>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let key = call.idempotency_key()?;
    let terms = Terms {
        name: None,
        life: body.expires_in,
        allowed_addresses: None,
        max_uses: None,
        limits: None,
        default_environment: None,
    };
    let services = Arc::clone(&app.services);
    let made = call
        .run(|caller, origin| async move {
            let act = (RegistryAct::ServiceTokenCreate, key.as_ref());
            services.make_credential(Of::Name(body.service_name), terms, act, &caller, &origin).await
        })
        .await?;
    let MadeCredential { plain, credential, service } = made;
    Ok(HttpResponse::Created().json(ServiceToken {
        // EXPOSE: shown to who made it, once.
        token: plain.expose_text(),
        service_name: service.name,
        service_id: service.service_id,
        credential_id: credential.credential_id,
        expires_at: credential.expires_at.unwrap_or_default(),
    }))
}

async fn renew(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (of, key) = (credential_of(&call)?, call.idempotency_key()?);
    let services = Arc::clone(&app.services);
    let made = call
        .run(|caller, origin| async move { services.renew_credential(of, key.as_ref(), &caller, &origin).await })
        .await?;
    shown_once(&app, made)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<CredentialId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let asked: Asked = call.query()?;
    let services = Arc::clone(&app.services);
    let rows = call
        .run(|caller, origin| async move {
            let rows = services.credentials(id, (asked.after, asked.limit.rows()), &caller).await?;
            services.audit.record(Act::Registry(RegistryAct::CredentialList, Some(id.to_string())), &origin).await?;
            Ok(rows)
        })
        .await?;
    let next = next_after(rows.len(), asked.limit, || rows.last().map(|row| row.credential.credential_id.to_string()));
    let credentials = rows.into_iter().map(|row| details(&app, row)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(CredentialList { credentials, next }))
}

async fn disable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let of = credential_of(&call)?;
    let services = Arc::clone(&app.services);
    let done = call
        .run(|caller, origin| async move {
            let done = services.disable_credential(of, &caller).await?;
            // A revocation never waits for the audit log, and a line never tells of one that did not happen.
            services.audit.note(Outcome::CredentialDisable(of.1), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

/// Service and credential in the path. A text that is no id is answered like an unknown one.
fn credential_of(call: &Call) -> Result<(ServiceId, CredentialId), Refusal> {
    Ok((id_of(call)?, call.id("credential_id", ErrorCode::CredentialNotFound)?))
}

fn terms(app: &App, caller: &Caller, body: CreateCredential) -> Result<Terms, Refusal> {
    let limit = |limit: CredentialLimit| {
        let environment = limit.environment.map(|name| environment_id(app, caller, &name)).transpose()?;
        Ok::<_, Refusal>(manager_registry::CredentialLimit {
            actions: limit.actions,
            environment,
            pattern: limit.pattern,
        })
    };
    let default_environment = body.default_environment.map(|name| environment_id(app, caller, &name)).transpose()?;
    Ok(Terms {
        name: Some(body.name),
        life: body.expires_in,
        allowed_addresses: body.allowed_addresses,
        max_uses: body.max_uses,
        limits: body.limits.map(|limits| limits.into_iter().map(limit).collect()).transpose()?,
        default_environment,
    })
}

fn shown_once(app: &App, made: MadeCredential) -> Result<HttpResponse, Refusal> {
    let uses = made.credential.max_uses.map(|_| 0);
    let known = KnownCredential { credential: made.credential, uses, last_used_at: None };
    let details = details(app, known)?;
    // EXPOSE: shown to who made it, once.
    Ok(HttpResponse::Created().json(NewCredential { credential: made.plain.expose_text(), details }))
}

fn details(app: &App, known: KnownCredential) -> Result<CredentialDetails, Refusal> {
    let KnownCredential { credential, uses, last_used_at } = known;
    let Credential { credential_id, subject, name, created_at, expires_at, disabled_at, .. } = credential;
    let Subject::Service(service_id) = subject else {
        return Err(Refusal::internal("a credential of a person among those of services"));
    };
    let limit = |limit: manager_registry::CredentialLimit| {
        let environment = limit.environment.map(|id| environment_name(app, id)).transpose()?;
        Ok::<_, Refusal>(CredentialLimit { actions: limit.actions, environment, pattern: limit.pattern })
    };
    let limits = credential.limits.map(|limits| limits.into_iter().map(limit).collect());
    Ok(CredentialDetails {
        credential_id,
        service_id,
        name,
        created_at,
        expires_at,
        disabled_at,
        last_used_at,
        allowed_addresses: credential.allowed_addresses,
        max_uses: credential.max_uses,
        uses,
        limits: limits.transpose()?,
        default_environment: credential.default_environment.map(|id| environment_name(app, id)).transpose()?,
    })
}
