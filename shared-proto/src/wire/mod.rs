//! The JSON bodies of the vault. They end at the route files, where the first line turns them into domain types.

pub mod vault;
