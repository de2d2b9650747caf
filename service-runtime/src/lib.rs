//! The parts that are the same in every process of Splitvault.
//!
//! It guarantees how a process starts: hardened, alone on its data directory, from files whose modes were checked. It
//! also fixes how a process speaks HTTP, writes its audit log and uses SQLite. It owns no key: it reads and checks the
//! files of a key folder for the service that owns them.

pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod files;
pub mod http;
pub mod key_folder;
pub mod key_report;
pub mod key_slots;
pub mod process;
pub mod readiness;
mod refusal;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod sampled;
pub mod signals;
pub mod sql;
pub mod sqlite;
pub mod standing;
mod start_error;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod workers;

pub use refusal::{Fact, Refusal};
pub use start_error::StartError;
