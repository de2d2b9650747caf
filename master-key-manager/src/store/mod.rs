//! The manager's memory: names, versions, credentials, tokens by their claims, events.
//!
//! A thief of the disk may read everything behind these traits. So nothing is stored against which a value, a
//! credential or a guess at one could be checked. Each method is one transaction, and what it wrote is durable when it
//! returns. A method that acts for a caller takes an [`Actor`] and refuses with [`ActError::CredentialDisabled`] in
//! that transaction.

mod actor;
mod conformance;
mod event_name;
pub mod sql;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use manager_api::name::{SecretPath, UserLabel};
use service_runtime::sql::StoreFault;
use shared_proto::Rejected;
use shared_proto::chain::ChainHead;
use shared_proto::event::{Event, EventHash};
use shared_proto::id::{EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::receipt::ReceiptFacts;

pub use self::actor::{ActError, Acted, Actor, Decision};
pub use self::conformance::check as check_conformance;
pub use self::types::{
    BeginOutcome, CommitOutcome, CredentialRow, Environment, Installation, KeyFacts, NewCredential, NewInstallation,
    NewToken, NewVersion, RevocationPage, RotationState, SecretRow, SecretState, StoredEvent, TokenDecision,
    TokenRequest, TokenRow, TokenSubject, VersionRow,
};

/// The result of a store call.
pub type Stored<T> = Result<T, StoreFault>;

/// Signs an event that follows this head of the chain. Called inside the transaction that numbers it.
pub type SignEvent = Arc<dyn Fn(Event, ChainHead) -> Result<String, Rejected> + Send + Sync>;

/// Rows that one transaction prunes. A revocation that comes meanwhile waits for it, a millisecond or two.
pub const PRUNED_AT_ONCE: usize = 256;
/// Deferred events that one transaction numbers and signs.
pub const NUMBERED_AT_ONCE: usize = 256;
/// Events that one transaction drops.
pub const DROPPED_AT_ONCE: usize = 256;

/// Secrets and their versions.
#[async_trait]
pub trait CatalogueStore: Send + Sync {
    /// The secret under a path, in the form that a write needs.
    async fn secret_at(&self, actor: Actor, environment: EnvironmentId, path: SecretPath)
    -> Acted<Option<SecretState>>;
    /// The secret with an id.
    async fn secret(&self, actor: Actor, secret: SecretId) -> Acted<Option<SecretState>>;
    /// One version.
    async fn version(&self, actor: Actor, secret: SecretId, version: Version) -> Acted<Option<VersionRow>>;
    /// The secret with an id, for the service itself, which settles versions without a caller.
    async fn secret_to_settle(&self, secret: SecretId) -> Stored<Option<SecretState>>;
    /// Records a version as pending, with its secret, the subject of its label and its idempotency key.
    async fn begin(&self, actor: Actor, version: NewVersion) -> Acted<BeginOutcome>;
    /// Records that the vault has a version, with the token for it. A version that is not pending stays as it is.
    async fn commit(&self, secret: SecretId, version: Version, token: Option<NewToken>) -> Stored<CommitOutcome>;
    /// Records that a pending version will never be in the vault.
    async fn abandon(&self, secret: SecretId, version: Version) -> Stored<()>;
    /// Versions without a receipt, oldest first.
    async fn pending(&self, limit: usize) -> Stored<Vec<VersionRow>>;
    /// A page of up to `limit` versions after a secret and number, in that order, with their secrets.
    async fn secrets(
        &self,
        actor: Actor,
        environment: Option<EnvironmentId>,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Acted<Vec<SecretRow>>;
    /// Those of these versions that the catalogue lacks: none pending, committed or destroyed has the same digest.
    async fn missing(&self, actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<Vec<ReceiptFacts>>;
    /// Enters versions that the vault has stored as committed, and returns how many were new. An abandoned number,
    /// under which the vault had other content, becomes that content.
    async fn adopt(&self, actor: Actor, facts: Vec<ReceiptFacts>, now: u64) -> Acted<u64>;
    /// The version that an idempotency key stands for.
    async fn idempotent(
        &self,
        actor: Actor,
        subject: Subject,
        key: String,
        now: u64,
    ) -> Acted<Option<(SecretId, Version)>>;
}

/// Access tokens, by their claims.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Decides on a token made with the actor's credential, and records it.
    async fn decide_token(&self, actor: Actor, order: TokenRequest) -> Acted<TokenDecision>;
    /// A page of tokens that have not expired, ordered by id.
    async fn tokens(&self, actor: Actor, after: Option<TokenId>, limit: usize, now: u64) -> Acted<Vec<TokenRow>>;
    /// The token signing keys that were revoked.
    async fn revoked_signing_keys(&self) -> Stored<Vec<Thumbprint>>;
    /// Deletes up to `limit` expired tokens and idempotency keys, and returns how many there were. Writes wait for it,
    /// so the limit is small: see [`PRUNED_AT_ONCE`].
    async fn prune(&self, now: u64, limit: usize) -> Stored<usize>;
}

/// The numbered chain of events, and the revocations that wait for a number.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Number and hash of the newest event; 0 and zeros before the first.
    async fn newest_event(&self) -> Stored<(u64, EventHash)>;
    /// The end of the chain.
    async fn chain_head(&self) -> Stored<ChainHead>;
    /// Hash of an event: zeros for number 0, `None` for an event that is missing.
    async fn event_hash(&self, sequence: u64) -> Stored<Option<EventHash>>;
    /// Events above number `after`, in order, without those that were dropped.
    async fn events_after(&self, after: u64, limit: usize) -> Stored<Vec<StoredEvent>>;
    /// A page of events in order from number `after + 1`, with the newest number and the count of deferred ones.
    async fn revocations(&self, actor: Actor, after: u64, limit: usize) -> Acted<RevocationPage>;
    /// Numbers, chains, signs and applies decisions in one transaction, and returns their numbers. An event that can
    /// happen only once (a token, a signing key, a destruction) keeps its first number.
    async fn number(&self, actor: Actor, decisions: Vec<Decision>, sign: SignEvent, now: u64) -> Acted<Vec<u64>>;
    /// Keeps decisions without a number. Their effects in the manager's own tables happen at once.
    async fn defer(&self, actor: Actor, decisions: Vec<Decision>, now: u64) -> Acted<()>;
    /// Numbers the first deferred decisions, in order, up to [`NUMBERED_AT_ONCE`] of them.
    async fn number_deferred(&self, sign: SignEvent, now: u64) -> Stored<Vec<u64>>;
    /// The number of events that wait for a number.
    async fn deferred(&self) -> Stored<u64>;
    /// Enters the manager's own events that the vault returned, after this head. Returns false, with nothing written,
    /// when the chain has another head. An event does not say whether its credential was disabled or only its tokens
    /// were revoked. The credential is disabled, so that no restore revives a disabled one.
    async fn recover_events(&self, after: ChainHead, events: Vec<StoredEvent>) -> Stored<bool>;
    /// Drops ended events: of the [`DROPPED_AT_ONCE`] oldest ones those that do not last, have numbers below `below`
    /// and were issued before `issued_before`. Returns how many.
    async fn drop_events(&self, below: u64, issued_before: u64) -> Stored<usize>;
}

/// The installation, and the credentials and subjects of its callers.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// The installation that `init` wrote.
    async fn installation(&self) -> Stored<Option<Installation>>;
    /// Writes a new installation, once.
    async fn install(&self, installation: NewInstallation) -> Stored<()>;
    /// The credential with this keyed hash.
    async fn credential(&self, hmac: [u8; 32]) -> Stored<Option<CredentialRow>>;
    /// Replaces the administrator's credentials: the old ones are disabled and their revocation deferred.
    async fn reset_administrator(&self, credential: NewCredential, now: u64) -> Stored<()>;
    /// Checks the actor's credential once more, before an act outside of the database.
    async fn look_again(&self, actor: Actor) -> Acted<()>;
    /// The subject that a label stands for; `None` before its first use.
    async fn subject_of(&self, actor: Actor, label: UserLabel) -> Acted<Option<Subject>>;
    /// Finishes the queued writes.
    async fn close(&self) -> Stored<()>;
}

/// The progress of root key exchanges.
#[async_trait]
pub trait RotationStore: Send + Sync {
    /// Committed versions of an environment below an epoch in order, without those that the vault lacks.
    async fn versions_below(
        &self,
        target: (EnvironmentId, u32),
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Stored<Vec<VersionRow>>;
    /// Records that the vault has these versions under the epoch. Tokens are minted with it from then on.
    async fn move_to_epoch(
        &self,
        target: (EnvironmentId, u32),
        versions: Vec<(SecretId, Version)>,
        now: u64,
    ) -> Stored<()>;
    /// Records that the vault lacks these versions, so that the exchange to this epoch continues without them.
    async fn mark_missing(&self, epoch: u32, versions: Vec<(SecretId, Version)>) -> Stored<()>;
    /// The progress of an environment's exchange to an epoch.
    async fn rotation(&self, environment: EnvironmentId, epoch: u32) -> Stored<RotationState>;
    /// The number of pending and committed versions below an epoch, without those that the vault lacks. Reads them all.
    async fn open_below(&self, environment: EnvironmentId, epoch: u32) -> Stored<u64>;
    /// Sets versions back to the older epochs that a restored vault has of them. Tokens are minted with these again,
    /// and the versions must be moved once more. Returns how many versions were set back.
    async fn move_back(&self, actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<u64>;
    /// Keeps the vault's signed retirement of an epoch.
    async fn record_retirement(&self, target: (EnvironmentId, u32), retirement: String, now: u64) -> Stored<()>;
}

/// The whole store.
pub trait ManagerStore: CatalogueStore + TokenStore + EventStore + IdentityStore + RotationStore {
    /// Whether the last use of the disk succeeded.
    fn is_healthy(&self) -> bool;
}
