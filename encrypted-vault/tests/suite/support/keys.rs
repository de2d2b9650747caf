//! RSA keys, made once for each run.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use rsa::pkcs8::{LineEnding, SecretDocument};
use shared_proto::rsa_key::RsaPrivate;

/// A new RSA key as PKCS#8 PEM.
pub(crate) fn rsa_pem() -> String {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let document = SecretDocument::try_from(der.as_ref()).unwrap();
    document.to_pem("PRIVATE KEY", LineEnding::LF).unwrap().to_string()
}

/// The transport key of every vault here.
pub(crate) fn transport_pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(rsa_pem)
}

/// The token signing key of every manager here, and one that nobody stated.
pub(crate) fn signing_keys() -> &'static [RsaPrivate; 2] {
    static KEYS: OnceLock<[RsaPrivate; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [rsa_pem(), rsa_pem()].map(|pem| RsaPrivate::from_pem(&pem).unwrap()))
}
