//! Storing, destroying and describing secrets.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::name::IdempotencyKey;
use manager_api::secrets::{ChangeSecret, CreateSecret, SecretDetails, WriteVersion, WrittenSecret};
use manager_api::wire::{Destroy, DestroyAnswer, Rollback, RollbackAnswer, StoreKey, StoredKeyAnswer};
use manager_policy::{List, Permit};
use serde::Serialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::written::{parse_key, parse_new, parse_next};
use super::{CHANGED, SMALL_LIMIT, changed, describe};
use crate::app::App;
use crate::audit_event::{Act, action};
use crate::catalogue::{RollbackRequest, StoreRequest, destroy as destroy_versions};
use crate::http::Call;
use crate::idempotency::BodyMark;

/// A value of 1 MiB in which every character is escaped as `\u0000` has 6 MiB; the rest is for the other members.
pub(super) const STORE_LIMIT: usize = (6 << 20) + (64 << 10);

pub(super) const IDEMPOTENCY_KEY: Parameter = Parameter::header::<IdempotencyKey>(
    "Idempotency-Key",
    "1 to 128 visible ASCII characters; a repeat within 24 hours is not carried out again.",
);

/// 64 pairs of metadata and 32 tags of 640 bytes, escaped, with room for the rest.
const CHANGE_LIMIT: usize = 256 << 10;

/// The faults of writing a version.
pub(super) const WRITE_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::EncodingInvalid,
    ErrorCode::ValueInvalid,
    ErrorCode::ValueWeak,
    ErrorCode::ValueTooLarge,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::IdempotencyUnknown,
    ErrorCode::IdempotencyConflict,
    ErrorCode::AlreadyExists,
    ErrorCode::SecretNotFound,
    ErrorCode::SecretDeleted,
    ErrorCode::RotationConflict,
    ErrorCode::VersionConflict,
    ErrorCode::NotPermitted,
    ErrorCode::ApprovalRequired,
    ErrorCode::EnvironmentFrozen,
    ErrorCode::EnvironmentDisabled,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];

/// The faults of destroying versions.
const DESTROY_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::SecretNotFound,
    ErrorCode::ApprovalRequired,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];

pub(super) const ROUTES: &[Route] = &[
    Route::post(action::SECRET_STORE, "/api/keys", "Stores a value as a new version and answers with a token for it.")
        .body::<StoreKey>(STORE_LIMIT)
        .parameters(&[IDEMPOTENCY_KEY])
        .answers(&[Answer::json::<StoredKeyAnswer>(201, "It is stored.")])
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::NameInvalid,
            ErrorCode::EncodingInvalid,
            ErrorCode::ValueInvalid,
            ErrorCode::ValueWeak,
            ErrorCode::ValueTooLarge,
            ErrorCode::IdempotencyForbidden,
            ErrorCode::IdempotencyMismatch,
            ErrorCode::IdempotencyUnknown,
            ErrorCode::IdempotencyConflict,
            ErrorCode::AlreadyExists,
            ErrorCode::SecretNotFound,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::CredentialOrDevelopment, || call(store)),
    Route::post(action::SECRET_DESTROY, "/api/keys/{key_id}/destroy", "Erases versions for ever.")
        .body::<Destroy>(SMALL_LIMIT)
        .parameters(&[Parameter::path::<SecretId>("key_id", "The secret.")])
        .answers(&[
            Answer::json::<DestroyAnswer>(200, "The vault has erased them, or other versions keep them."),
            Answer::json::<DestroyAnswer>(202, "It is recorded and will reach the vault."),
        ])
        .problems(DESTROY_PROBLEMS)
        .needs(Access::Credential, || call(destroy)),
    // Before the rows with `{key_id}` alone, which would take the verb for a part of the id.
    Route::post(
        action::SECRET_ROLLBACK,
        "/api/secrets/{key_id}:rollback",
        "Makes the next version of a secret point to the envelope of an older one.",
    )
    .body::<Rollback>(SMALL_LIMIT)
    .parameters(&[Parameter::path::<SecretId>("key_id", "The secret."), IDEMPOTENCY_KEY])
    .answers(&[Answer::json::<RollbackAnswer>(201, "The secret is rolled back.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::IdempotencyMismatch,
        ErrorCode::IdempotencyUnknown,
        ErrorCode::IdempotencyConflict,
        ErrorCode::SecretNotFound,
        ErrorCode::VersionConflict,
        ErrorCode::EnvironmentFrozen,
        ErrorCode::EnvironmentDisabled,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(rollback)),
    Route::get(action::SECRET_SHOW, "/api/secrets/{key_id}", "Describes a secret, without its values.")
        .parameters(&[Parameter::path::<SecretId>("key_id", "The secret.")])
        .answers(&[Answer::json::<SecretDetails>(200, "The secret.")])
        .problems(&[ErrorCode::SecretNotFound, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(show)),
    Route::put(action::SECRET_UPDATE, "/api/secrets/{key_id}", "Writes the next version of a secret.")
        .body::<WriteVersion>(STORE_LIMIT)
        .parameters(&[Parameter::path::<SecretId>("key_id", "The secret."), IDEMPOTENCY_KEY])
        .answers(&[
            Answer::json::<WrittenSecret>(200, "The current version has this value, and no version was made."),
            Answer::json::<WrittenSecret>(201, "The version is stored."),
        ])
        .problems(WRITE_PROBLEMS)
        .needs(Access::Credential, || call(update)),
    Route::patch(
        action::SECRET_CHANGE,
        "/api/secrets/{key_id}",
        "Changes the path, the rules or the description of a secret.",
    )
    .body::<ChangeSecret>(CHANGE_LIMIT)
    .parameters(&[Parameter::path::<SecretId>("key_id", "The secret.")])
    .answers(CHANGED)
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::SecretNotFound,
        ErrorCode::SecretDeleted,
        ErrorCode::AlreadyExists,
        ErrorCode::VersionConflict,
        ErrorCode::EnvironmentFrozen,
        ErrorCode::EnvironmentDisabled,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(change)),
    Route::post(action::SECRET_CREATE, "/api/secrets", "Makes a secret with its first version.")
        .body::<CreateSecret>(STORE_LIMIT)
        .parameters(&[IDEMPOTENCY_KEY])
        .answers(&[Answer::json::<WrittenSecret>(201, "It is stored.")])
        .problems(WRITE_PROBLEMS)
        .needs(Access::Credential, || call(create)),
];

async fn store(call: Call<Json<StoreKey>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let repeat = idempotency_of(&call, &app, &body)?;
    let request = call.recorded(parse_key(body, &app, repeat))?;
    let secret_writer = Arc::clone(&app.secret_writer);
    let stored = call.run(|caller, origin| async move { secret_writer.store(request, caller, &origin).await }).await?;
    Ok(HttpResponse::Created().json(StoredKeyAnswer {
        message: "Key stored successfully".to_owned(),
        key_id: stored.secret,
        version: stored.version,
        environment: stored.environment,
        path: stored.path,
        encoding: stored.encoding,
        token: stored.token,
    }))
}

async fn create(call: Call<Json<CreateSecret>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let repeat = idempotency_of(&call, &app, &(action::SECRET_CREATE, &body))?;
    let request = call.recorded(parse_new(body, repeat))?;
    write(call, request, &app).await
}

async fn update(call: Call<Json<WriteVersion>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let repeat = idempotency_of(&call, &app, &(action::SECRET_UPDATE, secret, &body))?;
    let request = call.recorded(parse_next(secret, body, repeat))?;
    write(call, request, &app).await
}

pub(super) async fn write(call: Call, request: StoreRequest, app: &App) -> Result<HttpResponse, Refusal> {
    let secret_writer = Arc::clone(&app.secret_writer);
    let stored = call.run(|caller, origin| async move { secret_writer.store(request, caller, &origin).await }).await?;
    let mut answer = if stored.is_unchanged { HttpResponse::Ok() } else { HttpResponse::Created() };
    Ok(answer.json(describe::written(stored)))
}

async fn change(call: Call<Json<ChangeSecret>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let keeper = Arc::clone(&app.secret_keeper);
    let done = call.run(|caller, origin| async move { keeper.change(secret, body, &caller, &origin).await }).await?;
    Ok(changed(done))
}

async fn rollback(call: Call<Json<Rollback>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    // With the secret and the verb: a key that is used for another request is noticed.
    let idempotency = idempotency_of(&call, &app, &(action::SECRET_ROLLBACK, secret, &body))?;
    let request = RollbackRequest::of(secret, body, idempotency);
    let secret_writer = Arc::clone(&app.secret_writer);
    let done = call.run(|caller, origin| async move { secret_writer.rollback(request, caller, &origin).await }).await?;
    Ok(HttpResponse::Created().json(describe::rolled_back(&app, done)?))
}

async fn destroy(call: Call<Json<Destroy>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let versions = body.versions;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let App { store, secret_writer, revocations, gate, .. } = &*app;
            let asked = (caller.permit_on_id(store.as_ref(), secret).await?, secret, versions);
            destroy_versions(store.as_ref(), &secret_writer.settler, revocations, &gate.audit, asked, &origin).await
        })
        .await?;
    let (done, kept) = done;
    let mut answer = if done.applied { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    Ok(answer.json(describe::destroyed_versions(done, kept)))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let (store, audit) = (Arc::clone(&app.store), app.gate.audit.clone());
    let found = call
        .run(|caller, origin| async move {
            let permit: Permit<List> = caller.permit_on_id(store.as_ref(), secret).await?;
            let found = store.described(&permit.to_look(), secret).await?;
            let found = found.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
            audit.record(Act::SecretShow(secret), &origin).await?;
            Ok(found)
        })
        .await?;
    Ok(HttpResponse::Ok().json(describe::details(&app, found)?))
}

pub(super) fn idempotency_of(
    call: &Call,
    app: &App,
    body: &impl Serialize,
) -> Result<Option<(IdempotencyKey, BodyMark)>, Refusal> {
    let Some(key) = call.idempotency_key()? else { return Ok(None) };
    // EXPOSE: the value goes into the HMAC, under a key that is in RAM only.
    let mark = app.secret_writer.bodies.mark(body);
    let mark = mark.map_err(|_| Refusal::internal("a body has no canonical form"))?;
    Ok(Some((key, mark)))
}
