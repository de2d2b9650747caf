//! The JSON bodies of both services. They end at the route files, where the first line turns them into domain types.

pub mod manager;
pub mod vault;
