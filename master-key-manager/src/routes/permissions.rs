//! Permissions.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::id::PermissionId;
use manager_api::lines::{CreatePermission, PermissionDetails, PermissionList};
use manager_api::name::EnvironmentName;
use manager_api::policy::PartyId;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;

use super::roles::{ENVIRONMENT, PARTY};
use super::secrets::IDEMPOTENCY_KEY;
use super::{Because, CHANGE_PROBLEMS, CHANGED, LIMIT, REASON, after, changed, made, next_after};
use crate::app::App;
use crate::audit_event::action;
use crate::http::{Call, Page};
use crate::policy::Asked;

/// 32 tags, each character of which may be escaped, and room, in bytes.
const PERMISSION_LIMIT: usize = 192 << 10;
const PERMISSION: Parameter = Parameter::path::<PermissionId>("permission_id", "The permission.");

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::PERMISSION_CREATE,
        "/api/permissions",
        "Allows or denies actions to a principal or a group, and revokes what that takes away.",
    )
    .body::<CreatePermission>(PERMISSION_LIMIT)
    .parameters(&[IDEMPOTENCY_KEY])
    .answers(&[
        Answer::json::<PermissionDetails>(201, "It is made, and the vault has signed what it takes away."),
        Answer::json::<PermissionDetails>(202, "It is made, and what it takes away will reach the vault."),
    ])
    .problems(CHANGE_PROBLEMS)
    .needs(Access::Credential, || call(create)),
    Route::get(action::PERMISSION_LIST, "/api/permissions", "Lists the permissions that the caller may see.")
        .parameters(&[PARTY, ENVIRONMENT, after::<PermissionId>(), LIMIT])
        .answers(&[Answer::json::<PermissionList>(200, "A page.")])
        .problems(&[ErrorCode::NameInvalid, ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::get(action::PERMISSION_SHOW, "/api/permissions/{permission_id}", "Describes a permission.")
        .parameters(&[PERMISSION])
        .answers(&[Answer::json::<PermissionDetails>(200, "The permission.")])
        .problems(&[ErrorCode::LineNotFound, ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(show)),
    Route::delete(
        action::PERMISSION_DELETE,
        "/api/permissions/{permission_id}",
        "Deletes a permission, and revokes what it gave.",
    )
    .parameters(&[PERMISSION, REASON])
    .answers(CHANGED)
    .problems(CHANGE_PROBLEMS)
    .needs(Access::Credential, || call(delete)),
];

async fn create(call: Call<Json<CreatePermission>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (policy, key) = (Arc::clone(&app.policy), call.idempotency_key()?);
    let done = call.run(|caller, origin| async move { policy.create_permission(body, key, (&caller, &origin)).await });
    let (permission, done) = done.await?;
    Ok(made(&permission, &done))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    party: Option<PartyId>,
    environment: Option<EnvironmentName>,
    after: Option<PermissionId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Query { party, environment, after, limit } = call.query()?;
    let policy = Arc::clone(&app.policy);
    let asked = Asked { party, environment, after: after.map(|id| id.to_string()), limit: limit.rows() };
    let page = call.run(|caller, origin| async move { policy.permissions(asked, (&caller, &origin)).await });
    let permissions = page.await?;
    let next = next_after(permissions.len(), limit, || permissions.last().map(|line| line.permission_id.to_string()));
    Ok(HttpResponse::Ok().json(PermissionList { permissions, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (policy, id) = (Arc::clone(&app.policy), permission_of(&call)?);
    let found = call.run(|caller, origin| async move { policy.shown_permission(id, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(found.await?))
}

async fn delete(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (policy, id) = (Arc::clone(&app.policy), permission_of(&call)?);
    let Because { reason } = call.query()?;
    let done = call.run(|caller, origin| async move { policy.delete_permission(id, reason, (&caller, &origin)).await });
    Ok(changed(done.await?))
}

fn permission_of(call: &Call) -> Result<PermissionId, Refusal> {
    call.id("permission_id", ErrorCode::LineNotFound)
}
