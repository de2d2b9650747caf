//! The encrypted-vault: keeps ciphertext, and opens it for a valid, unrevoked, audited grant.
//!
//! It never makes or extends a token, never calls another service and does not know the name of any secret. Keys
//! enforce its limits: without the release key inside a token it cannot open its own rows.

pub mod answer;
pub mod app;
pub mod audit_event;
pub mod budgets;
pub mod cli;
pub mod config;
pub mod decrypt;
pub mod fingerprints;
pub mod grant;
pub mod guesses;
pub mod http;
pub mod ingest;
pub mod key_rotation;
pub mod keys;
pub mod manager_clock;
pub mod manager_instances;
pub mod read_budgets;
pub mod reading;
pub mod revocation;
pub mod rewrap;
pub mod routes;
pub mod row_cache;
pub mod run;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod statements;
pub mod store;
pub mod transfer;
