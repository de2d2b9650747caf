//! Secrets as the catalogue describes them: place, rules, details, stages.

use async_trait::async_trait;
use manager_api::kind::{Class, SecretKind};
use manager_api::metadata::Metadata;
use manager_api::name::{Description, SecretPath};
use manager_api::policy::PartyId;
use manager_api::rotation::RotationPlan;
use manager_policy::{AnyAction, Permit, SecretFacts, Write};
use manager_registry::SecretRules;
use serde::{Deserialize, Serialize};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use crate::{Acted, Closed, SecretState, ShownRotation, Stored};

/// A secret with a place that the manager gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedSecret {
    /// The facts that policy decides from.
    pub facts: SecretFacts,
    /// Its rules, of which the facts have a part.
    pub rules: SecretRules,
}

/// The versions that have a stage. Each of them is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// The version of readers who name none.
    pub current: Option<Version>,
    /// The one that was current before it.
    pub previous: Option<Version>,
    /// The one that is about to be current.
    pub pending: Option<Version>,
}

/// The description of a secret. It informs; no right depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// What its value is; text by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SecretKind>,
    /// Its class, if it is not that of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The principal or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PartyId>,
    /// Pairs for people and programs.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The rotation period in days, if it is not that of its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_days: Option<u16>,
    /// Set if its versions have no end but that which they are given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never_expires: bool,
    /// The way in which it is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationPlan>,
}

/// A secret with all that the catalogue says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedSecret {
    /// Its place, rules, stages and numbers.
    pub state: SecretState,
    /// Its description; `None` if the database holds one that the manager did not write.
    pub details: Option<Details>,
    /// Its rotation.
    pub rotation: ShownRotation,
}

/// Another place of a secret, or other rules. The registry's entry of the change gives it a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlace {
    /// The secret.
    pub secret: SecretId,
    /// Its environment, which never changes.
    pub environment: EnvironmentId,
    /// The number of the place that the change was decided on.
    pub expected: u64,
    /// Its path from then on.
    pub path: SecretPath,
    /// Its rules from then on.
    pub rules: SecretRules,
    /// Its description from then on; `None` if that stays.
    pub details: Option<Details>,
    /// The revision that the caller has seen; `None` if any will do.
    pub if_revision: Option<u64>,
}

/// A change of the description of a secret.
#[derive(Clone, Debug)]
pub struct NewDetails {
    /// The secret.
    pub secret: SecretId,
    /// Its description from then on.
    pub details: Details,
    /// The revision that the change was made on.
    pub expected: u64,
}

/// The reason why a place or a description did not change. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceConflict {
    /// The secret changed meanwhile, or its row is not the manager's.
    Changed,
    /// It has another revision than the caller has seen.
    OtherRevision,
    /// Another secret has the path.
    PathTaken,
    /// Another secret has the path with dots in the place of slashes, or the other way round.
    OtherReading,
    /// Nothing may be written to the environment.
    Closed(Closed),
}

/// Places and descriptions of secrets. Places change with the registry: see [`crate::RegistryStore::change_places`].
#[async_trait]
pub trait PlaceStore: Send + Sync {
    /// Secrets for a decision about a change, in the same order; `None` for an unknown one. They are not for a caller's eyes.
    async fn placed(&self, secrets: Vec<SecretId>) -> Stored<Vec<Option<(PlacedSecret, Details, u64)>>>;
    /// A secret with all that the catalogue says about it.
    async fn described(&self, permit: &Permit<AnyAction>, secret: SecretId) -> Acted<Option<DescribedSecret>>;
    /// Describes a secret, if it has the revision that is expected. Of two that describe the same revision, one does.
    async fn describe(&self, permit: &Permit<Write>, new: NewDetails) -> Acted<Result<u64, PlaceConflict>>;
}
