//! The envelope: one version of a secret, encrypted so that the vault alone cannot open it.
//!
//! The manager seals ([`seal`]) and never keeps the ciphertext; the vault keeps it and opens ([`open`]) only with the
//! release key that a token brings. `docs/protocol.md` section 3 has the picture.

mod derive;
mod fingerprint;
mod format;
mod header;
mod keys;
#[cfg(feature = "open")]
pub mod open;
#[cfg(feature = "seal")]
pub mod seal;

#[cfg(feature = "seal")]
pub use fingerprint::binding_key;
pub use fingerprint::{BoundFingerprint, MovedBindingKey, MovedFingerprint, StoredFingerprint, ValueFingerprint};
pub use format::{COMMITMENT_BYTES, Ciphertext, EnvelopeDigest, KeyCommitment, NONCE_BYTES, digest};
pub use header::Header;
pub use keys::{Inner, MovedKey, StoredKey, key_unwrap, key_wrap};
pub use keys::{TRANSFER_LABEL, WrappedTransferKey};
