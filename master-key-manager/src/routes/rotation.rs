//! Rotating secrets, and what is due.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::cursor::SecretCursor;
use manager_api::name::IdempotencyKey;
use manager_api::rotation::{
    Calendar, DueDay, DueRotation, DueRotations, MAX_CALENDAR_DAYS, Promote, Repair, Rotate, RotationAnswer,
    RotationStep,
};
use manager_api::secrets::MAX_ROTATION_DAYS;
use manager_store::{DescribedSecret, DuePlace, DueSecret, IfVersion};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::secrets::{IDEMPOTENCY_KEY, STORE_LIMIT, WRITE_PROBLEMS, idempotency_of};
use super::written::value;
use super::{LIMIT, SMALL_LIMIT, after, describe, environment_name};
use crate::access::DUE;
use crate::app::App;
use crate::audit_event::{Act, action};
use crate::catalogue::{RotateRequest, Rotated};
use crate::http::{Call, Page};
use crate::idempotency::BodyMark;

const KEY_ID: Parameter = Parameter::path::<SecretId>("key_id", "The secret.");
const STEPPED: &[Answer] = &[
    Answer::json::<RotationAnswer>(200, "The step is made."),
    Answer::json::<RotationAnswer>(202, "The step is made, and its revocation will reach the vault."),
];
/// The faults of a step after the first.
const STEP_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::SecretNotFound,
    ErrorCode::SecretDeleted,
    ErrorCode::RotationConflict,
    ErrorCode::VersionConflict,
    ErrorCode::EnvironmentFrozen,
    ErrorCode::EnvironmentDisabled,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::SECRET_ROTATE,
        "/api/secrets/{key_id}:rotate",
        "Writes the next value of a secret as a rotation.",
    )
    .body::<Rotate>(STORE_LIMIT)
    .parameters(&[KEY_ID, IDEMPOTENCY_KEY])
    .answers(&[
        Answer::json::<RotationAnswer>(201, "The version is stored."),
        Answer::json::<RotationAnswer>(202, "The version is stored, and its revocation will reach the vault."),
    ])
    .problems(WRITE_PROBLEMS)
    .needs(Access::Credential, || call(rotate)),
    Route::post(
        action::SECRET_VERIFY,
        "/api/secrets/{key_id}:verify",
        "Records that the pending version of a secret works.",
    )
    .body::<RotationStep>(SMALL_LIMIT)
    .parameters(&[KEY_ID])
    .answers(STEPPED)
    .problems(STEP_PROBLEMS)
    .needs(Access::Credential, || call(verify)),
    Route::post(
        action::SECRET_PROMOTE,
        "/api/secrets/{key_id}:promote",
        "Makes the pending version of a secret current, and the former one previous.",
    )
    .body::<Promote>(SMALL_LIMIT)
    .parameters(&[KEY_ID])
    .answers(STEPPED)
    .problems(STEP_PROBLEMS)
    .needs(Access::Credential, || call(promote)),
    Route::post(
        action::SECRET_FINISH,
        "/api/secrets/{key_id}:finish",
        "Ends the time in which the former value of a secret counts beside the new one.",
    )
    .body::<RotationStep>(SMALL_LIMIT)
    .parameters(&[KEY_ID])
    .answers(STEPPED)
    .problems(STEP_PROBLEMS)
    .needs(Access::Credential, || call(finish)),
    Route::post(
        action::SECRET_REPAIR,
        "/api/secrets/{key_id}:repair",
        "Finishes what a crash left of a rotation, or takes it back.",
    )
    .body::<Repair>(SMALL_LIMIT)
    .parameters(&[KEY_ID])
    .answers(STEPPED)
    .problems(STEP_PROBLEMS)
    .needs(Access::Credential, || call(repair)),
    Route::get(
        action::ROTATION_CALENDAR,
        "/api/rotations:calendar",
        "Counts the secrets that are due for their next rotation, day by day.",
    )
    .parameters(&[
        Parameter::integer("from", "The first second (Unix); now by default.", 0, 9_007_199_254_740_991),
        Parameter::integer("to", "The second after the last one; 90 days later by default.", 0, 9_007_199_254_740_991),
    ])
    .answers(&[Answer::json::<Calendar>(200, "The days.")])
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::RateLimited,
        ErrorCode::Unavailable,
        ErrorCode::AuditUnavailable,
    ])
    .needs(Access::Credential, || call(calendar)),
    Route::get(
        action::ROTATION_LIST,
        "/api/rotations",
        "Lists secrets that are due for their next rotation, the first ones first.",
    )
    .parameters(&[
        Parameter::integer("due_within", "Days from now; 30 by default.", 0, 3_650),
        after::<SecretCursor>(),
        LIMIT,
    ])
    .answers(&[Answer::json::<DueRotations>(200, "A page.")])
    .problems(&[ErrorCode::ParameterInvalid, ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(list)),
];

async fn rotate(call: Call<Json<Rotate>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let idempotency = idempotency_of(&call, &app, &(action::SECRET_ROTATE, secret, &body))?;
    let request = call.recorded(parse_rotation(secret, body, idempotency))?;
    let rotator = Arc::clone(&app.secret_rotator);
    let done = call.run(|caller, origin| async move { rotator.rotate(request, caller, &origin).await }).await?;
    let mut response = if done.revoked.applied { HttpResponse::Created() } else { HttpResponse::Accepted() };
    Ok(response.json(answer(done)))
}

/// A request of `POST /api/secrets/{key_id}:rotate`.
pub(super) fn parse_rotation(
    secret: SecretId,
    body: Rotate,
    idempotency: Option<(IdempotencyKey, BodyMark)>,
) -> Result<RotateRequest, Refusal> {
    let if_version = match body.if_version {
        None => None,
        Some(number) => Some(IfVersion::of(number).ok_or_else(|| Refusal::parameter("if_version is too large."))?),
    };
    Ok(RotateRequest {
        secret,
        value: body.value.map(|text| value(body.encoding, text)).transpose()?,
        generate: body.generate,
        field: body.field,
        activate: body.activate,
        emergency: body.emergency,
        grace_seconds: body.grace_seconds,
        if_version,
        note: body.note,
        idempotency,
    })
}

async fn verify(call: Call<Json<RotationStep>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let rotator = Arc::clone(&app.secret_rotator);
    let about = (secret, body.version);
    Ok(stepped(call.run(|caller, origin| async move { rotator.verify(about, caller, &origin).await }).await?))
}

async fn promote(call: Call<Json<Promote>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let rotator = Arc::clone(&app.secret_rotator);
    let (about, how) = ((secret, body.version), (body.unverified, body.grace_seconds));
    Ok(stepped(call.run(|caller, origin| async move { rotator.promote(about, how, caller, &origin).await }).await?))
}

async fn finish(call: Call<Json<RotationStep>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let rotator = Arc::clone(&app.secret_rotator);
    let about = (secret, body.version);
    Ok(stepped(call.run(|caller, origin| async move { rotator.finish(about, caller, &origin).await }).await?))
}

async fn repair(call: Call<Json<Repair>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let secret: SecretId = call.id("key_id", ErrorCode::SecretNotFound)?;
    let rotator = Arc::clone(&app.secret_rotator);
    let about = (secret, body.abandon);
    Ok(stepped(call.run(|caller, origin| async move { rotator.repair(about, caller, &origin).await }).await?))
}

fn stepped(done: Rotated) -> HttpResponse {
    let mut response = if done.revoked.applied { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    response.json(answer(done))
}

/// The outcome of a step.
pub(super) fn answer(done: Rotated) -> RotationAnswer {
    let Rotated { version, found, revoked, public, strength } = done;
    let DescribedSecret { state, details, rotation } = found;
    let plan = details.and_then(|details| details.rotation);
    RotationAnswer {
        key_id: state.secret,
        version,
        stages: describe::staged(state.stages),
        rotation: describe::shown(rotation, state.stages, plan),
        sequences: revoked.numbers,
        public: public.map(describe::generated),
        strength: strength.map(describe::strength),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    due_within: Option<u64>,
    after: Option<SecretCursor>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let days = asked.due_within.unwrap_or(DUE_DAYS);
    let checked = if days <= u64::from(MAX_ROTATION_DAYS) { Ok(days) } else { Err(Refusal::parameter(TOO_MANY_DAYS)) };
    let before = app.clock.now().saturating_add(call.recorded(checked)? * DAY).saturating_add(1);
    let (caller, cursors) = (call.caller().clone(), app.keys.now().credentials.cursors());
    let after = call.recorded(asked.after.map(|cursor| cursors.open_number(DUE, &caller, &cursor)).transpose())?;
    let after = after.map(|(due_at, secret)| DuePlace { due_at, secret });
    let (store, visible) = (Arc::clone(&app.store), caller.visible());
    let read = async move { store.due_rotations(&visible, (0, before), after, asked.limit.rows()).await };
    let page = call.give_out(Act::RotationList, read).await?;
    let seal = |place: DuePlace| cursors.seal_number(DUE, &caller, (place.due_at, place.secret));
    let next = page.next.map(seal).transpose()?.map(|cursor| cursor.as_str().to_owned());
    let rotations = page.secrets.into_iter().map(|secret| due(&app, secret)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(DueRotations { rotations, next }))
}

fn due(app: &App, found: DueSecret) -> Result<DueRotation, Refusal> {
    let DueSecret { secret, environment, path, version, due_at } = found;
    Ok(DueRotation { key_id: secret, environment: environment_name(app, environment)?, path, version, due_at })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Days {
    from: Option<u64>,
    to: Option<u64>,
}

async fn calendar(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Days = call.query()?;
    let from = asked.from.unwrap_or_else(|| app.clock.now());
    let to = asked.to.unwrap_or_else(|| from.saturating_add(CALENDAR_DAYS * DAY));
    let is_range = from < to && to - from <= MAX_CALENDAR_DAYS * DAY;
    call.recorded(if is_range { Ok(()) } else { Err(Refusal::parameter("A calendar has 1 to 366 days.")) })?;
    let (store, visible) = (Arc::clone(&app.store), call.caller().visible());
    let audit = app.gate.audit.clone();
    let read = |_caller, origin: Origin| async move {
        let (mut days, mut after, mut pages): (BTreeMap<u64, u64>, Option<DuePlace>, usize) =
            (BTreeMap::new(), None, 0);
        loop {
            let page = store.due_rotations(&visible, (from, to), after, CALENDAR_ROWS).await?;
            for secret in page.secrets {
                *days.entry(secret.due_at - secret.due_at % DAY).or_default() += 1;
            }
            (after, pages) = (page.next, pages + 1);
            if after.is_none() || pages == CALENDAR_PAGES {
                audit.record(Act::RotationCalendar, &origin).await?;
                return Ok((days, after.is_some()));
            }
        }
    };
    let (days, incomplete) = call.run_in_turn(read).await?;
    let days = days.into_iter().map(|(day, count)| DueDay { day, count }).collect();
    Ok(HttpResponse::Ok().json(Calendar { days, incomplete }))
}

const DAY: u64 = 24 * 60 * 60;
/// Days of the list that names none.
const DUE_DAYS: u64 = 30;
/// Days of the calendar that names none.
const CALENDAR_DAYS: u64 = 90;
/// Secrets that one page of the calendar counts.
const CALENDAR_ROWS: usize = 1_024;
/// Pages of a calendar: each takes a few milliseconds.
const CALENDAR_PAGES: usize = 32;
const TOO_MANY_DAYS: &str = "due_within is at most 3650 days.";
