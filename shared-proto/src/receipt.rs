//! Receipts: the vault's signed statements about one version, made after it is durable.

use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::encoding::{Bytes, lp, read_from_objects_only};
use crate::id::{EnvironmentId, SecretId, VaultId, Version};
#[cfg(feature = "open")]
use crate::identity::IdentityKey;
use crate::identity::{Owner, Pins, Signature};
use crate::jwk::Thumbprint;

/// The state of a version number in the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// An envelope.
    Stored,
    /// Nothing, permanently.
    Tombstone,
}

impl VersionState {
    /// The word in JSON and under the signature.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Tombstone => "tombstone",
        }
    }
}

/// The facts of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptFacts {
    /// Environment of the version.
    pub environment: EnvironmentId,
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
    /// State of the version.
    pub state: VersionState,
    /// The newest root key epoch of its wrapped keys; 0 for a tombstone.
    pub epoch: u32,
    /// Digest of the envelope; zeros for a tombstone.
    pub digest: Bytes<32>,
}

/// A signed receipt, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Receipt {
    vault: VaultId,
    environment: EnvironmentId,
    secret_id: SecretId,
    version: Version,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    state: VersionState,
    epoch: u32,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    digest: Bytes<32>,
    time: u64,
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    kid: Thumbprint,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    signature: Signature,
}

read_from_objects_only!(Receipt);

impl Receipt {
    /// Signs the facts at `time` (Unix seconds).
    #[cfg(feature = "open")]
    pub fn sign(identity: &IdentityKey, vault: VaultId, facts: &ReceiptFacts, time: u64) -> Self {
        let mut receipt = Self {
            vault,
            environment: facts.environment,
            secret_id: facts.secret,
            version: facts.version,
            state: facts.state,
            epoch: facts.epoch,
            digest: facts.digest,
            time,
            kid: identity.kid(),
            signature: Bytes([0; 64]),
        };
        receipt.signature = identity.sign(&receipt.message());
        receipt
    }

    /// Checks that the pinned vault signed this, and returns its facts.
    pub fn verify(&self, pins: &Pins) -> Result<ReceiptFacts, Rejected> {
        let fits = match self.state {
            VersionState::Stored => self.epoch > 0,
            VersionState::Tombstone => self.epoch == 0 && self.digest == Bytes([0; 32]),
        };
        if !fits || Owner::Vault(self.vault) != pins.id() {
            return Err(Rejected);
        }
        pins.verify(&self.kid, &self.message(), &self.signature)?;
        Ok(ReceiptFacts {
            environment: self.environment,
            secret: self.secret_id,
            version: self.version,
            state: self.state,
            epoch: self.epoch,
            digest: self.digest,
        })
    }

    fn message(&self) -> Vec<u8> {
        lp(&[
            b"splitvault/1/receipt",
            self.vault.as_bytes(),
            self.environment.as_bytes(),
            self.secret_id.as_bytes(),
            &self.version.get().to_be_bytes(),
            self.state.as_str().as_bytes(),
            &self.epoch.to_be_bytes(),
            &self.digest.0,
            &self.time.to_be_bytes(),
        ])
    }
}
