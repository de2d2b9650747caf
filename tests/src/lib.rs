//! The harness of the system tests: real services, each in its own process, on free ports, with directories and keys of
//! their own.
//!
//! It knows the services from outside only: command line, files, HTTP. It panics when something is not as it should be,
//! because its caller is a test. A test waits for conditions, never for a time.
//!
//! ```no_run
//! # async fn example() {
//! use system_tests::Installation;
//! let installation = Installation::running().await;
//! let stored = installation.store("super_secret_value").await;
//! let answer = installation.read(&stored.key_id, &stored.token).await;
//! assert_eq!(answer.text("decrypted_key"), "super_secret_value");
//! # }
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking, as a test does; the test exceptions of clippy.toml do not reach a library"
)]

mod builder;
pub mod certificates;
mod clone;
mod database;
pub mod faults;
pub mod history;
pub mod http;
mod installation;
mod keys;
pub mod loot;
mod message;
pub mod power;
pub mod proxy;
pub mod release;
mod service;
pub mod thief;
mod versions;
mod wait;
mod workload;

pub use builder::Builder;
pub use database::{Engine, KeptData, only_on};
pub use http::{Answer, Call};
pub use installation::{Installation, Stored};
pub use service::Service;
pub use wait::{DEADLINE, wait_until};
pub use workload::Workload;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Where the services lie that are not weakened.
pub fn binaries() -> PathBuf {
    std::env::var_os("SPLITVAULT_BIN_DIR").map_or_else(|| target_dir().join("debug"), PathBuf::from)
}
