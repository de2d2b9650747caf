//! A store that fails on demand, around a real one: for tests of what is left when the disk or the process gives up.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use manager_api::name::{SecretPath, UserLabel};
use service_runtime::sqlite::StoreFault;
use shared_proto::event::{Event, EventHash};
use shared_proto::id::{EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::receipt::ReceiptFacts;

use super::{
    Begun, CatalogueStore, Committed, CredentialRow, EventStore, IdentityStore, Installation, ManagerStore,
    NewCredential, NewInstallation, NewToken, NewVersion, Ordered, RotationState, RotationStore, SecretRow,
    SecretState, SignEvent, Stored, StoredEvent, TokenOrder, TokenRow, TokenStore, VersionRow,
};

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPoint {
    /// Just before this method writes.
    Before(&'static str),
    /// Just after this method wrote; its caller never learns of it.
    After(&'static str),
}

/// Wraps a store. After its kill point nothing works any more, as in a process that is gone.
pub struct FaultyStore {
    inner: Arc<dyn ManagerStore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kill_at: Option<KillPoint>,
    dead: bool,
}

impl FaultyStore {
    /// A store without a fault.
    pub fn new(inner: Arc<dyn ManagerStore>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Dies there, the next time that it comes by.
    pub fn kill_at(&self, point: KillPoint) {
        self.state().kill_at = Some(point);
    }

    /// Whether it died.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passes(&self, point: KillPoint) -> Result<(), StoreFault> {
        let mut state = self.state();
        if state.kill_at == Some(point) {
            state.dead = true;
        }
        if state.dead { Err(StoreFault::Unavailable) } else { Ok(()) }
    }

    async fn through<T>(&self, method: &'static str, act: impl Future<Output = Stored<T>> + Send) -> Stored<T> {
        self.passes(KillPoint::Before(method))?;
        let outcome = act.await?;
        self.passes(KillPoint::After(method)).map_err(|_| StoreFault::OutcomeUnknown)?;
        Ok(outcome)
    }
}

impl ManagerStore for FaultyStore {
    fn is_healthy(&self) -> bool {
        !self.is_dead() && self.inner.is_healthy()
    }
}

macro_rules! through {
    ($trait:ident: $($method:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        #[async_trait]
        impl $trait for FaultyStore {
            $(async fn $method(&self, $($argument: $type),*) -> Stored<$output> {
                self.through(stringify!($method), self.inner.$method($($argument),*)).await
            })*
        }
    };
}

through! {
    CatalogueStore:
    secret_at(environment: EnvironmentId, path: SecretPath) -> Option<SecretState>;
    secret(secret: SecretId) -> Option<SecretState>;
    version(secret: SecretId, version: Version) -> Option<VersionRow>;
    begin(version: NewVersion) -> Begun;
    commit(secret: SecretId, version: Version, token: Option<NewToken>) -> Committed;
    abandon(secret: SecretId, version: Version) -> ();
    pending(limit: usize) -> Vec<VersionRow>;
    secrets(environment: Option<EnvironmentId>, after: Option<(SecretId, Version)>, limit: usize) -> Vec<SecretRow>;
    missing(facts: Vec<ReceiptFacts>) -> Vec<ReceiptFacts>;
    adopt(facts: Vec<ReceiptFacts>, now: u64) -> u64;
    idempotent(subject: Subject, key: String, now: u64) -> Option<(SecretId, Version)>;
}

through! {
    TokenStore:
    order_token(order: TokenOrder) -> Ordered;
    tokens(after: Option<TokenId>, limit: usize, now: u64) -> Vec<TokenRow>;
    revoked_signing_keys() -> Vec<Thumbprint>;
    prune(now: u64, limit: usize) -> usize;
}

through! {
    EventStore:
    newest_event() -> (u64, EventHash);
    event_hash(sequence: u64) -> Option<EventHash>;
    events_after(after: u64, limit: usize) -> Vec<StoredEvent>;
    number(events: Vec<Event>, sign: SignEvent, now: u64) -> Vec<u64>;
    defer(events: Vec<Event>, now: u64) -> ();
    number_deferred(sign: SignEvent, now: u64) -> Vec<u64>;
    deferred() -> u64;
    take_back(after: u64, hash: EventHash, events: Vec<StoredEvent>) -> bool;
}

through! {
    IdentityStore:
    installation() -> Option<Installation>;
    install(installation: NewInstallation) -> ();
    credential(hmac: [u8; 32]) -> Option<CredentialRow>;
    reset_administrator(credential: NewCredential, now: u64) -> ();
    subject_of(label: UserLabel) -> Option<Subject>;
    close() -> ();
}

through! {
    RotationStore:
    versions_below(target: (EnvironmentId, u32), after: Option<(SecretId, Version)>, limit: usize) -> Vec<VersionRow>;
    move_to_epoch(target: (EnvironmentId, u32), versions: Vec<(SecretId, Version)>, now: u64) -> ();
    note_lacking(epoch: u32, versions: Vec<(SecretId, Version)>) -> ();
    rotation(environment: EnvironmentId, epoch: u32) -> RotationState;
    open_below(environment: EnvironmentId, epoch: u32) -> u64;
    move_back(facts: Vec<ReceiptFacts>) -> u64;
    record_retirement(target: (EnvironmentId, u32), retirement: String, now: u64) -> ();
}
