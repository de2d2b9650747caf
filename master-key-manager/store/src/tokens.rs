//! Access tokens, by their claims.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Basis, Permit, Read, ReadAudit};
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::token::Grant;

use crate::{Acted, Closed, FactStore, Stored, VersionRow};

/// Rows that one transaction prunes. A revocation that comes meanwhile waits for it, a millisecond or two.
pub const PRUNED_AT_ONCE: usize = 256;

/// Access tokens, by their claims.
///
/// Each grant of a token has its permit, which is used up:
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
/// A grant that names a secret alone is none:
///
/// ```
/// use manager_policy::{Permit, Read};
/// use manager_store::TokenRequest;
/// use shared_proto::id::SecretId;
/// fn permitted(order: &mut TokenRequest, secret: SecretId, permit: Permit<Read>) {
///     order.grants.push((secret, None, permit));
/// }
/// ```
///
/// ```compile_fail,E0308
/// use manager_store::TokenRequest;
/// use shared_proto::id::SecretId;
/// fn named(order: &mut TokenRequest, secret: SecretId) {
///     order.grants.push((secret, None));
/// }
/// ```
#[async_trait]
pub trait TokenStore: FactStore {
    /// Decides on a token, which is made with the credential of its permits, and records it with the number of the newest
    /// event. A revocation that runs at the same time comes before and refuses it, or after and hits it.
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
    /// The secrets that it opens, each with the permit for it; `None` means the newest committed version.
    pub grants: Vec<(SecretId, Option<Version>, Permit<Read>)>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds. The environment's longest life cuts it.
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
        /// Number of the newest event.
        rseq: u64,
    },
    /// A version is missing or not committed.
    NotFound,
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

/// The grants for these versions. They carry the numbers of the envelopes.
pub fn grants_of(versions: &[VersionRow]) -> Vec<Grant> {
    versions.iter().map(|row| Grant { secret: row.secret, version: row.envelope }).collect()
}
