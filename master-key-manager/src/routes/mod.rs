//! The routes of the manager, as a table.

mod keys;
mod lists;
mod public;
mod revocations;
mod tokens;

use std::future::ready as ready_answer;
use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::web::{self, Bytes};
use manager_api::wire;
use service_runtime::http::{
    Access, Answer, LIVE, Parameter, Place, Route, Tables, document, openapi, openapi_answer, operator_ready, ready,
};
use shared_proto::error::ErrorCode as Code;
use shared_proto::id::MAX_VERSION;
use utoipa::openapi::{OpenApi, RefOr, Schema};

use crate::app::App;
use crate::audit_event::action;
use crate::http::MAX_ROWS;

/// A value of 1 MiB in which every character is escaped as `\u0000` has 6 MiB; the rest is for the other members.
const STORE_LIMIT: usize = (6 << 20) + (64 << 10);
/// 64 grants or versions and room.
const SMALL_LIMIT: usize = 16 << 10;

/// All tables of the manager.
pub const TABLES: Tables = Tables { public: ROUTES, operator: OPERATOR_ROUTES };

/// Every route of the operator's listener.
pub static OPERATOR_ROUTES: &[Route] = &[LIVE, operator_ready::<App>()];

/// Every route that others may reach.
pub static ROUTES: &[Route] = &[
    LIVE,
    ready::<App>(),
    document(|| web::to(|| ready_answer(openapi_answer(&DOCUMENT)))),
    Route {
        id: "token_signing_key.list",
        method: Method::GET,
        path: "/.well-known/jwks.json",
        access: Access::Public,
        body_limit: 0,
        summary: "The public keys that access tokens are signed with.",
        parameters: &[],
        request_schema: None,
        responses: &[answer(200, "The keys.", None)],
        problems: &[],
        handler: || web::to(public::jwks),
    },
    Route {
        id: action::SECRET_STORE,
        method: Method::POST,
        path: "/api/keys",
        access: Access::AdministratorOrDevelopment,
        body_limit: STORE_LIMIT,
        summary: "Stores a value as a new version and answers with a token for it.",
        parameters: &[IDEMPOTENCY_KEY],
        request_schema: Some("StoreKey"),
        responses: &[answer(201, "It is stored.", Some("StoredKeyAnswer"))],
        problems: &[
            Code::CredentialInvalid,
            Code::ParameterInvalid,
            Code::NameInvalid,
            Code::EncodingInvalid,
            Code::ValueTooLarge,
            Code::IdempotencyForbidden,
            Code::IdempotencyMismatch,
            Code::IdempotencyUnknown,
            Code::IdempotencyConflict,
            Code::SecretNotFound,
            Code::Unavailable,
            Code::OutcomeUnknown,
            Code::AuditUnavailable,
            Code::StorageUnavailable,
        ],
        handler: || web::to(keys::store),
    },
    Route {
        id: action::SECRET_DESTROY,
        method: Method::POST,
        path: "/api/keys/{key_id}/destroy",
        access: Access::Administrator,
        body_limit: SMALL_LIMIT,
        summary: "Erases versions for ever.",
        parameters: &[],
        request_schema: Some("Destroy"),
        responses: &[
            answer(200, "The vault has erased them.", Some("DestroyAnswer")),
            answer(202, "It is recorded and will reach the vault.", Some("DestroyAnswer")),
        ],
        problems: ON_SECRETS,
        handler: || web::to(keys::destroy),
    },
    Route {
        id: action::SECRET_LIST,
        method: Method::GET,
        path: "/api/secrets",
        access: Access::Administrator,
        body_limit: 0,
        summary: "Lists secrets and their versions, without values.",
        parameters: &[ENVIRONMENT, AFTER, LIMIT],
        request_schema: None,
        responses: &[answer(200, "A page.", Some("SecretList"))],
        problems: &[
            Code::CredentialInvalid,
            Code::ParameterInvalid,
            Code::NameInvalid,
            Code::AuditUnavailable,
            Code::StorageUnavailable,
        ],
        handler: || web::to(lists::secrets),
    },
    Route {
        id: action::TOKEN_MINT,
        method: Method::POST,
        path: "/api/tokens",
        access: Access::Administrator,
        body_limit: SMALL_LIMIT,
        summary: "Makes a token for versions that are stored.",
        parameters: &[],
        request_schema: Some("MintToken"),
        responses: &[answer(201, "The token.", Some("MintAnswer"))],
        problems: &[
            Code::CredentialInvalid,
            Code::ParameterInvalid,
            Code::NameInvalid,
            Code::SecretNotFound,
            Code::Unavailable,
            Code::OutcomeUnknown,
            Code::AuditUnavailable,
            Code::StorageUnavailable,
        ],
        handler: || web::to(tokens::mint),
    },
    Route {
        id: action::TOKEN_LIST,
        method: Method::GET,
        path: "/api/tokens",
        access: Access::Administrator,
        body_limit: 0,
        summary: "Lists the tokens that have not expired.",
        parameters: &[AFTER, LIMIT],
        request_schema: None,
        responses: &[answer(200, "A page.", Some("TokenList"))],
        problems: ON_LISTS,
        handler: || web::to(lists::tokens),
    },
    Route {
        id: action::TOKEN_REVOKE,
        method: Method::DELETE,
        path: "/api/tokens/{jti}",
        access: Access::Administrator,
        body_limit: 0,
        summary: "Revokes a token.",
        parameters: &[],
        request_schema: None,
        responses: REVOKED,
        problems: &[Code::CredentialInvalid, Code::TokenNotFound, Code::OutcomeUnknown, Code::StorageUnavailable],
        handler: || web::to(tokens::revoke),
    },
    Route {
        id: action::REVOCATION_CREATE,
        method: Method::POST,
        path: "/api/revocations",
        access: Access::Administrator,
        body_limit: SMALL_LIMIT,
        summary: "Revokes tokens by what they have in common, or disables a credential.",
        parameters: &[],
        request_schema: Some("Revoke"),
        responses: REVOKED,
        problems: &[
            Code::CredentialInvalid,
            Code::ParameterInvalid,
            Code::NameInvalid,
            Code::SecretNotFound,
            Code::SubjectNotFound,
            Code::CredentialNotFound,
            Code::LastAdministrator,
            Code::OutcomeUnknown,
            Code::StorageUnavailable,
        ],
        handler: || web::to(revocations::revoke),
    },
    Route {
        id: action::REVOCATION_LIST,
        method: Method::GET,
        path: "/api/revocations",
        access: Access::Administrator,
        body_limit: 0,
        summary: "Lists revocations and destructions, and how far the vault is.",
        parameters: &[AFTER_NUMBER, LIMIT],
        request_schema: None,
        responses: &[answer(200, "A page.", Some("RevocationList"))],
        problems: ON_LISTS,
        handler: || web::to(revocations::list),
    },
    Route {
        id: action::CATALOGUE_RECONCILE,
        method: Method::POST,
        path: "/api/reconcile",
        access: Access::Administrator,
        body_limit: SMALL_LIMIT,
        summary: "Finds, and adopts if asked, versions that the vault has and the catalogue lacks.",
        parameters: &[],
        request_schema: Some("Reconcile"),
        responses: &[answer(200, "What was found.", Some("ReconcileAnswer"))],
        problems: &[Code::CredentialInvalid, Code::Unavailable, Code::AuditUnavailable, Code::StorageUnavailable],
        handler: || web::to(revocations::reconcile_catalogue),
    },
];

const REVOKED: &[Answer] = &[
    answer(200, "The vault has signed that it is revoked.", Some("RevocationAnswer")),
    answer(202, "It is recorded and will reach the vault.", Some("RevocationAnswer")),
];
const ON_SECRETS: &[Code] = &[
    Code::CredentialInvalid,
    Code::ParameterInvalid,
    Code::SecretNotFound,
    Code::Unavailable,
    Code::OutcomeUnknown,
    Code::AuditUnavailable,
    Code::StorageUnavailable,
];
const ON_LISTS: &[Code] =
    &[Code::CredentialInvalid, Code::ParameterInvalid, Code::AuditUnavailable, Code::StorageUnavailable];

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&openapi_document()).unwrap_or_default().into());

/// The `OpenAPI` document.
pub fn openapi_document() -> OpenApi {
    openapi("Splitvault master-key-manager", ROUTES, schemas())
}

const fn answer(status: u16, description: &'static str, schema: Option<&'static str>) -> Answer {
    Answer { status, description, schema }
}

fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let mut all = Vec::new();
    macro_rules! add {
        ($($name:ident),*) => {$(
            all.push((stringify!($name).to_owned(), <wire::$name as utoipa::PartialSchema>::schema()));
            <wire::$name as utoipa::ToSchema>::schemas(&mut all);
        )*};
    }
    add!(
        StoreKey,
        StoredKeyAnswer,
        Destroy,
        DestroyAnswer,
        SecretList,
        MintToken,
        MintAnswer,
        TokenList,
        Revoke,
        RevocationAnswer,
        RevocationList,
        Reconcile,
        ReconcileAnswer
    );
    all
}

const IDEMPOTENCY_KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: Place::Header,
    description: "1 to 128 visible ASCII characters; a repeat within 24 hours is not stored again.",
    integer: None,
};
const ENVIRONMENT: Parameter = Parameter {
    name: "environment",
    place: Place::Query,
    description: "Only secrets of this environment.",
    integer: None,
};
const AFTER: Parameter =
    Parameter { name: "after", place: Place::Query, description: "`next` of the page before.", integer: None };
const AFTER_NUMBER: Parameter = Parameter {
    name: "after",
    place: Place::Query,
    description: "Only events above this number; 0 by default.",
    integer: Some((0, MAX_VERSION)),
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    place: Place::Query,
    description: "Rows of the page; 100 by default.",
    integer: Some((1, MAX_ROWS as u64)),
};

#[cfg(test)]
mod tests {
    use super::*;

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
