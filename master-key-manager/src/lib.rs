//! The master-key-manager: decides who may read which secret.
//!
//! It encrypts values, keeps names, versions and policy, signs tokens, commands and events, and pushes revocations. It
//! keeps no ciphertext, no plaintext and no key of the vault, and it cannot open a secret that it stored.

pub mod access;
pub mod app;
pub mod approvals;
pub mod audit_event;
pub mod audit_reader;
pub mod bulk;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod environment_keeper;
pub mod environments;
pub mod http;
pub mod idempotency;
pub mod incidents;
pub mod init;
pub mod installation;
pub mod issuer;
pub mod key_rotation;
pub mod keys;
pub mod maintenance;
pub mod notifier;
pub mod people;
pub mod policy;
pub mod revocation;
pub mod routes;
pub mod run;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod sealing;
pub mod services;
pub mod sign_on;
pub mod turns;
pub mod vault_client;
