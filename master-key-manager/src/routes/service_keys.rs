//! Registering, listing and disabling public keys of services.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::service_keys::{RegisterKey, RegisteredKey, RegisteredKeyList};
use manager_registry::Credential;
use manager_sign_on::jwk::Jwk;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::encoding::Bytes;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use super::SMALL_LIMIT;
use super::revocations::{REVOKED, answer};
use super::secrets::IDEMPOTENCY_KEY;
use crate::app::App;
use crate::audit_event::{Act, Outcome, RegistryAct, RegistryOutcome, action};
use crate::http::Call;
use crate::sign_on::NewKey;

const SERVICE: Parameter = Parameter::path::<ServiceId>("service_id", "The service.");

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::SERVICE_KEY_REGISTER,
        "/api/services/{service_id}/keys",
        "Registers a public key, with which a service signs assertions.",
    )
    .body::<RegisterKey>(SMALL_LIMIT)
    .parameters(&[SERVICE, IDEMPOTENCY_KEY])
    .answers(&[Answer::json::<RegisteredKey>(201, "It is registered.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::AlreadyExists,
        ErrorCode::TooManyCredentials,
        ErrorCode::IdempotencyMismatch,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(register)),
    Route::get(action::SERVICE_KEY_LIST, "/api/services/{service_id}/keys", "Lists the public keys of a service.")
        .parameters(&[SERVICE])
        .answers(&[Answer::json::<RegisteredKeyList>(200, "All of them.")])
        .problems(&[ErrorCode::NotPermitted, ErrorCode::ServiceNotFound, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::delete(
        action::SERVICE_KEY_DISABLE,
        "/api/services/{service_id}/keys/{credential_id}",
        "Disables a public key, and revokes the tokens that were made with it.",
    )
    .parameters(&[SERVICE, Parameter::path::<CredentialId>("credential_id", "The key.")])
    .answers(REVOKED)
    .problems(&[
        ErrorCode::NotPermitted,
        ErrorCode::ServiceNotFound,
        ErrorCode::CredentialNotFound,
        ErrorCode::OutcomeUnknown,
    ])
    .needs(Access::Credential, || call(disable)),
];

async fn register(call: Call<Json<RegisterKey>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let service: ServiceId = call.id("service_id", ErrorCode::ServiceNotFound)?;
    let key = call.idempotency_key()?;
    let jwk = Jwk::parse(serde_json::Value::Object(body.jwk).to_string().as_bytes());
    let jwk = call.recorded(jwk.map_err(|error| Refusal::parameter(format!("The jwk is refused: {error}."))))?;
    let new = NewKey { name: body.name, life: body.expires_in, jwk };
    let sign_on = Arc::clone(&app.sign_on);
    let register =
        call.run(
            |caller, origin| async move { sign_on.register_key(service, new, key.as_ref(), (&caller, &origin)).await },
        );
    Ok(HttpResponse::Created().json(details(&register.await?)?))
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let service: ServiceId = call.id("service_id", ErrorCode::ServiceNotFound)?;
    let app = app.into_inner();
    let keys = call
        .run(|caller, origin| async move {
            let (keys, basis) = app.sign_on.keys_of(service, &caller).await?;
            app.store.look_again_at(basis).await?;
            let act = Act::Registry(RegistryAct::ServiceKeyList, Some(service.to_string()));
            app.gate.audit.record(act, &origin).await?;
            Ok(keys)
        })
        .await?;
    let keys = keys.iter().map(details).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(RegisteredKeyList { keys }))
}

async fn disable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let service: ServiceId = call.id("service_id", ErrorCode::ServiceNotFound)?;
    let id: CredentialId = call.id("credential_id", ErrorCode::CredentialNotFound)?;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let done = app.sign_on.disable_key((service, id), &caller).await?;
            let outcome = Outcome::Registry(RegistryOutcome::ServiceKeyDisable, id.to_string());
            app.gate.audit.note(outcome, &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

fn details(key: &Credential) -> Result<RegisteredKey, Refusal> {
    let unreadable = || Refusal::internal("a registered key cannot be shown");
    let (thumbprint, jwk) = key.proof.public_key().ok_or_else(unreadable)?;
    let Subject::Service(service_id) = key.subject else { return Err(unreadable()) };
    Ok(RegisteredKey {
        credential_id: key.credential_id,
        service_id,
        name: key.name.clone(),
        thumbprint: Bytes(thumbprint.0),
        jwk: serde_json::from_str(jwk).map_err(|_| unreadable())?,
        created_at: key.created_at,
        expires_at: key.expires_at,
        disabled_at: key.disabled_at,
    })
}
