//! The public half of a key.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use shared_proto::encoding::sha256;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::Refused;

/// The algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// RSA.
    Rsa,
    /// The curve P-256.
    EcP256,
    /// The curve P-384.
    EcP384,
    /// The curve P-521.
    EcP521,
    /// Ed25519.
    Ed25519,
    /// X25519, for key agreement only.
    X25519,
    /// A key in a security key, of which a file holds the handle (`sk-…@openssh.com`).
    SecurityKey,
}

impl KeyAlgorithm {
    /// The name of the algorithm.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::EcP521 => "ec-p521",
            Self::Ed25519 => "ed25519",
            Self::X25519 => "x25519",
            Self::SecurityKey => "security-key",
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) bits: Option<usize>,
    /// As `SubjectPublicKeyInfo`; of a security key, in the form of OpenSSH.
    pub(crate) spki: Vec<u8>,
    /// The fingerprint of OpenSSH, if it came in one of its forms.
    pub(crate) ssh_fingerprint: Option<String>,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` and checks the key.
    pub(crate) fn from_spki(spki: &[u8]) -> Result<Self, Refused> {
        let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| OUT_OF_FORM)?;
        let curve = info.algorithm.parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let algorithm = algorithm(info.algorithm.oid, curve)?;
        let is_rsa = algorithm == KeyAlgorithm::Rsa;
        let bits = if is_rsa {
            let key = info.subject_public_key.as_bytes().ok_or(OUT_OF_FORM)?;
            Some(rsa_bits(key)?)
        } else {
            bits_of(algorithm)
        };
        if let Some(verifies) = verification(algorithm) {
            let refused = if is_rsa { Refused::new("an RSA key has 2048 to 8192 bits") } else { OUT_OF_FORM };
            ParsedPublicKey::new(verifies, spki).map_err(|_| refused)?;
        }
        Ok(Self { algorithm, bits, spki: spki.to_vec(), ssh_fingerprint: None })
    }

    /// Reads the RSA key of PKCS#1.
    pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Self, Refused> {
        pkcs1::RsaPublicKey::from_der(der).map_err(|_| OUT_OF_FORM)?;
        Self::from_spki(&wrapped(pkcs1::ALGORITHM_ID, der)?)
    }

    /// The public half of what aws-lc-rs has checked.
    pub(crate) fn of<T: AsDer<PublicKeyX509Der<'static>>>(key: &T) -> Result<Self, Refused> {
        let spki = key.as_der().map_err(|_| OUT_OF_FORM)?;
        Self::from_spki(spki.as_ref())
    }

    /// Reads the point of a curve, or the bytes of an Ed25519 key.
    pub(crate) fn from_point(algorithm: KeyAlgorithm, point: &[u8]) -> Result<Self, Refused> {
        let verifies = verification(algorithm).ok_or(OUT_OF_FORM)?;
        Self::of(&ParsedPublicKey::new(verifies, point).map_err(|_| OUT_OF_FORM)?)
    }

    /// The fingerprint: `SHA256:` and base64.
    pub fn fingerprint(&self) -> String {
        let over_spki = || format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(&self.spki)));
        self.ssh_fingerprint.clone().unwrap_or_else(over_spki)
    }

    /// Whether it is the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

/// What verifies signatures of an algorithm.
pub(crate) fn verification(algorithm: KeyAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        KeyAlgorithm::Rsa => Some(&RSA_PKCS1_2048_8192_SHA256),
        KeyAlgorithm::EcP256 => Some(&ECDSA_P256_SHA256_ASN1),
        KeyAlgorithm::EcP384 => Some(&ECDSA_P384_SHA384_ASN1),
        KeyAlgorithm::EcP521 => Some(&ECDSA_P521_SHA512_ASN1),
        KeyAlgorithm::Ed25519 => Some(&ED25519),
        KeyAlgorithm::X25519 | KeyAlgorithm::SecurityKey => None,
    }
}

pub(super) fn algorithm(oid: ObjectIdentifier, curve: Option<ObjectIdentifier>) -> Result<KeyAlgorithm, Refused> {
    match (oid, curve) {
        (RSA, _) => Ok(KeyAlgorithm::Rsa),
        (EC, Some(P256)) => Ok(KeyAlgorithm::EcP256),
        (EC, Some(P384)) => Ok(KeyAlgorithm::EcP384),
        (EC, Some(P521)) => Ok(KeyAlgorithm::EcP521),
        (EC, _) => Err(Refused::new("the curve of this key is not P-256, P-384 or P-521")),
        (ED25519_KEY, _) => Ok(KeyAlgorithm::Ed25519),
        (X25519_KEY, _) => Ok(KeyAlgorithm::X25519),
        _ => Err(Refused::new("the algorithm of this key is not RSA, ECDSA, Ed25519 or X25519")),
    }
}

pub(super) fn rsa_key(key: &RsaKeyPair) -> Result<PublicKey, Refused> {
    use aws_lc_rs::signature::KeyPair as _;
    PublicKey::of(key.public_key())
}

fn bits_of(algorithm: KeyAlgorithm) -> Option<usize> {
    match algorithm {
        KeyAlgorithm::EcP256 | KeyAlgorithm::Ed25519 | KeyAlgorithm::X25519 => Some(256),
        KeyAlgorithm::EcP384 => Some(384),
        KeyAlgorithm::EcP521 => Some(521),
        KeyAlgorithm::Rsa | KeyAlgorithm::SecurityKey => None,
    }
}

fn rsa_bits(key: &[u8]) -> Result<usize, Refused> {
    let key = pkcs1::RsaPublicKey::from_der(key).map_err(|_| OUT_OF_FORM)?;
    let modulus = key.modulus.as_bytes();
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    Ok(modulus.len() * 8 - unused)
}

fn wrapped(algorithm: x509_cert::spki::AlgorithmIdentifierRef<'_>, key: &[u8]) -> Result<Vec<u8>, Refused> {
    let subject_public_key = der::asn1::BitStringRef::from_bytes(key).map_err(|_| OUT_OF_FORM)?;
    SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().map_err(|_| OUT_OF_FORM)
}

const OUT_OF_FORM: Refused = Refused::new("the public key is not in the form of its algorithm");

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const X25519_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
