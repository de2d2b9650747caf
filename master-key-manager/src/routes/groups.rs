//! Groups and their members.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::groups::{AddMembers, ChangeGroup, CreateGroup, GroupDetails, GroupList, MemberList};
use manager_api::id::GroupId;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;

use super::secrets::IDEMPOTENCY_KEY;
use super::{Because, CHANGE_PROBLEMS, CHANGED, LIMIT, REASON, SMALL_LIMIT, after, changed, next_after};
use crate::app::App;
use crate::audit_event::action;
use crate::http::{Call, Page};

/// 500 ids and a reason, in bytes.
const MEMBERS_LIMIT: usize = 32 << 10;
const GROUP: Parameter = Parameter::path::<GroupId>("group_id", "The group.");
const SHOWN: &[ErrorCode] =
    &[ErrorCode::NotPermitted, ErrorCode::GroupNotFound, ErrorCode::Unavailable, ErrorCode::AuditUnavailable];

pub(super) const ROUTES: &[Route] = &[
    Route::post(action::GROUP_CREATE, "/api/groups", "Makes a group of principals, without members.")
        .body::<CreateGroup>(SMALL_LIMIT)
        .parameters(&[IDEMPOTENCY_KEY])
        .answers(&[Answer::json::<GroupDetails>(201, "It is made.")])
        .problems(CHANGE_PROBLEMS)
        .needs(Access::Credential, || call(create)),
    Route::get(action::GROUP_LIST, "/api/groups", "Lists groups.")
        .parameters(&[after::<GroupId>(), LIMIT])
        .answers(&[Answer::json::<GroupList>(200, "A page.")])
        .problems(SHOWN)
        .needs(Access::Credential, || call(list)),
    Route::get(action::GROUP_SHOW, "/api/groups/{group_id}", "Describes a group.")
        .parameters(&[GROUP])
        .answers(&[Answer::json::<GroupDetails>(200, "The group.")])
        .problems(SHOWN)
        .needs(Access::Credential, || call(show)),
    Route::patch(action::GROUP_UPDATE, "/api/groups/{group_id}", "Gives a group another name or description.")
        .parameters(&[GROUP])
        .body::<ChangeGroup>(SMALL_LIMIT)
        .answers(&[Answer::json::<GroupDetails>(200, "The group as it is now.")])
        .problems(CHANGE_PROBLEMS)
        .needs(Access::Credential, || call(update)),
    Route::delete(action::GROUP_DELETE, "/api/groups/{group_id}", "Deletes a group that no line of the policy names.")
        .parameters(&[GROUP, REASON])
        .answers(CHANGED)
        .problems(&[
            ErrorCode::NotPermitted,
            ErrorCode::GroupNotFound,
            ErrorCode::GroupInUse,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(delete)),
    Route::get(action::MEMBER_LIST, "/api/groups/{group_id}/members", "Lists the members of a group.")
        .parameters(&[GROUP, after::<Subject>(), LIMIT])
        .answers(&[Answer::json::<MemberList>(200, "A page.")])
        .problems(SHOWN)
        .needs(Access::Credential, || call(members)),
    Route::post(action::MEMBER_ADD, "/api/groups/{group_id}/members", "Adds principals to a group.")
        .parameters(&[GROUP])
        .body::<AddMembers>(MEMBERS_LIMIT)
        .answers(CHANGED)
        .problems(CHANGE_PROBLEMS)
        .needs(Access::Credential, || call(add)),
    Route::delete(
        action::MEMBER_REMOVE,
        "/api/groups/{group_id}/members/{principal}",
        "Removes a principal from a group, and revokes what that took away.",
    )
    .parameters(&[GROUP, Parameter::path::<Subject>("principal", "The member."), REASON])
    .answers(CHANGED)
    .problems(CHANGE_PROBLEMS)
    .needs(Access::Credential, || call(remove)),
];

async fn create(call: Call<Json<CreateGroup>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (policy, key) = (Arc::clone(&app.policy), call.idempotency_key()?);
    let made = call.run(|caller, origin| async move { policy.create_group(body, key, (&caller, &origin)).await });
    Ok(HttpResponse::Created().json(made.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<GroupId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Asked { after, limit } = call.query()?;
    let policy = Arc::clone(&app.policy);
    let page = (after, limit.rows());
    let groups = call.run(|caller, origin| async move { policy.groups(page, (&caller, &origin)).await }).await?;
    let next = next_after(groups.len(), limit, || groups.last().map(|group| group.group_id.to_string()));
    Ok(HttpResponse::Ok().json(GroupList { groups, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (policy, id) = (Arc::clone(&app.policy), group_of(&call)?);
    let found = call.run(|caller, origin| async move { policy.group(id, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(found.await?))
}

async fn update(call: Call<Json<ChangeGroup>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (policy, id) = (Arc::clone(&app.policy), group_of(&call)?);
    let done = call.run(|caller, origin| async move { policy.change_group(id, body, (&caller, &origin)).await });
    Ok(HttpResponse::Ok().json(done.await?))
}

async fn delete(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (policy, id) = (Arc::clone(&app.policy), group_of(&call)?);
    let Because { reason } = call.query()?;
    let done = call.run(|caller, origin| async move { policy.delete_group(id, reason, (&caller, &origin)).await });
    Ok(changed(done.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedMembers {
    after: Option<Subject>,
    #[serde(default)]
    limit: Page,
}

async fn members(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (policy, id) = (Arc::clone(&app.policy), group_of(&call)?);
    let AskedMembers { after, limit } = call.query()?;
    let page = (id, after, limit.rows());
    let members = call.run(|caller, origin| async move { policy.members(page, (&caller, &origin)).await }).await?;
    let next = next_after(members.len(), limit, || members.last().map(Subject::to_string));
    Ok(HttpResponse::Ok().json(MemberList { members, next }))
}

async fn add(call: Call<Json<AddMembers>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (policy, id) = (Arc::clone(&app.policy), group_of(&call)?);
    let done = call.run(|caller, origin| async move { policy.add_members(id, body, (&caller, &origin)).await });
    Ok(changed(done.await?))
}

async fn remove(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (policy, id) = (Arc::clone(&app.policy), group_of(&call)?);
    let member = (id, call.id("principal", ErrorCode::PartyNotFound)?);
    let Because { reason } = call.query()?;
    let done = call.run(|caller, origin| async move { policy.remove_member(member, reason, (&caller, &origin)).await });
    Ok(changed(done.await?))
}

fn group_of(call: &Call) -> Result<GroupId, Refusal> {
    call.id("group_id", ErrorCode::GroupNotFound)
}
