//! Making, describing, freezing and disabling environments.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::environments::{ChangeEnvironment, CreateEnvironment, EnvironmentDetails, EnvironmentList};
use manager_api::name::EnvironmentName;
use manager_registry::EnvironmentRules;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;

use super::revocations::{REVOKED, answer};
use super::{LIMIT, SMALL_LIMIT, after, next_after};
use crate::app::App;
use crate::audit_event::{Act, Outcome, action};
use crate::environment_keeper::Switch;
use crate::http::{Call, Page};
use manager_store::Environment;

const NAME: &[Parameter] = &[Parameter::path::<EnvironmentName>("name", "The environment.")];
const CHANGED: &[Answer] = &[Answer::json::<EnvironmentDetails>(200, "The environment as it is now.")];
/// A change is a line and a row.
const PROBLEMS: &[ErrorCode] =
    &[ErrorCode::EnvironmentNotFound, ErrorCode::OutcomeUnknown, ErrorCode::AuditUnavailable];

// The verbs stand before the bare name, whose pattern fits them too.
pub(super) const ROUTES: &[Route] = &[
    Route::post(action::ENVIRONMENT_CREATE, "/api/environments", "Makes an environment with a root key of its own.")
        .body::<CreateEnvironment>(SMALL_LIMIT)
        .answers(&[Answer::json::<EnvironmentDetails>(201, "It is made.")])
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::NameInvalid,
            ErrorCode::AlreadyExists,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(create)),
    Route::get(action::ENVIRONMENT_LIST, "/api/environments", "Lists environments, ordered by name.")
        .parameters(&[after::<EnvironmentName>(), LIMIT])
        .answers(&[Answer::json::<EnvironmentList>(200, "A page.")])
        .problems(&[ErrorCode::NameInvalid, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::post(
        action::ENVIRONMENT_FREEZE,
        "/api/environments/{name}:freeze",
        "Ends writing and minting in an environment.",
    )
    .parameters(NAME)
    .answers(CHANGED)
    .problems(PROBLEMS)
    .needs(Access::Credential, || call(freeze)),
    Route::post(action::ENVIRONMENT_UNFREEZE, "/api/environments/{name}:unfreeze", "Undoes a freeze.")
        .parameters(NAME)
        .answers(CHANGED)
        .problems(PROBLEMS)
        .needs(Access::Credential, || call(unfreeze)),
    Route::post(
        action::ENVIRONMENT_DISABLE,
        "/api/environments/{name}:disable",
        "Ends writing and minting in an environment, and revokes its tokens.",
    )
    .parameters(NAME)
    .answers(REVOKED)
    .problems(&[ErrorCode::EnvironmentNotFound, ErrorCode::OutcomeUnknown])
    .needs(Access::Credential, || call(disable)),
    Route::post(
        action::ENVIRONMENT_ENABLE,
        "/api/environments/{name}:enable",
        "Lets an environment be used again that was disabled.",
    )
    .parameters(NAME)
    .answers(CHANGED)
    .problems(PROBLEMS)
    .needs(Access::Credential, || call(enable)),
    Route::get(action::ENVIRONMENT_SHOW, "/api/environments/{name}", "Describes an environment.")
        .parameters(NAME)
        .answers(&[Answer::json::<EnvironmentDetails>(200, "The environment.")])
        .problems(&[ErrorCode::EnvironmentNotFound, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(show)),
    Route::patch(action::ENVIRONMENT_UPDATE, "/api/environments/{name}", "Changes the settings of an environment.")
        .parameters(NAME)
        .body::<ChangeEnvironment>(SMALL_LIMIT)
        .answers(CHANGED)
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::NameInvalid,
            ErrorCode::EnvironmentNotFound,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(update)),
];

async fn create(call: Call<Json<CreateEnvironment>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let keeper = Arc::clone(&app.environment_keeper);
    let made = call.run(|caller, origin| async move { keeper.create(body, &caller, &origin).await }).await?;
    Ok(HttpResponse::Created().json(details(&app, made)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<EnvironmentName>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let (store, known) = (Arc::clone(&app.store), call.caller().known_environments());
    let read = async move { store.environment_page(&known, asked.after, asked.limit.rows()).await };
    let rows = call.give_out(Act::EnvironmentList, read).await?;
    let next = next_after(rows.len(), asked.limit, || rows.last().map(|row| row.name.to_string()));
    let environments = rows.into_iter().map(|row| details(&app, row)).collect();
    Ok(HttpResponse::Ok().json(EnvironmentList { environments, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let name = name_of(&call)?;
    let keeper = Arc::clone(&app.environment_keeper);
    let found = call.run(|caller, origin| async move { keeper.describe(&name, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(details(&app, found)))
}

async fn update(call: Call<Json<ChangeEnvironment>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let name = name_of(&call)?;
    let keeper = Arc::clone(&app.environment_keeper);
    let changed = call.run(|caller, origin| async move { keeper.change(name, body, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(details(&app, changed)))
}

async fn freeze(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    turn(call, app, Switch::Freeze).await
}

async fn unfreeze(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    turn(call, app, Switch::Unfreeze).await
}

async fn enable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    turn(call, app, Switch::Enable).await
}

async fn turn(call: Call, app: web::Data<App>, switch: Switch) -> Result<HttpResponse, Refusal> {
    let name = name_of(&call)?;
    let keeper = Arc::clone(&app.environment_keeper);
    let changed = call.run(|caller, origin| async move { keeper.switch(name, switch, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(details(&app, changed)))
}

async fn disable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let name = name_of(&call)?;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let done = app.environment_keeper.disable(&name, &app.revocations, &caller).await?;
            // A revocation never waits for the audit log, and a line never tells of one that did not happen.
            app.gate.audit.note(Outcome::EnvironmentDisable(name), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

/// The name in the path. A text that is no name is answered like an unknown one.
fn name_of(call: &Call) -> Result<EnvironmentName, Refusal> {
    call.id("name", ErrorCode::EnvironmentNotFound)
}

fn details(app: &App, environment: Environment) -> EnvironmentDetails {
    let known = app.registry.known().state.environment_rules(environment.id).copied();
    let rules = known.unwrap_or(EnvironmentRules::new(environment.id));
    let root_key_epoch = app.keys.now().roots.newest(environment.id).map(|(epoch, _)| epoch);
    EnvironmentDetails {
        environment_id: environment.id,
        name: environment.name,
        display_name: environment.display_name,
        ordinal: environment.ordinal,
        max_token_life_seconds: environment.max_token_life_seconds,
        require_mfa: rules.require_mfa,
        deletion_days: rules.deletion_days(),
        destroy_needs_approval: rules.destroy_needs_approval,
        expired_versions: rules.expired_versions,
        min_password_strength: rules.min_password_strength,
        frozen_at: environment.frozen_at,
        disabled_at: environment.disabled_at,
        created_at: environment.created_at,
        root_key_epoch,
    }
}
