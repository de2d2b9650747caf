//! Key pairs: RSA, curves and Ed25519, with a certificate or a request for one.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager_api::generate::{CertificateRequest, KeyPairAlgorithm, SelfSigned};
use zeroize::Zeroizing;

use super::{Generated, PublicFacts, subject};
use crate::Refused;
use crate::key::{KeyBlock, PublicKey, read_block};
use crate::pem::Block;
use crate::random::Random;

/// A private key that was made, in PKCS#8, with its public half.
pub(super) struct KeyPair {
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
    pub(super) public: PublicKey,
}

/// A key of a curve with its scalar and its point.
pub(super) struct CurveKey {
    pub(super) pair: KeyPair,
    pub(super) scalar: Zeroizing<Vec<u8>>,
    pub(super) point: Vec<u8>,
}

/// A curve that keys are made on.
#[derive(Clone, Copy)]
pub(super) enum Curve {
    P256,
    P384,
}

pub(super) fn make(
    algorithm: KeyPairAlgorithm,
    request: Option<&CertificateRequest>,
    self_signed: Option<&SelfSigned>,
    random: &mut dyn Random,
    now: u64,
) -> Result<Generated, Refused> {
    if request.is_some() && self_signed.is_some() {
        return Err(Refused::new("a key pair comes with a request or with a self-signed certificate, not with both"));
    }
    let pair = match algorithm {
        KeyPairAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072)?,
        KeyPairAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096)?,
        KeyPairAlgorithm::EcP256 => curve(Curve::P256, random)?.pair,
        KeyPairAlgorithm::EcP384 => curve(Curve::P384, random)?.pair,
        KeyPairAlgorithm::Ed25519 => ed25519(random)?.0,
    };
    let mut public = PublicFacts {
        public_key: Some(pem("PUBLIC KEY", &pair.public.spki).to_string()),
        fingerprint: Some(pair.public.fingerprint()),
        ..PublicFacts::default()
    };
    if let Some(request) = request {
        public.request = Some(subject::request(request, &pair)?);
    }
    let mut value = pem("PRIVATE KEY", &pair.pkcs8);
    if let Some(wanted) = self_signed {
        let (certificate, end) = subject::self_signed(wanted, &pair, random, now)?;
        let mut both = Zeroizing::new(String::with_capacity(certificate.len() + value.len()));
        both.push_str(&certificate);
        both.push_str(&value);
        (value, public.certificate, public.expires_at) = (both, Some(certificate), Some(end));
    }
    Ok(Generated { value, public })
}

/// An RSA key. The only private operation of RSA in this crate, and the only randomness that is not handed over.
pub(super) fn rsa(size: KeySize) -> Result<KeyPair, Refused> {
    let pair = RsaKeyPair::generate(size).map_err(|_| FAILED)?;
    let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| FAILED)?;
    KeyPair::from_pkcs8(Zeroizing::new(der.as_ref().to_vec()))
}

/// An Ed25519 key, with its seed.
pub(super) fn ed25519(random: &mut dyn Random) -> Result<(KeyPair, Zeroizing<[u8; 32]>), Refused> {
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| FAILED)?;
    let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| FAILED)?;
    Ok((KeyPair::from_pkcs8(Zeroizing::new(der.as_ref().to_vec()))?, seed))
}

/// A key of a curve.
pub(super) fn curve(curve: Curve, random: &mut dyn Random) -> Result<CurveKey, Refused> {
    let (agrees, signs, length) = match curve {
        Curve::P256 => (&ECDH_P256, &ECDSA_P256_SHA256_ASN1_SIGNING, 32),
        Curve::P384 => (&ECDH_P384, &ECDSA_P384_SHA384_ASN1_SIGNING, 48),
    };
    let mut scalar = Zeroizing::new(vec![0; length]);
    for _ in 0..TRIES {
        random.fill(&mut scalar)?;
        // Numbers above the order of the curve, and zero, are drawn again: each key is as likely as the others.
        let Ok(key) = agreement::PrivateKey::from_private_key(agrees, &scalar) else { continue };
        let point = key.compute_public_key().map_err(|_| FAILED)?.as_ref().to_vec();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(signs, &scalar, &point).map_err(|_| FAILED)?;
        let der = pair.to_pkcs8v1().map_err(|_| FAILED)?;
        let pair = KeyPair::from_pkcs8(Zeroizing::new(der.as_ref().to_vec()))?;
        return Ok(CurveKey { pair, scalar, point });
    }
    Err(FAILED)
}

impl KeyPair {
    /// Reads the key as any reader will.
    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, Refused> {
        let block = Block { label: "PRIVATE KEY", encrypted: false, der: pkcs8.clone(), line: 1 };
        let Some(KeyBlock::Private(public)) = read_block(&block)? else { return Err(FAILED) };
        Ok(Self { pkcs8, public })
    }
}

/// PEM in lines of 64 characters (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it, so that nothing moves and stays behind.
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for (index, character) in encoded.char_indices() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

const FAILED: Refused = Refused::new("the key was not made; try again");
/// A scalar is refused once in 2^32 (P-256) at most.
const TRIES: usize = 16;
