//! Comparing the catalogue with the vault.

use actix_web::{HttpResponse, web};
use manager_api::cursor::VersionCursor;
use manager_api::wire::{FoundVersion, Reconcile, ReconcileAnswer};
use manager_policy::{Operate, Permit, Scope};
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::Version;
use shared_proto::wire::vault::InventoryCursor;

use super::SMALL_LIMIT;
use crate::app::App;
use crate::audit_event::{Act, action};
use crate::catalogue::reconcile;
use crate::http::Call;

pub(super) const ROUTES: &[Route] = &[Route::post(
    action::CATALOGUE_RECONCILE,
    "/api/reconcile",
    "Finds, and adopts if asked, versions that the vault has and the catalogue lacks.",
)
.body::<Reconcile>(SMALL_LIMIT)
.answers(&[Answer::json::<ReconcileAnswer>(200, "What was found.")])
.problems(&[ErrorCode::Unavailable, ErrorCode::AuditUnavailable])
.needs(Access::Credential, || call(reconcile_catalogue))];

async fn reconcile_catalogue(call: Call<Json<Reconcile>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    let app = app.into_inner();
    let found = call
        .run(|caller, origin| async move {
            let _may: Permit<Operate> = caller.permit(&Scope::Installation)?;
            app.gate.audit.record(Act::CatalogueReconcile, &origin).await?;
            let from = body.after.map(|cursor| InventoryCursor {
                secret_id: cursor.key_id,
                version: cursor.version.unwrap_or(Version::LAST),
            });
            let how = (&caller, body.adopt, app.clock.now());
            reconcile(app.store.as_ref(), (&app.client, &app.keys, &app.revocations), from, how).await
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
