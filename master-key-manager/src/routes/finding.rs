//! The list and the search of secrets, and folders.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::cursor::SecretCursor;
use manager_api::kind::SecretKind;
use manager_api::name::{EnvironmentName, SecretPath};
use manager_api::policy::PartyId;
use manager_api::search::{FolderList, MAX_DUE_DAYS, NamePart, SecretList, SecretSort, StateFilter, TagSelector};
use manager_store::{FolderPage, FolderQuery, Position, SearchStore, SecretPage};
use serde::Deserialize;
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Parameter, Route, call};
use shared_proto::error::ErrorCode;

use super::asked::Asked;
use super::{LIMIT, after, describe, environment_id};
use crate::app::App;
use crate::audit_event::{Act, action};
use crate::http::{Call, Page};

pub(super) const ROUTES: &[Route] = &[
    Route::get(action::SECRET_LIST, "/api/secrets", "Lists and finds secrets, without values.")
        .parameters(&[
            Parameter::query::<EnvironmentName>("environment", "Only secrets of this environment."),
            Parameter::query::<SecretPath>("path", "The secret with this path, also in dots."),
            Parameter::query::<SecretPath>("under", "Only secrets below this folder."),
            Parameter::query::<NamePart>("q", "Only secrets with this text in their path, in any case."),
            Parameter::query::<TagSelector>("tag", "A tag: `key=value`, or `key`. Up to 8 times; all must fit."),
            Parameter::query::<SecretKind>("kind", "Only secrets of this kind."),
            Parameter::query::<PartyId>("owner", "Only secrets with this owner."),
            Parameter::query::<StateFilter>(
                "state",
                "`active`, which is the default, `deleted`, `destroyed` or `all`.",
            ),
            Parameter::integer(
                "due_within",
                "Only secrets to be rotated or ending within so many days.",
                0,
                MAX_DUE_DAYS,
            ),
            Parameter::query::<SecretSort>("sort", "The order; `path` by default, with `-` the other way round."),
            after::<SecretCursor>(),
            LIMIT,
        ])
        .answers(&[Answer::json::<SecretList>(200, "A page.")])
        .problems(&[ErrorCode::ParameterInvalid, ErrorCode::NameInvalid, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(list)),
    Route::get(action::FOLDER_LIST, "/api/folders", "Lists the secrets and folders in a folder.")
        .parameters(&[
            Parameter::query::<EnvironmentName>("environment", "The environment. It must be named."),
            Parameter::query::<SecretPath>("under", "The folder; the top by default."),
            after::<SecretCursor>(),
            LIMIT,
        ])
        .answers(&[Answer::json::<FolderList>(200, "A page.")])
        .problems(&[ErrorCode::ParameterInvalid, ErrorCode::NameInvalid, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(folders)),
];

/// The name of the list of folders, for its cursors. Lists of secrets have the names of their orders.
const FOLDERS: &str = "folders";

async fn list(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Asked = call.query()?;
    let environment = asked.environment.as_ref().map(|name| environment_id(&app, call.caller(), name)).transpose();
    let environment = call.recorded(environment)?;
    let (caller, cursors) = (call.caller().clone(), app.keys.now().credentials.cursors());
    let (order, rows) = (asked.sort.to_string(), asked.limit.rows());
    let after = asked.after.as_ref().map(|cursor| cursors.open(&caller, &order, cursor)).transpose();
    let after = call.recorded(after)?;
    let query = asked.into_query(environment, app.clock.now());
    let (store, visible) = (Arc::clone(&app.store), caller.visible());
    let read = async move { SearchStore::secrets(store.as_ref(), &visible, query, after, rows).await };
    let SecretPage { rows, next } = call.give_out(Act::SecretList, read).await?;
    let next = next.map(|last| cursors.seal(&caller, &order, &last)).transpose()?;
    let secrets = rows.into_iter().map(|row| describe::summary(&app, row)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(SecretList { secrets, next: next.map(|next| next.as_str().to_owned()) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    environment: EnvironmentName,
    under: Option<SecretPath>,
    after: Option<SecretCursor>,
    #[serde(default)]
    limit: Page,
}

async fn folders(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let asked: Folder = call.query()?;
    let environment = call.recorded(environment_id(&app, call.caller(), &asked.environment))?;
    let (caller, cursors) = (call.caller().clone(), app.keys.now().credentials.cursors());
    let after = asked.after.as_ref().map(|cursor| cursors.open(&caller, FOLDERS, cursor)).transpose();
    let begins = call.recorded(after)?.and_then(|position| match position {
        Position::Path(_, path) => Some(path),
        Position::Time(..) => None,
    });
    let query = FolderQuery { environment, under: asked.under, begins };
    let (store, visible, rows) = (Arc::clone(&app.store), caller.visible(), asked.limit.rows());
    let read = async move { store.folders(&visible, query, rows).await };
    let FolderPage { entries, next } = call.give_out(Act::FolderList, read).await?;
    let next = next.map(|begins| cursors.seal(&caller, FOLDERS, &Position::Path(environment, begins))).transpose()?;
    let entries = entries.into_iter().map(describe::folder_entry).collect();
    Ok(HttpResponse::Ok().json(FolderList { entries, next: next.map(|next| next.as_str().to_owned()) }))
}
