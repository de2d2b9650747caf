//! The RSA key that signs access tokens, parsed once.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use service_runtime::StartError;
use service_runtime::files::read_private;
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
    /// Reads the key, and compares the public file with it if there is one.
    ///
    /// # Errors
    /// The file is missing, open to others, not PKCS#8, weak or inconsistent, or the public file is of another key.
    pub fn load(private: &Path, public: &Path) -> Result<Self, StartError> {
        let fix = "make a new one with scripts/generate-keys.sh";
        let refused = |why: &dyn std::fmt::Display| {
            StartError::new(format!("{} cannot sign tokens: {why}; {fix}.", private.display()))
        };
        let bytes = read_private(private)?;
        let pem = std::str::from_utf8(&bytes).map_err(|_| refused(&"it is not text"))?;
        let key = RsaPrivate::from_pem(pem).map_err(|error| refused(&error))?;
        let pair = key.signing_pair().map_err(|_| refused(&"its parts do not belong together"))?;
        check_public_file(public, &key)?;
        Ok(Self { pair, public: key.public().clone(), kid: key.public().thumbprint() })
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

fn check_public_file(path: &Path, key: &RsaPrivate) -> Result<(), StartError> {
    match std::fs::read_to_string(path) {
        Ok(pem) if key.matches_public_pem(&pem) => Ok(()),
        Ok(_) => Err(StartError::new(format!(
            "{} is not the public half of the token signing key; remove it, or put the key back that it belongs to.",
            path.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StartError::new(format!("{} cannot be read ({error}).", path.display()))),
    }
}
