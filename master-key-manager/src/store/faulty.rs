//! A store that fails on demand, around a real one, for tests of failing disks and dying processes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use manager_api::name::{SecretPath, UserLabel};
use service_runtime::sqlite::StoreFault;
use shared_proto::chain::ChainHead;
use shared_proto::event::EventHash;
use shared_proto::id::{EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::receipt::ReceiptFacts;

use super::{
    Acted, Actor, BeginOutcome, CatalogueStore, CommitOutcome, CredentialRow, Decision, EventStore, IdentityStore,
    Installation, ManagerStore, NewCredential, NewInstallation, NewToken, NewVersion, RevocationPage, RotationState,
    RotationStore, SecretRow, SecretState, SignEvent, Stored, StoredEvent, TokenDecision, TokenRequest, TokenRow,
    TokenStore, VersionRow,
};

/// The point at which a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPoint {
    /// Just before this method writes.
    Before(&'static str),
    /// Just after this method wrote; its caller never learns of it.
    After(&'static str),
}

/// A wrapped store. After its kill point every method fails, as in a dead process.
pub struct FaultyStore {
    inner: Arc<dyn ManagerStore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kill_at: Option<KillPoint>,
    dead: bool,
    calls: HashMap<&'static str, u64>,
    /// Acts that follow the n-th call of a method.
    meanwhile: Option<(&'static str, u64, Act)>,
}

type Act = Box<dyn FnOnce(Arc<dyn ManagerStore>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

impl FaultyStore {
    /// A store without a fault.
    pub fn new(inner: Arc<dyn ManagerStore>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Dies the next time that it reaches this point.
    pub fn kill_at(&self, point: KillPoint) {
        self.state().kill_at = Some(point);
    }

    /// Runs `act` on the inner store when `method` has returned `calls` times more, before its caller gets the result.
    pub fn after_calls<F>(
        &self,
        method: &'static str,
        calls: u64,
        act: impl FnOnce(Arc<dyn ManagerStore>) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.state();
        let call = state.calls.get(method).copied().unwrap_or_default() + calls;
        state.meanwhile = Some((method, call, Box::new(|store| Box::pin(act(store)))));
    }

    /// The number of times that a method has returned.
    pub fn calls(&self, method: &'static str) -> u64 {
        self.state().calls.get(method).copied().unwrap_or_default()
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

    async fn through<T, E: From<StoreFault>>(
        &self,
        method: &'static str,
        act: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.passes(KillPoint::Before(method))?;
        let outcome = act.await?;
        self.passes(KillPoint::After(method)).map_err(|_| StoreFault::OutcomeUnknown)?;
        self.meanwhile(method).await;
        Ok(outcome)
    }

    /// Counts a call, and runs the act that follows it.
    async fn meanwhile(&self, method: &'static str) {
        let act = {
            let mut state = self.state();
            let calls = state.calls.entry(method).or_default();
            *calls += 1;
            let due = *calls;
            let waits = state.meanwhile.as_ref().is_some_and(|(after, call, _)| *after == method && *call == due);
            if waits { state.meanwhile.take() } else { None }
        };
        if let Some((_, _, act)) = act {
            act(Arc::clone(&self.inner)).await;
        }
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
            $(async fn $method(&self, $($argument: $type),*) -> $output {
                self.through(stringify!($method), self.inner.$method($($argument),*)).await
            })*
        }
    };
}

through! {
    CatalogueStore:
    secret_at(actor: Actor, environment: EnvironmentId, path: SecretPath) -> Acted<Option<SecretState>>;
    secret(actor: Actor, secret: SecretId) -> Acted<Option<SecretState>>;
    version(actor: Actor, secret: SecretId, version: Version) -> Acted<Option<VersionRow>>;
    secret_to_settle(secret: SecretId) -> Stored<Option<SecretState>>;
    begin(actor: Actor, version: NewVersion) -> Acted<BeginOutcome>;
    commit(secret: SecretId, version: Version, token: Option<NewToken>) -> Stored<CommitOutcome>;
    abandon(secret: SecretId, version: Version) -> Stored<()>;
    pending(limit: usize) -> Stored<Vec<VersionRow>>;
    secrets(actor: Actor, environment: Option<EnvironmentId>, after: Option<(SecretId, Version)>, limit: usize) -> Acted<Vec<SecretRow>>;
    missing(actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<Vec<ReceiptFacts>>;
    adopt(actor: Actor, facts: Vec<ReceiptFacts>, now: u64) -> Acted<u64>;
    idempotent(actor: Actor, subject: Subject, key: String, now: u64) -> Acted<Option<(SecretId, Version)>>;
}

through! {
    TokenStore:
    decide_token(actor: Actor, order: TokenRequest) -> Acted<TokenDecision>;
    tokens(actor: Actor, after: Option<TokenId>, limit: usize, now: u64) -> Acted<Vec<TokenRow>>;
    revoked_signing_keys() -> Stored<Vec<Thumbprint>>;
    prune(now: u64, limit: usize) -> Stored<usize>;
}

through! {
    EventStore:
    newest_event() -> Stored<(u64, EventHash)>;
    chain_head() -> Stored<ChainHead>;
    event_hash(sequence: u64) -> Stored<Option<EventHash>>;
    events_after(after: u64, limit: usize) -> Stored<Vec<StoredEvent>>;
    revocations(actor: Actor, after: u64, limit: usize) -> Acted<RevocationPage>;
    number(actor: Actor, decisions: Vec<Decision>, sign: SignEvent, now: u64) -> Acted<Vec<u64>>;
    defer(actor: Actor, decisions: Vec<Decision>, now: u64) -> Acted<()>;
    number_deferred(sign: SignEvent, now: u64) -> Stored<Vec<u64>>;
    deferred() -> Stored<u64>;
    recover_events(after: ChainHead, events: Vec<StoredEvent>) -> Stored<bool>;
    drop_events(below: u64, issued_before: u64) -> Stored<usize>;
}

through! {
    IdentityStore:
    installation() -> Stored<Option<Installation>>;
    install(installation: NewInstallation) -> Stored<()>;
    credential(hmac: [u8; 32]) -> Stored<Option<CredentialRow>>;
    reset_administrator(credential: NewCredential, now: u64) -> Stored<()>;
    look_again(actor: Actor) -> Acted<()>;
    subject_of(actor: Actor, label: UserLabel) -> Acted<Option<Subject>>;
    close() -> Stored<()>;
}

through! {
    RotationStore:
    versions_below(target: (EnvironmentId, u32), after: Option<(SecretId, Version)>, limit: usize) -> Stored<Vec<VersionRow>>;
    move_to_epoch(target: (EnvironmentId, u32), versions: Vec<(SecretId, Version)>, now: u64) -> Stored<()>;
    mark_missing(epoch: u32, versions: Vec<(SecretId, Version)>) -> Stored<()>;
    rotation(environment: EnvironmentId, epoch: u32) -> Stored<RotationState>;
    open_below(environment: EnvironmentId, epoch: u32) -> Stored<u64>;
    move_back(actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<u64>;
    record_retirement(target: (EnvironmentId, u32), retirement: String, now: u64) -> Stored<()>;
}
