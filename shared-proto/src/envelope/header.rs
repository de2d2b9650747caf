//! `H`, the header: the identity of a row. It has no key and no epoch, so that it never changes.

use crate::encoding::lp;
use crate::id::{EnvironmentId, SecretId, VaultId, Version};

/// The identity of one version, bound into its keys, its ciphertext and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The vault that holds it.
    pub vault: VaultId,
    /// The environment that it lives in.
    pub environment: EnvironmentId,
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
}

impl Header {
    /// `LP("splitvault/1/header", suite, vault, environment, secret, u64(version))`.
    pub fn to_bytes(&self) -> Vec<u8> {
        lp(&[
            b"splitvault/1/header",
            &[SUITE],
            self.vault.as_bytes(),
            self.environment.as_bytes(),
            self.secret.as_bytes(),
            &self.version.get().to_be_bytes(),
        ])
    }
}

/// AES-256-GCM, HKDF-SHA-256, AES-KW.
const SUITE: u8 = 1;
