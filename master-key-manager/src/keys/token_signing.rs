//! The RSA key that signs access tokens, parsed once.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use shared_proto::Rejected;
use shared_proto::jwk::{PublicJwk, Thumbprint};
use shared_proto::jws::{Kind, sign};
use shared_proto::rsa_key::RsaPrivate;
use shared_proto::token::AccessClaims;

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
