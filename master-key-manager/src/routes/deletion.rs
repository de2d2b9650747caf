//! Deleting secrets, taking them back, destroying them.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::deletion::{DeletedSecret, DestroySecret, DestroyedSecret};
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::{Because, CHANGED, REASON, SMALL_LIMIT, changed, describe};
use crate::app::App;
use crate::audit_event::action;
use crate::http::Call;

const SECRET: Parameter = Parameter::path::<SecretId>("key_id", "The secret.");

/// The faults of every change of a secret's state.
const PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::NotPermitted,
    ErrorCode::SecretNotFound,
    ErrorCode::SecretDeleted,
    ErrorCode::SecretNotDeleted,
    ErrorCode::EnvironmentFrozen,
    ErrorCode::EnvironmentDisabled,
    ErrorCode::LoginRequired,
    ErrorCode::MfaRequired,
    ErrorCode::LimitReached,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];

/// The verbs, which stand before the rows with `{key_id}` alone.
pub(super) const VERBS: &[Route] = &[
    Route::post(action::SECRET_UNDELETE, "/api/secrets/{key_id}:undelete", "Takes the deletion of a secret back.")
        .parameters(&[SECRET, REASON])
        .answers(CHANGED)
        .problems(PROBLEMS)
        .needs(Access::Credential, || call(undelete)),
    Route::post(
        action::SECRET_ERASE,
        "/api/secrets/{key_id}:destroy",
        "Destroys a deleted secret with all its versions, or asks for the approval of that.",
    )
    .body::<DestroySecret>(SMALL_LIMIT)
    .parameters(&[SECRET])
    .answers(&[
        Answer::json::<DestroyedSecret>(200, "The vault has signed that every envelope is erased."),
        Answer::json::<DestroyedSecret>(202, "It is decided and goes on by itself, or it awaits approval."),
    ])
    .problems(PROBLEMS)
    .needs(Access::Credential, || call(destroy)),
];

pub(super) const ROUTES: &[Route] = &[Route::delete(
    action::SECRET_DELETE,
    "/api/secrets/{key_id}",
    "Deletes a secret for a time in which it can be taken back, and revokes its tokens.",
)
.parameters(&[SECRET, REASON])
.answers(&[
    Answer::json::<DeletedSecret>(200, "It is deleted, and the vault has signed that its tokens are revoked."),
    Answer::json::<DeletedSecret>(202, "It is deleted, and the revocation will reach the vault."),
])
.problems(PROBLEMS)
.needs(Access::Credential, || call(delete))];

async fn delete(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let Because { reason } = call.query()?;
    let keeper = Arc::clone(&app.secret_keeper);
    let done = call.run(|caller, origin| async move { keeper.delete(secret, reason.as_ref(), &caller, &origin).await });
    let (deletion, done) = done.await?;
    let mut answer = if done.applied { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    Ok(answer.json(describe::deleted(secret, deletion, done)))
}

async fn undelete(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let Because { reason } = call.query()?;
    let keeper = Arc::clone(&app.secret_keeper);
    let done =
        call.run(|caller, origin| async move { keeper.undelete(secret, reason.as_ref(), &caller, &origin).await });
    Ok(changed(done.await?))
}

async fn destroy(call: Call<Json<DestroySecret>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, DestroySecret { reason }) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let approvals = Arc::clone(&app.approvals);
    let done = call.run(|caller, origin| async move { approvals.destroy(secret, reason, &caller, &origin).await });
    let (is_done, answer) = describe::destroyed(secret, &done.await?);
    let mut response = if is_done { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    Ok(response.json(answer))
}
