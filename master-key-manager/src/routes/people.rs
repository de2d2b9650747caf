//! People, and enrolment codes for people and services.

use actix_web::{HttpResponse, web};
use manager_api::id::EnrolmentId;
use manager_api::people::{
    ChangePerson, CreateEnrolment, CreatePerson, EnrolmentList, NewEnrolment, PersonDetails, PersonList,
    RedeemEnrolment, RedeemedEnrolment,
};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::PersonId;

use super::revocations::{REVOKED, answer};
use super::secrets::IDEMPOTENCY_KEY;
use super::{LIMIT, SMALL_LIMIT, after, next_after};
use crate::app::App;
use crate::audit_event::{Outcome, RegistryOutcome, action};
use crate::http::{Call, Page, Visit};

const PERSON: &[Parameter] = &[Parameter::path::<PersonId>("person_id", "The person.")];
const CHANGED: &[Answer] = &[Answer::json::<PersonDetails>(200, "The person, as it is now.")];
const CHANGE_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::NotPermitted,
    ErrorCode::LoginRequired,
    ErrorCode::MfaRequired,
    ErrorCode::PersonNotFound,
    ErrorCode::AlreadyExists,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];
const READ_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::NotPermitted,
    ErrorCode::MfaRequired,
    ErrorCode::PersonNotFound,
    ErrorCode::Unavailable,
    ErrorCode::AuditUnavailable,
];
const END_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::NotPermitted,
    ErrorCode::LoginRequired,
    ErrorCode::MfaRequired,
    ErrorCode::PersonNotFound,
    ErrorCode::EnrolmentNotFound,
    ErrorCode::LastAdministrator,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
];

// The verbs stand before the bare ids, whose patterns fit them too.
pub(super) const ROUTES: &[Route] = &[
    Route::post(action::PERSON_CREATE, "/api/people", "Makes an account for a person.")
        .body::<CreatePerson>(SMALL_LIMIT)
        .parameters(&[IDEMPOTENCY_KEY])
        .answers(&[Answer::json::<PersonDetails>(201, "It is made.")])
        .problems(CHANGE_PROBLEMS)
        .needs(Access::Credential, || call(create)),
    Route::get(action::PERSON_LIST, "/api/people", "Lists people, ordered by id.")
        .parameters(&[after::<PersonId>(), LIMIT])
        .answers(&[Answer::json::<PersonList>(200, "A page.")])
        .problems(READ_PROBLEMS)
        .needs(Access::Credential, || call(list)),
    Route::post(action::PERSON_DISABLE, "/api/people/{person_id}:disable", "Ends an account, its sessions and tokens.")
        .parameters(PERSON)
        .answers(REVOKED)
        .problems(END_PROBLEMS)
        .needs(Access::Credential, || call(disable)),
    Route::post(action::PERSON_ENABLE, "/api/people/{person_id}:enable", "Lets a person log in again.")
        .parameters(PERSON)
        .answers(CHANGED)
        .problems(CHANGE_PROBLEMS)
        .needs(Access::Credential, || call(enable)),
    Route::post(
        action::PERSON_RESET,
        "/api/people/{person_id}:reset",
        "Takes password, authenticator and sessions from a person, and makes a code for a new first login.",
    )
    .parameters(&[Parameter::path::<PersonId>("person_id", "The person."), IDEMPOTENCY_KEY])
    .answers(&[Answer::json::<NewEnrolment>(201, "The code.")])
    .problems(CHANGE_PROBLEMS)
    .needs(Access::Credential, || call(reset)),
    Route::get(action::PERSON_SHOW, "/api/people/{person_id}", "Describes a person.")
        .parameters(PERSON)
        .answers(&[Answer::json::<PersonDetails>(200, "The person.")])
        .problems(READ_PROBLEMS)
        .needs(Access::Credential, || call(show)),
    Route::patch(action::PERSON_UPDATE, "/api/people/{person_id}", "Changes the names of a person.")
        .parameters(PERSON)
        .body::<ChangePerson>(SMALL_LIMIT)
        .answers(CHANGED)
        .problems(CHANGE_PROBLEMS)
        .needs(Access::Credential, || call(update)),
    Route::post(action::ENROLMENT_REDEEM, "/api/enrolments:redeem", "Redeems a code for a password or a credential.")
        .body::<RedeemEnrolment>(VISIT_LIMIT)
        .answers(&[Answer::json::<RedeemedEnrolment>(200, "It is redeemed.")])
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::EnrolmentInvalid,
            ErrorCode::AlreadyExists,
            ErrorCode::TooManyCredentials,
            ErrorCode::RateLimited,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
            ErrorCode::StorageUnavailable,
        ])
        .public(|| web::to(redeem)),
    Route::post(
        action::ENROLMENT_CREATE,
        "/api/enrolments",
        "Makes a code for the first login of a person, or for a credential of a service.",
    )
    .body::<CreateEnrolment>(SMALL_LIMIT)
    .parameters(&[IDEMPOTENCY_KEY])
    .answers(&[Answer::json::<NewEnrolment>(201, "The code.")])
    .problems(CHANGE_PROBLEMS)
    .needs(Access::Credential, || call(enrol)),
    Route::get(action::ENROLMENT_LIST, "/api/enrolments", "Lists the codes that were not redeemed, ordered by id.")
        .parameters(&[after::<EnrolmentId>(), LIMIT])
        .answers(&[Answer::json::<EnrolmentList>(200, "A page.")])
        .problems(READ_PROBLEMS)
        .needs(Access::Credential, || call(list_codes)),
    Route::delete(action::ENROLMENT_REMOVE, "/api/enrolments/{enrolment_id}", "Takes a code back.")
        .parameters(&[Parameter::path::<EnrolmentId>("enrolment_id", "The code.")])
        .answers(REVOKED)
        .problems(END_PROBLEMS)
        .needs(Access::Credential, || call(remove_code)),
];

/// A name, a password and codes.
pub(super) const VISIT_LIMIT: usize = 4 << 10;

async fn create(call: Call<Json<CreatePerson>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (people, key) = (app.people.clone(), call.idempotency_key()?);
    let made =
        call.run(|caller, origin| async move { people.create(body, key.as_ref(), &caller, &origin).await }).await?;
    Ok(HttpResponse::Created().json(made))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<PersonId>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let Asked { after, limit } = call.query()?;
    let people = app.people.clone();
    let page = (after, limit.rows());
    let people = call.run(|caller, origin| async move { people.list(page, &caller, &origin).await }).await?;
    let next = next_after(people.len(), limit, || people.last().map(|last| last.person_id.to_string()));
    Ok(HttpResponse::Ok().json(PersonList { people, next }))
}

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (id, people) = (person_of(&call)?, app.people.clone());
    let found = call.run(|caller, origin| async move { people.show(id, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(found))
}

async fn update(call: Call<Json<ChangePerson>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (id, people) = (person_of(&call)?, app.people.clone());
    let changed = call.run(|caller, origin| async move { people.update(id, body, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(changed))
}

async fn enable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (id, people) = (person_of(&call)?, app.people.clone());
    let changed = call.run(|caller, origin| async move { people.enable(id, &caller, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(changed))
}

async fn disable(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id = person_of(&call)?;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let done = app.people.disable(id, &caller).await?;
            app.gate.audit.note(Outcome::Registry(RegistryOutcome::PersonDisable, id.to_string()), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

async fn reset(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (id, people, key) = (person_of(&call)?, app.people.clone(), call.idempotency_key()?);
    let made = call.run(|caller, origin| async move { people.reset(id, key.as_ref(), &caller, &origin).await }).await?;
    Ok(HttpResponse::Created().json(made))
}

async fn enrol(call: Call<Json<CreateEnrolment>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let (people, key) = (app.people.clone(), call.idempotency_key()?);
    let made =
        call.run(|caller, origin| async move { people.enrol(body, key.as_ref(), &caller, &origin).await }).await?;
    Ok(HttpResponse::Created().json(made))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedCodes {
    after: Option<EnrolmentId>,
    #[serde(default)]
    limit: Page,
}

async fn list_codes(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let AskedCodes { after, limit } = call.query()?;
    let (people, page) = (app.people.clone(), (after, limit.rows()));
    let enrolments = call.run(|caller, origin| async move { people.list_codes(page, &caller, &origin).await }).await?;
    let next = next_after(enrolments.len(), limit, || enrolments.last().map(|last| last.enrolment_id.to_string()));
    Ok(HttpResponse::Ok().json(EnrolmentList { enrolments, next }))
}

async fn remove_code(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let id: EnrolmentId = call.id("enrolment_id", ErrorCode::EnrolmentNotFound)?;
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let done = app.people.remove_code(id, &caller).await?;
            app.gate.audit.note(Outcome::Registry(RegistryOutcome::EnrolmentRemove, id.to_string()), &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

async fn redeem(visit: Visit<RedeemEnrolment>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let people = app.people.clone();
    let redeemed =
        visit.run(|body, address, origin| async move { people.redeem(body, address, &origin).await }).await?;
    Ok(HttpResponse::Ok().json(redeemed))
}

fn person_of(call: &Call) -> Result<PersonId, Refusal> {
    call.id("person_id", ErrorCode::PersonNotFound)
}
