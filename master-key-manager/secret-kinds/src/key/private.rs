//! Private keys in PKCS#8, PKCS#1 and SEC1, and the frame of encrypted ones.

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader};
use pkcs8::PrivateKeyInfo;
use x509_cert::spki::AlgorithmIdentifierRef;

use super::public::{self, KeyAlgorithm, PublicKey};
use crate::Refused;

/// Reads PKCS#8 (RFC 5208, RFC 5958).
pub(super) fn from_pkcs8(der: &[u8]) -> Result<PublicKey, Refused> {
    const OUT_OF_FORM: Refused = Refused::new("the private key is not in the form of PKCS#8, or its parts do not fit");
    let info = PrivateKeyInfo::try_from(der).map_err(|_| OUT_OF_FORM)?;
    let curve = info.algorithm.parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    match public::algorithm(info.algorithm.oid, curve)? {
        KeyAlgorithm::Rsa => public::rsa_key(&RsaKeyPair::from_pkcs8(der).map_err(|_| RSA_REFUSED)?),
        KeyAlgorithm::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| OUT_OF_FORM)?;
            PublicKey::of(pair.public_key())
        }
        KeyAlgorithm::X25519 => {
            let bytes = OctetStringRef::from_der(info.private_key).map_err(|_| OUT_OF_FORM)?;
            let key = agreement::PrivateKey::from_private_key(&agreement::X25519, bytes.as_bytes());
            let key = key.map_err(|_| OUT_OF_FORM)?;
            PublicKey::of(&key.compute_public_key().map_err(|_| OUT_OF_FORM)?)
        }
        algorithm
        @ (KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 | KeyAlgorithm::EcP521 | KeyAlgorithm::SecurityKey) => {
            let signs = curve_of(algorithm).ok_or(OUT_OF_FORM)?;
            let pair = EcdsaKeyPair::from_private_key_der(signs, der).map_err(|_| OUT_OF_FORM)?;
            PublicKey::of(pair.public_key())
        }
    }
}

/// Reads the RSA key of PKCS#1 (RFC 8017 appendix A).
pub(super) fn from_pkcs1(der: &[u8]) -> Result<PublicKey, Refused> {
    public::rsa_key(&RsaKeyPair::from_der(der).map_err(|_| RSA_REFUSED)?)
}

/// Reads the key of a curve of SEC1 (RFC 5915).
pub(super) fn from_sec1(der: &[u8]) -> Result<PublicKey, Refused> {
    let curves = [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::EcP521];
    let mut pairs = curves.into_iter().filter_map(curve_of);
    let pair = pairs.find_map(|signs| EcdsaKeyPair::from_private_key_der(signs, der).ok());
    let pair = pair.ok_or(Refused::new(
        "the private key is not in the form of SEC1, is not on P-256, P-384 or P-521, or its parts do not fit",
    ))?;
    PublicKey::of(pair.public_key())
}

/// Checks the frame of an encrypted PKCS#8 key: an algorithm, and bytes.
pub(super) fn check_encrypted(der: &[u8]) -> Result<(), Refused> {
    let frame = || -> der::Result<bool> {
        let mut reader = SliceReader::new(der)?;
        let sequence = AnyRef::decode(&mut reader)?;
        reader.finish(())?;
        sequence.sequence(|inner| {
            AlgorithmIdentifierRef::decode(inner)?;
            Ok(!OctetStringRef::decode(inner)?.is_empty())
        })
    };
    match frame() {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Refused::new("the encrypted private key is not in the form of PKCS#8")),
    }
}

pub(super) fn curve_of(algorithm: KeyAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        KeyAlgorithm::EcP256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyAlgorithm::EcP384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyAlgorithm::EcP521 => Some(&ECDSA_P521_SHA512_ASN1_SIGNING),
        KeyAlgorithm::Rsa | KeyAlgorithm::Ed25519 | KeyAlgorithm::X25519 | KeyAlgorithm::SecurityKey => None,
    }
}

const RSA_REFUSED: Refused = Refused::new(
    "the RSA private key is not in its form, has fewer than 2048 or more than 8192 bits, or its parts do not fit",
);
