//! The vault alone, through its HTTP interface, with a manager that the tests play.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

mod support;

mod reading;
mod token_attacks;
mod token_seals;
