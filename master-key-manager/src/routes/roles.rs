//! Roles and their assignments.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::id::AssignmentId;
use manager_api::lines::{AssignRole, AssignmentDetails, RoleDetails, RoleList};
use manager_api::name::EnvironmentName;
use manager_api::policy::{PartyId, Role};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;

use super::secrets::IDEMPOTENCY_KEY;
use super::{Because, CHANGE_PROBLEMS, CHANGED, LIMIT, REASON, SMALL_LIMIT, after, changed, made, next_after};
use crate::app::App;
use crate::audit_event::action;
use crate::http::{Call, Page};
use crate::policy::Asked;

pub(super) const PARTY: Parameter = Parameter::query::<PartyId>("party", "Only lines about this principal or group.");
pub(super) const ENVIRONMENT: Parameter =
    Parameter::query::<EnvironmentName>("environment", "Only lines that hold in this environment.");

pub(super) const ROUTES: &[Route] = &[
    Route::post(action::ROLE_ASSIGN, "/api/roles", "Assigns a role to a principal or a group.")
        .body::<AssignRole>(SMALL_LIMIT)
        .parameters(&[IDEMPOTENCY_KEY])
        .answers(&[
            Answer::json::<AssignmentDetails>(201, "It is assigned."),
            Answer::json::<AssignmentDetails>(202, "It is assigned, while the vault is behind."),
        ])
        .problems(CHANGE_PROBLEMS)
        .needs(Access::Credential, || call(assign)),
    Route::get(action::ROLE_LIST, "/api/roles", "Lists the roles, and the assignments that the caller may see.")
        .parameters(&[PARTY, ENVIRONMENT, after::<AssignmentId>(), LIMIT])
        .answers(&[Answer::json::<RoleList>(200, "A page.")])
        .problems(&[ErrorCode::NameInvalid, ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::delete(
        action::ROLE_UNASSIGN,
        "/api/roles/{assignment_id}",
        "Deletes a role assignment, and revokes what it gave.",
    )
    .parameters(&[Parameter::path::<AssignmentId>("assignment_id", "The role assignment."), REASON])
    .answers(CHANGED)
    .problems(CHANGE_PROBLEMS)
    .needs(Access::Credential, || call(unassign)),
];

async fn assign(call: Call<Json<AssignRole>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (policy, key) = (Arc::clone(&app.policy), call.idempotency_key()?);
    let done = call.run(|caller, origin| async move { policy.assign_role(body, key, (&caller, &origin)).await });
    let (assignment, done) = done.await?;
    Ok(made(&assignment, &done))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    party: Option<PartyId>,
    environment: Option<EnvironmentName>,
    after: Option<AssignmentId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Query { party, environment, after, limit } = call.query()?;
    let policy = Arc::clone(&app.policy);
    let asked = Asked { party, environment, after: after.map(|id| id.to_string()), limit: limit.rows() };
    let page = call.run(|caller, origin| async move { policy.assignments(asked, (&caller, &origin)).await });
    let assignments = page.await?;
    let next = next_after(assignments.len(), limit, || assignments.last().map(|line| line.assignment_id.to_string()));
    Ok(HttpResponse::Ok().json(RoleList { roles: Role::ALL.iter().copied().map(role).collect(), assignments, next }))
}

async fn unassign(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id: AssignmentId = call.id("assignment_id", ErrorCode::LineNotFound)?;
    let (policy, Because { reason }) = (Arc::clone(&app.policy), call.query()?);
    let done = call.run(|caller, origin| async move { policy.unassign_role(id, reason, (&caller, &origin)).await });
    Ok(changed(done.await?))
}

fn role(role: Role) -> RoleDetails {
    RoleDetails { role, actions: role.actions().iter().collect(), for_everything: role.is_for_everything() }
}
