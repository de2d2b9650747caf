//! Changes of the catalogue that are made with an entry of the registry, in its transaction.

use manager_registry::SecretRules;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use crate::NewPlace;

/// Changes that are made with one entry. Nothing is written if one of them has a conflict.
#[derive(Clone, Debug, Default)]
pub struct CatalogueChanges {
    /// Places of secrets, each with a record of its own.
    pub places: Vec<NewPlace>,
    /// Secrets that get a row again, each with a record of its own.
    pub entered: Vec<EnteredSecret>,
    /// A version that is destroyed.
    pub destroyed: Option<DestroyedVersion>,
    /// Destroyed secrets whose rows are removed, each with its record.
    pub pruned: Vec<PrunedSecret>,
}

impl From<Vec<NewPlace>> for CatalogueChanges {
    fn from(places: Vec<NewPlace>) -> Self {
        Self { places, ..Self::default() }
    }
}

/// A secret that lost its row, after its place had changed. It gets another one, under `unnamed/`, or under `destroyed/` if it is.
#[derive(Clone, Debug)]
pub struct EnteredSecret {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its rules from then on.
    pub rules: SecretRules,
    /// When it is entered (Unix seconds).
    pub now: u64,
}

/// A version that is destroyed by the decision of a second principal.
#[derive(Clone, Copy, Debug)]
pub struct DestroyedVersion {
    /// The secret.
    pub secret: SecretId,
    /// The number of the place that this was decided on.
    pub expected: u64,
    /// The version.
    pub version: Version,
}

/// A destroyed secret of which the vault has nothing more.
#[derive(Clone, Copy, Debug)]
pub struct PrunedSecret {
    /// The secret.
    pub secret: SecretId,
    /// The number of its place.
    pub expected: u64,
}
