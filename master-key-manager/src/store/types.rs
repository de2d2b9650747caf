//! Rows of the store in domain types.

use manager_api::name::{EnvironmentName, SecretPath, UserLabel};
use manager_api::wire::CatalogueState;
use shared_proto::envelope::EnvelopeDigest;
use shared_proto::event::{Event, EventHash};
use shared_proto::id::{
    CredentialId, EnvironmentId, ManagerId, PersonId, SecretId, ServiceId, Subject, TokenId, Version,
};
use shared_proto::identity::Mode;
use shared_proto::jwk::Thumbprint;
use shared_proto::token::Grant;

/// An environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its id, all that the vault sees of it.
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
}

/// The choices of `init`, which never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Development or production.
    pub mode: Mode,
    /// This manager.
    pub manager: ManagerId,
    /// The credential id that tokens of anonymous submissions carry.
    pub anonymous: CredentialId,
    /// Its environments, ordered by name.
    pub environments: Vec<Environment>,
}

/// A new installation with its administrator.
#[derive(Clone, Debug)]
pub struct NewInstallation {
    /// The installation.
    pub installation: Installation,
    /// The administrator's subject.
    pub administrator: ServiceId,
    /// The administrator's credential.
    pub credential: NewCredential,
    /// Unix seconds.
    pub now: u64,
}

/// A credential as it is stored: its keyed hash only.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Its id.
    pub id: CredentialId,
    /// HMAC-SHA-256 under a key of the key folder, so that an attacker with write access to the database cannot plant
    /// one.
    pub hmac: [u8; 32],
}

/// A credential that was found by its keyed hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Its id.
    pub id: CredentialId,
    /// The subject that it belongs to.
    pub subject: Subject,
    /// The stored hash, to be compared once more in constant time.
    pub hmac: [u8; 32],
    /// Whether it is disabled.
    pub disabled: bool,
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
    /// Epoch of the root key that its release key is derived from.
    pub epoch: u32,
    /// Digest of its envelope.
    pub digest: EnvelopeDigest,
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
    /// When its first version was begun, or adopted (Unix seconds).
    pub created_at: u64,
    /// The highest version number ever used.
    pub last: Option<Version>,
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
    /// The submitter's label, and the id that it gets at its first use.
    pub label: (UserLabel, PersonId),
    /// The submitter and idempotency key by which a repeat is recognized.
    pub idempotency: Option<(Subject, String)>,
    /// The key for the signature of the token that follows, if there is one.
    pub signing_key: Option<Thumbprint>,
    /// Unix seconds.
    pub now: u64,
}

/// The outcome of recording a [`NewVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginOutcome {
    /// It is pending. The label stands for this subject.
    Pending(Subject),
    /// The number or the path was taken meanwhile. Nothing was written.
    Taken,
    /// The key for the token that follows was revoked. Nothing was written.
    SigningKeyRevoked,
}

/// A request for a token, which is decided and recorded in one transaction.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub subject: TokenSubject,
    /// The key for its signature.
    pub signing_key: Thumbprint,
    /// The versions that it opens; `None` means the newest committed one.
    pub grants: Vec<(SecretId, Option<Version>)>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub expires_at: u64,
}

/// The subject of a requested token.
#[derive(Clone, Debug)]
pub enum TokenSubject {
    /// A subject.
    Subject(Subject),
    /// The subject of a label, and the id that it gets at its first use.
    Label(UserLabel, PersonId),
}

/// The outcome of a [`TokenRequest`]. Only `Recorded` wrote something.
#[derive(Clone, Debug)]
pub enum TokenDecision {
    /// Its row is written.
    Recorded {
        /// The token.
        token: NewToken,
        /// The versions that it opens, in the order of the request.
        versions: Vec<VersionRow>,
        /// Number of the newest event.
        rseq: u64,
    },
    /// A version is missing or not committed.
    NotFound,
    /// The versions belong to more than one environment.
    SeveralEnvironments,
    /// The key for its signature was revoked.
    SigningKeyRevoked,
}

/// The claims of a token, which are kept. The token itself is not.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub subject: Subject,
    /// The credential that it was made with.
    pub credential: CredentialId,
    /// Environment of its grants.
    pub environment: EnvironmentId,
    /// The versions that it opens.
    pub grants: Vec<Grant>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub expires_at: u64,
}

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Committed, and the token's row is written.
    Yes {
        /// Number of the newest event.
        rseq: u64,
    },
    /// Committed, but the credential was disabled meanwhile: there is no token.
    WithoutToken,
    /// The version is neither pending nor committed.
    No,
}

/// A token in the list.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// Its claims.
    pub token: NewToken,
    /// The label of its subject.
    pub label: Option<String>,
    /// Number of the event that revoked the token by its id.
    pub revoked_by: Option<u64>,
    /// Whether such a revocation waits for a number.
    pub revocation_deferred: bool,
}

/// A secret in the list.
#[derive(Clone, Debug)]
pub struct SecretRow {
    /// The secret.
    pub secret: SecretId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: SecretPath,
    /// Its versions on the page, with state and time, ascending.
    pub versions: Vec<(Version, CatalogueState, u64)>,
}

/// An event of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub sequence: u64,
    /// The event.
    pub event: Event,
    /// The signed form.
    pub compact: String,
    /// Hash of the signed form.
    pub hash: EventHash,
    /// When it was numbered (Unix seconds).
    pub issued_at: u64,
    /// Whether it may be dropped once it has ended.
    pub may_be_dropped: bool,
}

/// A page of events, with the state of the whole chain.
#[derive(Clone, Debug)]
pub struct RevocationPage {
    /// The events, in order.
    pub events: Vec<StoredEvent>,
    /// Number of the newest event.
    pub newest: u64,
    /// The number of events that wait for a number.
    pub deferred: u64,
}

/// The progress of an environment's exchange to an epoch of its root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationState {
    /// When a version last changed to the epoch (Unix seconds).
    pub changed_at: Option<u64>,
    /// The vault's signed retirement of the epochs below, as JSON.
    pub retirement: Option<String>,
}

/// Facts about keys in the database.
#[derive(Clone, Debug)]
pub struct KeyFacts {
    /// The installation.
    pub installation: Installation,
    /// The number of versions under an epoch of an environment.
    pub under: Vec<(EnvironmentId, u32, u64)>,
    /// The number of these that the vault lacked when they were due to be moved.
    pub lacking: Vec<(EnvironmentId, u32, u64)>,
    /// The vault's signed retirements, as JSON, oldest first.
    pub retirements: Vec<String>,
    /// The token signing keys that were revoked.
    pub revoked_keys: Vec<Thumbprint>,
}
