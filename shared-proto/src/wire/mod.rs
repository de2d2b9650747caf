//! The JSON bodies of the vault. Only route files use them, and turn them into domain types in their first line.

pub mod fingerprint;
pub mod vault;
