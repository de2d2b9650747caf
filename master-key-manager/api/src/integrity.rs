//! Answers about the integrity of secrets: the catalogue's rows, compared with what the vault signs that it has.

use serde::{Deserialize, Serialize};
use shared_proto::id::{SecretId, Version};

use crate::cursor::VersionCursor;
use crate::wire::CatalogueState;

/// A fault of the row of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SecretFault {
    /// Its path, environment or rules are not what the manager wrote last. No reader sees the secret.
    PlaceAltered,
    /// Its description is not what the manager wrote.
    DescriptionAltered,
    /// A stage names a version that is not committed.
    StageWithoutVersion,
}

/// A fault of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VersionFault {
    /// The tag of its row does not fit it: somebody else wrote or altered it.
    RowAltered,
    /// Its row has no tag.
    RowUntagged,
    /// Its state is none, or contradicts that of its envelope.
    StateContradicts,
    /// The catalogue has no row of its envelope.
    EnvelopeRowMissing,
    /// It is committed, no erasure was ordered, and the vault does not have its envelope.
    MissingInVault,
    /// It is called committed, and its envelope was erased by order.
    ErasedInVault,
    /// The vault has another envelope under its number: the digests differ.
    DigestDiffers,
    /// The vault has the envelope under another environment.
    EnvironmentDiffers,
    /// The vault has its wrapped key of an older root key than the catalogue says: no new token opens it.
    EpochBehind,
    /// It is called destroyed, and the vault has its envelope.
    StoredButDestroyed,
    /// It is destroyed, and the vault has not been told, or has not signed for it yet.
    ErasurePending,
    /// It was given up, and the vault has an envelope under its number.
    StoredButAbandoned,
    /// The vault has an envelope that no row of the catalogue is about. `reconcile` finds those of lost rows.
    UnknownToCatalogue,
    /// It changed while it was looked at: ask again.
    Changing,
}

/// A version that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckedVersion {
    /// Its number.
    pub version: Version,
    /// The number of its envelope. Absent if the catalogue has no row of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Version>,
    /// Its state in the catalogue. Absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CatalogueState>,
    /// Its faults; empty for none.
    pub faults: Vec<VersionFault>,
}

/// Answer of `GET /api/secrets/{key_id}/integrity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretIntegrity {
    /// The secret.
    pub key_id: SecretId,
    /// True if nothing on this page is wrong.
    pub ok: bool,
    /// The faults of its own row, on the first page.
    pub faults: Vec<SecretFault>,
    /// Its versions, by their numbers.
    pub versions: Vec<CheckedVersion>,
    /// The version after which the next page begins. Absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Version>,
}

/// A secret that has a fault, or whose versions do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundFault {
    /// The secret.
    pub key_id: SecretId,
    /// The faults of its own row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<SecretFault>,
    /// Its versions that have faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<CheckedVersion>,
}

/// Answer of `GET /api/integrity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstallationIntegrity {
    /// True if nothing on this page is wrong.
    pub ok: bool,
    /// The number of versions that this page checked.
    pub checked: u64,
    /// The faults, by secret.
    pub found: Vec<FoundFault>,
    /// The place after which the next page begins. Absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<VersionCursor>,
}
