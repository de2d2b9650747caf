//! Kinds of secrets: what a value of each kind must be, what is known of it, and how the manager makes one.
//!
//! Guarantees that no input panics, that everything has a bound that is looked at first, and that no error repeats a
//! value: a [`Refused`] is a fixed sentence and perhaps the number of a line. The crate does no I/O and reads no clock.
//! Randomness is handed over ([`random::Random`]), with one exception: RSA keys are generated inside aws-lc-rs, which
//! draws from the operating system.
//!
//! Sources: RFC 7468, 1421 (PEM), 5208, 5958, 5915, 8017, 8410 (keys), 5280 (certificates), 2986 (requests), 4251, 4253
//! and OpenSSH's PROTOCOL.key, 7519 (JWT), 8259 (JSON), YAML 1.2.2, 9562 (UUID).

pub mod certificate;
pub mod check;
pub mod document;
pub mod generate;
mod json;
mod jwt;
pub mod key;
mod pem;
pub mod random;
mod refused;
pub mod strength;
pub mod structured;
mod symmetric;
mod text;
pub mod url;
mod yaml;

pub use check::{Checked, Facts, Validity, check};
pub use generate::{Generated, PublicFacts, generate};
pub use refused::Refused;
pub use strength::{Strength, strength};
pub use structured::{field, with_field};

#[cfg(test)]
mod testing;
