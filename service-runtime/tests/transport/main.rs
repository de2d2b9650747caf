//! Connections as strangers make them: TLS of every wrong kind, slow clients, floods. Over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "../support/anybody.rs"]
mod anybody;
mod certificates;
mod client;
mod floods;
mod handshake;
mod reload;
mod server;
mod slow;
