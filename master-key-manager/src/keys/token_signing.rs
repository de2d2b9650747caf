//! The RSA keys that sign access tokens, parsed once: the next one, the one in use, the previous one.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use service_runtime::key_slots::RsaSlot;
use service_runtime::standing::SKEW_SECONDS;
use shared_proto::Rejected;
use shared_proto::jwk::{PublicJwk, Thumbprint};
use shared_proto::jws::{Kind, sign};
use shared_proto::rsa_key::RsaPrivate;
use shared_proto::token::{AccessClaims, MAX_LIFE_SECONDS};

/// The token signing keys.
pub struct TokenKeys {
    /// Stated, and used once the vault has acknowledged it.
    pub next: Option<TokenKey>,
    /// In use.
    pub active: TokenKey,
    /// Replaced. Tokens that it signed may be alive.
    pub previous: Option<TokenKey>,
}

/// A token signing key in its place.
#[derive(Clone)]
pub struct TokenKey {
    /// The key.
    pub signer: Arc<TokenSigner>,
    /// Since when it has its place (Unix seconds).
    pub since: u64,
}

/// How long a replaced key is accepted: the longest life of a token, and the allowed difference of the clocks.
pub const OVERLAP_SECONDS: u64 = MAX_LIFE_SECONDS + SKEW_SECONDS;

impl TokenKey {
    /// The key in this slot.
    ///
    /// # Errors
    /// It cannot sign.
    pub fn new(slot: &RsaSlot) -> Result<Self, Rejected> {
        Ok(Self { signer: Arc::new(TokenSigner::new(&slot.key)?), since: slot.since })
    }

    /// Its kid.
    pub fn kid(&self) -> Thumbprint {
        self.signer.kid()
    }
}

impl TokenKeys {
    /// When the previous key ends (Unix seconds).
    pub fn previous_ends_at(&self) -> u64 {
        self.active.since.saturating_add(OVERLAP_SECONDS)
    }

    /// The keys that the vault must accept, each with its end if it has one: all except revoked ones.
    pub fn accepted(&self, revoked: &[Thumbprint]) -> Vec<(&PublicJwk, Option<u64>)> {
        let (next, previous) = (self.next.iter().map(|key| (key, None)), self.previous.iter());
        let all = next.chain([(&self.active, None)]).chain(previous.map(|key| (key, Some(self.previous_ends_at()))));
        all.filter(|(key, _)| !revoked.contains(&key.kid())).map(|(key, end)| (key.signer.public(), end)).collect()
    }
}

/// Signs access tokens with RS256. Importing a key re-checks it, which costs as much as a signature: the pair is kept.
pub struct TokenSigner {
    pair: RsaKeyPair,
    public: PublicJwk,
    kid: Thumbprint,
}

impl TokenSigner {
    /// The signer with this key.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn new(key: &RsaPrivate) -> Result<Self, Rejected> {
        Ok(Self { pair: key.signing_pair()?, public: key.public().clone(), kid: key.public().thumbprint() })
    }

    /// The public half.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Thumbprint of the public half.
    pub fn kid(&self) -> Thumbprint {
        self.kid
    }

    /// Signs claims: one RSA private operation, about half a millisecond. Not for an async thread.
    ///
    /// # Errors
    /// The claims are too long for a token.
    pub fn sign(&self, claims: &AccessClaims) -> Result<String, Rejected> {
        sign(Kind::AccessToken, self.kid, claims, |input| {
            let mut signature = vec![0; self.pair.public_modulus_len()];
            self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).map_err(|_| Rejected)?;
            Ok(signature)
        })
    }
}
