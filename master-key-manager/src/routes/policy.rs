//! Questions about the policy, and its former versions.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::policy_questions::{AccessList, DryRun, DryRunAnswer, Explain, Explanation, WhoCan};
use manager_api::policy_versions::{FormerPolicy, PolicyVersionList, RestoreAnswer, RestoreVersion, VersionNumber};
use manager_api::wire::RevocationStatus;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::MAX_VERSION;

use super::{CHANGE_PROBLEMS, LIMIT, SMALL_LIMIT};
use crate::app::App;
use crate::audit_event::action;
use crate::http::{Call, Page};

/// 500 secrets by their paths, or changes with tags, in bytes.
const DRY_RUN_LIMIT: usize = 1 << 20;
const NUMBER: Parameter = Parameter::path::<VersionNumber>("number", "The version.");
const QUESTION: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::NotPermitted,
    ErrorCode::SecretNotFound,
    ErrorCode::Unavailable,
    ErrorCode::AuditUnavailable,
];
const FORMER: &[ErrorCode] = &[
    ErrorCode::NotPermitted,
    ErrorCode::PolicyVersionNotFound,
    ErrorCode::LimitReached,
    ErrorCode::Unavailable,
    ErrorCode::AuditUnavailable,
];

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::PERMISSION_EXPLAIN,
        "/api/permissions:explain",
        "Explains why a principal may do something, or may not.",
    )
    .body::<Explain>(SMALL_LIMIT)
    .answers(&[Answer::json::<Explanation>(200, "The decision, with the lines that led to it.")])
    .problems(QUESTION)
    .needs(Access::Credential, || call(explain)),
    Route::post(action::PERMISSION_WHO_CAN, "/api/permissions:who-can", "Names everybody who may do something.")
        .body::<WhoCan>(SMALL_LIMIT)
        .answers(&[Answer::json::<AccessList>(200, "A page.")])
        .problems(QUESTION)
        .needs(Access::Credential, || call(who_can)),
    Route::post(
        action::PERMISSION_DRY_RUN,
        "/api/permissions:dry-run",
        "Says who would gain and lose what by a change, and does not make it.",
    )
    .body::<DryRun>(DRY_RUN_LIMIT)
    .answers(&[Answer::json::<DryRunAnswer>(200, "The differences.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::SecretNotFound,
        ErrorCode::PartyNotFound,
        ErrorCode::GroupNotFound,
        ErrorCode::LineNotFound,
        ErrorCode::DryRunTooLarge,
        ErrorCode::Unavailable,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(dry_run)),
    Route::get(action::POLICY_VERSION_LIST, "/api/policy/versions", "Lists versions of the policy, newest first.")
        .parameters(&[Parameter::integer("after", "`next` of the page before.", 1, MAX_VERSION), LIMIT])
        .answers(&[Answer::json::<PolicyVersionList>(200, "A page.")])
        .problems(FORMER)
        .needs(Access::Credential, || call(versions)),
    // Before the row with `{number}` alone, which would take the verb for a part of the number.
    Route::post(
        action::POLICY_VERSION_RESTORE,
        "/api/policy/versions/{number}:restore",
        "Makes lines and memberships what they were after a version.",
    )
    .parameters(&[NUMBER])
    .body::<RestoreVersion>(SMALL_LIMIT)
    .answers(&[
        Answer::json::<RestoreAnswer>(200, "It is done, and the vault has signed that what it takes away is revoked."),
        Answer::json::<RestoreAnswer>(202, "It is done, and what it takes away will reach the vault."),
    ])
    .problems(CHANGE_PROBLEMS)
    .needs(Access::Credential, || call(restore)),
    Route::get(
        action::POLICY_VERSION_SHOW,
        "/api/policy/versions/{number}",
        "Shows groups and lines as they were after a version.",
    )
    .parameters(&[NUMBER, Parameter::query::<String>("after", "`next` of the page before."), LIMIT])
    .answers(&[Answer::json::<FormerPolicy>(200, "A page.")])
    .problems(FORMER)
    .needs(Access::Credential, || call(show)),
];

async fn explain(call: Call<Json<Explain>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let policy = Arc::clone(&app.policy);
    let found = call.run(|caller, origin| async move { policy.explain(body, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(found.await?))
}

async fn who_can(call: Call<Json<WhoCan>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let policy = Arc::clone(&app.policy);
    let found = call.run(|caller, origin| async move { policy.who_can(body, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(found.await?))
}

async fn dry_run(call: Call<Json<DryRun>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let policy = Arc::clone(&app.policy);
    let found = call.run(|caller, origin| async move { policy.dry_run(body, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(found.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedVersions {
    after: Option<u64>,
    #[serde(default)]
    limit: Page,
}

async fn versions(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let AskedVersions { after, limit } = call.query()?;
    let (policy, page) = (Arc::clone(&app.policy), (after, limit.rows()));
    let found = call.run(|caller, origin| async move { policy.versions(page, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(found.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedRecords {
    after: Option<String>,
    #[serde(default)]
    limit: Page,
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let number = number_of(&call)?;
    let AskedRecords { after, limit } = call.query()?;
    let (policy, page) = (Arc::clone(&app.policy), (number, after, limit.rows()));
    let found = call.run(|caller, origin| async move { policy.former_policy(page, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(found.await?))
}

async fn restore(call: Call<Json<RestoreVersion>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, RestoreVersion { reason }) = call.with_body();
    let (policy, number) = (Arc::clone(&app.policy), number_of(&call)?);
    let done = call.run(|caller, origin| async move { policy.restore(number, reason, (&caller, &origin)).await });
    let done = done.await?;
    let mut response = match done.status {
        RevocationStatus::Revoked => HttpResponse::Ok(),
        RevocationStatus::Pending => HttpResponse::Accepted(),
    };
    Ok(response.json(done))
}

fn number_of(call: &Call) -> Result<u64, Refusal> {
    call.id("number", ErrorCode::PolicyVersionNotFound).map(VersionNumber::get)
}
