//! TLS 1.3 of both services, as server and as client.
//!
//! Guarantees one set of terms: TLS 1.3, the hybrid key exchange X25519MLKEM768 before X25519, no session resumption
//! (it would outlive an expired certificate), no early data, no trust in the machine's store. Certificates, keys and
//! CAs are read again when their files change. A file that cannot be used changes nothing.

mod client;
mod files;
mod reload;
mod server;
mod why;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use self::{
    client::{ClientFiles, client_config, client_without_trust, database_client},
    files::Loaded,
    reload::Reloading,
    server::{ClientName, ServerFiles, ServerTls},
    why::{Side, Why},
};

/// The only crypto library, with the two accepted key exchanges. The hybrid one protects recorded traffic from a later
/// quantum computer. The plain one is for clients that do not support it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
