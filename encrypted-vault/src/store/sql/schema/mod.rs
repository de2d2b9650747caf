//! The schema, for each engine. Step n leads from schema n to n + 1. A released step is never edited.

mod postgres;
mod sqlite;

/// All steps on SQLite.
pub const SQLITE: &[&str] = sqlite::STEPS;
/// All steps on PostgreSQL. They begin with the schema that SQLite had reached after two.
pub const POSTGRES: &[&str] = postgres::STEPS;
