//! What the manager takes and answers over HTTP: names, requests, answers.
//!
//! The manager and its clients build on it. The vault does not: its build holds no name of a secret, and
//! `tests/output/crate-edges.txt` says so. Each name has one parser with its limits beside it, and a text that breaks
//! them is refused wherever it stands.

pub mod cursor;
pub mod name;
pub mod wire;
