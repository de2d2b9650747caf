//! Key derivation: HKDF-Expand with SHA-256 under one label for each purpose.

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use zeroize::Zeroizing;

use crate::Rejected;
use crate::encoding::{b64, lp};

/// The name of a symmetric key in reports: the first 16 characters of `b64(F(key, "fingerprint"))`. It reveals nothing
/// useful about the key, because the key is uniform and has 256 bits.
pub fn fingerprint(key: &[u8; 32]) -> Result<String, Rejected> {
    let mut text = b64(&*derive(key, b"splitvault/1/fingerprint", &[])?);
    text.truncate(FINGERPRINT_CHARACTERS);
    Ok(text)
}

/// `F(key, label, parts…)`: HKDF-Expand (RFC 5869 section 2.3) of a uniform 256-bit key, so without Extract.
pub(crate) fn derive(key: &[u8; 32], label: &[u8], parts: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, Rejected> {
    let info = lp(&[&[label], parts].concat());
    let mut out = Zeroizing::new([0; 32]);
    Prk::new_less_safe(HKDF_SHA256, key)
        .expand(&[&info], HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| Rejected)?;
    Ok(out)
}

/// 96 bits: no two keys of an installation share them by chance.
const FINGERPRINT_CHARACTERS: usize = 16;
