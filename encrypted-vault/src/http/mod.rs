//! The handlers, one file for each kind of caller. They authenticate before they read a body.

mod commands;
mod health;
mod read;

pub use commands::{commands, events, key_statements};
pub use health::{openapi_document, ready};
pub use read::{READ_LIMIT, read_many, read_one};
