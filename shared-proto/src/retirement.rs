//! Retirements: the vault's signed statements that nothing of an environment is left below an epoch of its root key.

use serde::{Deserialize, Serialize};

use crate::Rejected;
#[cfg(feature = "open")]
use crate::encoding::Bytes;
use crate::encoding::{lp, read_from_objects_only};
use crate::id::{EnvironmentId, VaultId};
#[cfg(feature = "open")]
use crate::identity::IdentityKey;
use crate::identity::{Owner, Pins, Signature};
use crate::jwk::Thumbprint;

/// The facts of a retirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetirementFacts {
    /// The environment.
    pub environment: EnvironmentId,
    /// No wrapped key of the environment is below this epoch, and none will be.
    pub epoch: u32,
    /// Number of stored versions of the environment.
    pub rows: u64,
    /// When it was signed (Unix seconds).
    pub time: u64,
}

/// A signed retirement, in the form that is sent and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Retirement {
    vault: VaultId,
    environment: EnvironmentId,
    epoch: u32,
    rows: u64,
    time: u64,
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    kid: Thumbprint,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    signature: Signature,
}

read_from_objects_only!(Retirement);

impl Retirement {
    /// Signs the facts.
    #[cfg(feature = "open")]
    pub fn sign(identity: &IdentityKey, vault: VaultId, facts: &RetirementFacts) -> Self {
        let &RetirementFacts { environment, epoch, rows, time } = facts;
        let (kid, signature) = (identity.kid(), Bytes([0; 64]));
        let mut retirement = Self { vault, environment, epoch, rows, time, kid, signature };
        retirement.signature = identity.sign(&retirement.message());
        retirement
    }

    /// Checks that the pinned vault signed this, and returns its facts.
    pub fn verify(&self, pins: &Pins) -> Result<RetirementFacts, Rejected> {
        if self.epoch == 0 || Owner::Vault(self.vault) != pins.id() {
            return Err(Rejected);
        }
        pins.verify(&self.kid, &self.message(), &self.signature)?;
        Ok(RetirementFacts { environment: self.environment, epoch: self.epoch, rows: self.rows, time: self.time })
    }

    fn message(&self) -> Vec<u8> {
        lp(&[
            b"splitvault/1/retirement",
            self.vault.as_bytes(),
            self.environment.as_bytes(),
            &self.epoch.to_be_bytes(),
            &self.rows.to_be_bytes(),
            &self.time.to_be_bytes(),
        ])
    }
}
