//! The protocol of the two services: ids, forms of keys, the envelope, tokens, commands, events and wire types.
//!
//! It guarantees that both sides build the same bytes, and that a document that is not exactly in form is refused.
//! `docs/protocol.md` is the normative text, and `vectors/` holds the binding examples. It does no I/O, reads no clock
//! and uses no framework. Code for one service only is behind a feature: `seal` (manager) and `open` (vault).

pub mod chain;
pub mod command;
pub mod comparison;
pub mod credential;
pub mod derive;
pub mod encoding;
#[cfg(any(feature = "seal", feature = "open"))]
pub mod envelope;
pub mod error;
pub mod event;
pub mod feed;
pub mod id;
pub mod identity;
pub mod jwk;
pub mod jws;
pub mod receipt;
#[cfg(any(feature = "seal", feature = "open"))]
pub mod release;
pub mod retirement;
pub mod rsa_key;
pub mod schema;
pub mod secret;
pub mod statement;
pub mod token;
pub mod wire;

/// The only answer to a failed check of a signature, tag, commitment, length or form of anything that claims to be
/// authentic. It gives no reason on purpose: a reason would help only an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rejected")]
pub struct Rejected;

/// The error for a text that is not in the form of its type. The sentence never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// The decoding error for a name that breaks its rules. [`broken_rule`] tells it apart from every other error.
    pub fn into_name_error<E: serde::de::Error>(self) -> E {
        E::custom(format_args!("{BEFORE_RULE}{self})"))
    }
}

/// The rule that a name breaks, if a decoding error is about one.
///
/// Only the program's own words come out: serde begins a message that quotes its input with words of its own, and the
/// decoder adds no bracket behind the rule.
pub fn broken_rule(error: &impl std::fmt::Display) -> Option<String> {
    let message = error.to_string();
    let (rule, _position) = message.strip_prefix(BEFORE_RULE)?.rsplit_once(')')?;
    Some(rule.to_owned())
}

const BEFORE_RULE: &str = "a name breaks the rules (";

/// The version of a service, with the half of the protocol that its build can perform. A released service has one half;
/// scripts/check.sh asks the binaries, because cargo gives both halves to both services when they are built together.
pub const VERSION: &str = match (cfg!(feature = "seal"), cfg!(feature = "open")) {
    (true, true) => concat!(env!("CARGO_PKG_VERSION"), " (seals and opens)"),
    (true, false) => concat!(env!("CARGO_PKG_VERSION"), " (seals)"),
    (false, true) => concat!(env!("CARGO_PKG_VERSION"), " (opens)"),
    (false, false) => env!("CARGO_PKG_VERSION"),
};
