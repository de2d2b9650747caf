//! Access tokens, by their claims.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use manager_api::name::{SecretPath, UserLabel};
use manager_api::read_limit::ReadLimit;
use manager_api::tokens::WantedVersion;
use manager_policy::{AnyAction, Basis, Permit, Read, ReadAudit, SecretFacts};
use manager_registry::ApprovedRead;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::token::Grant;

use crate::{Acted, Closed, Ending, FactStore, Stored, VersionRow};

/// Rows that one transaction prunes. A revocation that comes meanwhile waits for it, a millisecond or two.
pub const PRUNED_AT_ONCE: usize = 256;

/// Tokens that one transaction looks at for the name of a secret.
pub const TOKENS_SCANNED_AT_ONCE: usize = 4_096;

/// Access tokens, by their claims.
///
/// A request is decided on once:
///
/// ```
/// use manager_store::{TokenRequest, TokenStore};
/// async fn once(store: &dyn TokenStore, order: TokenRequest) {
///     let _ = store.decide_token(order).await;
/// }
/// ```
///
/// ```compile_fail,E0382
/// use manager_store::{TokenRequest, TokenStore};
/// async fn twice(store: &dyn TokenStore, order: TokenRequest) {
///     let _ = store.decide_token(order).await;
///     let _ = store.decide_token(order).await;
/// }
/// ```
///
/// It decides on a permit for each secret, from the facts about it in the transaction that records the token. A permit
/// for another action is none:
///
/// ```
/// use manager_policy::{Permit, Read, SecretFacts};
/// use manager_store::ReadPermits;
/// fn permits(decide: fn(&SecretFacts) -> Option<Permit<Read>>) -> ReadPermits {
///     ReadPermits::new(decide)
/// }
/// ```
///
/// ```compile_fail,E0271
/// use manager_policy::{Permit, SecretFacts, Write};
/// use manager_store::ReadPermits;
/// fn permits(decide: fn(&SecretFacts) -> Option<Permit<Write>>) -> ReadPermits {
///     ReadPermits::new(decide)
/// }
/// ```
#[async_trait]
pub trait TokenStore: FactStore {
    /// Decides on a token and on the permits for it, with whose credential it is made, and records it with the number of
    /// the newest event. A revocation that runs at the same time comes before and refuses it, or after and hits it.
    async fn decide_token(&self, order: TokenRequest) -> Acted<TokenDecision>;
    /// A page of tokens that have not expired, ordered by id.
    async fn tokens(
        &self,
        permit: &Permit<ReadAudit>,
        after: Option<TokenId>,
        limit: usize,
        now: u64,
    ) -> Acted<Vec<TokenRow>>;
    /// A page of tokens that were made with these credentials and have not expired, ordered by id. The credentials are the
    /// caller's own.
    async fn own_tokens(
        &self,
        caller: Basis,
        credentials: Vec<CredentialId>,
        after: Option<TokenId>,
        limit: usize,
        now: u64,
    ) -> Acted<Vec<TokenRow>>;
    /// A token, if it was made with one of these credentials, which are the caller's own.
    async fn own_token(&self, caller: Basis, credentials: Vec<CredentialId>, jti: TokenId) -> Acted<Option<OwnToken>>;
    /// The living tokens that name a secret, among the next [`TOKENS_SCANNED_AT_ONCE`] after one. There is no index by secret:
    /// a report of an incident may read all of them, in steps.
    async fn tokens_naming(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        after: Option<TokenId>,
        now: u64,
    ) -> Acted<NamingTokens>;
    /// Deletes up to `limit` expired tokens and idempotency keys, and returns how many there were. Writes wait for it,
    /// so the limit is small: see [`PRUNED_AT_ONCE`].
    async fn prune(&self, now: u64, limit: usize) -> Stored<usize>;
}

/// A request for a token, which is decided and recorded in one transaction.
#[derive(Debug)]
pub struct TokenRequest {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub subject: TokenSubject,
    /// The key for its signature.
    pub signing_key: Thumbprint,
    /// The secrets that it opens, with the version of each.
    pub grants: Vec<(Wanted, WantedVersion)>,
    /// Decides whether its caller may read them.
    pub permits: ReadPermits,
    /// Takes its caller's turns at secrets that have a limit.
    pub turns: ReadTurns,
    /// What its caller may read by approvals. They are of the state that the permits are decided from.
    pub approved: Vec<ApprovedRead>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds. The environment's longest life cuts it.
    pub expires_at: u64,
}

/// A secret that a token is to open.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// The one with this id.
    Id(SecretId),
    /// The one at the first of these places that its caller may read. A secret that he may not see neither shows itself
    /// nor keeps him from the next place.
    At(Vec<(EnvironmentId, SecretPath)>),
}

/// Decides whether a caller may read a secret, from the facts about it. It may be asked twice.
#[derive(Clone)]
pub struct ReadPermits(Arc<DecideRead>);

type DecideRead = dyn Fn(&SecretFacts) -> Option<Permit<Read>> + Send + Sync;

impl ReadPermits {
    /// The permits that a function decides on.
    pub fn new(decide: impl Fn(&SecretFacts) -> Option<Permit<Read>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// The permit for a secret.
    pub(crate) fn decide(&self, secret: &SecretFacts) -> Option<Permit<Read>> {
        (self.0)(secret)
    }
}

impl fmt::Debug for ReadPermits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ReadPermits")
    }
}

/// Takes a turn at each secret that has a limit, when everything else allows the token. It may be asked twice for one token, and
/// only the last answer counts.
#[derive(Clone)]
pub struct ReadTurns(Arc<TakeTurns>);

type TakeTurns = dyn Fn(&[(SecretId, ReadLimit)]) -> Result<(), u64> + Send + Sync;

impl ReadTurns {
    /// The turns that a function takes, all or none. It refuses with the seconds to wait.
    pub fn new(take: impl Fn(&[(SecretId, ReadLimit)]) -> Result<(), u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Takes them.
    pub(crate) fn take(&self, limited: &[(SecretId, ReadLimit)]) -> Result<(), u64> {
        if limited.is_empty() { Ok(()) } else { (self.0)(limited) }
    }
}

impl fmt::Debug for ReadTurns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ReadTurns")
    }
}

/// The subject of a requested token.
#[derive(Clone, Debug)]
pub enum TokenSubject {
    /// A subject.
    Subject(Subject),
    /// The subject of a label.
    Label(UserLabel),
}

/// A token of the caller's own, which he may revoke. The store alone makes one.
#[derive(Clone, Copy, Debug)]
pub struct OwnToken {
    pub(crate) jti: TokenId,
    pub(crate) caller: Basis,
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
        /// When each of them ends.
        endings: Vec<Ending>,
        /// Number of the newest event.
        rseq: u64,
    },
    /// A version is missing or not committed, or its caller may not read it.
    NotFound,
    /// A secret that its caller may read is deleted.
    Deleted,
    /// A secret that its caller may read is frozen because of an incident.
    Frozen,
    /// A secret that its caller may read requires an approval, and none is in force.
    ApprovalRequired,
    /// A version that its caller may read has expired, and its environment refuses that.
    Expired,
    /// A secret that its caller may read has its limit, which is reached. So many seconds later it is not.
    Limited(u64),
    /// A secret is named twice.
    Twice,
    /// The versions belong to more than one environment.
    SeveralEnvironments,
    /// The key for its signature was revoked.
    SigningKeyRevoked,
    /// Nothing may be minted for the environment.
    Closed(Closed),
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
    /// The envelopes that it opens, by their numbers.
    pub grants: Vec<Grant>,
    /// The catalogue's versions that it was made for, in the order of the grants.
    pub versions: Vec<Version>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub expires_at: u64,
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

/// A part of the tokens that name a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamingTokens {
    /// The tokens, ordered by id.
    pub tokens: Vec<NamingToken>,
    /// The token after which the next part begins; `None` for the last part.
    pub next: Option<TokenId>,
}

/// A living token that names a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamingToken {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub subject: Subject,
    /// The credential that it was made with.
    pub credential: CredentialId,
    /// The catalogue's version that it was made for.
    pub version: Version,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub expires_at: u64,
    /// True if an event about the secret, or about the token by its id, hits it.
    pub revoked: bool,
}

/// The grants for these versions. They carry the numbers of the envelopes.
pub fn grants_of(versions: &[VersionRow]) -> Vec<Grant> {
    versions.iter().map(|row| Grant { secret: row.secret, version: row.envelope }).collect()
}
