//! Logins, sessions, and the caller's own account.

use actix_web::{HttpResponse, web};
use manager_api::sessions::{
    ChangePassword, ConfirmTotp, CreateSession, Me, NewSession, OfferedTotp, Reauthenticate, RecoveryCodes,
    SessionDetails, SessionList,
};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, PersonId};

use super::SMALL_LIMIT;
use super::people::VISIT_LIMIT;
use super::revocations::{REVOKED, answer};
use crate::app::App;
use crate::audit_event::{Outcome, RegistryOutcome, action};
use crate::http::{Call, Visit};

const LOGIN_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::NameInvalid,
    ErrorCode::LoginFailed,
    ErrorCode::NotPermitted,
    ErrorCode::RateLimited,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
    ErrorCode::StorageUnavailable,
];
const OWN_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::LoginFailed,
    ErrorCode::LoginRequired,
    ErrorCode::MfaRequired,
    ErrorCode::NotPermitted,
    ErrorCode::RateLimited,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::SESSION_REAUTHENTICATE,
        "/api/sessions:reauthenticate",
        "Repeats the login of the caller's session, for acts that need a recent one.",
    )
    .body::<Reauthenticate>(VISIT_LIMIT)
    .answers(&[Answer::json::<SessionDetails>(200, "The session, with a recent login.")])
    .problems(LOGIN_PROBLEMS)
    .needs(Access::Credential, || call(reauthenticate)),
    Route::post(action::SESSION_CREATE, "/api/sessions", "Logs a person in.")
        .body::<CreateSession>(VISIT_LIMIT)
        .answers(&[Answer::json::<NewSession>(201, "The session, with its code.")])
        .problems(LOGIN_PROBLEMS)
        .public(|| web::to(login)),
    Route::get(action::SESSION_LIST, "/api/sessions", "Lists the caller's sessions, or those of a person.")
        .parameters(&[Parameter::query::<PersonId>("person", "The person; the caller by default.")])
        .answers(&[Answer::json::<SessionList>(200, "The sessions.")])
        .problems(&[
            ErrorCode::NotPermitted,
            ErrorCode::MfaRequired,
            ErrorCode::PersonNotFound,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(list)),
    Route::delete(action::SESSION_END, "/api/sessions/{session_id}", "Ends a session, and revokes its tokens.")
        .parameters(&[Parameter::path::<CredentialId>("session_id", "The session.")])
        .answers(REVOKED)
        .problems(&[
            ErrorCode::NotPermitted,
            ErrorCode::LoginRequired,
            ErrorCode::MfaRequired,
            ErrorCode::CredentialNotFound,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
        ])
        .needs(Access::Credential, || call(end)),
    Route::get(action::ME_SHOW, "/api/me", "Tells the caller who he is, and what he came with.")
        .answers(&[Answer::json::<Me>(200, "The caller.")])
        .problems(&[ErrorCode::NotPermitted, ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(me)),
    Route::post(
        action::PASSWORD_CHANGE,
        "/api/me/password",
        "Changes the caller's password, and ends all other sessions with their tokens.",
    )
    .body::<ChangePassword>(VISIT_LIMIT)
    .answers(REVOKED)
    .problems(OWN_PROBLEMS)
    .needs(Access::Credential, || call(change_password)),
    Route::post(
        action::TOTP_CONFIRM,
        "/api/me/totp:confirm",
        "Takes the offered authenticator into use, with new recovery codes.",
    )
    .body::<ConfirmTotp>(SMALL_LIMIT)
    .answers(&[Answer::json::<RecoveryCodes>(200, "It is in use.")])
    .problems(OWN_PROBLEMS)
    .needs(Access::Credential, || call(confirm_totp)),
    Route::post(action::TOTP_OFFER, "/api/me/totp", "Offers the caller an authenticator, which a code confirms.")
        .answers(&[Answer::json::<OfferedTotp>(200, "What the authenticator reads.")])
        .problems(OWN_PROBLEMS)
        .needs(Access::Credential, || call(offer_totp)),
    Route::delete(
        action::TOTP_REMOVE,
        "/api/me/totp",
        "Gives up the caller's authenticator, and ends all other sessions.",
    )
    .answers(REVOKED)
    .problems(OWN_PROBLEMS)
    .needs(Access::Credential, || call(remove_totp)),
    Route::post(action::RECOVERY_CODES_CREATE, "/api/me/recovery-codes", "Replaces the caller's recovery codes.")
        .answers(&[Answer::json::<RecoveryCodes>(200, "The new ones.")])
        .problems(OWN_PROBLEMS)
        .needs(Access::Credential, || call(renew_recovery_codes)),
];

async fn login(visit: Visit<CreateSession>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let people = app.people.clone();
    let session = visit.run(|body, address, origin| async move { people.login(body, address, &origin).await }).await?;
    Ok(HttpResponse::Created().json(session))
}

async fn reauthenticate(call: Call<Json<Reauthenticate>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (people, address) = (app.people.clone(), call.address());
    let session =
        call.run(|caller, origin| async move { people.reauthenticate(body, address, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(session))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    person: Option<PersonId>,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Asked { person } = call.query()?;
    let people = app.people.clone();
    let sessions =
        call.run(|caller, origin| async move { people.list_sessions(person, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(SessionList { sessions }))
}

async fn end(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id: CredentialId = call.id("session_id", ErrorCode::CredentialNotFound)?;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let done = app.people.end_session(id, &caller).await?;
            // A revocation never waits for the audit log, and a line never tells of one that did not happen.
            app.gate.audit.note(Outcome::Registry(RegistryOutcome::SessionEnd, id.to_string()), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

async fn me(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let people = app.people.clone();
    let me = call.run(|caller, origin| async move { people.me(&caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(Me { vault_url: Some(app.public_vault_url.clone()), ..me }))
}

async fn change_password(call: Call<Json<ChangePassword>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (people, address) = (app.people.clone(), call.address());
    let done =
        call.run(|caller, origin| async move { people.change_password(body, address, &caller, &origin).await }).await?;
    Ok(answer(&done))
}

async fn offer_totp(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let people = app.people.clone();
    let offered = call.run(|caller, origin| async move { people.offer_totp(&caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(offered))
}

async fn confirm_totp(call: Call<Json<ConfirmTotp>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let people = app.people.clone();
    let codes = call.run(|caller, origin| async move { people.confirm_totp(body, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(codes))
}

async fn remove_totp(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let done = app.people.remove_totp(&caller).await?;
            let person = caller.subject().map(|subject| subject.to_string()).unwrap_or_default();
            app.gate.audit.note(Outcome::Registry(RegistryOutcome::TotpRemove, person), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

async fn renew_recovery_codes(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let people = app.people.clone();
    let codes = call.run(|caller, origin| async move { people.renew_recovery_codes(&caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(codes))
}
