//! Revoking by what tokens have in common, and what an administrator looks at afterwards.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use manager_api::cursor::VersionCursor;
use manager_api::wire::{
    EventSummary, FoundVersion, Reconcile, ReconcileAnswer, RevocationAnswer, RevocationList, RevocationStatus, Revoke,
};
use serde::Deserialize;
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::Version;
use shared_proto::wire::vault::InventoryCursor;

use crate::app::App;
use crate::audit_event::{Act, Outcome, action};
use crate::catalogue::reconcile;
use crate::http::{Authed, Json, NoBody, Page, give_out, perform, query};
use crate::revocation::Sequences;
use crate::store::{Actor, Decision};

pub(super) async fn revoke(authed: Authed<Json<Revoke>>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, body: Json(body), app } = authed;
    let (worker, at) = (Arc::clone(&app), meta.clone());
    let done = perform(&app, action::REVOCATION_CREATE, meta, async move {
        let (decision, outcome) = decision_of(&worker, caller.actor(), body).await?;
        let done = worker.revocations.record(caller.actor(), vec![decision]).await?;
        // A revocation never waits for the audit log, and a line never tells of one that did not happen.
        worker.audit.note(outcome, &at);
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

pub(super) async fn list(req: HttpRequest, authed: Authed<NoBody>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, app, .. } = authed;
    let asked: Asked = query(&req)?;
    let (store, actor) = (Arc::clone(&app.store), caller.actor());
    let read = async move { store.revocations(actor, asked.after, asked.limit.rows()).await };
    let page = give_out(&app, Act::RevocationList, meta, read).await?;
    Ok(HttpResponse::Ok().json(RevocationList {
        newest: page.newest,
        applied: app.link.view().applied,
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

pub(super) async fn reconcile_catalogue(authed: Authed<Json<Reconcile>>) -> Result<HttpResponse, Refusal> {
    let Authed { caller, meta, body: Json(body), app } = authed;
    let (worker, at) = (Arc::clone(&app), meta.clone());
    let found = perform(&app, action::CATALOGUE_RECONCILE, meta, async move {
        worker.audit.record(Act::CatalogueReconcile, &at).await?;
        let from = body.after.map(|cursor| InventoryCursor {
            secret_id: cursor.key_id,
            version: cursor.version.unwrap_or(Version::LAST),
        });
        let how = (caller.actor(), body.adopt, worker.clock.now());
        reconcile(worker.store.as_ref(), &worker.client, &worker.keys, from, how).await
    })
    .await?;
    let missing = found.missing.iter().map(|facts| FoundVersion {
        environment_id: facts.environment,
        key_id: facts.secret,
        version: facts.version,
    });
    let next = found.next.map(|cursor| VersionCursor { key_id: cursor.secret_id, version: Some(cursor.version) });
    Ok(HttpResponse::Ok().json(ReconcileAnswer { found: missing.collect(), adopted: found.adopted, next }))
}

/// The answer to a revocation.
pub(super) fn answer(done: &Sequences) -> HttpResponse {
    let (mut response, status) = status_of(done);
    response.json(RevocationAnswer { status, sequence: done.numbers.first().copied() })
}

pub(super) fn status_of(done: &Sequences) -> (HttpResponseBuilder, RevocationStatus) {
    if done.applied {
        (HttpResponse::Ok(), RevocationStatus::Revoked)
    } else {
        (HttpResponse::Accepted(), RevocationStatus::Pending)
    }
}

/// The decision that a request asks for, and the event of its line.
async fn decision_of(app: &App, actor: Actor, asked: Revoke) -> Result<(Decision, Outcome), Refusal> {
    let (event, outcome) = match asked {
        Revoke::DisableCredential { client_id } => {
            return Ok((Decision::DisableCredential(client_id), Outcome::CredentialDisable(client_id)));
        }
        Revoke::Token { jti } => (Event::Token(jti), Outcome::TokenRevoke(jti)),
        // Tokens name an id and not the label: without one there is nothing to revoke, and that must be told.
        Revoke::Subject { user_id } => {
            let subject =
                app.store.subject_of(actor, user_id).await?.ok_or_else(|| Refusal::new(ErrorCode::SubjectNotFound))?;
            (Event::Subject(subject), Outcome::SubjectRevoke(subject))
        }
        // A restored manager may not know it, and its tokens may live all the same.
        Revoke::Credential { client_id } => (Event::Credential(client_id), Outcome::CredentialRevoke(client_id)),
        Revoke::Secret { key_id } => {
            app.store.secret(actor, key_id).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
            (Event::Secret(key_id), Outcome::SecretRevoke(key_id))
        }
        Revoke::Version { key_id, version } => {
            app.store.version(actor, key_id, version).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
            (Event::Version(key_id, version), Outcome::VersionRevoke(key_id, version))
        }
        Revoke::SigningKey { kid } => (Event::SigningKey(kid), Outcome::SigningKeyRevoke(kid)),
        Revoke::All {} => (Event::All, Outcome::AllRevoke),
    };
    Ok((Decision::Event(event), outcome))
}
