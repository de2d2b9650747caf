//! A PostgreSQL database of its own for each test.
//!
//! The server is that of the environment, which `scripts/postgres.sh run COMMAND…` starts and `scripts/test.sh` uses. A
//! test without a server fails. A test that ends its server has one of its own ([`Server::own`]).
//!
//! Everything is asked through `psql`, so that this works inside and outside of an asynchronous runtime. It panics when
//! something fails, because its caller is a test.
//!
//! ```no_run
//! use test_postgres::Database;
//! let database = Database::create();
//! database.alter("CREATE TABLE note (id BIGINT PRIMARY KEY)");
//! assert_eq!(database.ask("SELECT count(*) FROM note"), "0");
//! println!("{} {}", database.url(), database.password_file().display());
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness fails by panicking, as a test does; the test exceptions of clippy.toml do not reach a library"
)]

mod database;
mod server;

pub use database::Database;
pub use server::Server;
