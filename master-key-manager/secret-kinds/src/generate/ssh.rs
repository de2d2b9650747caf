//! SSH key pairs in the form of OpenSSH.

use aws_lc_rs::rsa::KeySize;
use manager_api::generate::{KeyComment, SshAlgorithm};
use pkcs8::PrivateKeyInfo;
use pkcs8::der::Decode as _;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData, RsaKeypair, RsaPrivateKey};
use ssh_key::public::{Ed25519PublicKey, RsaPublicKey};
use ssh_key::{HashAlg, LineEnding, Mpint, PrivateKey};

use super::key_pair::{self, Curve};
use super::{Generated, PublicFacts};
use crate::Refused;
use crate::key::p256_pair;
use crate::random::Random;

pub(super) fn make(
    algorithm: SshAlgorithm,
    comment: Option<&KeyComment>,
    random: &mut dyn Random,
) -> Result<Generated, Refused> {
    let data = match algorithm {
        SshAlgorithm::Ed25519 => ed25519(random)?,
        SshAlgorithm::EcdsaP256 => {
            let key = key_pair::curve(Curve::P256, random)?;
            KeypairData::Ecdsa(p256_pair(&key.point, &key.scalar)?)
        }
        SshAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072)?,
        SshAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096)?,
    };
    let comment = comment.map(KeyComment::as_str).unwrap_or_default();
    let key = PrivateKey::new(data, comment).map_err(|_| FAILED)?;
    let value = key.to_openssh(LineEnding::LF).map_err(|_| FAILED)?;
    let public = PublicFacts {
        public_key: Some(key.public_key().to_openssh().map_err(|_| FAILED)?),
        fingerprint: Some(key.fingerprint(HashAlg::Sha256).to_string()),
        ..PublicFacts::default()
    };
    Ok(Generated { value, public })
}

fn ed25519(random: &mut dyn Random) -> Result<KeypairData, Refused> {
    let (pair, seed) = key_pair::ed25519(random)?;
    // The key is the end of its SubjectPublicKeyInfo (RFC 8410).
    let (_, public) = pair.public.spki.split_last_chunk::<32>().ok_or(FAILED)?;
    let public = Ed25519PublicKey(*public);
    Ok(KeypairData::Ed25519(Ed25519Keypair { public, private: Ed25519PrivateKey::from_bytes(&seed) }))
}

fn rsa(size: KeySize) -> Result<KeypairData, Refused> {
    let pair = key_pair::rsa(size)?;
    let info = PrivateKeyInfo::try_from(pair.pkcs8.as_slice()).map_err(|_| FAILED)?;
    let key = pkcs1::RsaPrivateKey::from_der(info.private_key).map_err(|_| FAILED)?;
    let number = |part: pkcs8::der::asn1::UintRef<'_>| Mpint::from_positive_bytes(part.as_bytes()).map_err(|_| FAILED);
    Ok(KeypairData::Rsa(RsaKeypair {
        public: RsaPublicKey { e: number(key.public_exponent)?, n: number(key.modulus)? },
        private: RsaPrivateKey {
            d: number(key.private_exponent)?,
            iqmp: number(key.coefficient)?,
            p: number(key.prime1)?,
            q: number(key.prime2)?,
        },
    }))
}

const FAILED: Refused = Refused::new("the key was not made; try again");
