//! The vault's half: unwrap transfer keys, and open an envelope with a release key from a token.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey};
use zeroize::Zeroizing;

use super::Header;
use super::derive::{commitment, encryption_key};
use super::format::{Ciphertext, unframe};
use super::keys::{Inner, TRANSFER_LABEL, WrappedTransferKey};
use crate::Rejected;
use crate::secret::{ReleaseKey, SecretValue, TransferKey};

/// Opens an envelope. `header` is built from the vault's own id and the *token*, never from the row, so that a swapped,
/// moved, older or forged row does not open.
///
/// # Errors
///
/// [`Rejected`], whatever the reason.
pub fn open(
    header: &Header,
    release_key: &ReleaseKey,
    inner: &Inner,
    ciphertext: &Ciphertext,
) -> Result<SecretValue, Rejected> {
    let data_key = inner.unwrap_with(release_key)?;
    let expected = commitment(&data_key, header)?;
    verify_slices_are_equal(&expected.0, &ciphertext.commitment.0).map_err(|_| Rejected)?;
    let aad = [header.to_bytes().as_slice(), &expected.0].concat();
    let key = UnboundKey::new(&AES_256_GCM, &*encryption_key(&data_key, header)?).map_err(|_| Rejected)?;
    let mut bytes = Zeroizing::new(ciphertext.bytes.clone());
    let frame = LessSafeKey::new(key)
        .open_in_place(Nonce::assume_unique_for_key(ciphertext.nonce.0), Aad::from(aad), &mut bytes)
        .map_err(|_| Rejected)?;
    unframe(frame)
}

/// Decrypts a transfer key: the one RSA private-key operation of the vault, paid once for each transfer key.
pub fn unwrap_transfer_key(
    transport: &OaepPrivateDecryptingKey,
    wrapped: &WrappedTransferKey,
) -> Result<TransferKey, Rejected> {
    std::hint::black_box(OPEN_HALF);
    let mut out = Zeroizing::new(vec![0; transport.min_output_size()]);
    let plain =
        transport.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped.0, &mut out, Some(TRANSFER_LABEL)).map_err(|_| Rejected)?;
    Ok(TransferKey::from_bytes(Zeroizing::new((&*plain).try_into().map_err(|_| Rejected)?)))
}

/// A text that shows in a stripped binary that it contains the vault's half. scripts/check.sh must find it in the vault
/// only. The manager's half has a text of its own, the label of release keys.
const OPEN_HALF: &str = "splitvault: this binary can open";
