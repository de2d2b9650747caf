//! Rows as the domain sees them.

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

/// What `init` decided once and for all.
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
    /// HMAC-SHA-256 under the key of the key folder, so that who writes the database cannot plant one.
    pub hmac: [u8; 32],
}

/// A credential that was found by its keyed hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// Its id.
    pub id: CredentialId,
    /// Whose it is.
    pub subject: Subject,
    /// The stored hash, to be compared once more in constant time.
    pub hmac: [u8; 32],
    /// Whether it was taken away.
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

/// A secret, as a write must know it.
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
    /// The submitter's label, and the id it gets at its first use.
    pub label: (UserLabel, PersonId),
    /// Who repeats with which key.
    pub idempotency: Option<(Subject, String)>,
    /// The key that is to sign the token that follows, if one does.
    pub signing_key: Option<Thumbprint>,
    /// Unix seconds.
    pub now: u64,
}

/// What became of a [`NewVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginOutcome {
    /// It is pending; the label stands for this subject.
    Pending(Subject),
    /// The number, or the path, was taken meanwhile; nothing was written.
    Taken,
    /// The key that would sign the token that follows was revoked; nothing was written.
    SigningKeyRevoked,
}

/// A token that is asked for. It is decided on and recorded in one transaction.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub subject: TokenSubject,
    /// The key that is to sign it.
    pub signing_key: Thumbprint,
    /// What it is to open; version `None` is the newest committed one.
    pub grants: Vec<(SecretId, Option<Version>)>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub expires_at: u64,
}

/// Whom a token is asked for.
#[derive(Clone, Debug)]
pub enum TokenSubject {
    /// A subject.
    Subject(Subject),
    /// The subject of a label, and the id it gets at its first use.
    Label(UserLabel, PersonId),
}

/// What became of a [`TokenRequest`]. Only `Recorded` wrote something.
#[derive(Clone, Debug)]
pub enum TokenDecision {
    /// Its row is there.
    Recorded {
        /// The token.
        token: NewToken,
        /// What it opens, in the order asked.
        versions: Vec<VersionRow>,
        /// Number of the newest event.
        rseq: u64,
    },
    /// One of the versions is not there or not committed.
    NotFound,
    /// The versions are of more than one environment.
    SeveralEnvironments,
    /// The key that would sign it was revoked.
    SigningKeyRevoked,
}

/// The claims of a token that are kept. The token itself is not.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub subject: Subject,
    /// The credential that was used.
    pub credential: CredentialId,
    /// Environment of its grants.
    pub environment: EnvironmentId,
    /// What it opens.
    pub grants: Vec<Grant>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub expires_at: u64,
}

/// What a commit saw, in its own transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Committed; the token's row is there, and this was the newest event.
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
    /// Number of the event that revoked it by id.
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
    /// Those of its versions that are on the page, with state and time, ascending.
    pub versions: Vec<(Version, CatalogueState, u64)>,
}

/// An event of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub sequence: u64,
    /// What happened.
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

/// A page of events, and how far they are.
#[derive(Clone, Debug)]
pub struct RevocationPage {
    /// The events, in order.
    pub events: Vec<StoredEvent>,
    /// Number of the newest event.
    pub newest: u64,
    /// The number of events that wait for a number.
    pub deferred: u64,
}

/// Where an environment is on its way to an epoch of its root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationState {
    /// When a version last changed to the epoch (Unix seconds).
    pub changed_at: Option<u64>,
    /// What the vault signed when nothing was left below it, as JSON.
    pub retirement: Option<String>,
}

/// What the database knows about keys.
#[derive(Clone, Debug)]
pub struct KeyFacts {
    /// The installation.
    pub installation: Installation,
    /// How many versions are under an epoch of an environment.
    pub under: Vec<(EnvironmentId, u32, u64)>,
    /// How many of these the vault did not have when they were to be moved on.
    pub lacking: Vec<(EnvironmentId, u32, u64)>,
    /// What the vault signed about retired epochs, as JSON, oldest first.
    pub retirements: Vec<String>,
    /// The token signing keys that were revoked.
    pub revoked_keys: Vec<Thumbprint>,
}
