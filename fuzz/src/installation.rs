//! A manager and a vault that exist in this process only. Ids and time are those of the protocol's vectors, so that
//! their documents are near misses; the keys are made at the start, so that nobody else can have signed anything.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use shared_proto::encoding::b64;
use shared_proto::identity::{IdentityDocument, IdentityKey, Issuer, Mode, Owner, Pins};
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::{Kind, VerifyingKey, ed25519_key};
use shared_proto::release::SealKey;
use shared_proto::rsa_key::{RsaPrivate, verifying_key};
use shared_proto::token::Expected;

/// Unix seconds.
pub const NOW: u64 = 1_800_000_000;

/// Both services.
pub struct Installation {
    /// The manager's identity.
    pub manager: IdentityKey,
    /// The vault's identity.
    pub vault: IdentityKey,
    /// The manager, as the vault pins it.
    pub manager_pins: Pins,
    /// The vault, as the manager pins it.
    pub vault_pins: Pins,
    /// What the vault expects of a token or command.
    pub expected: Expected,
    /// A seal key of the vault.
    pub seal_key: SealKey,
    /// The PEM file of the token signing key.
    pub token_signing_pem: String,
    token_signing: RsaKeyPair,
    token_kid: Thumbprint,
    token_verifying: VerifyingKey,
}

/// The one installation of this process.
pub static INSTALLATION: LazyLock<Installation> = LazyLock::new(|| {
    let issuer: Issuer = "urn:splitvault:production:mgr_KWIpoFdly5QHXUEC3mp_Fg".parse().unwrap();
    let audience = "vlt_rKtnMJKXXqAA17azfhLesQ".parse().unwrap();
    let (manager, vault) = (IdentityKey::generate().unwrap().0, IdentityKey::generate().unwrap().0);
    let pins = |id, key: &IdentityKey| {
        Pins::new(&[IdentityDocument { id, mode: Mode::Production, key: key.public().clone() }]).unwrap()
    };
    let token_signing = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&token_signing).unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let checked = RsaPrivate::from_pem(&pem).unwrap();
    Installation {
        manager_pins: pins(Owner::Manager(issuer.manager), &manager),
        vault_pins: pins(Owner::Vault(audience), &vault),
        manager,
        vault,
        expected: Expected { issuer, audience, now: NOW },
        seal_key: SealKey::generate().unwrap(),
        token_kid: checked.public().thumbprint(),
        token_verifying: verifying_key(checked.public()).unwrap(),
        token_signing_pem: pem,
        token_signing,
    }
});

impl Installation {
    /// A compact serialization of any payload with the right header and a good signature.
    pub fn signed(&self, kind: Kind, payload: &[u8]) -> String {
        let (algorithm, typ, kid) = match kind {
            Kind::AccessToken => ("RS256", "at+jwt", self.token_kid),
            Kind::Command => ("EdDSA", "command+jwt", self.manager.kid()),
            Kind::Event => ("EdDSA", "secevent+jwt", self.manager.kid()),
        };
        let header = format!(r#"{{"alg":"{algorithm}","typ":"{typ}","kid":"{kid:?}"}}"#);
        let input = format!("{}.{}", b64(header.as_bytes()), b64(payload));
        let signature = match kind {
            Kind::AccessToken => {
                let mut out = vec![0; self.token_signing.public_modulus_len()];
                let random = aws_lc_rs::rand::SystemRandom::new();
                self.token_signing.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut out).unwrap();
                out
            }
            Kind::Command | Kind::Event => self.manager.sign(input.as_bytes()).0.to_vec(),
        };
        format!("{input}.{}", b64(&signature))
    }

    /// The key that signs what is of this kind.
    pub fn verifying(&self, kind: Kind) -> VerifyingKey {
        match kind {
            Kind::AccessToken => self.token_verifying.clone(),
            Kind::Command | Kind::Event => {
                ed25519_key(self.manager.public().okp(shared_proto::jwk::Curve::Ed25519).unwrap())
            }
        }
    }
}
