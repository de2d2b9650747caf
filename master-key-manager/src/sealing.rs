//! The manager's half of the envelope: sealing values, making their fingerprints, and deriving release keys.

use std::sync::Arc;

use service_runtime::Refusal;
use shared_proto::Rejected;
use shared_proto::envelope::seal::{SealedVersion, release_key, seal};
use shared_proto::envelope::{BoundFingerprint, Header, ValueFingerprint, binding_key};
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};
use shared_proto::secret::{BindingKey, ReleaseKey, SecretValue};

use crate::keys::{KeyRing, LoadedKeys};
use manager_store::VersionRow;

/// Seals values for one vault, with the root keys of the environments.
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
    /// The fingerprint of the value, bound to the version.
    pub fingerprint: BoundFingerprint,
}

impl Sealer {
    /// A sealer for this vault.
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
        let header = self.header(environment, (secret, version));
        let keys = self.keys.now();
        let (epoch, root) = keys
            .roots
            .newest(environment)
            .ok_or_else(|| Refusal::new(ErrorCode::NameInvalid).detail("There is no such environment."))?;
        let fingerprint = fingerprint(&keys, &header, value)?;
        #[cfg(feature = "sabotage")]
        let (header, real) = (crate::sabotage::header(header), header);
        let version = seal(header, value, root).map_err(cipher_refused)?;
        #[cfg(feature = "sabotage")]
        let version = crate::sabotage::after_sealing(version, real, root).map_err(cipher_refused)?;
        Ok(Sealed { version, epoch, fingerprint })
    }

    /// The fingerprint of a value, bound to the envelope of a version: to ask the vault whether the value is the same.
    ///
    /// # Errors
    /// Only by a defect.
    pub fn fingerprint(&self, row: &VersionRow, value: &SecretValue) -> Result<BoundFingerprint, Refusal> {
        fingerprint(&self.keys.now(), &self.header(row.environment, (row.secret, row.envelope)), value)
    }

    /// The binding key of an envelope: with it the vault reads the envelope's fingerprint.
    ///
    /// # Errors
    /// Only by a defect.
    pub fn binding_key(
        &self,
        environment: EnvironmentId,
        envelope: (SecretId, Version),
    ) -> Result<BindingKey, Refusal> {
        binding_key(&self.keys.now().fingerprints, &self.header(environment, envelope)).map_err(cipher_refused)
    }

    fn header(&self, environment: EnvironmentId, (secret, version): (SecretId, Version)) -> Header {
        Header { vault: self.vault, environment, secret, version }
    }

    /// The release key of a version.
    ///
    /// # Errors
    /// The root key of its environment and epoch is missing.
    pub fn release_key(&self, row: &VersionRow) -> Result<ReleaseKey, Refusal> {
        let keys = self.keys.now();
        let root = keys
            .roots
            .of(row.environment, row.epoch)
            .ok_or(Refusal::internal("a root key of the catalogue is not in the key folder"))?;
        #[cfg(feature = "sabotage")]
        if crate::sabotage::is_on(crate::sabotage::ONE_RELEASE_KEY) {
            return crate::sabotage::common_release_key(root).map_err(cipher_refused);
        }
        release_key(root, &row.digest).map_err(cipher_refused)
    }
}

fn fingerprint(keys: &LoadedKeys, header: &Header, value: &SecretValue) -> Result<BoundFingerprint, Refusal> {
    #[cfg(feature = "sabotage")]
    let header = &crate::sabotage::header(*header);
    let fingerprint = ValueFingerprint::of(&keys.fingerprints, header.environment, value).map_err(cipher_refused)?;
    let key = binding_key(&keys.fingerprints, header).map_err(cipher_refused)?;
    fingerprint.bind_with(&key).map_err(cipher_refused)
}

/// The refusal when a cipher or a signature rejects the service's own input: a defect.
pub(crate) fn cipher_refused(Rejected: Rejected) -> Refusal {
    Refusal::internal("a cipher or a signature refused its input")
}
