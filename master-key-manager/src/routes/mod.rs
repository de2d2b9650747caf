//! The routes of the manager: a file for each resource, with its rows and handlers.

mod approvals;
mod asked;
mod audit;
mod bulk;
mod catalogue;
mod credentials;
mod deletion;
mod describe;
mod environments;
mod finding;
mod groups;
mod import;
mod incidents;
mod integrity;
mod notices;
mod oauth;
mod people;
mod permissions;
mod policy;
mod public;
mod revocations;
mod roles;
mod rotation;
mod same_value;
mod secrets;
mod service_keys;
mod services;
mod sessions;
mod settings;
mod tokens;
mod trusts;
mod versions;
mod written;

use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes};
use manager_api::lines::ChangeAnswer;
use manager_api::name::{EnvironmentName, Reason};
use manager_api::wire::RevocationStatus;
use manager_store::Environment;
use serde::{Deserialize, Serialize};
use service_runtime::Refusal;
use service_runtime::http::{Answer, LIVE, Parameter, Table, Tables, openapi, operator_ready};
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;

use crate::access::Caller;
use crate::app::App;
use crate::http::{MAX_ROWS, Page};
use crate::revocation::Sequences;

/// All tables of the manager.
pub const TABLES: Tables = Tables { public: ROUTES, operator: OPERATOR_ROUTES };

/// Every route of the operator's listener.
pub const OPERATOR_ROUTES: Table = Table::new(&[&[LIVE, operator_ready::<App>()]]);

/// Every route that others may reach.
pub const ROUTES: Table = Table::new(&[
    public::ROUTES,
    // Before the rows with a secret alone, which would take the rest for a part of the id.
    integrity::ROUTES,
    versions::ROUTES,
    // Before the rows with a secret alone, which would take the verb for a part of the id.
    bulk::ROUTES,
    import::ROUTES,
    same_value::ROUTES,
    deletion::VERBS,
    incidents::VERBS,
    rotation::ROUTES,
    secrets::ROUTES,
    deletion::ROUTES,
    approvals::ROUTES,
    incidents::ROUTES,
    finding::ROUTES,
    notices::ROUTES,
    tokens::ROUTES,
    revocations::ROUTES,
    audit::ROUTES,
    catalogue::ROUTES,
    environments::ROUTES,
    settings::ROUTES,
    groups::ROUTES,
    roles::ROUTES,
    permissions::ROUTES,
    policy::ROUTES,
    // Before the rows with a service alone, which would take the rest for a part of the id.
    credentials::ROUTES,
    service_keys::ROUTES,
    services::ROUTES,
    people::ROUTES,
    sessions::ROUTES,
    trusts::ROUTES,
    oauth::ROUTES,
]);

/// Adds what handlers work with to a worker.
pub fn data(app: Arc<App>) -> impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static {
    let gate = web::Data::from(Arc::clone(&app.gate));
    let proxies = app.trusted_proxies.clone();
    let app = web::Data::from(app);
    move |worker| {
        worker.app_data(app.clone()).app_data(gate.clone()).app_data(proxies.clone());
    }
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&openapi_document()).unwrap_or_default().into());

/// The `OpenAPI` document.
pub fn openapi_document() -> OpenApi {
    openapi("Splitvault master-key-manager", ROUTES)
}

/// 64 ids or versions and room, in bytes.
const SMALL_LIMIT: usize = 16 << 10;
/// The cursor of a list.
const fn after<T: ToSchema>() -> Parameter {
    Parameter::query::<T>("after", "`next` of the page before.")
}

const LIMIT: Parameter = Parameter::integer("limit", "Rows of the page; 100 by default.", 1, MAX_ROWS as u64);

fn environment_id(app: &App, caller: &Caller, name: &EnvironmentName) -> Result<EnvironmentId, Refusal> {
    let unknown = || Refusal::new(ErrorCode::NameInvalid).detail("There is no such environment.");
    app.environments.known(caller, name).map(|known| known.id).ok_or_else(unknown)
}

fn environment_name(app: &App, id: EnvironmentId) -> Result<EnvironmentName, Refusal> {
    environment_of(app, id).map(|known| known.name)
}

fn environment_of(app: &App, id: EnvironmentId) -> Result<Environment, Refusal> {
    app.environments.with_id(id).ok_or_else(|| Refusal::internal("an unknown environment"))
}

/// The answers to a change of principals or policy.
const CHANGED: &[Answer] = &[
    Answer::json::<ChangeAnswer>(200, "It is made, and the vault has signed that what it takes away is revoked."),
    Answer::json::<ChangeAnswer>(202, "It is made, and what it takes away will reach the vault."),
];

/// The faults of every change, beside its own.
const CHANGE_PROBLEMS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::NotPermitted,
    ErrorCode::PartyNotFound,
    ErrorCode::GroupNotFound,
    ErrorCode::LineNotFound,
    ErrorCode::LastAdministrator,
    ErrorCode::AlreadyExists,
    ErrorCode::LimitReached,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
    ErrorCode::AuditUnavailable,
];

/// A reason of a change without a body.
const REASON: Parameter = Parameter::query::<Reason>("reason", "The reason for the change.");

/// The query of a change without a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Because {
    reason: Option<Reason>,
}

/// The answer to a change of principals or policy.
fn changed(done: Sequences) -> HttpResponse {
    let (mut response, status) = if done.applied {
        (HttpResponse::Ok(), RevocationStatus::Revoked)
    } else {
        (HttpResponse::Accepted(), RevocationStatus::Pending)
    };
    response.json(ChangeAnswer { status, sequences: done.numbers })
}

/// The thing that was made, with the status that says whether the vault has what it takes away.
fn made(thing: &impl Serialize, done: &Sequences) -> HttpResponse {
    let mut response = if done.applied { HttpResponse::Created() } else { HttpResponse::Accepted() };
    response.json(thing)
}

/// A full page may be followed by another.
fn next_after(shown: usize, limit: Page, last: impl FnOnce() -> Option<String>) -> Option<String> {
    if shown < limit.rows() { None } else { last() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit_event::action;

    #[test]
    fn every_schema_that_the_document_names_is_in_it() {
        let text = serde_json::to_string(&openapi_document()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut named = 0;
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(value["components"]["schemas"].get(name).is_some(), "{name}");
            named += 1;
        }
        assert!(named > 20);
        assert_eq!(value["paths"]["/api/tokens/{jti}"]["delete"]["operationId"], action::TOKEN_REVOKE);
    }
}
