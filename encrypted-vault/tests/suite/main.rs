//! The vault alone, through its HTTP interface, with a manager that the tests play.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

mod support;

mod altered_rows;
mod carving;
mod commands;
mod feed_snapshot;
mod fingerprints;
mod fingerprints_at_rest;
mod history;
mod ingest;
mod init;
mod late_bodies;
mod leaks;
mod local_refusals;
mod polls;
mod read_budgets;
mod reading;
mod refusals;
mod revocation;
mod rotation_folder;
mod rotation_root_key;
mod rotation_storage_key;
mod routes;
mod seal_keys;
mod start;
mod storage_faults;
mod store_move;
mod token_attacks;
mod token_claims;
mod token_seals;
