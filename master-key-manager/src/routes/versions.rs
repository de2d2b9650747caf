//! Versions of a secret: history, the next one, notes and stages, differences, destruction.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::secrets::{WriteVersion, WrittenSecret};
use manager_api::versions::{
    ChangeVersion, HistorySort, VersionAfterChange, VersionDetails, VersionDifference, VersionHistory, VersionInPath,
};
use manager_api::wire::DestroyAnswer;
use manager_store::{Expiry, VersionEntry};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};

use super::secrets::{IDEMPOTENCY_KEY, STORE_LIMIT, WRITE_PROBLEMS, idempotency_of, write};
use super::written::parse_next;
use super::{Because, LIMIT, REASON, SMALL_LIMIT, after, describe};
use crate::app::App;
use crate::audit_event::action;
use crate::catalogue::{AfterChange, ShownVersion};
use crate::http::{Call, Page};

const SECRET: Parameter = Parameter::path::<SecretId>("key_id", "The secret.");
const VERSION: Parameter = Parameter::path::<VersionInPath>("version", "The version.");

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        action::VERSION_LIST,
        "/api/secrets/{key_id}/versions",
        "Lists the versions of a secret, without values.",
    )
    .parameters(&[
        SECRET,
        Parameter::query::<HistorySort>("sort", "The order; the newest first by default."),
        after::<Version>(),
        LIMIT,
    ])
    .answers(&[Answer::json::<VersionHistory>(200, "A page.")])
    .problems(&[ErrorCode::ParameterInvalid, ErrorCode::SecretNotFound, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(list)),
    Route::post(action::VERSION_CREATE, "/api/secrets/{key_id}/versions", "Writes the next version of a secret.")
        .body::<WriteVersion>(STORE_LIMIT)
        .parameters(&[SECRET, IDEMPOTENCY_KEY])
        .answers(&[
            Answer::json::<WrittenSecret>(200, "The current version has this value, and no version was made."),
            Answer::json::<WrittenSecret>(201, "The version is stored."),
        ])
        .problems(WRITE_PROBLEMS)
        .needs(Access::Credential, || call(create)),
    // Before the rows with `{version}` alone, which would take the verb for a part of the number.
    Route::get(
        action::VERSION_DIFF,
        "/api/secrets/{key_id}/versions/{version}:diff",
        "Compares two versions of a secret.",
    )
    .parameters(&[SECRET, VERSION, Parameter::query::<Version>("with", "The version that it is compared with.")])
    .answers(&[Answer::json::<VersionDifference>(200, "Both, and where they differ.")])
    .problems(&[ErrorCode::ParameterInvalid, ErrorCode::SecretNotFound, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(diff)),
    Route::get(
        action::VERSION_SHOW,
        "/api/secrets/{key_id}/versions/{version}",
        "Describes a version of a secret, without its value.",
    )
    .parameters(&[SECRET, VERSION])
    .answers(&[Answer::json::<VersionDetails>(200, "The version.")])
    .problems(&[ErrorCode::SecretNotFound, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(show)),
    Route::patch(
        action::VERSION_UPDATE,
        "/api/secrets/{key_id}/versions/{version}",
        "Changes the note of a version, or its stages.",
    )
    .body::<ChangeVersion>(SMALL_LIMIT)
    .parameters(&[SECRET, VERSION])
    .answers(&[Answer::json::<VersionAfterChange>(200, "The version as it is now.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::SecretNotFound,
        ErrorCode::SecretDeleted,
        ErrorCode::VersionConflict,
        ErrorCode::EnvironmentFrozen,
        ErrorCode::EnvironmentDisabled,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(update)),
    Route::delete(
        action::VERSION_DESTROY,
        "/api/secrets/{key_id}/versions/{version}",
        "Erases a version of a secret for ever, or asks for the approval of that.",
    )
    .parameters(&[SECRET, VERSION, REASON])
    .answers(&[
        Answer::json::<DestroyAnswer>(200, "The vault has erased it, or other versions keep its envelope."),
        Answer::json::<DestroyAnswer>(202, "It is recorded and will reach the vault, or it awaits approval."),
    ])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::SecretNotFound,
        ErrorCode::SecretDeleted,
        ErrorCode::LimitReached,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(destroy)),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    sort: HistorySort,
    after: Option<Version>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Asked { sort, after, limit } = call.query()?;
    let secret = secret_of(&call)?;
    let (keeper, part) = (Arc::clone(&app.version_keeper), (sort, after, limit.rows()));
    let page = call.run(|caller, origin| async move { keeper.history(secret, part, &caller, &origin).await }).await?;
    let versions = page.entries.into_iter().map(details).collect();
    Ok(HttpResponse::Ok().json(VersionHistory { versions, next: page.next }))
}

async fn create(call: Call<Json<WriteVersion>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret = secret_of(&call)?;
    let repeat = idempotency_of(&call, &app, &(action::VERSION_CREATE, secret, &body))?;
    let request = call.recorded(parse_next(secret, body, repeat))?;
    write(call, request, &app).await
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (secret, version) = (secret_of(&call)?, version_of(&call)?);
    let keeper = Arc::clone(&app.version_keeper);
    let found = call.run(|caller, origin| async move { keeper.show(secret, version, &caller, &origin).await }).await?;
    let ShownVersion { entry, references } = found;
    Ok(HttpResponse::Ok().json(VersionDetails { references, ..details(entry) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    with: Version,
}

async fn diff(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let With { with } = call.query()?;
    let (secret, both) = (secret_of(&call)?, [version_of(&call)?, with]);
    let keeper = Arc::clone(&app.version_keeper);
    let found = call.run(|caller, origin| async move { keeper.compare(secret, both, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(VersionDifference {
        key_id: secret,
        version: details(found.version),
        with: details(found.with),
        differs: found.differs,
        same_value: found.same_value,
    }))
}

async fn update(call: Call<Json<ChangeVersion>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let at = (secret_of(&call)?, version_of(&call)?);
    let keeper = Arc::clone(&app.version_keeper);
    let done = call.run(|caller, origin| async move { keeper.change(at, body, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(after_change(done)))
}

async fn destroy(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (secret, version) = (secret_of(&call)?, version_of(&call)?);
    let Because { reason } = call.query()?;
    let approvals = Arc::clone(&app.approvals);
    let done = call.run(|caller, origin| async move {
        approvals.destroy_version((secret, version), reason, &caller, &origin).await
    });
    let (is_done, answer) = describe::destroyed_version(done.await?);
    let mut response = if is_done { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    Ok(response.json(answer))
}

fn secret_of(call: &Call) -> Result<SecretId, Refusal> {
    call.id("key_id", ErrorCode::SecretNotFound)
}

/// The version in the path. A text that is no number of a version is answered like an unknown one.
fn version_of(call: &Call) -> Result<Version, Refusal> {
    call.id("version", ErrorCode::SecretNotFound).map(VersionInPath::get)
}

fn details(entry: VersionEntry) -> VersionDetails {
    let VersionEntry { version, envelope, status, stages, created_at, author, note, expiry } = entry;
    let expires_at = match expiry {
        Expiry::Known(end) => end,
        Expiry::Unverified => None,
    };
    let references = Vec::new();
    VersionDetails { version, envelope, state: status, stages, created_at, author, note, expires_at, references }
}

/// A version after a change, as the one who made it may see it.
pub(super) fn after_change(done: AfterChange) -> VersionAfterChange {
    let entry = match done {
        AfterChange::Seen(entry) => details(*entry),
        AfterChange::Bare(version, stages) => {
            let (envelope, state, created_at) = (None, None, None);
            let (author, note, expires_at) = (None, None, None);
            return VersionAfterChange { version, stages, envelope, state, created_at, author, note, expires_at };
        }
    };
    let VersionDetails { version, envelope, state, stages, created_at, author, note, expires_at, references: _ } =
        entry;
    let (envelope, state, created_at) = (Some(envelope), Some(state), Some(created_at));
    VersionAfterChange { version, stages, envelope, state, created_at, author, note, expires_at }
}
