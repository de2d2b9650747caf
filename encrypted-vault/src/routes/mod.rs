//! The routes of the vault. The table mounts the application, feeds the `OpenAPI` document and drives the tests.

mod commands;
mod read;

use std::future::ready as ready_answer;
use std::sync::{Arc, LazyLock};

use actix_web::http::Method;
use actix_web::web::{self, Bytes};
use service_runtime::http::{
    Access, Answer, LIVE, Route, Tables, document, openapi, openapi_answer, operator_ready, ready,
};
use shared_proto::error::ErrorCode as Code;
use shared_proto::wire::vault as wire;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::Vault;
use crate::audit_event::action;

/// All tables of the vault.
pub const TABLES: Tables = Tables { public: ROUTES, operator: OPERATOR_ROUTES };

/// Every route of the operator's listener.
pub static OPERATOR_ROUTES: &[Route] = &[LIVE, operator_ready::<Arc<Vault>>()];

/// Every route of the vault that others may reach.
pub static ROUTES: &[Route] = &[
    Route {
        id: action::SECRET_READ,
        method: Method::GET,
        path: "/api/keys/{key_id}",
        access: Access::AccessToken,
        body_limit: 0,
        summary: "Opens the version of a secret that the access token names.",
        parameters: &[],
        request_schema: None,
        responses: &[Answer { status: 200, description: "The value.", schema: Some("OpenedKey") }],
        problems: READING,
        handler: || web::to(read::read_one),
    },
    Route {
        id: "secret.read_batch",
        method: Method::POST,
        path: "/api/keys:read",
        access: Access::AccessToken,
        body_limit: read::READ_LIMIT,
        summary: "Opens up to 64 versions that one access token names.",
        parameters: &[],
        request_schema: Some("ReadKeys"),
        responses: &[Answer { status: 200, description: "A line for each id.", schema: Some("ReadAnswer") }],
        problems: READING,
        handler: || web::to(read::read_many),
    },
    Route {
        id: action::COMMAND_RUN,
        method: Method::POST,
        path: "/api/commands",
        access: Access::Command,
        body_limit: 16 << 20,
        summary: "Carries out a signed command of the manager: poll, replay, store, settle, inventory, handout, rewrap or retire.",
        parameters: &[],
        request_schema: Some("Command"),
        responses: &[Answer { status: 200, description: "The answer to the command.", schema: Some("CommandAnswer") }],
        problems: COMMANDS,
        handler: || web::to(commands::commands),
    },
    Route {
        id: "event.push",
        method: Method::POST,
        path: "/api/events",
        access: Access::Command,
        body_limit: 1 << 20,
        summary: "Applies events of the manager durably, and signs how far they are applied.",
        parameters: &[],
        request_schema: Some("Push"),
        responses: &[Answer { status: 202, description: "The feed state.", schema: Some("PushAnswer") }],
        problems: COMMANDS,
        handler: || web::to(commands::events),
    },
    Route {
        id: "key_statement.list",
        method: Method::GET,
        path: "/api/key-statements",
        access: Access::Public,
        body_limit: 0,
        summary: "The vault's public keys, signed by its identity key.",
        parameters: &[],
        request_schema: None,
        responses: &[Answer { status: 200, description: "The statements.", schema: Some("VaultStatements") }],
        problems: &[],
        handler: || web::to(commands::key_statements),
    },
    LIVE,
    ready::<Arc<Vault>>(),
    document(|| web::to(|| ready_answer(openapi_answer(&DOCUMENT)))),
];

const READING: &[Code] = &[
    Code::TokenInvalid,
    Code::SealKeyUnknown,
    Code::SecretNotFound,
    Code::ParameterInvalid,
    Code::RateLimited,
    Code::RevocationsBehind,
    Code::AuditUnavailable,
    Code::StorageUnavailable,
];

const COMMANDS: &[Code] = &[
    Code::CommandInvalid,
    Code::ClockDiffers,
    Code::BodyInvalid,
    Code::BodyTooLarge,
    Code::ParameterInvalid,
    Code::EventGap,
    Code::EventConflict,
    Code::SecondManager,
    Code::EpochIncomplete,
    Code::AuditUnavailable,
    Code::StorageUnavailable,
    Code::OutcomeUnknown,
];

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi_json().into());

/// The `OpenAPI` document of the vault.
pub fn openapi_json() -> String {
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    add::<wire::OpenedKey>(&mut schemas);
    add::<wire::ReadKeys>(&mut schemas);
    add::<wire::ReadAnswer>(&mut schemas);
    add::<Command>(&mut schemas);
    add::<CommandAnswer>(&mut schemas);
    add::<wire::Push>(&mut schemas);
    add::<wire::PushAnswer>(&mut schemas);
    add::<wire::VaultStatements>(&mut schemas);
    openapi("Splitvault encrypted-vault", ROUTES, schemas).to_pretty_json().unwrap_or_default()
}

fn add<T: ToSchema + PartialSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

/// The body of `/api/commands`: what it is depends on the command's `op`.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it exists for its schema")]
enum Command {
    Poll(wire::Poll),
    Replay(wire::Replay),
    Store(wire::Store),
    Settle(wire::Settle),
    Inventory(wire::Inventory),
    Handout(wire::Handout),
    Rewrap(wire::Rewrap),
    Retire(wire::Retire),
}

/// The answer of `/api/commands`.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it exists for its schema")]
enum CommandAnswer {
    Poll(wire::PollAnswer),
    Replay(wire::ReplayAnswer),
    Store(wire::StoreAnswer),
    Receipts(wire::Receipts),
    Handout(wire::HandoutAnswer),
    Retire(wire::RetireAnswer),
}
