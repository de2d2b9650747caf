//! Notices of what is due, and of incidents.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::cursor::SecretCursor;
use manager_api::name::SecretPath;
use manager_api::notices::{NoticeDetails, NoticeList};
use manager_store::Notice;
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Route, call};
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, SecretId};

use super::{LIMIT, after, environment_name};
use crate::access::NOTICES;
use crate::app::App;
use crate::audit_event::{Act, action};
use crate::http::{Call, Page};

pub(super) const ROUTES: &[Route] = &[Route::get(
    action::NOTICE_LIST,
    "/api/notices",
    "Lists notices of secrets: ends of their versions, rotations that are due, incidents.",
)
.parameters(&[after::<SecretCursor>(), LIMIT])
.answers(&[Answer::json::<NoticeList>(200, "A page, the oldest notice first.")])
.problems(&[ErrorCode::ParameterInvalid, ErrorCode::AuditUnavailable])
.needs(Access::Credential, || call(list))];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<SecretCursor>,
    #[serde(default)]
    limit: Page,
}

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let (caller, cursors) = (call.caller().clone(), app.keys.now().credentials.cursors());
    let after = call.recorded(asked.after.map(|cursor| cursors.open_number(NOTICES, &caller, &cursor)).transpose())?;
    let after = after.map_or(0, |(number, _)| number);
    let (store, visible) = (Arc::clone(&app.store), caller.visible());
    let read = async move { store.notices(&visible, after, asked.limit.rows()).await };
    let page = call.give_out(Act::NoticeList, read).await?;
    let nowhere = SecretId::from_bytes([0; 16]);
    let next = page.next.map(|number| cursors.seal_number(NOTICES, &caller, (number, nowhere))).transpose()?;
    let next = next.map(|cursor| cursor.as_str().to_owned());
    let notices = page.notices.into_iter().map(|notice| details(&app, notice)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(NoticeList { notices, next }))
}

/// A notice, without its number: gaps between numbers would tell of other notices.
fn details(
    app: &App,
    (notice, environment, path): (Notice, EnvironmentId, SecretPath),
) -> Result<NoticeDetails, Refusal> {
    Ok(NoticeDetails {
        kind: notice.kind,
        key_id: notice.secret,
        version: notice.version,
        environment: environment_name(app, environment)?,
        path,
        threshold_days: notice.threshold_days,
        deadline_hours: (notice.deadline_hours > 0).then_some(notice.deadline_hours),
        due_at: notice.due_at,
        created_at: notice.created_at,
        delivered_at: notice.delivered_at,
    })
}
