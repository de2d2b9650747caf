//! Registering, approving, changing and disabling services.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::cursor::SecretCursor;
use manager_api::services::{
    ApproveService, ApprovedService, ChangeService, CreateService, RequiredKey, ServiceDetails, ServiceList,
    SoleSecret, SoleSecretList,
};
use manager_registry::{RequiredKeys, Service};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::ServiceId;

use super::revocations::{REVOKED, answer};
use super::secrets::IDEMPOTENCY_KEY;
use super::{LIMIT, after, environment_id, environment_name, next_after};
use crate::access::Caller;
use crate::app::App;
use crate::audit_event::{Act, Outcome, RegistryAct, RegistryOutcome, action};
use crate::http::{Call, Page};
use crate::services::{NewService, ServiceChange};

pub(super) const SERVICE: Parameter = Parameter::path::<ServiceId>("service_id", "The service.");
const CHANGED: &[Answer] = &[Answer::json::<ServiceDetails>(200, "The service as it is now.")];

// The verbs stand before the bare id, whose pattern fits them too.
pub(super) const ROUTES: &[Route] = &[
    Route::post(action::SERVICE_CREATE, "/api/services", "Registers a service, which gives it nothing.")
        .body::<CreateService>(LARGE_LIMIT)
        .parameters(&[IDEMPOTENCY_KEY])
        .answers(&[Answer::json::<ServiceDetails>(201, "It is registered.")])
        .problems(&[
            ErrorCode::LimitReached,
            ErrorCode::ParameterInvalid,
            ErrorCode::NameInvalid,
            ErrorCode::NotPermitted,
            ErrorCode::AlreadyExists,
            ErrorCode::IdempotencyMismatch,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(create)),
    Route::get(action::SERVICE_LIST, "/api/services", "Lists the services that the caller manages, and himself.")
        .parameters(&[after::<ServiceId>(), LIMIT])
        .answers(&[Answer::json::<ServiceList>(200, "A page.")])
        .problems(&[ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::post(
        action::SERVICE_APPROVE,
        "/api/services/{service_id}:approve",
        "Lets a service list and read what it needs.",
    )
    .body::<ApproveService>(LARGE_LIMIT)
    .parameters(&[SERVICE])
    .answers(&[Answer::json::<ApprovedService>(200, "It is allowed.")])
    .problems(&[
        ErrorCode::LimitReached,
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(approve)),
    Route::post(
        action::SERVICE_DISABLE,
        "/api/services/{service_id}:disable",
        "Disables a service, and revokes the tokens of its credentials.",
    )
    .parameters(&[SERVICE])
    .answers(REVOKED)
    .problems(&[
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::LastAdministrator,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
    ])
    .needs(Access::Credential, || call(disable)),
    Route::post(
        action::SERVICE_ENABLE,
        "/api/services/{service_id}:enable",
        "Lets a service that was disabled act again.",
    )
    .parameters(&[SERVICE])
    .answers(CHANGED)
    .problems(&[
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(enable)),
    Route::get(
        action::SERVICE_SECRETS,
        "/api/services/{service_id}/sole-secrets",
        "Lists the secrets that nobody else may read, beside administrators of everything.",
    )
    .parameters(&[SERVICE, after::<SecretCursor>()])
    .answers(&[Answer::json::<SoleSecretList>(200, "A page, which may be empty and have a next one.")])
    .problems(&[ErrorCode::NotPermitted, ErrorCode::ServiceNotFound, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(sole_secrets)),
    Route::get(action::SERVICE_SHOW, "/api/services/{service_id}", "Describes a service.")
        .parameters(&[SERVICE])
        .answers(&[Answer::json::<ServiceDetails>(200, "The service.")])
        .problems(&[ErrorCode::ServiceNotFound, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(show)),
    Route::patch(action::SERVICE_UPDATE, "/api/services/{service_id}", "Changes what is said of a service.")
        .body::<ChangeService>(LARGE_LIMIT)
        .parameters(&[SERVICE])
        .answers(CHANGED)
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::NameInvalid,
            ErrorCode::NotPermitted,
            ErrorCode::ServiceNotFound,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(update)),
];

async fn create(call: Call<Json<CreateService>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let key = call.idempotency_key()?;
    let required = call.recorded(required(&app, call.caller(), body.required_keys))?;
    let new = NewService { name: body.name, description: body.description, owner: body.owner, required };
    let services = Arc::clone(&app.services);
    let made =
        call.run(|caller, origin| async move { services.register(new, key.as_ref(), &caller, &origin).await }).await?;
    Ok(HttpResponse::Created().json(details(&app, made)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<ServiceId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let services = Arc::clone(&app.services);
    let rows = call
        .run(|caller, origin| async move {
            let rows = services.page(asked.after, asked.limit.rows(), &caller).await?;
            services.audit.record(Act::Registry(RegistryAct::ServiceList, None), &origin).await?;
            Ok(rows)
        })
        .await?;
    let next = next_after(rows.len(), asked.limit, || rows.last().map(|row| row.service_id.to_string()));
    let services = rows.into_iter().map(|row| details(&app, row)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(ServiceList { services, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let services = Arc::clone(&app.services);
    let found = call
        .run(|caller, origin| async move {
            let found = services.describe(id, &caller).await?;
            services.audit.record(Act::Registry(RegistryAct::ServiceShow, Some(id.to_string())), &origin).await?;
            Ok(found)
        })
        .await?;
    Ok(HttpResponse::Ok().json(details(&app, found)?))
}

async fn update(call: Call<Json<ChangeService>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let id = id_of(&call)?;
    let required = body.required_keys.map(|keys| required(&app, call.caller(), keys)).transpose();
    let required = call.recorded(required)?;
    let change = ServiceChange { description: body.description, owner: body.owner, required };
    let services = Arc::clone(&app.services);
    let changed = call.run(|caller, origin| async move { services.change(id, change, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(details(&app, changed)?))
}

async fn approve(call: Call<Json<ApproveService>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let id = id_of(&call)?;
    let wanted = call.recorded(required(&app, call.caller(), body.required_keys))?;
    let reason = body.reason;
    let services = Arc::clone(&app.services);
    let (service, permissions) = call
        .run(|caller, origin| async move { services.approve(id, (&wanted, reason.as_ref()), &caller, &origin).await })
        .await?;
    Ok(HttpResponse::Ok().json(ApprovedService { service: details(&app, service)?, permissions }))
}

async fn disable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let services = Arc::clone(&app.services);
    let done = call
        .run(|caller, origin| async move {
            let done = services.disable(id, &caller).await?;
            // A revocation never waits for the audit log, and a line never tells of one that did not happen.
            services.audit.note(Outcome::Registry(RegistryOutcome::ServiceDisable, id.to_string()), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

async fn enable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let services = Arc::clone(&app.services);
    let enabled = call.run(|caller, origin| async move { services.enable(id, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(details(&app, enabled)?))
}

/// The name of the list, for its cursors.
const SOLE_SECRETS: &str = "sole-secrets";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedSecrets {
    after: Option<SecretCursor>,
}

async fn sole_secrets(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let asked: AskedSecrets = call.query()?;
    let services = Arc::clone(&app.services);
    let (asker, cursors) = (call.caller().clone(), app.keys.now().credentials.cursors());
    let after = call.recorded(asked.after.map(|cursor| cursors.open(&asker, SOLE_SECRETS, &cursor)).transpose())?;
    let page = call
        .run(|caller, origin| async move {
            let page = services.sole_secrets(id, after, &caller).await?;
            services.audit.record(Act::Registry(RegistryAct::ServiceSecrets, Some(id.to_string())), &origin).await?;
            Ok(page)
        })
        .await?;
    let secret = |(key_id, environment, path)| {
        Ok::<_, Refusal>(SoleSecret { key_id, environment: environment_name(&app, environment)?, path })
    };
    let secrets = page.secrets.into_iter().map(secret).collect::<Result<_, _>>()?;
    let next = page.next.map(|last| cursors.seal(&asker, SOLE_SECRETS, &last)).transpose()?;
    let next = next.map(|cursor| cursor.as_str().to_owned());
    Ok(HttpResponse::Ok().json(SoleSecretList { secrets, next }))
}

/// The service in the path. A text that is no id is answered like an unknown one.
pub(super) fn id_of(call: &Call) -> Result<ServiceId, Refusal> {
    call.id("service_id", ErrorCode::ServiceNotFound)
}

fn required(app: &App, caller: &Caller, keys: Vec<RequiredKey>) -> Result<Vec<RequiredKeys>, Refusal> {
    let known = |RequiredKey { environment, pattern }| {
        Ok(RequiredKeys { environment: environment_id(app, caller, &environment)?, pattern })
    };
    keys.into_iter().map(known).collect()
}

fn details(app: &App, service: Service) -> Result<ServiceDetails, Refusal> {
    let named = |keys: RequiredKeys| {
        Ok::<_, Refusal>(RequiredKey { environment: environment_name(app, keys.environment)?, pattern: keys.pattern })
    };
    Ok(ServiceDetails {
        service_id: service.service_id,
        name: service.name,
        description: service.description,
        owner: service.owner,
        required_keys: service.required.into_iter().map(named).collect::<Result<_, _>>()?,
        created_at: service.created_at,
        approved_at: service.approved_at,
        disabled_at: service.disabled_at,
    })
}

/// 32 patterns of the longest kind and room, in bytes.
pub(super) const LARGE_LIMIT: usize = 64 << 10;
