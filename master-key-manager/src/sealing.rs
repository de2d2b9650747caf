//! The manager's half of the envelope: sealing values and deriving release keys.

use std::sync::Arc;

use shared_proto::envelope::Header;
use shared_proto::envelope::seal::{SealedVersion, release_key, seal};
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};
use shared_proto::secret::{ReleaseKey, SecretValue};

use crate::keys::KeyRing;
use crate::refusal::Refusal;
use crate::store::VersionRow;

/// Seals for one vault, with the root keys of the environments.
pub struct Sealer {
    keys: Arc<KeyRing>,
    vault: VaultId,
}

/// A sealed version and the epoch of the root key that it was sealed with.
pub struct Sealed {
    /// The version.
    pub version: SealedVersion,
    /// The epoch.
    pub epoch: u32,
}

impl Sealer {
    /// For this vault.
    pub fn new(keys: Arc<KeyRing>, vault: VaultId) -> Self {
        Self { keys, vault }
    }

    /// Encrypts a value as this version.
    ///
    /// # Errors
    /// The environment has no root key.
    pub fn seal(
        &self,
        environment: EnvironmentId,
        secret: SecretId,
        version: Version,
        value: &SecretValue,
    ) -> Result<Sealed, Refusal> {
        let header = Header { vault: self.vault, environment, secret, version };
        let keys = self.keys.now();
        let (epoch, root) = keys.roots.newest(environment).ok_or(Refusal::EnvironmentUnknown)?;
        #[cfg(feature = "sabotage")]
        let (header, real) = (crate::sabotage::header(header), header);
        let version = seal(header, value, root)?;
        #[cfg(feature = "sabotage")]
        let version = crate::sabotage::after_sealing(version, real, root)?;
        Ok(Sealed { version, epoch })
    }

    /// The release key of a version.
    ///
    /// # Errors
    /// The root key of its environment and epoch is not there.
    pub fn release_key(&self, row: &VersionRow) -> Result<ReleaseKey, Refusal> {
        let keys = self.keys.now();
        let root = keys
            .roots
            .of(row.environment, row.epoch)
            .ok_or(Refusal::Internal("a root key of the catalogue is not in the key folder"))?;
        #[cfg(feature = "sabotage")]
        if crate::sabotage::is_on(crate::sabotage::ONE_RELEASE_KEY) {
            return Ok(crate::sabotage::common_release_key(root)?);
        }
        Ok(release_key(root, &row.digest)?)
    }
}
