//! RSA keys: parsing, checking and conversion by the `rsa` crate; every private operation by `aws-lc-rs`.
//!
//! The `rsa` crate never performs a private-key operation here (RUSTSEC-2023-0071). A key file is accepted only when it
//! is PKCS#8, 2048 to 4096 bits, has a public exponent of at least 65537, primes that are not close, and is consistent.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa as aws;
use rsa::BigUint;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use zeroize::Zeroizing;

use crate::encoding::ByteString;
use crate::jwk::PublicJwk;
use crate::jws::VerifyingKey;
use crate::{Malformed, Rejected};

/// The shortest modulus in bits.
pub const MIN_BITS: usize = 2048;
/// The longest modulus in bits: a longer one makes signatures slow enough for a denial of service.
pub const MAX_BITS: usize = 4096;

/// Why an RSA key file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    /// Not an unencrypted PKCS#8 PEM of an RSA key.
    #[error("it is not an RSA private key in PKCS#8 PEM form")]
    NotPkcs8,
    /// Modulus outside [`MIN_BITS`] to [`MAX_BITS`].
    #[error("it has {0} bits, and 2048 to 4096 are needed")]
    Length(usize),
    /// Public exponent too small.
    #[error("its public exponent is below 65537")]
    Exponent,
    /// The parts of the key contradict each other.
    #[error("its parts do not belong together")]
    Inconsistent,
    /// The machine gave no randomness or memory.
    #[error("no key could be generated")]
    NotGenerated,
    /// |p − q| is so small that the modulus can be factored (FIPS 186-5 A.1.3).
    #[error("its two primes are too close to each other")]
    ClosePrimes,
}

/// A checked RSA private key: its DER form (PKCS#8) and its public half.
pub struct RsaPrivate {
    der: Zeroizing<Vec<u8>>,
    public: PublicJwk,
}

impl RsaPrivate {
    /// A new key of 2048, 3072 or 4096 bits, as a PKCS#8 PEM text for its key file.
    pub fn generate_pem(bits: usize) -> Result<Zeroizing<String>, RsaKeyError> {
        let size = match bits {
            2048 => aws::KeySize::Rsa2048,
            3072 => aws::KeySize::Rsa3072,
            4096 => aws::KeySize::Rsa4096,
            _ => return Err(RsaKeyError::Length(bits)),
        };
        let der: Pkcs8V1Der<'static> = aws::PrivateDecryptingKey::generate(size)
            .and_then(|key| key.as_der())
            .map_err(|_| RsaKeyError::NotGenerated)?;
        let document = rsa::pkcs8::SecretDocument::try_from(der.as_ref()).map_err(|_| RsaKeyError::NotGenerated)?;
        document.to_pem("PRIVATE KEY", rsa::pkcs8::LineEnding::LF).map_err(|_| RsaKeyError::NotGenerated)
    }

    /// Reads and checks a PKCS#8 PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, RsaKeyError> {
        let key = rsa::RsaPrivateKey::from_pkcs8_pem(pem.trim()).map_err(|error| {
            // A key of another algorithm is `PublicKey`.
            let inconsistent = matches!(error, rsa::pkcs8::Error::KeyMalformed);
            if inconsistent { RsaKeyError::Inconsistent } else { RsaKeyError::NotPkcs8 }
        })?;
        check_public(key.n(), key.e())?;
        key.validate().map_err(|_| RsaKeyError::Inconsistent)?;
        let [p, q] = key.primes() else { return Err(RsaKeyError::Inconsistent) };
        let distance = if p > q { p - q } else { q - p };
        if distance.bits() + 100 <= key.n().bits() / 2 {
            return Err(RsaKeyError::ClosePrimes);
        }
        let (_, document) = rsa::pkcs8::SecretDocument::from_pem(pem.trim()).map_err(|_| RsaKeyError::NotPkcs8)?;
        let public = PublicJwk::Rsa { n: ByteString(key.n().to_bytes_be()), e: ByteString(key.e().to_bytes_be()) };
        Ok(Self { der: Zeroizing::new(document.as_bytes().to_vec()), public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Whether this SPKI PEM text is the public half.
    pub fn matches_public_pem(&self, pem: &str) -> bool {
        rsa::RsaPublicKey::from_public_key_pem(pem.trim()).is_ok_and(|key| {
            let jwk = PublicJwk::Rsa { n: ByteString(key.n().to_bytes_be()), e: ByteString(key.e().to_bytes_be()) };
            jwk == self.public
        })
    }

    /// The key pair for RS256 signatures. Importing re-checks the key (a quarter millisecond): keep the result.
    pub fn signing_pair(&self) -> Result<aws_lc_rs::signature::RsaKeyPair, Rejected> {
        aws_lc_rs::signature::RsaKeyPair::from_pkcs8(&self.der).map_err(|_| Rejected)
    }

    /// The key for RSA-OAEP decryption. Importing re-checks the key: keep the result.
    pub fn decrypting_key(&self) -> Result<aws::OaepPrivateDecryptingKey, Rejected> {
        let key = aws::PrivateDecryptingKey::from_pkcs8(&self.der).map_err(|_| Rejected)?;
        aws::OaepPrivateDecryptingKey::new(key).map_err(|_| Rejected)
    }
}

/// A checked RSA public key in the form that signatures are verified with.
pub fn verifying_key(jwk: &PublicJwk) -> Result<VerifyingKey, Malformed> {
    let (n, e) = components(jwk)?;
    VerifyingKey::rsa(&n.to_bytes_be(), &e.to_bytes_be())
}

/// A checked RSA public key in the form that transfer keys are encrypted with.
pub fn encrypting_key(jwk: &PublicJwk) -> Result<aws::OaepPublicEncryptingKey, Malformed> {
    const REFUSED: Malformed = Malformed("not a usable RSA public key");
    let (n, e) = components(jwk)?;
    let spki = rsa::RsaPublicKey::new(n, e).map_err(|_| REFUSED)?.to_public_key_der().map_err(|_| REFUSED)?.into_vec();
    let key = aws::PublicEncryptingKey::from_der(&spki).map_err(|_| REFUSED)?;
    aws::OaepPublicEncryptingKey::new(key).map_err(|_| REFUSED)
}

fn components(jwk: &PublicJwk) -> Result<(BigUint, BigUint), Malformed> {
    const REFUSED: Malformed = Malformed("not a usable RSA public key");
    let PublicJwk::Rsa { n, e } = jwk else { return Err(REFUSED) };
    let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
    if n.0.first() == Some(&0) || e.0.first() == Some(&0) || e.0.len() > 8 || !odd(&n.0) || !odd(&e.0) {
        return Err(REFUSED);
    }
    let (n, e) = (BigUint::from_bytes_be(&n.0), BigUint::from_bytes_be(&e.0));
    check_public(&n, &e).map_err(|_| REFUSED)?;
    Ok((n, e))
}

fn check_public(n: &BigUint, e: &BigUint) -> Result<(), RsaKeyError> {
    if !(MIN_BITS..=MAX_BITS).contains(&n.bits()) {
        return Err(RsaKeyError::Length(n.bits()));
    }
    if *e < BigUint::from(65537_u32) { Err(RsaKeyError::Exponent) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_one_that_is_accepted() {
        let pem = RsaPrivate::generate_pem(2048).unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n"));
        let key = RsaPrivate::from_pem(&pem).unwrap();
        assert!(verifying_key(key.public()).is_ok() && encrypting_key(key.public()).is_ok());
        assert!(key.signing_pair().is_ok() && key.decrypting_key().is_ok());
        assert_ne!(*pem, *RsaPrivate::generate_pem(2048).unwrap());
    }

    #[test]
    fn a_length_that_is_not_offered_is_refused() {
        for bits in [0, 1024, 2047, 2049, 8192] {
            assert_eq!(RsaPrivate::generate_pem(bits).err(), Some(RsaKeyError::Length(bits)));
        }
    }
}
