//! Release keys on their way: sealed by the manager into an access token, opened by the vault.
//!
//! A fresh content key, for one token only, encrypts the release keys; it is itself sealed with HPKE (RFC 9180, base
//! mode, X25519-HKDF-SHA256, HKDF-SHA256, AES-256-GCM) to the vault's short-lived seal keys. Both are bound to every
//! term of the token.

#[cfg(any(feature = "seal", feature = "open"))]
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, X25519};
#[cfg(any(feature = "seal", feature = "open"))]
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as HPKE;
#[cfg(any(feature = "seal", feature = "open"))]
use rustls::crypto::hpke::Hpke as _;
use zeroize::Zeroizing;

use crate::Rejected;
use crate::encoding::random;
use crate::jwk::{PublicJwk, Thumbprint};
#[cfg(any(feature = "seal", feature = "open"))]
use crate::secret::ContentKey;

/// A seal key pair. Lives in the vault's memory and runtime directory only.
pub struct SealKey {
    private: Zeroizing<[u8; 32]>,
    public: PublicJwk,
    kid: Thumbprint,
}

impl SealKey {
    /// A new key pair.
    pub fn generate() -> Result<Self, Rejected> {
        Self::from_private(Zeroizing::new(random()))
    }

    /// The key pair with this private key (an X25519 scalar, RFC 7748).
    pub fn from_private(private: Zeroizing<[u8; 32]>) -> Result<Self, Rejected> {
        let key = PrivateKey::from_private_key(&X25519, private.as_slice()).map_err(|_| Rejected)?;
        let public = key.compute_public_key().map_err(|_| Rejected)?;
        let public = PublicJwk::x25519(public.as_ref().try_into().map_err(|_| Rejected)?);
        let kid = public.thumbprint();
        Ok(Self { private, public, kid })
    }

    /// The public half.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Thumbprint of the public half.
    pub fn kid(&self) -> Thumbprint {
        self.kid
    }

    /// The private scalar, for its file in the runtime directory.
    pub fn expose(&self) -> &[u8; 32] {
        &self.private
    }
}

/// Seals the release keys of `terms`, in grant order, to each of `seal_keys`.
#[cfg(feature = "seal")]
pub fn seal(
    terms: crate::token::TokenTerms,
    release_keys: &[crate::secret::ReleaseKey],
    seal_keys: &[PublicJwk],
) -> Result<crate::token::AccessClaims, Rejected> {
    use crate::encoding::{ByteString, Bytes};

    if release_keys.len() != terms.grants.len() || seal_keys.is_empty() {
        return Err(Rejected);
    }
    let info = terms.info();
    let content_key = ContentKey::generate();
    let mut seals = Vec::with_capacity(seal_keys.len());
    for key in seal_keys {
        let raw = key.okp(crate::jwk::Curve::X25519).map_err(|_| Rejected)?;
        let recipient = rustls::crypto::hpke::HpkePublicKey(raw.to_vec());
        // EXPOSE: the content key is the plaintext of the seal.
        let (enc, ciphertext) = HPKE.seal(&info, &[], content_key.expose(), &recipient).map_err(|_| Rejected)?;
        let mut sealed = [0; 80];
        sealed.split_at_mut(32).0.copy_from_slice(enc.0.get(..32).ok_or(Rejected)?);
        sealed.split_at_mut(32).1.copy_from_slice(ciphertext.get(..48).ok_or(Rejected)?);
        seals.push((key.thumbprint(), Bytes(sealed)));
    }
    // EXPOSE: the release keys are the plaintext of `rk`; the buffer becomes ciphertext in place.
    let mut rk: Vec<u8> = release_keys.iter().flat_map(|key| *key.expose()).collect();
    cipher(&content_key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(&info), &mut rk)
        .map_err(|_| Rejected)?;
    Ok(crate::token::AccessClaims::new(terms, seals, ByteString(rk)))
}

/// Why the release keys of a token with a valid signature cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(feature = "open")]
pub enum OpenError {
    /// None of the seal keys that the token names is alive.
    SealKeyUnknown,
    /// The seal does not open, or does not belong to these terms.
    Rejected,
}

/// Opens the release keys of a token, in grant order, with a living seal key from `find`.
#[cfg(feature = "open")]
pub fn open<'a>(
    claims: &crate::token::CheckedClaims,
    find: impl Fn(&Thumbprint) -> Option<&'a SealKey>,
) -> Result<Vec<crate::secret::ReleaseKey>, OpenError> {
    let (key, sealed) = claims
        .seals
        .iter()
        .find_map(|(kid, sealed)| find(kid).map(|key| (key, sealed)))
        .ok_or(OpenError::SealKeyUnknown)?;
    open_with(claims, key, sealed).map_err(|Rejected| OpenError::Rejected)
}

#[cfg(feature = "open")]
fn open_with(
    claims: &crate::token::CheckedClaims,
    key: &SealKey,
    sealed: &crate::token::SealedContentKey,
) -> Result<Vec<crate::secret::ReleaseKey>, Rejected> {
    use rustls::crypto::hpke::{EncapsulatedSecret, HpkePrivateKey};

    if claims.rk.0.len() != claims.terms.grants.len() * 32 + 16 {
        return Err(Rejected);
    }
    let info = claims.terms.info();
    let (enc, ciphertext) = sealed.0.split_at(32);
    // EXPOSE: HPKE takes the scalar; HpkePrivateKey wipes its copy.
    let private = HpkePrivateKey::from(key.expose().to_vec());
    let content_key = Zeroizing::new(
        HPKE.open(&EncapsulatedSecret(enc.to_vec()), &info, &[], ciphertext, &private).map_err(|_| Rejected)?,
    );
    let content_key = ContentKey::from_bytes(Zeroizing::new(content_key.as_slice().try_into().map_err(|_| Rejected)?));
    let mut rk = Zeroizing::new(claims.rk.0.clone());
    let opened = cipher(&content_key)?
        .open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::from(&info), &mut rk)
        .map_err(|_| Rejected)?;
    Ok(opened
        .as_chunks::<32>()
        .0
        .iter()
        .map(|chunk| crate::secret::ReleaseKey::from_bytes(Zeroizing::new(*chunk)))
        .collect())
}

#[cfg(any(feature = "seal", feature = "open"))]
fn cipher(content_key: &ContentKey) -> Result<LessSafeKey, Rejected> {
    // EXPOSE: the cipher needs the key. It encrypts once, so that the all-zero nonce is used once with it.
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, content_key.expose()).map_err(|_| Rejected)?))
}
