//! Access tokens, by their claims.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::token::Grant;

use crate::{Acted, Actor, Stored, VersionRow};

/// Rows that one transaction prunes. A revocation that comes meanwhile waits for it, a millisecond or two.
pub const PRUNED_AT_ONCE: usize = 256;

/// Access tokens, by their claims.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Decides on a token made with the actor's credential, and records it.
    async fn decide_token(&self, actor: Actor, order: TokenRequest) -> Acted<TokenDecision>;
    /// A page of tokens that have not expired, ordered by id.
    async fn tokens(&self, actor: Actor, after: Option<TokenId>, limit: usize, now: u64) -> Acted<Vec<TokenRow>>;
    /// Deletes up to `limit` expired tokens and idempotency keys, and returns how many there were. Writes wait for it,
    /// so the limit is small: see [`PRUNED_AT_ONCE`].
    async fn prune(&self, now: u64, limit: usize) -> Stored<usize>;
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

/// The grants for these versions.
pub fn grants_of(versions: &[VersionRow]) -> Vec<Grant> {
    versions.iter().map(|row| Grant { secret: row.secret, version: row.version }).collect()
}
