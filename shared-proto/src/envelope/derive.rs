//! Key derivation: HKDF-Expand with SHA-256 under one label for each purpose.

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use zeroize::Zeroizing;

use super::Header;
use super::format::KeyCommitment;
use crate::Rejected;
use crate::encoding::{Bytes, lp};
use crate::secret::DataKey;

/// `F(DEK, "encrypt", H)`.
pub(super) fn encryption_key(data_key: &DataKey, header: &Header) -> Result<Zeroizing<[u8; 32]>, Rejected> {
    // EXPOSE: input of the derivation.
    derive(data_key.expose(), b"splitvault/1/encrypt", &header.to_bytes())
}

/// `F(DEK, "commit", H)`: public, but derived from the key.
pub(super) fn commitment(data_key: &DataKey, header: &Header) -> Result<KeyCommitment, Rejected> {
    // EXPOSE: input of the derivation.
    derive(data_key.expose(), b"splitvault/1/commit", &header.to_bytes()).map(|bytes| Bytes(*bytes))
}

/// `F(key, label, part)`: HKDF-Expand (RFC 5869 section 2.3) of a uniform 256-bit key, so without Extract.
pub(super) fn derive(key: &[u8; 32], label: &[u8], part: &[u8]) -> Result<Zeroizing<[u8; 32]>, Rejected> {
    let info = lp(&[label, part]);
    let mut out = Zeroizing::new([0; 32]);
    Prk::new_less_safe(HKDF_SHA256, key)
        .expand(&[&info], HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| Rejected)?;
    Ok(out)
}
