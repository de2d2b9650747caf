//! The manager's half: seal a value, derive release keys, make transfer keys.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey};

use super::Header;
use super::derive::{commitment, encryption_key};
use super::format::{Ciphertext, EnvelopeDigest, NONCE_BYTES, digest, frame};
use super::keys::{Inner, TRANSFER_LABEL, WrappedTransferKey};
use crate::Rejected;
use crate::derive::derive;
use crate::encoding::{ByteString, Bytes, random};
use crate::secret::{DataKey, ReleaseKey, RootKey, SecretValue, TransferKey};

/// A sealed version, ready to be sent to the vault.
pub struct SealedVersion {
    /// The identity of the row.
    pub header: Header,
    /// The encrypted value.
    pub ciphertext: Ciphertext,
    /// The envelope's digest.
    pub digest: EnvelopeDigest,
    /// The wrapped data key.
    pub inner: Inner,
}

/// Encrypts `value` under a new data key, which is wrapped under the release key of this one envelope.
pub fn seal(header: Header, value: &SecretValue, root_key: &RootKey) -> Result<SealedVersion, Rejected> {
    let data_key = DataKey::generate();
    let commitment = commitment(&data_key, &header)?;
    let nonce: [u8; NONCE_BYTES] = random();
    let aad = [header.to_bytes().as_slice(), &commitment.0].concat();
    let key = UnboundKey::new(&AES_256_GCM, &*encryption_key(&data_key, &header)?).map_err(|_| Rejected)?;
    let mut bytes = frame(value);
    LessSafeKey::new(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut *bytes)
        .map_err(|_| Rejected)?;
    let ciphertext = Ciphertext::new(commitment, Bytes(nonce), std::mem::take(&mut *bytes)).map_err(|_| Rejected)?;
    let digest = digest(&header, &ciphertext);
    let inner = Inner::wrap(&release_key(root_key, &digest)?, &data_key)?;
    Ok(SealedVersion { header, ciphertext, digest, inner })
}

/// `RK = F(root key, "release", digest)`: opens this one envelope and no other.
pub fn release_key(root_key: &RootKey, digest: &EnvelopeDigest) -> Result<ReleaseKey, Rejected> {
    // EXPOSE: input of the derivation.
    derive(root_key.expose(), b"splitvault/1/release", &[&digest.0]).map(ReleaseKey::from_bytes)
}

/// A new transfer key, and its form for the vault.
pub fn new_transfer_key(transport: &OaepPublicEncryptingKey) -> Result<(TransferKey, WrappedTransferKey), Rejected> {
    let key = TransferKey::generate();
    let mut out = vec![0; transport.ciphertext_size()];
    // EXPOSE: the transfer key is what RSA-OAEP encrypts.
    transport.encrypt(&OAEP_SHA256_MGF1SHA256, key.expose(), &mut out, Some(TRANSFER_LABEL)).map_err(|_| Rejected)?;
    Ok((key, ByteString(out)))
}
