//! The two keys of an envelope that are derived from its data key.

use zeroize::Zeroizing;

use super::Header;
use super::format::KeyCommitment;
use crate::Rejected;
use crate::derive::derive;
use crate::encoding::Bytes;
use crate::secret::DataKey;

/// `F(DEK, "encrypt", H)`.
pub(super) fn encryption_key(data_key: &DataKey, header: &Header) -> Result<Zeroizing<[u8; 32]>, Rejected> {
    // EXPOSE: input of the derivation.
    derive(data_key.expose(), b"splitvault/1/encrypt", &[&header.to_bytes()])
}

/// `F(DEK, "commit", H)`: public, but derived from the key.
pub(super) fn commitment(data_key: &DataKey, header: &Header) -> Result<KeyCommitment, Rejected> {
    // EXPOSE: input of the derivation.
    derive(data_key.expose(), b"splitvault/1/commit", &[&header.to_bytes()]).map(|bytes| Bytes(*bytes))
}
