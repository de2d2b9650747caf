//! The routes of the vault: rows and handlers.

mod commands;
mod public;
mod read;

use std::sync::{Arc, LazyLock};

use actix_web::web::{self, Bytes};
use service_runtime::http::{LIVE, Table, Tables, openapi, operator_ready};

use crate::app::Vault;

/// All tables of the vault.
pub const TABLES: Tables = Tables { public: ROUTES, operator: OPERATOR_ROUTES };

/// Every route of the operator's listener.
pub const OPERATOR_ROUTES: Table = Table::new(&[&[LIVE, operator_ready::<Arc<Vault>>()]]);

/// Every route of the vault that others may reach.
pub const ROUTES: Table = Table::new(&[read::ROUTES, commands::ROUTES, public::ROUTES]);

/// Adds what handlers work with to a worker.
pub fn data(vault: &Arc<Vault>) -> impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static {
    let reader = web::Data::from(Arc::clone(&vault.reader));
    let gate = web::Data::from(Arc::clone(&vault.command_gate));
    let vault = web::Data::new(Arc::clone(vault));
    move |worker| {
        worker.app_data(vault.clone()).app_data(reader.clone()).app_data(gate.clone());
    }
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi_json().into());

/// The `OpenAPI` document of the vault.
pub fn openapi_json() -> String {
    openapi("Splitvault encrypted-vault", ROUTES).to_pretty_json().unwrap_or_default()
}
