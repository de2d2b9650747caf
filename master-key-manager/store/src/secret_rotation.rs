//! Rotation of secrets: the steps from one value to the next.
//!
//! A rotation begins with a version that says so, and goes on in the transactions that settle that version. So a crash at any
//! step leaves one of the steps below, from which the next one follows, or the way back.

use async_trait::async_trait;
use manager_api::generate::Generate;
use manager_api::name::{SecretPath, UserLabel};
use manager_policy::{Permit, Rotate, Visible};
use serde::{Deserialize, Serialize};
use shared_proto::id::{EnvironmentId, SecretId, Subject, Version};

use crate::{Acted, BeginOutcome, Closed, DuePlace, NewVersion, SignEvent, Stored};

/// Rotations whose grace time has ended that maintenance finishes in one round.
pub const ENDED_AT_ONCE: usize = 64;

/// Rotations whose versions are not settled that emergencies take the place of, one after the other.
pub(crate) const MOST_DISPLACED: usize = 8;

/// The rotation of a secret that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRotation {
    /// The step that it is at.
    pub step: Step,
    /// The new version.
    pub version: Version,
    /// The version that was current when it began, or when the new one became current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// Set if the new version becomes current without a further step.
    #[serde(default)]
    pub activate: bool,
    /// Set if every token of before is revoked then.
    #[serde(default)]
    pub emergency: bool,
    /// Seconds in which the former version counts beside the new one.
    pub grace_seconds: u64,
    /// When it began (Unix seconds).
    pub started_at: u64,
    /// The principal who said that the pending version works, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// The end of the grace time (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<u64>,
    /// The rotation that an emergency took the place of. It comes back if the new version does not become current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub displaced: Option<Box<SecretRotation>>,
}

/// A step of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The new version is begun, and not settled. It leads to one of the next three, or back.
    Writing,
    /// The new version is pending.
    Pending,
    /// The new version is current, and the former one counts beside it.
    Grace,
    /// The new version is current, and tokens of before are not revoked yet.
    Revoking,
}

/// The word of a principal that a pending version works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// When (Unix seconds).
    pub at: u64,
    /// The principal; absent for a stranger of development mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Subject>,
}

impl SecretRotation {
    /// Tells whether nothing but time keeps it from its end, and that has passed.
    pub fn is_over_at(&self, now: u64) -> bool {
        match self.step {
            Step::Grace => self.grace_until.is_none_or(|until| until <= now),
            Step::Revoking => true,
            Step::Writing | Step::Pending => false,
        }
    }

    /// How many rotations it took the place of, one after the other.
    pub(crate) fn displaces(&self) -> usize {
        self.displaced.as_ref().map_or(0, |displaced| 1 + displaced.displaces())
    }
}

/// A rotation that begins with a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRotation {
    /// Set if the version becomes current without a further step.
    pub activate: bool,
    /// Set if it takes the place of a rotation that is under way, and every token of before is revoked.
    pub emergency: bool,
    /// Seconds in which the former version counts beside the new one.
    pub grace_seconds: u64,
    /// The request for the value that the description of the secret keeps from then on; `None` if that stays.
    pub generate: Option<Generate>,
}

/// A rotation as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownRotation {
    /// The one that is under way.
    pub under_way: Option<SecretRotation>,
    /// The account of the current version.
    pub account: Option<UserLabel>,
    /// The account of the pending version.
    pub pending_account: Option<UserLabel>,
    /// When the next one is due (Unix seconds); `None` without a current version.
    pub due_at: Option<u64>,
}

/// A pending version that becomes current.
#[derive(Clone, Copy, Debug)]
pub struct Promotion {
    /// The secret.
    pub secret: SecretId,
    /// The pending version; `None` if any will do.
    pub version: Option<Version>,
    /// Set if nobody needs to have verified it.
    pub unverified: bool,
    /// Seconds in which the former version counts; `None` for those of the rotation.
    pub grace_seconds: Option<u64>,
    /// Unix seconds.
    pub now: u64,
}

/// The outcome of a step. Only `Done` wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// It is done, with the version that it was about.
    Done(Version),
    /// The secret has no rotation at a step that this one follows, or for another version.
    OtherStep,
    /// Nobody has verified the pending version.
    Unverified,
    /// Another version became current since the rotation began.
    OtherVersion,
    /// The secret is deleted.
    Deleted,
    /// Nothing may be written to the environment.
    Closed(Closed),
}

/// The outcome of finishing a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// The new version; `None` if there was nothing to finish.
    pub version: Option<Version>,
    /// The numbers of the revocations.
    pub numbers: Vec<u64>,
    /// Tells whether one waits for a number.
    pub deferred: bool,
}

/// A secret that is due for its next rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSecret {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: SecretPath,
    /// Its current version.
    pub version: Version,
    /// When it is due (Unix seconds).
    pub due_at: u64,
}

/// A page of secrets that are due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuePage {
    /// The secrets.
    pub secrets: Vec<DueSecret>,
    /// The place after which the next page begins; `None` after the last page.
    pub next: Option<DuePlace>,
}

/// Rotations of secrets.
///
/// A step takes a permit for rotating:
///
/// ```
/// use manager_policy::{Permit, Rotate};
/// use manager_store::{Promotion, SecretRotationStore};
/// async fn same(store: &dyn SecretRotationStore, permit: Permit<Rotate>, promotion: Promotion) {
///     let _ = store.promote(&permit, promotion).await;
/// }
/// ```
///
/// ```compile_fail,E0308
/// use manager_policy::{Permit, Write};
/// use manager_store::{Promotion, SecretRotationStore};
/// async fn other(store: &dyn SecretRotationStore, permit: Permit<Write>, promotion: Promotion) {
///     let _ = store.promote(&permit, promotion).await;
/// }
/// ```
#[async_trait]
pub trait SecretRotationStore: Send + Sync {
    /// Records the version of a rotation as pending. Of two rotations that begin at once, one does.
    async fn begin_rotation(&self, permit: &Permit<Rotate>, version: NewVersion) -> Acted<BeginOutcome>;
    /// Records that a pending version works.
    async fn verify_rotation(
        &self,
        permit: &Permit<Rotate>,
        about: (SecretId, Option<Version>),
        verified: Verified,
    ) -> Acted<StepOutcome>;
    /// Makes a pending version current, and the former one `previous`. Of two that do, one does.
    async fn promote(&self, permit: &Permit<Rotate>, promotion: Promotion) -> Acted<StepOutcome>;
    /// Ends a grace time: the former version is no longer `previous`, and the tokens of its envelope are revoked. After an
    /// emergency all tokens of before are.
    async fn finish_rotation(
        &self,
        permit: &Permit<Rotate>,
        about: (SecretId, Option<Version>),
        sign: Option<SignEvent>,
        now: u64,
    ) -> Acted<Finished>;
    /// The same for the service itself, of a rotation from whose end nothing but time keeps it, if that has passed.
    async fn end_rotation(&self, secret: SecretId, sign: Option<SignEvent>, now: u64) -> Stored<Finished>;
    /// Takes its stage from a pending version, whose rotation ends.
    async fn give_up_rotation(&self, permit: &Permit<Rotate>, secret: SecretId) -> Acted<StepOutcome>;
    /// Secrets with a rotation from whose end nothing but time keeps it, and that has passed.
    async fn ended_rotations(&self, now: u64, limit: usize) -> Stored<Vec<SecretId>>;
    /// A page of up to `limit` secrets that are due from one time to before another one, the first ones first. What is not
    /// visible is left out. A page with fewer is the last one, or it looked at as many rows as one of
    /// [`crate::SearchStore::secrets`].
    async fn due_rotations(
        &self,
        visible: &Visible,
        between: (u64, u64),
        after: Option<DuePlace>,
        limit: usize,
    ) -> Acted<DuePage>;
}
