//! Many operations on secrets at once.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::bulk::{
    BulkAnswer, BulkChange, BulkChangeVersion, BulkDestroy, BulkDestroyVersions, BulkNamed, BulkOperation, BulkRequest,
    BulkResult, BulkRollback, BulkRotate, BulkWrite,
};
use manager_api::lines::ChangeAnswer;
use manager_api::name::IdempotencyKey;
use manager_api::wire::RevocationStatus;
use serde::Serialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Route, call};
use shared_proto::error::ErrorCode;

use super::rotation::parse_rotation;
use super::secrets::{IDEMPOTENCY_KEY, STORE_LIMIT};
use super::written::{parse_new, parse_next};
use super::{describe, rotation, versions};
use crate::app::App;
use crate::audit_event::action;
use crate::bulk::{Done, Step, Work};
use crate::catalogue::RollbackRequest;
use crate::http::Call;
use crate::idempotency::{BodyMark, Comparison, key_of_part};

pub(super) const ROUTES: &[Route] =
    &[Route::post(action::SECRET_BULK, "/api/secrets:bulk", "Carries up to 100 operations on secrets out.")
        .body::<BulkRequest>(STORE_LIMIT)
        .parameters(&[IDEMPOTENCY_KEY])
        .answers(&[Answer::json::<BulkAnswer>(200, "A result for each operation.")])
        .problems(PROBLEMS)
        .needs(Access::Credential, || call(bulk))];

/// The faults of a request with many operations; each operation has those of its own route.
const PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::Overloaded,
    ErrorCode::AuditUnavailable,
];

async fn bulk(call: Call<Json<BulkRequest>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let repeats = Repeats::of(&call, &app, &(action::SECRET_BULK, &body))?;
    let steps = body.operations.into_iter().enumerate();
    let steps: Vec<Step> = steps.map(|(number, operation)| step(operation, number, &app, &repeats)).collect();
    let bulk = Arc::clone(&app.bulk);
    let results = call.run(|caller, origin| async move { bulk.run(steps, caller, &origin).await }).await?;
    let done = results.iter().filter(|result| result.is_ok()).count() as u64;
    let refused = results.len() as u64 - done;
    let results = results.into_iter().map(|result| described(&app, result)).collect();
    Ok(HttpResponse::Ok().json(BulkAnswer { done, refused, results }))
}

/// The idempotency key of a request, from which those of its operations are made.
pub(super) struct Repeats(Option<IdempotencyKey>);

impl Repeats {
    /// The key of a call.
    ///
    /// # Errors
    /// It was used with another body.
    pub(super) fn of(call: &Call, app: &App, body: &impl Serialize) -> Result<Self, Refusal> {
        let Some(key) = call.idempotency_key()? else { return Ok(Self(None)) };
        let Some(subject) = call.caller().subject() else { return Ok(Self(None)) };
        // EXPOSE: values go into the HMAC, under a key that is in RAM only.
        let (bodies, mark) = (&app.secret_writer.bodies, mark(app, body)?);
        match bodies.compare(&subject, &key, &mark) {
            Comparison::Different => return call.recorded(Err(Refusal::new(ErrorCode::IdempotencyMismatch))),
            // What was done of it before a restart each operation finds by its own key.
            Comparison::Forgotten => bodies.remember(&subject, &key, mark),
            Comparison::Same => {}
        }
        Ok(Self(Some(key)))
    }

    /// The key and the mark of an operation.
    pub(super) fn part(
        &self,
        app: &App,
        number: usize,
        body: &impl Serialize,
    ) -> Result<Option<(IdempotencyKey, BodyMark)>, Refusal> {
        let Some(key) = &self.0 else { return Ok(None) };
        let key = key_of_part(key, number).ok_or_else(|| Refusal::internal("a part has no key"))?;
        // EXPOSE: the value goes into the HMAC, under a key that is in RAM only.
        Ok(Some((key, mark(app, body)?)))
    }
}

fn mark(app: &App, body: &impl Serialize) -> Result<BodyMark, Refusal> {
    let mark = app.secret_writer.bodies.mark(body);
    mark.map_err(|_| Refusal::internal("a body has no canonical form"))
}

/// An operation with the route that it stands for.
fn step(operation: BulkOperation, number: usize, app: &App, repeats: &Repeats) -> Step {
    let step = |route, work| Step { route, work };
    match operation {
        BulkOperation::Create(body) => {
            let work =
                repeats.part(app, number, &(action::SECRET_CREATE, &*body)).and_then(|repeat| parse_new(*body, repeat));
            step(action::SECRET_CREATE, work.map(|request| Work::Store(Box::new(request))))
        }
        BulkOperation::Write(write) => {
            let BulkWrite { key_id, body } = *write;
            let repeat = repeats.part(app, number, &(action::SECRET_UPDATE, key_id, &body));
            let work = repeat.and_then(|repeat| parse_next(key_id, body, repeat));
            step(action::SECRET_UPDATE, work.map(|request| Work::Store(Box::new(request))))
        }
        BulkOperation::Change(change) => {
            let BulkChange { key_id, body } = *change;
            step(action::SECRET_CHANGE, Ok(Work::Change(key_id, Box::new(body))))
        }
        BulkOperation::Rollback(BulkRollback { key_id, body }) => {
            let repeat = repeats.part(app, number, &(action::SECRET_ROLLBACK, key_id, &body));
            let work = repeat.map(|repeat| Work::Rollback(RollbackRequest::of(key_id, body, repeat)));
            step(action::SECRET_ROLLBACK, work)
        }
        BulkOperation::Rotate(rotate) => {
            let BulkRotate { key_id, body } = *rotate;
            let repeat = repeats.part(app, number, &(action::SECRET_ROTATE, key_id, &body));
            let work = repeat.and_then(|repeat| parse_rotation(key_id, body, repeat));
            step(action::SECRET_ROTATE, work.map(|request| Work::Rotate(Box::new(request))))
        }
        BulkOperation::ChangeVersion(BulkChangeVersion { key_id, version, body }) => {
            step(action::VERSION_UPDATE, Ok(Work::ChangeVersion((key_id, version), body)))
        }
        BulkOperation::Delete(BulkNamed { key_id, reason }) => {
            step(action::SECRET_DELETE, Ok(Work::Delete(key_id, reason)))
        }
        BulkOperation::Undelete(BulkNamed { key_id, reason }) => {
            step(action::SECRET_UNDELETE, Ok(Work::Undelete(key_id, reason)))
        }
        BulkOperation::Destroy(BulkDestroy { key_id, reason }) => {
            step(action::SECRET_ERASE, Ok(Work::Destroy(key_id, reason)))
        }
        BulkOperation::DestroyVersions(BulkDestroyVersions { key_id, body }) => {
            step(action::SECRET_DESTROY, Ok(Work::DestroyVersions(key_id, body.versions)))
        }
    }
}

/// The result of an operation, as its own route would have answered.
fn described(app: &App, result: Result<Done, Refusal>) -> BulkResult {
    let refused = |refusal: &Refusal| BulkResult {
        status: refusal.code().status(),
        error: Some(describe::operation_error(refusal)),
        ..BulkResult::default()
    };
    let ok = |is_applied: bool| BulkResult { status: if is_applied { 200 } else { 202 }, ..BulkResult::default() };
    let made = BulkResult { status: 201, ..BulkResult::default() };
    match result {
        Err(refusal) => refused(&refusal),
        Ok(Done::Stored(stored)) => {
            let written = BulkResult { status: if stored.is_unchanged { 200 } else { 201 }, ..BulkResult::default() };
            BulkResult { written: Some(Box::new(describe::written(*stored))), ..written }
        }
        Ok(Done::RolledBack(done)) => match describe::rolled_back(app, done) {
            Ok(answer) => BulkResult { rolled_back: Some(answer), ..made },
            Err(refusal) => refused(&refusal),
        },
        Ok(Done::Rotated(done)) => {
            let status = if done.revoked.applied { 201 } else { 202 };
            BulkResult { status, rotated: Some(rotation::answer(*done)), ..BulkResult::default() }
        }
        Ok(Done::ChangedVersion(done)) => {
            BulkResult { changed_version: Some(versions::after_change(done)), ..ok(true) }
        }
        Ok(Done::Changed(done)) => {
            let status = if done.applied { RevocationStatus::Revoked } else { RevocationStatus::Pending };
            let changed = ChangeAnswer { status, sequences: done.numbers };
            BulkResult { changed: Some(changed), ..ok(done.applied) }
        }
        Ok(Done::Deleted(secret, deletion, done)) => {
            let is_applied = done.applied;
            BulkResult { deleted: Some(describe::deleted(secret, deletion, done)), ..ok(is_applied) }
        }
        Ok(Done::Destroyed(secret, done)) => {
            let (is_done, answer) = describe::destroyed(secret, &done);
            BulkResult { destroyed: Some(answer), ..ok(is_done) }
        }
        Ok(Done::DestroyedVersions(done, kept)) => {
            let is_applied = done.applied;
            BulkResult { destroyed_versions: Some(describe::destroyed_versions(done, kept)), ..ok(is_applied) }
        }
        Ok(Done::Put(..) | Done::Kept | Done::Unchanged(_)) => {
            refused(&Refusal::internal("an operation of another route"))
        }
    }
}
