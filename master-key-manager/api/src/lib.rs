//! The manager's HTTP interface as types: names, requests, answers.
//!
//! The manager and its clients build on it. The vault does not, so that its build holds no name of a secret:
//! `tests/output/crate-edges.txt` shows it. Each name has one parser with its limits beside it. A text that breaks them
//! is refused everywhere.

pub mod address;
pub mod approvals;
pub mod audit;
pub mod bulk;
pub mod cursor;
pub mod deletion;
pub mod edit;
mod end;
pub mod environments;
pub mod fields;
pub mod generate;
pub mod groups;
pub mod id;
pub mod import;
pub mod incidents;
pub mod integrity;
pub mod kind;
pub mod lifetime;
pub mod lines;
pub mod metadata;
pub mod name;
pub mod notices;
pub mod path_key;
pub mod people;
pub mod policy;
pub mod policy_questions;
pub mod policy_versions;
pub mod read_limit;
pub mod reference;
pub mod retention;
pub mod rotation;
pub mod same_value;
pub mod search;
pub mod secrets;
pub mod service_keys;
pub mod services;
pub mod sessions;
pub mod settings;
pub mod tags;
pub mod tokens;
pub mod trusts;
pub mod versions;
pub mod wire;
