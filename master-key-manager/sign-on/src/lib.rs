//! Proving who somebody is: hostile bytes in, typed facts out.
//!
//! Passwords, one-time codes, opaque codes, public keys, signed assertions, tokens of external issuers and `OAuth`
//! requests are parsed and checked here. The crate knows no runtime, no web framework and no database. It does no I/O:
//! a key set is fetched through the trait [`trust::FetchKeySet`]. It reads no clock and draws no randomness: time and
//! random bytes are arguments, so that every test is deterministic.
//!
//! It guarantees that no input panics, that everything that a caller can send has a bound that is looked at first, and
//! that no error repeats what was sent. What must be remembered (the last step of a one-time code, the id of an
//! assertion, a used recovery code) is returned as a fact: storing it, once, is the work of the transaction that acts.
//!
//! Sources: RFC 9106 (Argon2), NIST SP 800-63B (passwords), RFC 4226 and RFC 6238 (one-time codes), RFC 7515, 7517,
//! 7518, 7519, 7638, 8037 and 8725 (JOSE), RFC 7521 and 7523 (assertions), RFC 6749, 8414, 8693 and 9396 (`OAuth`).

pub mod assertion;
pub mod code;
pub mod guesses;
mod json;
pub mod jwk;
pub mod jwt;
pub mod key;
pub mod oauth;
pub mod password;
pub mod proof;
pub mod recovery;
pub mod totp;
pub mod trust;

#[cfg(test)]
mod testing;
