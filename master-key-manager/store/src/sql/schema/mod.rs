//! The schema, for each engine. Step n leads from schema n to n + 1. A released step is never edited. No step
//! writes rows of its own: a copy of a database would find them in its target.

mod postgres;
mod sqlite;

use service_runtime::sql::Schema;

/// The schema. The steps on PostgreSQL begin with what SQLite had reached after four.
pub const SCHEMA: Schema = Schema { service: "master-key-manager", sqlite: sqlite::STEPS, postgres: postgres::STEPS };
