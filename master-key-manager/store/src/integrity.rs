//! The catalogue as it stands in the database, for a comparison with the vault's inventory. Rows that do not fit are shown as
//! such, where other readers see none.

use async_trait::async_trait;
use manager_api::integrity::SecretFault;
use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Operate, Permit};
use shared_proto::encoding::Bytes;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use crate::Acted;

/// Rows of each kind that one transaction looks at.
pub const CHECKED_AT_ONCE: usize = 256;

/// The name of a version.
pub type VersionKey = (SecretId, Version);

/// Reads rows as they stand.
#[async_trait]
pub trait IntegrityStore: Send + Sync {
    /// The versions of a secret behind a number, and the secret itself at the beginning.
    async fn rows_of(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        after: Option<Version>,
    ) -> Acted<CatalogueRows>;
    /// Secrets and versions behind a version, ordered by secret and number.
    async fn rows_after(&self, permit: &Permit<Operate>, after: Option<VersionKey>) -> Acted<CatalogueRows>;
}

/// A part of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueRows {
    /// Its secrets.
    pub secrets: Vec<SecretRow>,
    /// Its versions, in order.
    pub versions: Vec<CheckedVersion>,
    /// The version up to which nothing is left out; `None` for the end.
    pub complete_to: Option<VersionKey>,
}

/// The row of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    /// The secret.
    pub secret: SecretId,
    /// Its faults.
    pub faults: Vec<SecretFault>,
}

/// The row of a version, with that of the envelope that it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedVersion {
    /// The secret.
    pub secret: SecretId,
    /// Its number.
    pub version: Version,
    /// The environment of its secret; `None` for a secret whose place is not the manager's.
    pub environment: Option<EnvironmentId>,
    /// Its state; `None` for a word that is no state.
    pub state: Option<CatalogueState>,
    /// The number of its envelope.
    pub envelope: Version,
    /// The origin of its row.
    pub origin: RowOrigin,
    /// The row of its envelope; `None` if it is missing.
    pub kept: Option<CheckedEnvelope>,
    /// The order to erase its envelope.
    pub erasure: Erasure,
    /// Tells whether a version that is not destroyed keeps its envelope.
    pub is_used: bool,
}

/// The row of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedEnvelope {
    /// Its state; `None` for a word that is no state.
    pub state: Option<CatalogueState>,
    /// The epoch of its wrapped key.
    pub epoch: u32,
    /// Its digest.
    pub digest: Bytes<32>,
}

/// The origin of a row that has a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrigin {
    /// The manager wrote it.
    Manager,
    /// It has no tag.
    Untagged,
    /// Its tag does not fit it.
    Altered,
}

/// The order to erase an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// None was given.
    None,
    /// It waits for a number.
    Waiting,
    /// The event with this number.
    Event(u64),
}
