//! HTTP of both services.
//!
//! Guarantees that every answer carries a request id and is not cached, and that every refusal is a problem document
//! with a stable code. Paths, hosts and bodies that a framework would repair or guess are refused instead.

mod admission;
mod answers;
mod body;
mod connection;
mod decode;
mod error;
mod forwarded;
mod health;
mod limits;
mod log;
mod openapi;
mod operator;
mod request;
mod route;
mod server;
mod stack;

pub use self::{
    admission::admit_command,
    answers::{AnswerRoom, Room},
    body::{Body, Json, NoBody},
    forwarded::{TrustedProxies, client_address},
    health::{Health, LIVE, document, openapi_answer, operator_ready, ready},
    limits::Limits,
    log::{note_idle, note_known_sender},
    openapi::openapi,
    operator::OperatorListen,
    request::{bearer, origin_of, read_body, read_form, read_json, read_no_body},
    route::{Access, Answer, Authenticates, Draft, Guarded, Parameter, Route, SchemaOf, Table, call, mount},
    server::{DEFAULT_SHUTDOWN_SECONDS, ServeConfig, Tables, serve},
    stack::{MAX_HEAD, Stack},
};
