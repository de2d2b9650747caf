//! The secrets that have the same value as a secret.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::cursor::SecretCursor;
use manager_api::same_value::{SameValue, SameValueList};
use manager_policy::{Permit, Read};
use manager_store::Position;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};

use super::after;
use crate::app::App;
use crate::audit_event::action;
use crate::http::Call;

pub(super) const ROUTES: &[Route] = &[Route::get(
    action::VALUE_FIND,
    "/api/secrets/{key_id}:same-value",
    "Lists the secrets that the caller may read and that have the value of this one.",
)
.parameters(&[Parameter::path::<SecretId>("key_id", "The secret."), after::<SecretCursor>()])
.answers(&[Answer::json::<SameValueList>(200, "A page.")])
.problems(&[
    ErrorCode::ParameterInvalid,
    ErrorCode::SecretNotFound,
    ErrorCode::ApprovalRequired,
    ErrorCode::EnvironmentFrozen,
    ErrorCode::EnvironmentDisabled,
    ErrorCode::RateLimited,
    ErrorCode::Unavailable,
    ErrorCode::AuditUnavailable,
])
.needs(Access::Credential, || call(list))];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<SecretCursor>,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let Asked { after } = call.query()?;
    let (cursors, name) = (app.keys.now().credentials.cursors(), format!("same value {secret}"));
    let begins = after
        .map(|cursor| cursors.open(call.caller(), &name, &cursor).and_then(|position| place(&position)))
        .transpose();
    let begins = call.recorded(begins)?;
    let (store, fingerprints, holder) = (Arc::clone(&app.store), Arc::clone(&app.fingerprints), call.caller().clone());
    let (version, found) = call
        .run_in_turn(|caller, origin| async move {
            let permit: Permit<Read> = caller.permit_on_id(store.as_ref(), secret).await?;
            let state = store.secret(&permit.to_look(), secret).await?;
            let current = state.and_then(|state| state.stages.current);
            let current = current.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
            let found = fingerprints.same_elsewhere((&caller, &permit), (secret, current), begins, &origin).await?;
            Ok((current, found))
        })
        .await?;
    let seal = |(other, number): (SecretId, Version)| {
        cursors.seal(&holder, &name, &Position::Time(number.get(), other)).map(|next| next.as_str().to_owned())
    };
    let next = found.next.map(seal).transpose()?;
    let same = found.versions.into_iter().map(|(key_id, envelope)| SameValue { key_id, envelope }).collect();
    Ok(HttpResponse::Ok().json(SameValueList { key_id: secret, version, same, unknown: found.unknown, next }))
}

/// The envelope at which a page begins. A cursor never shows it: the caller may not be allowed to know of it.
fn place(position: &Position) -> Result<(SecretId, Version), Refusal> {
    let wrong = || Refusal::parameter("`after` is the `next` of an earlier page.");
    match position {
        Position::Time(number, secret) => Ok((*secret, Version::new(*number).map_err(|_| wrong())?)),
        Position::Path(..) => Err(wrong()),
    }
}
