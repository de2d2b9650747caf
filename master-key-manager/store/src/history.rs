//! The history of a secret: its versions as people see them, what may be changed about them, and which of them have
//! outlived the rule of the secret.

use async_trait::async_trait;
use manager_api::edit::Edit;
use manager_api::name::{Note, SecretPath};
use manager_api::tokens::Stage;
use manager_api::versions::VersionStatus;
use manager_policy::{AnyAction, Permit, Write};
use shared_proto::id::{EnvironmentId, SecretId, Subject, Version};

use crate::{Acted, Closed, Destroyed, Expiry, SignEvent, Stored};

/// Versions that one transaction destroys because they have outlived the rule of their secret.
pub const OUTLIVED_AT_ONCE: usize = 64;

/// A version with all that the catalogue says about it. One whose row is not what the manager wrote has no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEntry {
    /// Its number.
    pub version: Version,
    /// Number of the envelope that it points to.
    pub envelope: Version,
    /// Its state.
    pub status: VersionStatus,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// When it was begun, or adopted (Unix seconds).
    pub created_at: u64,
    /// The principal who wrote it.
    pub author: Option<Subject>,
    /// The note about it.
    pub note: Option<Note>,
    /// When it ends. Unverified for a version from before versions had tags.
    pub expiry: Expiry,
}

/// The part of a history that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct HistoryPart {
    /// True for the newest first.
    pub newest_first: bool,
    /// The version behind which it begins.
    pub after: Option<Version>,
    /// The most versions.
    pub limit: usize,
}

/// A page of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The versions, in the order that was asked for. Rows that are not the manager's are left out.
    pub entries: Vec<VersionEntry>,
    /// The version after which the next page begins; `None` after the last page.
    pub next: Option<Version>,
}

/// A change of what may change about a version.
#[derive(Clone, Debug)]
pub struct VersionChange {
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
    /// The note about it.
    pub note: Edit<Note>,
    /// The change of its stages.
    pub stage: StageChange,
    /// The version that must be current; `None` if any will do.
    pub if_version: Option<Version>,
}

/// A change of the stages of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StageChange {
    /// They stay.
    #[default]
    Keep,
    /// It gets `previous`, which another version may lose.
    GivePrevious,
    /// It loses `previous` and `pending`.
    Take,
}

/// The outcome of a [`VersionChange`]. Only `Made` wrote something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedVersion {
    /// It is made. The version as it is now.
    Made(VersionEntry),
    /// The version is missing.
    NotFound,
    /// The secret is deleted.
    Deleted,
    /// Another version than the caller has seen is current.
    OtherVersion,
    /// The version cannot get the stage, or cannot lose the one that it has.
    StageStays,
    /// Nothing may be written to the environment.
    Closed(Closed),
}

/// Versions of a secret that its rule does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlived {
    /// The environment of the secret.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: SecretPath,
    /// The versions, up to [`OUTLIVED_AT_ONCE`].
    pub versions: Vec<Version>,
    /// The envelopes of the versions that were counted as kept, in order.
    pub kept: Vec<Version>,
    /// The number of the registry at which it holds.
    pub number: u64,
}

/// Versions as people see them, and rules of retention.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// A page of the versions of a secret; `None` for an unknown one.
    async fn history(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        part: HistoryPart,
    ) -> Acted<Option<HistoryPage>>;
    /// Versions of a secret, in the order of the numbers asked for; `None` for each that is missing.
    async fn entries(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        versions: Vec<Version>,
    ) -> Acted<Vec<Option<VersionEntry>>>;
    /// Changes the note of a version, or its stages. Of two that name the same `if_version` both may change it, because
    /// neither moves `current`.
    async fn change_version(&self, permit: &Permit<Write>, change: VersionChange) -> Acted<ChangedVersion>;
    /// Secrets behind one of them, in the order of their ids, that may have a rule of retention.
    async fn with_retention(&self, after: Option<SecretId>, limit: usize) -> Stored<Vec<SecretId>>;
    /// The versions that the rule of a secret does not keep at this time. `None` for a secret that is unknown, deleted, in
    /// a closed environment or one in which destruction needs an approval, or without a rule that the manager wrote. Neither the newest version nor one with a stage is
    /// among them, nor one without a tag.
    async fn outlived(&self, secret: SecretId, now: u64) -> Stored<Option<Outlived>>;
    /// Destroys those of the versions that the rule of the secret does not keep at the moment of the transaction, as
    /// [`crate::EventStore::destroy`] does for a caller, but keeps an envelope that any row points to which is not destroyed.
    /// Nothing is destroyed if the registry has changed, or another version is counted as kept.
    async fn destroy_outlived(
        &self,
        secret: SecretId,
        seen: Outlived,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<Destroyed>;
}
