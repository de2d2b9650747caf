//! Reading the audit log.

use actix_web::{HttpResponse, web};
use manager_api::audit::AuditList;
use manager_api::cursor::AuditCursor;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Route, call};
use shared_proto::error::ErrorCode;

use super::{LIMIT, after};
use crate::app::App;
use crate::audit_event::{Act, action};
use crate::audit_reader::{AuditReader, page};
use crate::http::{Call, Page};

pub(super) const ROUTES: &[Route] = &[Route::get(
    action::AUDIT_LIST,
    "/api/audit",
    "Lists audit lines, the newest first: all, or the caller's own and those about what he audits.",
)
.parameters(&[after::<AuditCursor>(), LIMIT])
.answers(&[Answer::json::<AuditList>(200, "A page.")])
.problems(&[ErrorCode::AuditUnavailable])
.needs(Access::Credential, || call(list))];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<AuditCursor>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let (caller, cursors) = (call.caller().clone(), app.keys.now().credentials.cursors());
    let before = call.recorded(asked.after.map(|cursor| cursors.open_place(&caller, &cursor)).transpose())?;
    let parts = app.into_inner();
    let found = call
        .run(|caller, origin| async move {
            let App { store, registry, environments, gate, .. } = &*parts;
            let reader = AuditReader { log: &gate.audit, registry, store: store.as_ref(), environments };
            let found = page(reader, &caller, before, asked.limit.rows()).await?;
            gate.audit.record(Act::AuditList, &origin).await?;
            Ok(found)
        })
        .await?;
    let next = found.next.map(|place| cursors.seal_place(&caller, place)).transpose()?;
    let next = next.map(|cursor| cursor.as_str().to_owned());
    Ok(HttpResponse::Ok().json(AuditList { lines: found.lines, next }))
}
