//! Storing and destroying.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use manager_api::name::{EnvironmentName, IdempotencyKey, SecretPath};
use manager_api::wire::{Destroy, DestroyAnswer, StoreKey, StoredKeyAnswer};
use service_runtime::Refusal;
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;
use shared_proto::secret::{SecretValue, ValueEncoding, ValueError};

use super::revocations::status_of;
use crate::app::App;
use crate::audit_event::action;
use crate::catalogue::{StoreRequest, destroy as destroy_versions};
use crate::http::{Authed, Json, perform, record_refusal};
use crate::idempotency::BodyMark;
use crate::identity::Caller;

pub(super) async fn store(req: HttpRequest, authed: Authed<Json<StoreKey>>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, body: Json(body), app } = authed;
    let request = idempotency_of(&req, &caller, &app, &body).and_then(|repeat| parse(body, &app, repeat));
    let request = request.inspect_err(|refusal| record_refusal(&app, action::SECRET_STORE, &meta, refusal))?;
    let (flow, at) = (Arc::clone(&app.flow), meta.clone());
    let stored =
        perform(&app, action::SECRET_STORE, meta, async move { flow.store(request, caller, &at).await }).await?;
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

pub(super) async fn destroy(key_id: web::Path<String>, authed: Authed<Json<Destroy>>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, body: Json(body), app } = authed;
    // What is not an id cannot name a secret either.
    let secret: SecretId = key_id.parse().map_err(|_| Refusal::new(ErrorCode::SecretNotFound))?;
    let (worker, at) = (Arc::clone(&app), meta.clone());
    let done = perform(&app, action::SECRET_DESTROY, meta, async move {
        let App { store, flow, revocations, audit, .. } = &*worker;
        let asked = (caller.actor(), secret, body.versions);
        destroy_versions(store.as_ref(), &flow.settler, revocations, audit, asked, &at).await
    })
    .await?;
    let (mut answer, status) = status_of(&done);
    Ok(answer.json(DestroyAnswer { status, sequences: done.numbers }))
}

fn parse(body: StoreKey, app: &App, idempotency: Option<(IdempotencyKey, BodyMark)>) -> Result<StoreRequest, Refusal> {
    let name_invalid = |Malformed(rule): Malformed| Refusal::new(ErrorCode::NameInvalid).detail(rule);
    if body.path.as_ref().is_some_and(SecretPath::is_reserved) {
        return Err(name_invalid(Malformed("paths under unnamed/ are given by the service")));
    }
    let environment = match body.environment {
        Some(name) => Ok(name),
        None if app.mode.is_development() => EnvironmentName::parse(DEVELOPMENT_DEFAULT),
        None => Err(Malformed("an environment is needed")),
    };
    let value = SecretValue::from_json(body.encoding.unwrap_or(ValueEncoding::Text), body.key_data);
    Ok(StoreRequest {
        label: body.user_id,
        value: value.map(Arc::new).map_err(|error| match error {
            ValueError::TooLarge => Refusal::new(ErrorCode::ValueTooLarge),
            ValueError::NotBase64 => Refusal::new(ErrorCode::EncodingInvalid),
        })?,
        path: body.path,
        environment: environment.map_err(name_invalid)?,
        token: body.token.unwrap_or(true),
        idempotency,
    })
}

fn idempotency_of(
    req: &HttpRequest,
    caller: &Caller,
    app: &App,
    body: &StoreKey,
) -> Result<Option<(IdempotencyKey, BodyMark)>, Refusal> {
    let mut all = req.headers().get_all("idempotency-key");
    let Some(first) = all.next() else { return Ok(None) };
    match caller {
        Caller::Anonymous { .. } => return Err(Refusal::new(ErrorCode::IdempotencyForbidden)),
        Caller::Administrator { .. } => {}
    }
    let key = first.to_str().ok().filter(|_| all.next().is_none());
    let key = key.and_then(|text| IdempotencyKey::parse(text).ok()).ok_or_else(|| {
        Refusal::new(ErrorCode::ParameterInvalid).detail("One Idempotency-Key of 1 to 128 visible ASCII characters.")
    })?;
    // EXPOSE: the value goes into the HMAC, under a key that is in RAM only.
    let mark = app.flow.bodies.mark(body);
    let mark = mark.map_err(|_| Refusal::internal("a body has no canonical form"))?;
    Ok(Some((key, mark)))
}

const DEVELOPMENT_DEFAULT: &str = "dev";
