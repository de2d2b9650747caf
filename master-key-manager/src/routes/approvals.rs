//! Acts that await the approval of somebody else.

use std::sync::Arc;

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use manager_api::approvals::{ApprovalAct, ApprovalDetails, ApprovalList, ApprovalState, AskApproval};
use manager_api::id::ApprovalId;
use manager_registry::AskedAct;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;

use super::{Because, LIMIT, REASON, SMALL_LIMIT, after, environment_name};
use crate::app::App;
use crate::approvals::{Asked, SeenApproval};
use crate::audit_event::action;
use crate::http::{Call, Page};
use crate::revocation::Sequences;

const APPROVAL: Parameter = Parameter::path::<ApprovalId>("approval_id", "The act.");
const DECIDED: &[Answer] = &[
    Answer::json::<ApprovalDetails>(200, "It is decided, and the vault has signed what follows from it."),
    Answer::json::<ApprovalDetails>(202, "It is decided, and what follows from it goes on by itself."),
];
const PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::NotPermitted,
    ErrorCode::ApprovalNotFound,
    ErrorCode::ApprovalDecided,
    ErrorCode::SecretNotFound,
    ErrorCode::SecretDeleted,
    ErrorCode::SecretNotDeleted,
    ErrorCode::EnvironmentFrozen,
    ErrorCode::EnvironmentDisabled,
    ErrorCode::LoginRequired,
    ErrorCode::MfaRequired,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];

// The verbs stand before the bare id, whose pattern fits them too.
pub(super) const ROUTES: &[Route] = &[
    Route::post(action::APPROVAL_CREATE, "/api/approvals", "Asks for tokens for a secret that requires approval.")
        .body::<AskApproval>(SMALL_LIMIT)
        .answers(&[Answer::json::<ApprovalDetails>(202, "It awaits approval.")])
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::NameInvalid,
            ErrorCode::NotPermitted,
            ErrorCode::SecretNotFound,
            ErrorCode::SecretDeleted,
            ErrorCode::LimitReached,
            ErrorCode::MfaRequired,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(ask)),
    Route::get(action::APPROVAL_LIST, "/api/approvals", "Lists what the caller has asked for, or may decide.")
        .parameters(&[
            Parameter::query::<ApprovalState>("state", "Only acts in this state."),
            after::<ApprovalId>(),
            LIMIT,
        ])
        .answers(&[Answer::json::<ApprovalList>(200, "A page.")])
        .problems(&[ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::post(
        action::APPROVAL_APPROVE,
        "/api/approvals/{approval_id}:approve",
        "Approves what somebody else asked for.",
    )
    .parameters(&[APPROVAL, REASON])
    .answers(DECIDED)
    .problems(PROBLEMS)
    .needs(Access::Credential, || call(approve)),
    Route::post(
        action::APPROVAL_REJECT,
        "/api/approvals/{approval_id}:reject",
        "Refuses what somebody else asked for, or ends what was approved.",
    )
    .parameters(&[APPROVAL, REASON])
    .answers(DECIDED)
    .problems(PROBLEMS)
    .needs(Access::Credential, || call(reject)),
    Route::post(
        action::APPROVAL_CANCEL,
        "/api/approvals/{approval_id}:cancel",
        "Takes back what the caller asked for, or ends what was approved to him.",
    )
    .parameters(&[APPROVAL, REASON])
    .answers(DECIDED)
    .problems(PROBLEMS)
    .needs(Access::Credential, || call(cancel)),
    Route::get(action::APPROVAL_SHOW, "/api/approvals/{approval_id}", "Describes an act that awaits approval, or did.")
        .parameters(&[APPROVAL])
        .answers(&[Answer::json::<ApprovalDetails>(200, "The act.")])
        .problems(&[ErrorCode::ApprovalNotFound, ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(show)),
];

async fn ask(call: Call<Json<AskApproval>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let approvals = Arc::clone(&app.approvals);
    let asked = call.run(|caller, origin| async move { approvals.ask_to_read(body, &caller, &origin).await }).await?;
    Ok(HttpResponse::Accepted().json(details(&app, asked, app.clock.now())?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    state: Option<ApprovalState>,
    after: Option<ApprovalId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Query { state, after, limit } = call.query()?;
    let approvals = Arc::clone(&app.approvals);
    let asked = Asked { state, after, limit: limit.rows() };
    let page = call.run(|caller, origin| async move { approvals.list(asked, &caller, &origin).await }).await?;
    let seen = page.approvals.into_iter().map(|seen| details(&app, seen, page.now));
    let (approvals, next) = (seen.collect::<Result<_, _>>()?, page.next.map(|id| id.to_string()));
    Ok(HttpResponse::Ok().json(ApprovalList { approvals, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let approvals = Arc::clone(&app.approvals);
    let (found, now) = call.run(|caller, origin| async move { approvals.show(id, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(details(&app, found, now)?))
}

async fn approve(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let Because { reason } = call.query()?;
    let approvals = Arc::clone(&app.approvals);
    let done = call.run(|caller, origin| async move { approvals.approve(id, reason.as_ref(), &caller, &origin).await });
    let (approval, done, more) = done.await?;
    Ok(status(&done, more).json(details(&app, approval, app.clock.now())?))
}

async fn reject(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let Because { reason } = call.query()?;
    let approvals = Arc::clone(&app.approvals);
    let done = call.run(|caller, origin| async move { approvals.reject(id, reason.as_ref(), &caller, &origin).await });
    let (approval, done) = done.await?;
    Ok(status(&done, false).json(details(&app, approval, app.clock.now())?))
}

async fn cancel(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = id_of(&call)?;
    let Because { reason } = call.query()?;
    let approvals = Arc::clone(&app.approvals);
    let done = call.run(|caller, origin| async move { approvals.cancel(id, reason.as_ref(), &caller, &origin).await });
    let (approval, done) = done.await?;
    Ok(status(&done, false).json(details(&app, approval, app.clock.now())?))
}

fn id_of(call: &Call) -> Result<ApprovalId, Refusal> {
    call.id("approval_id", ErrorCode::ApprovalNotFound)
}

fn status(done: &Sequences, more: bool) -> HttpResponseBuilder {
    if done.applied && !more { HttpResponse::Ok() } else { HttpResponse::Accepted() }
}

fn details(app: &App, seen: SeenApproval, now: u64) -> Result<ApprovalDetails, Refusal> {
    let SeenApproval { approval, path } = seen;
    let (act, version, seconds) = match approval.act {
        AskedAct::Destroy { .. } => (ApprovalAct::Destroy, None, None),
        AskedAct::DestroyVersion { version, .. } => (ApprovalAct::DestroyVersion, Some(version), None),
        AskedAct::Read { seconds, .. } => (ApprovalAct::Read, None, Some(seconds)),
    };
    let (state, in_force_until) = (approval.state_at(now), approval.in_force_until());
    let is_approved = approval.state == ApprovalState::Approved;
    Ok(ApprovalDetails {
        approval_id: approval.approval_id,
        act,
        key_id: approval.act.secret(),
        environment: environment_name(app, approval.environment_id)?,
        path,
        version,
        seconds,
        asked_by: approval.asked_by,
        reason: approval.reason,
        asked_at: approval.asked_at,
        expires_at: approval.expires_at,
        state,
        decided_by: approval.decided_by,
        decided_at: approval.decided_at,
        in_force_until: in_force_until.filter(|_| is_approved),
    })
}
