//! Documents that change only on purpose: those under `tests/output/`, and the table of claims.

mod claims;
mod documents;
mod glossary;
mod install_walk;
mod postgres_manual;
mod team_access;
