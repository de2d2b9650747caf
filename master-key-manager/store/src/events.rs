//! The numbered chain of events, and the revocations that wait for a number.

use std::sync::Arc;

use async_trait::async_trait;
use manager_policy::{Basis, Destroy, ManageEnvironments, ManageKeys, Permit, ReadAudit, Scope, Share};
use manager_registry::Rows;
use shared_proto::Rejected;
use shared_proto::chain::ChainHead;
use shared_proto::event::{Event, EventHash};
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::jwk::Thumbprint;

use crate::{ActError, Acted, OwnToken, Stored, basis_for};

/// Signs an event that follows this head of the chain. Called inside the transaction that numbers it.
pub type SignEvent = Arc<dyn Fn(Event, ChainHead) -> Result<String, Rejected> + Send + Sync>;

/// Deferred events that one transaction numbers and signs.
pub const NUMBERED_AT_ONCE: usize = 256;
/// Events that one transaction drops.
pub const DROPPED_AT_ONCE: usize = 256;

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
    async fn revocations(&self, permit: &Permit<ReadAudit>, after: u64, limit: usize) -> Acted<RevocationPage>;
    /// Numbers, chains, signs and applies decisions in one transaction, and returns their numbers. An event that can
    /// happen only once (a token, a signing key, a destruction) keeps its first number. Two that run at the same time get
    /// different numbers, in a chain without gaps.
    async fn number(&self, decisions: Vec<Decision>, sign: SignEvent, now: u64) -> Acted<Vec<u64>>;
    /// Keeps decisions without a number. Their effects in the manager's own tables happen at once.
    async fn defer(&self, decisions: Vec<Decision>, now: u64) -> Acted<()>;
    /// Destroys versions of a secret, and every envelope that no committed version points to any more. Its event is
    /// numbered with `sign`, and deferred without. Two that run at once and destroy the last versions of an envelope
    /// follow each other, and the later one destroys it.
    async fn destroy(
        &self,
        permit: &Permit<Destroy>,
        secret: SecretId,
        versions: Vec<Version>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Acted<Destroyed>;
    /// Numbers the first deferred decisions, in order, up to [`NUMBERED_AT_ONCE`] of them.
    async fn number_deferred(&self, sign: SignEvent, now: u64) -> Stored<Vec<u64>>;
    /// The number of events that wait for a number.
    async fn deferred(&self) -> Stored<u64>;
    /// Enters the manager's own events that the vault returned, after this head. Returns false, with nothing written,
    /// when the chain has another head, or registry another newest entry than its change was made on.
    async fn recover_events(&self, after: ChainHead, events: Vec<StoredEvent>, change: Option<Rows>) -> Stored<bool>;
    /// Drops ended events: of the [`DROPPED_AT_ONCE`] oldest ones those that do not last, have numbers below `below`
    /// and were issued before `issued_before`. Returns how many.
    async fn drop_events(&self, below: u64, issued_before: u64) -> Stored<usize>;
    /// The token signing keys that were revoked.
    async fn revoked_signing_keys(&self) -> Stored<Vec<Thumbprint>>;
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

/// The outcome of destroying versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// The numbers of the envelopes' events.
    pub numbers: Vec<u64>,
    /// Tells whether events wait for a number.
    pub deferred: bool,
    /// The versions whose envelope stays, because other versions point to it.
    pub kept: Vec<Version>,
}

/// A caller's decision to revoke. It is made of the permit for it.
///
/// ```
/// use manager_policy::{ManageKeys, Permit};
/// use manager_store::Decision;
/// use shared_proto::jwk::Thumbprint;
/// fn same(permit: &Permit<ManageKeys>, kid: Thumbprint) {
///     let _ = Decision::revoke_signing_key(permit, kid);
/// }
/// ```
///
/// ```compile_fail,E0308
/// use manager_policy::{Permit, Share};
/// use manager_store::Decision;
/// use shared_proto::jwk::Thumbprint;
/// fn other(permit: &Permit<Share>, kid: Thumbprint) {
///     let _ = Decision::revoke_signing_key(permit, kid);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub(crate) basis: Basis,
    pub(crate) effect: Effect,
}

/// The effect of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// An event for the vault. A `credential` event revokes tokens; the credential stays enabled.
    Event(Event),
    /// An environment is disabled at the manager at once, and its tokens are revoked.
    DisableEnvironment(EnvironmentId),
}

impl Decision {
    /// Revokes tokens by what they have in common. A `credential` event leaves the credential enabled.
    ///
    /// # Errors
    /// The event does more than that, or the permit is for another secret.
    pub fn revoke_tokens(permit: &Permit<Share>, event: Event) -> Acted<Self> {
        let target = match event {
            Event::Secret(secret) | Event::Version(secret, _) => Scope::Secret(secret),
            Event::Environment(environment) => Scope::Environment(environment),
            Event::Token(_) | Event::Subject(_) | Event::Credential(_) | Event::All => Scope::Installation,
            Event::SigningKey(_) | Event::Destroy(..) => return Err(ActError::OutsidePermit),
        };
        Ok(Self { basis: basis_for(permit, &target)?, effect: Effect::Event(event) })
    }

    /// Revokes a token of the caller's own.
    pub fn revoke_own_token(token: OwnToken) -> Self {
        Self { basis: token.caller, effect: Effect::Event(Event::Token(token.jti)) }
    }

    /// Revokes a token signing key, with all tokens that it signed.
    ///
    /// # Errors
    /// The permit is not for the whole installation.
    pub fn revoke_signing_key(permit: &Permit<ManageKeys>, kid: Thumbprint) -> Acted<Self> {
        let effect = Effect::Event(Event::SigningKey(kid));
        Ok(Self { basis: basis_for(permit, &Scope::Installation)?, effect })
    }

    /// Disables an environment, and revokes its tokens.
    ///
    /// # Errors
    /// The permit is for another environment.
    pub fn disable_environment(permit: &Permit<ManageEnvironments>, environment: EnvironmentId) -> Acted<Self> {
        let effect = Effect::DisableEnvironment(environment);
        Ok(Self { basis: basis_for(permit, &Scope::Environment(environment))?, effect })
    }
}

impl Effect {
    /// The event that the vault gets.
    pub(crate) fn event(&self) -> Event {
        match self {
            Self::Event(event) => *event,
            Self::DisableEnvironment(environment) => Event::Environment(*environment),
        }
    }
}
