//! Secrets and their versions.

use async_trait::async_trait;
use manager_api::kind::SecretKind;
use manager_api::name::{Note, SecretPath, UserLabel};
use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Permit, Read, Write};
use manager_registry::SecretRules;
use shared_proto::encoding::Bytes;
use shared_proto::id::{EnvironmentId, SecretId, Subject, Version};
use shared_proto::jwk::Thumbprint;

use crate::{
    Acted, Closed, Details, Expiry, FactStore, NewRotation, NewToken, ReadableTarget, Stages, Stored, TokenSubject,
};

/// How long an idempotency key is remembered, in seconds.
pub const KEPT_SECONDS: u64 = 24 * 60 * 60;

/// Secrets and their versions.
///
/// A write begins with a permit for writing:
///
/// ```
/// use manager_policy::{Permit, Write};
/// use manager_store::{CatalogueStore, NewVersion};
/// async fn same(store: &dyn CatalogueStore, permit: Permit<Write>, version: NewVersion) {
///     let _ = store.begin(&permit, version).await;
/// }
/// ```
///
/// ```compile_fail,E0308
/// use manager_policy::{Permit, Read};
/// use manager_store::{CatalogueStore, NewVersion};
/// async fn other(store: &dyn CatalogueStore, permit: Permit<Read>, version: NewVersion) {
///     let _ = store.begin(&permit, version).await;
/// }
/// ```
#[async_trait]
pub trait CatalogueStore: FactStore {
    /// The secret under a path, in the form that a write needs.
    async fn secret_at(
        &self,
        permit: &Permit<Write>,
        environment: EnvironmentId,
        path: SecretPath,
    ) -> Acted<Option<SecretState>>;
    /// The secret with an id.
    async fn secret(&self, permit: &Permit<AnyAction>, secret: SecretId) -> Acted<Option<SecretState>>;
    /// One version.
    async fn version(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        version: Version,
    ) -> Acted<Option<VersionRow>>;
    /// Tells whether a committed version that the manager wrote, other than this one, points to the envelope of this one.
    async fn is_kept_by_another(&self, permit: &Permit<AnyAction>, of: VersionRow) -> Acted<bool>;
    /// When a version ends, for the service itself. Of a missing one nothing is known.
    async fn expiry(&self, secret: SecretId, version: Version) -> Stored<Expiry>;
    /// The secret with an id, for the service itself, which settles versions without a caller.
    async fn secret_to_settle(&self, secret: SecretId) -> Stored<Option<SecretState>>;
    /// Records a version as pending, with its secret, the subject of its label and its idempotency key. Of two that begin
    /// the same number or path, one gets [`BeginOutcome::Taken`].
    async fn begin(&self, permit: &Permit<Write>, version: NewVersion) -> Acted<BeginOutcome>;
    /// Records a rollback as pending, with its idempotency key: a version that points to the envelope of another one.
    /// The other one must be committed in this transaction, so it is not destroyed meanwhile. It ends when the other one does,
    /// and at once if nobody vouches for that. Of two that want the same
    /// number one gets it, and a write counts as well.
    async fn begin_rollback(&self, permit: &Permit<Write>, rollback: NewRollback) -> Acted<RollbackOutcome>;
    /// Records that the vault has a version, with the token for it. A version that is not pending stays as it is.
    /// There is no token if what its permit was decided from has changed. It gets the number of the newest event: a
    /// revocation that runs at the same time comes before and refuses it, or after and hits it.
    async fn commit(
        &self,
        secret: SecretId,
        version: Version,
        token: Option<(Permit<Read>, NewToken)>,
    ) -> Acted<CommitOutcome>;
    /// Records that a pending version will never be used.
    async fn abandon(&self, secret: SecretId, version: Version) -> Stored<()>;
    /// Versions without a receipt, oldest first.
    async fn pending(&self, limit: usize) -> Stored<Vec<VersionRow>>;
    /// The version that an idempotency key of the caller stands for.
    async fn idempotent(
        &self,
        permit: &Permit<AnyAction>,
        subject: Subject,
        key: String,
        now: u64,
    ) -> Acted<Option<(SecretId, Version)>>;
}

/// A version in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// The version.
    pub version: Version,
    /// Its state.
    pub state: CatalogueState,
    /// Number of the envelope that it points to, under which the vault has the value.
    pub envelope: Version,
    /// Epoch of the root key that the envelope's release key is derived from.
    pub epoch: u32,
    /// Digest of the envelope.
    pub digest: Bytes<32>,
}

impl VersionRow {
    /// Tells whether the envelope was made for this version. A rollback has none of its own.
    pub fn has_own_envelope(&self) -> bool {
        self.envelope == self.version
    }
}

/// An envelope of a secret. Any number of the catalogue's versions may point to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeRow {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its number: that of the version that it was made for.
    pub envelope: Version,
    /// Epoch of the root key that its release key is derived from.
    pub epoch: u32,
    /// Its digest.
    pub digest: Bytes<32>,
}

/// A secret in the form that a write needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretState {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: SecretPath,
    /// Its rules.
    pub rules: SecretRules,
    /// The kind of its values; `None` for text.
    pub kind: Option<SecretKind>,
    /// Its description; none if the database holds one that the manager did not write.
    pub details: Details,
    /// How often place, rules and description have changed.
    pub revision: u64,
    /// The versions that have a stage.
    pub stages: Stages,
    /// When its first version was begun, or adopted (Unix seconds).
    pub created_at: u64,
    /// The highest version number ever used.
    pub last: Option<Version>,
    /// Set once a version of it was stored, also if that is destroyed.
    pub had_value: bool,
    /// Versions without a receipt.
    pub pending: Vec<VersionRow>,
}

/// A version that is about to be sent to the vault.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The row; its state is pending.
    pub row: VersionRow,
    /// The secret's path, for its first version.
    pub path: SecretPath,
    /// The secret's rules, for its first version.
    pub rules: SecretRules,
    /// The secret's description, for its first version.
    pub details: Details,
    /// What is kept with the version.
    pub about: AboutVersion,
    /// What the caller has seen of the secret.
    pub if_version: Option<IfVersion>,
    /// The subject of the token that follows.
    pub subject: TokenSubject,
    /// The submitter and idempotency key by which a repeat is recognized.
    pub idempotency: Option<(Subject, String)>,
    /// The key for the signature of the token that follows, if there is one.
    pub signing_key: Option<Thumbprint>,
    /// The rotation that begins with it.
    pub rotation: Option<NewRotation>,
    /// Unix seconds.
    pub now: u64,
}

/// What is kept with a version, beside its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AboutVersion {
    /// Why it was written.
    pub note: Option<Note>,
    /// The principal who wrote it.
    pub author: Option<Subject>,
    /// When it ends (Unix seconds); `None` for never.
    pub expires_at: Option<u64>,
    /// Set for one that becomes pending, and not current, when it is committed.
    pub is_pending: bool,
    /// The account whose value it is, of a pair.
    pub account: Option<UserLabel>,
    /// The secrets that its value refers to and that the author may read. Those are recorded that he may still read then.
    pub targets: Vec<ReadableTarget>,
}

/// What a caller has seen of a secret before he writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfVersion {
    /// It has no current version, and none that is being written: it does not exist, all of it is destroyed, or was given up.
    Absent,
    /// This one is current.
    Current(Version),
}

impl IfVersion {
    /// The condition of a number: 0 for absent.
    pub fn of(number: u64) -> Option<Self> {
        if number == 0 { Some(Self::Absent) } else { Version::new(number).ok().map(Self::Current) }
    }

    /// Tells whether it holds for a secret with this current version.
    pub fn holds(self, current: Option<Version>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Current(seen) => current == Some(seen),
        }
    }
}

/// The outcome of recording a [`NewVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginOutcome {
    /// It is pending. Its token would be of this subject.
    Pending(Subject),
    /// The number or the path was taken meanwhile. Nothing was written.
    Taken,
    /// The key for the token that follows was revoked. Nothing was written.
    SigningKeyRevoked,
    /// Nothing may be written to the environment. Nothing was written.
    Closed(Closed),
    /// The secret is deleted. Nothing was written.
    Deleted,
    /// Another version than the caller has seen is current. Nothing was written.
    OtherVersion,
    /// A rotation of the secret is under way. Nothing was written.
    Rotating,
    /// The secret would be new, and another one has its path with dots in the place of slashes, or the other way round.
    /// Nothing was written.
    OtherReading,
    /// The database holds the secret at a place that the manager did not give it. Nothing was written.
    Unverified,
}

/// A version that is about to point to the envelope of another one.
#[derive(Clone, Debug)]
pub struct NewRollback {
    /// The secret.
    pub secret: SecretId,
    /// Its number.
    pub version: Version,
    /// The committed version whose envelope it points to.
    pub target: Version,
    /// What the caller has seen of the secret.
    pub if_version: Option<IfVersion>,
    /// What is kept with the version.
    pub about: AboutVersion,
    /// True if it ends with the target at the latest.
    pub ends_with_target: bool,
    /// The caller and idempotency key by which a repeat is recognized.
    pub idempotency: Option<(Subject, String)>,
    /// Unix seconds.
    pub now: u64,
}

/// The outcome of recording a [`NewRollback`]. Only `Pending` wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackOutcome {
    /// It is pending.
    Pending(VersionRow),
    /// The number was taken meanwhile.
    Taken,
    /// The target is missing or not committed.
    NotFound,
    /// Another version than the caller has seen is current.
    OtherVersion,
    /// The secret is deleted.
    Deleted,
    /// Nothing may be written to the environment.
    Closed(Closed),
}

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Committed, and the token's row is written.
    Yes {
        /// Number of the newest event.
        rseq: u64,
        /// When the token ends (Unix seconds), cut by the environment's longest life. `None` without a token.
        expires_at: Option<u64>,
    },
    /// Committed, but the permit for the token counts no more: there is none.
    WithoutToken,
    /// Committed, but nothing may be minted for the environment any more: there is no token.
    Closed(Closed),
    /// Committed, but it has expired, and its environment refuses that: there is no token.
    Expired,
    /// The version is neither pending nor committed.
    No,
}
