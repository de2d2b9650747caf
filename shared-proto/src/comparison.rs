//! Comparisons: the vault's signed answers about value fingerprints.
//!
//! An unsigned "the same" could be forged on the way, and a manager that believes it would not store a new value.

use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::encoding::{Bytes, lp, read_from_objects_only};
use crate::id::VaultId;
#[cfg(feature = "open")]
use crate::identity::IdentityKey;
use crate::identity::{Owner, Pins, Signature};
use crate::jwk::Thumbprint;

/// 16 random bytes of a request, answered under the signature.
pub type ComparisonNonce = Bytes<16>;

/// How a value is to another one, as far as the vault can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    /// The values are the same, and of the same kind.
    Same,
    /// They are not.
    Different,
    /// A version has no fingerprint, or one that cannot be read.
    Unknown,
}

impl Likeness {
    /// The word in JSON and in the signed message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Unknown => "unknown",
        }
    }
}

/// A signed answer, in the form that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Comparison {
    vault: VaultId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    nonce: ComparisonNonce,
    results: Vec<Likeness>,
    time: u64,
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    kid: Thumbprint,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    signature: Signature,
}

read_from_objects_only!(Comparison);

impl Comparison {
    /// Signs the results for the versions of the request that has this nonce, in its order.
    #[cfg(feature = "open")]
    pub fn sign(
        identity: &IdentityKey,
        vault: VaultId,
        nonce: ComparisonNonce,
        results: Vec<Likeness>,
        time: u64,
    ) -> Self {
        let (kid, signature) = (identity.kid(), Bytes([0; 64]));
        let mut comparison = Self { vault, nonce, results, time, kid, signature };
        comparison.signature = identity.sign(&comparison.message());
        comparison
    }

    /// Checks that the pinned vault signed this in answer to `nonce`, and returns the results, of which there are
    /// `count`.
    pub fn verify(&self, pins: &Pins, nonce: &ComparisonNonce, count: usize) -> Result<&[Likeness], Rejected> {
        if Owner::Vault(self.vault) != pins.id() || self.nonce != *nonce || self.results.len() != count {
            return Err(Rejected);
        }
        pins.verify(&self.kid, &self.message(), &self.signature)?;
        Ok(&self.results)
    }

    fn message(&self) -> Vec<u8> {
        let words: Vec<&[u8]> = self.results.iter().map(|result| result.as_str().as_bytes()).collect();
        lp(&[b"splitvault/1/comparison", self.vault.as_bytes(), &self.nonce.0, &lp(&words), &self.time.to_be_bytes()])
    }
}
