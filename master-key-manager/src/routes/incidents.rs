//! Incidents: the compromise or the loss of a secret.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::id::IncidentId;
use manager_api::incidents::{
    ChangeIncident, ChangedIncident, IncidentDetails, IncidentList, IncidentReport, IncidentStepDetails, NamingToken,
    OpenIncident, SecretUse,
};
use manager_api::wire::RevocationStatus;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::{LIMIT, SMALL_LIMIT, after, environment_name};
use crate::app::App;
use crate::audit_event::action;
use crate::http::{Call, Page};
use crate::incidents::{Report, Shown, UsedBy, Wanted};
use crate::revocation::Sequences;

const INCIDENT: Parameter = Parameter::path::<IncidentId>("incident_id", "The incident.");
const SEEN: &[ErrorCode] = &[ErrorCode::IncidentNotFound, ErrorCode::Unavailable, ErrorCode::AuditUnavailable];

/// The verb, which stands before the rows with `{key_id}` alone.
pub(super) const VERBS: &[Route] = &[Route::post(
    action::INCIDENT_OPEN,
    "/api/secrets/{key_id}:compromise",
    "Opens an incident of a secret, freezes it if asked, and revokes its tokens.",
)
.body::<OpenIncident>(SMALL_LIMIT)
.parameters(&[Parameter::path::<SecretId>("key_id", "The secret.")])
.answers(&[
    Answer::json::<ChangedIncident>(201, "It is open, and the vault has signed what it revokes."),
    Answer::json::<ChangedIncident>(202, "It is open, and what it revokes will reach the vault."),
])
.problems(&[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::NotPermitted,
    ErrorCode::SecretNotFound,
    ErrorCode::SecretDeleted,
    ErrorCode::AlreadyExists,
    ErrorCode::EnvironmentFrozen,
    ErrorCode::EnvironmentDisabled,
    ErrorCode::LimitReached,
    ErrorCode::LoginRequired,
    ErrorCode::MfaRequired,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
])
.needs(Access::Credential, || call(open))];

pub(super) const ROUTES: &[Route] = &[
    Route::get(
        action::INCIDENT_LIST,
        "/api/incidents",
        "Lists incidents of secrets that the caller may rotate or audit.",
    )
    .parameters(&[
        Parameter::query::<SecretId>("key_id", "Only those of this secret."),
        Parameter::query::<bool>("open", "Only those that are open, or closed."),
        after::<IncidentId>(),
        LIMIT,
    ])
    .answers(&[Answer::json::<IncidentList>(200, "A page.")])
    .problems(&[ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(list)),
    Route::get(
        action::INCIDENT_REPORT,
        "/api/incidents/{incident_id}/report",
        "Reports who could read the secret, and which tokens name it.",
    )
    .parameters(&[INCIDENT])
    .answers(&[Answer::json::<IncidentReport>(200, "The report.")])
    .problems(&[
        ErrorCode::IncidentNotFound,
        ErrorCode::RateLimited,
        ErrorCode::Unavailable,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(report)),
    Route::get(action::INCIDENT_SHOW, "/api/incidents/{incident_id}", "Describes an incident.")
        .parameters(&[INCIDENT])
        .answers(&[Answer::json::<IncidentDetails>(200, "The incident.")])
        .problems(SEEN)
        .needs(Access::Credential, || call(show)),
    Route::patch(
        action::INCIDENT_UPDATE,
        "/api/incidents/{incident_id}",
        "Marks steps of an incident, adds a note, lifts its freeze, closes it.",
    )
    .body::<ChangeIncident>(SMALL_LIMIT)
    .parameters(&[INCIDENT])
    .answers(&[Answer::json::<ChangedIncident>(200, "The incident as it is now.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::NotPermitted,
        ErrorCode::IncidentNotFound,
        ErrorCode::AlreadyExists,
        ErrorCode::EnvironmentFrozen,
        ErrorCode::EnvironmentDisabled,
        ErrorCode::LimitReached,
        ErrorCode::LoginRequired,
        ErrorCode::MfaRequired,
        ErrorCode::Unavailable,
        ErrorCode::OutcomeUnknown,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(update)),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    key_id: Option<SecretId>,
    open: Option<bool>,
    after: Option<IncidentId>,
    #[serde(default)]
    limit: Page,
}

async fn open(call: Call<Json<OpenIncident>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let incidents = Arc::clone(&app.incidents);
    let done = call.run(|caller, origin| async move { incidents.open(secret, body, &caller, &origin).await });
    let (shown, done) = done.await?;
    let mut answer = if done.applied { HttpResponse::Created() } else { HttpResponse::Accepted() };
    Ok(answer.json(changed(&app, shown, done)?))
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Asked { key_id, open, after, limit } = call.query()?;
    let incidents = Arc::clone(&app.incidents);
    let wanted = Wanted { secret: key_id, open, after, limit: limit.rows() };
    let page = call.run(|caller, origin| async move { incidents.list(wanted, &caller, &origin).await }).await?;
    // A full page may be followed by another.
    let next = page.last().filter(|_| page.len() == limit.rows()).map(|last| last.incident.incident_id);
    let now = app.clock.now();
    let incidents = page.into_iter().map(|shown| details(&app, shown, now)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(IncidentList { incidents, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id: IncidentId = call.id("incident_id", ErrorCode::IncidentNotFound)?;
    let incidents = Arc::clone(&app.incidents);
    let shown = call.run(|caller, origin| async move { incidents.show(id, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(details(&app, shown, app.clock.now())?))
}

async fn update(call: Call<Json<ChangeIncident>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let id: IncidentId = call.id("incident_id", ErrorCode::IncidentNotFound)?;
    let incidents = Arc::clone(&app.incidents);
    let done = call.run(|caller, origin| async move { incidents.change(id, body, &caller, &origin).await });
    let (shown, done) = done.await?;
    Ok(HttpResponse::Ok().json(changed(&app, shown, done)?))
}

async fn report(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id: IncidentId = call.id("incident_id", ErrorCode::IncidentNotFound)?;
    let incidents = Arc::clone(&app.incidents);
    let made = call.run_report(|caller, origin| async move { incidents.report(id, &caller, &origin).await }).await?;
    let Report { shown, made_at, owner, could_read, more_readers, tokens, more_tokens, uses, revoked_by } = made;
    let used = |(principal, UsedBy { last_minted_at, tokens })| SecretUse { principal, last_minted_at, tokens };
    Ok(HttpResponse::Ok().json(IncidentReport {
        incident: details(&app, shown, made_at)?,
        made_at,
        owner,
        could_read,
        more_readers,
        tokens: tokens.into_iter().map(naming).collect(),
        more_tokens,
        uses: uses.into_iter().map(used).collect(),
        revoked_by,
    }))
}

fn changed(app: &App, shown: Shown, done: Sequences) -> Result<ChangedIncident, Refusal> {
    let status = if done.applied { RevocationStatus::Revoked } else { RevocationStatus::Pending };
    Ok(ChangedIncident { incident: details(app, shown, app.clock.now())?, status, sequences: done.numbers })
}

fn naming(token: manager_store::NamingToken) -> NamingToken {
    let manager_store::NamingToken { jti, subject, credential, version, issued_at, expires_at, revoked } = token;
    NamingToken { jti, subject, credential_id: credential, version, issued_at, expires_at, revoked }
}

fn details(app: &App, shown: Shown, now: u64) -> Result<IncidentDetails, Refusal> {
    let Shown { incident, frozen } = shown;
    let steps = incident.incident_kind.steps().iter().map(|(step, seconds)| {
        let done = incident.done.iter().find(|done| done.step == *step);
        let due_at = incident.opened_at.saturating_add(*seconds);
        let (done_by, done_at) = (done.and_then(|done| done.by), done.map(|done| done.at));
        IncidentStepDetails { step: *step, due_at, done_by, done_at, late: done_at.unwrap_or(now) > due_at }
    });
    Ok(IncidentDetails {
        incident_id: incident.incident_id,
        kind: incident.incident_kind,
        key_id: incident.secret_id,
        environment: environment_name(app, incident.environment_id)?,
        steps: steps.collect(),
        path: incident.path,
        reason: incident.reason,
        since: incident.since,
        opened_by: incident.opened_by,
        opened_at: incident.opened_at,
        frozen,
        notes: incident.notes,
        closed_by: incident.closed_by,
        closed_at: incident.closed_at,
    })
}
