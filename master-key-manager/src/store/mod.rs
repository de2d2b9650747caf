//! What the manager remembers: names, versions, credentials, tokens by their claims, events.
//!
//! Everything behind these traits may be read by a thief of the disk, so nothing goes in that a value, a credential or
//! a guess at one could be checked against. A method that returned has written durably; each is one transaction. A method
//! that acts for a caller takes an [`Actor`] and refuses with [`ActError::CredentialDisabled`] in that transaction.

mod actor;
mod conformance;
mod event_name;
mod faulty;
pub mod sqlite;
mod types;

use std::sync::Arc;

use async_trait::async_trait;
use manager_api::name::{SecretPath, UserLabel};
use service_runtime::sqlite::StoreFault;
use shared_proto::Rejected;
use shared_proto::chain::ChainHead;
use shared_proto::event::{Event, EventHash};
use shared_proto::id::{EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::receipt::ReceiptFacts;

pub use self::actor::{ActError, Acted, Actor, Decision};
pub use self::conformance::check as check_conformance;
pub use self::faulty::{FaultyStore, KillPoint};
pub use self::types::{
    BeginOutcome, CommitOutcome, CredentialRow, Environment, Installation, KeyFacts, NewCredential, NewInstallation,
    NewToken, NewVersion, RevocationPage, RotationState, SecretRow, SecretState, StoredEvent, TokenDecision,
    TokenRequest, TokenRow, TokenSubject, VersionRow,
};

/// What a store call comes to.
pub type Stored<T> = Result<T, StoreFault>;

/// Signs the event that comes after this place in the chain; called inside the transaction that numbers it.
pub type SignEvent = Arc<dyn Fn(Event, ChainHead) -> Result<String, Rejected> + Send + Sync>;

/// Rows that are forgotten in one transaction. A revocation that comes meanwhile waits for it, a millisecond or two.
pub const PRUNED_AT_ONCE: usize = 256;
/// Deferred events that are numbered and signed in one transaction.
pub const NUMBERED_AT_ONCE: usize = 256;
/// Events that one transaction drops.
pub const DROPPED_AT_ONCE: usize = 256;

/// Secrets and their versions.
#[async_trait]
pub trait CatalogueStore: Send + Sync {
    /// The secret under a path, with what a write must know.
    async fn secret_at(&self, actor: Actor, environment: EnvironmentId, path: SecretPath)
    -> Acted<Option<SecretState>>;
    /// The secret with an id.
    async fn secret(&self, actor: Actor, secret: SecretId) -> Acted<Option<SecretState>>;
    /// One version.
    async fn version(&self, actor: Actor, secret: SecretId, version: Version) -> Acted<Option<VersionRow>>;
    /// The secret with an id, for the service itself, which settles what no caller waits for.
    async fn secret_to_settle(&self, secret: SecretId) -> Stored<Option<SecretState>>;
    /// Records a version as pending, with its secret, the subject of its label and its idempotency key.
    async fn begin(&self, actor: Actor, version: NewVersion) -> Acted<BeginOutcome>;
    /// Records that the vault has a version, with the token for it. A version that is not pending stays as it is.
    async fn commit(&self, secret: SecretId, version: Version, token: Option<NewToken>) -> Stored<CommitOutcome>;
    /// Records that a pending version will never be in the vault.
    async fn abandon(&self, secret: SecretId, version: Version) -> Stored<()>;
    /// Versions whose receipt is not there, oldest first.
    async fn pending(&self, limit: usize) -> Stored<Vec<VersionRow>>;
    /// A page of up to `limit` versions behind a secret and number, in that order, with their secrets.
    async fn secrets(
        &self,
        actor: Actor,
        environment: Option<EnvironmentId>,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Acted<Vec<SecretRow>>;
    /// Which of these the catalogue has not as pending, committed or destroyed with the same digest.
    async fn missing(&self, actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<Vec<ReceiptFacts>>;
    /// Enters versions that the vault has as committed; says how many were new. A number that was given up because the
    /// vault had other content under it becomes that content.
    async fn adopt(&self, actor: Actor, facts: Vec<ReceiptFacts>, now: u64) -> Acted<u64>;
    /// What an idempotency key stands for.
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
    /// Forgets up to `limit` expired tokens and idempotency keys; says how many there were. Writes wait for it, so the
    /// limit is small: see [`PRUNED_AT_ONCE`].
    async fn prune(&self, now: u64, limit: usize) -> Stored<usize>;
}

/// The numbered chain of events, and the revocations that wait for a number.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Number and hash of the newest event; 0 and zeros before the first.
    async fn newest_event(&self) -> Stored<(u64, EventHash)>;
    /// The end of the chain.
    async fn chain_head(&self) -> Stored<ChainHead>;
    /// Hash of an event; zeros for number 0, none when it is not there.
    async fn event_hash(&self, sequence: u64) -> Stored<Option<EventHash>>;
    /// Events above number `after`, in order; those that were dropped are missing.
    async fn events_after(&self, after: u64, limit: usize) -> Stored<Vec<StoredEvent>>;
    /// A page of events in order from number `after + 1`, with the newest number and the count of deferred ones.
    async fn revocations(&self, actor: Actor, after: u64, limit: usize) -> Acted<RevocationPage>;
    /// Numbers, chains, signs and applies decisions in one transaction; gives their numbers. An event that can happen only
    /// once (a token, a signing key, a destruction) keeps the number that it has.
    async fn number(&self, actor: Actor, decisions: Vec<Decision>, sign: SignEvent, now: u64) -> Acted<Vec<u64>>;
    /// Keeps decisions without a number; their effects in the manager's own tables happen at once.
    async fn defer(&self, actor: Actor, decisions: Vec<Decision>, now: u64) -> Acted<()>;
    /// Numbers the first of what was deferred, in order, up to [`NUMBERED_AT_ONCE`] of them.
    async fn number_deferred(&self, sign: SignEvent, now: u64) -> Stored<Vec<u64>>;
    /// The number of events that wait for a number.
    async fn deferred(&self) -> Stored<u64>;
    /// Enters events of our own that the vault gave back, after this place. Refused, with nothing written, when that is
    /// not the end of the chain. An event does not say whether its credential was disabled or only its tokens were revoked:
    /// the credential is disabled, so that no restore revives one that was.
    async fn recover_events(&self, after: ChainHead, events: Vec<StoredEvent>) -> Stored<bool>;
    /// Drops events that do not last, with numbers below `below` that were issued before `issued_before`: of the
    /// [`DROPPED_AT_ONCE`] oldest ones. Says how many.
    async fn drop_events(&self, below: u64, issued_before: u64) -> Stored<usize>;
}

/// The installation and who may use it.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// What `init` wrote.
    async fn installation(&self) -> Stored<Option<Installation>>;
    /// Writes it, once.
    async fn install(&self, installation: NewInstallation) -> Stored<()>;
    /// The credential with this keyed hash.
    async fn credential(&self, hmac: [u8; 32]) -> Stored<Option<CredentialRow>>;
    /// Replaces the administrator's credentials: the old ones are disabled and their revocation deferred.
    async fn reset_administrator(&self, credential: NewCredential, now: u64) -> Stored<()>;
    /// Looks at the actor's credential once more, before something is done outside of the database.
    async fn look_again(&self, actor: Actor) -> Acted<()>;
    /// The subject that a label stands for; none before its first use.
    async fn subject_of(&self, actor: Actor, label: UserLabel) -> Acted<Option<Subject>>;
    /// Finishes what is queued.
    async fn close(&self) -> Stored<()>;
}

/// How far the exchange of a root key is.
#[async_trait]
pub trait RotationStore: Send + Sync {
    /// Committed versions of an environment below an epoch in order, without those that the vault lacks.
    async fn versions_below(
        &self,
        target: (EnvironmentId, u32),
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Stored<Vec<VersionRow>>;
    /// Records that the vault has these versions under the epoch: tokens are minted with it from now on.
    async fn move_to_epoch(
        &self,
        target: (EnvironmentId, u32),
        versions: Vec<(SecretId, Version)>,
        now: u64,
    ) -> Stored<()>;
    /// Records that the vault does not have these versions, so that the way to this epoch goes on without them.
    async fn mark_missing(&self, epoch: u32, versions: Vec<(SecretId, Version)>) -> Stored<()>;
    /// How far an environment is on its way to an epoch.
    async fn rotation(&self, environment: EnvironmentId, epoch: u32) -> Stored<RotationState>;
    /// How many pending and committed versions are below an epoch, without those that the vault lacks. Reads them all.
    async fn open_below(&self, environment: EnvironmentId, epoch: u32) -> Stored<u64>;
    /// The vault has only older keys of these versions than the catalogue says, because it was restored: tokens are minted
    /// with these again, and the versions are to be moved once more. Says how many there were.
    async fn move_back(&self, actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<u64>;
    /// Keeps what the vault signed about an epoch below which nothing is left.
    async fn record_retirement(&self, target: (EnvironmentId, u32), retirement: String, now: u64) -> Stored<()>;
}

/// The whole store.
pub trait ManagerStore: CatalogueStore + TokenStore + EventStore + IdentityStore + RotationStore {
    /// Whether the disk does what it is asked, as far as the last use showed.
    fn is_healthy(&self) -> bool;
}
