//! Revoking by what tokens have in common, and what became of it.

use std::sync::Arc;

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use manager_api::wire::{EventSummary, RevocationAnswer, RevocationList, RevocationStatus, Revoke};
use manager_policy::{ManageIdentities, Permit, Scope, Share};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Parameter, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::MAX_VERSION;

use super::{LIMIT, SMALL_LIMIT};
use crate::access::{Caller, View};
use crate::app::App;
use crate::audit_event::{Act, Outcome, action};
use crate::http::{Call, Page};
use crate::revocation::Sequences;
use manager_store::Decision;

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::REVOCATION_CREATE,
        "/api/revocations",
        "Revokes tokens by what they have in common, or disables a credential.",
    )
    .body::<Revoke>(SMALL_LIMIT)
    .answers(REVOKED)
    .problems(&[
        ErrorCode::ParameterInvalid,
        ErrorCode::NameInvalid,
        ErrorCode::SecretNotFound,
        ErrorCode::SubjectNotFound,
        ErrorCode::CredentialNotFound,
        ErrorCode::LastAdministrator,
        ErrorCode::OutcomeUnknown,
    ])
    .needs(Access::Credential, || call(revoke)),
    Route::get(
        action::REVOCATION_LIST,
        "/api/revocations",
        "Lists revocations and destructions, and how far the vault is.",
    )
    .parameters(&[Parameter::integer("after", "Only events above this number; 0 by default.", 0, MAX_VERSION), LIMIT])
    .answers(&[Answer::json::<RevocationList>(200, "A page.")])
    .problems(&[ErrorCode::AuditUnavailable])
    .needs(Access::Credential, || call(list)),
];

/// What a route answers that revokes.
pub(super) const REVOKED: &[Answer] = &[
    Answer::json::<RevocationAnswer>(200, "The vault has signed that it is revoked."),
    Answer::json::<RevocationAnswer>(202, "It is recorded and will reach the vault."),
];

async fn revoke(call: Call<Json<Revoke>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let app = app.into_inner();
    let done = call
        .run(|caller, origin| async move {
            let (done, outcome) = match body {
                Revoke::DisableCredential { client_id } => {
                    let done = app.revocations.disable_credential(&caller, client_id, manages_all).await?;
                    (done, Outcome::CredentialDisable(client_id))
                }
                Revoke::Token { .. }
                | Revoke::Subject { .. }
                | Revoke::Credential { .. }
                | Revoke::Secret { .. }
                | Revoke::Version { .. }
                | Revoke::SigningKey { .. }
                | Revoke::All {} => {
                    let (decision, outcome) = decision_of(&app, &caller, body).await?;
                    (app.revocations.record(vec![decision]).await?, outcome)
                }
            };
            // A revocation never waits for the audit log, and a line never tells of one that did not happen.
            app.gate.audit.note(outcome, &origin);
            Ok(done)
        })
        .await?;
    Ok(answer(&done))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    limit: Page,
    #[serde(default)]
    after: u64,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let (store, permit) = (Arc::clone(&app.store), call.permit(&Scope::Installation)?);
    let read = async move { store.revocations(&permit, asked.after, asked.limit.rows()).await };
    let page = call.give_out(Act::RevocationList, read).await?;
    Ok(HttpResponse::Ok().json(RevocationList {
        newest: page.newest,
        applied: app.vault_view.view().applied,
        unnumbered: page.deferred,
        events: page
            .events
            .into_iter()
            .map(|event| EventSummary {
                sequence: event.sequence,
                kind: event.event.kind().to_owned(),
                issued_at: event.issued_at,
            })
            .collect(),
    }))
}

/// The answer to a revocation.
pub(super) fn answer(done: &Sequences) -> HttpResponse {
    let (mut response, status) = status_of(done);
    response.json(RevocationAnswer { status, sequence: done.numbers.first().copied() })
}

fn manages_all(caller: &Caller, _: &View) -> Result<(), Refusal> {
    caller.permit::<ManageIdentities>(&Scope::Installation).map(drop)
}

fn status_of(done: &Sequences) -> (HttpResponseBuilder, RevocationStatus) {
    if done.applied {
        (HttpResponse::Ok(), RevocationStatus::Revoked)
    } else {
        (HttpResponse::Accepted(), RevocationStatus::Pending)
    }
}

/// The decision that a request asks for, and the event of its line.
async fn decision_of(app: &App, caller: &Caller, asked: Revoke) -> Result<(Decision, Outcome), Refusal> {
    let share = |scope: &Scope| caller.permit::<Share>(scope);
    let (permit, event, outcome) = match asked {
        Revoke::DisableCredential { .. } => return Err(Refusal::internal("it is not about tokens alone")),
        Revoke::SigningKey { kid } => {
            let decision = Decision::revoke_signing_key(&caller.permit(&Scope::Installation)?, kid)?;
            return Ok((decision, Outcome::SigningKeyRevoke(kid)));
        }
        Revoke::Token { jti } => (share(&Scope::Installation)?, Event::Token(jti), Outcome::TokenRevoke(jti)),
        // Tokens name an id and not the label: without one there is nothing to revoke, and that must be told.
        Revoke::Subject { user_id } => {
            let permit = share(&Scope::Installation)?;
            let subject = app.store.subject_of(&permit, user_id).await?;
            let subject = subject.ok_or_else(|| Refusal::new(ErrorCode::SubjectNotFound))?;
            (permit, Event::Subject(subject), Outcome::SubjectRevoke(subject))
        }
        // A restored manager may not know it, and its tokens may live all the same.
        Revoke::Credential { client_id } => {
            (share(&Scope::Installation)?, Event::Credential(client_id), Outcome::CredentialRevoke(client_id))
        }
        Revoke::Secret { key_id } => {
            let permit: Permit<Share> = caller.permit_on_id(app.store.as_ref(), key_id).await?;
            let known = app.store.secret(&permit.to_look(), key_id).await?;
            known.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
            (permit, Event::Secret(key_id), Outcome::SecretRevoke(key_id))
        }
        Revoke::Version { key_id, version } => {
            let permit: Permit<Share> = caller.permit_on_id(app.store.as_ref(), key_id).await?;
            let row = app.store.version(&permit.to_look(), key_id, version).await?;
            let envelope = row.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?.envelope;
            (permit, Event::Version(key_id, envelope), Outcome::VersionRevoke(key_id, envelope))
        }
        Revoke::All {} => (share(&Scope::Installation)?, Event::All, Outcome::AllRevoke),
    };
    Ok((Decision::revoke_tokens(&permit, event)?, outcome))
}
