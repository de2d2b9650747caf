//! A store that fails on demand, around a real one, for tests of failing disks and dying processes.

use std::sync::Arc;

use async_trait::async_trait;
use manager_api::name::{SecretPath, UserLabel};
use service_runtime::sql::{Faults, KillPoint};
use shared_proto::chain::ChainHead;
use shared_proto::event::EventHash;
use shared_proto::id::{EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::receipt::ReceiptFacts;

use super::sqlite::SqliteStore;
use super::{
    Acted, Actor, BeginOutcome, CatalogueStore, CommitOutcome, CredentialRow, Decision, EventStore, IdentityStore,
    Installation, ManagerStore, NewCredential, NewInstallation, NewToken, NewVersion, RevocationPage, RotationState,
    RotationStore, SecretRow, SecretState, SignEvent, Stored, StoredEvent, TokenDecision, TokenRequest, TokenRow,
    TokenStore, VersionRow,
};

/// A wrapped store. After its kill point every method fails, as in a dead process.
///
/// Faults are planned by the names of methods. Where the inner store uses [`service_runtime::sql`], its jobs have these
/// names and meet the faults there.
pub struct FaultyStore {
    inner: SqliteStore,
    sound: Arc<dyn ManagerStore>,
    faults: Faults,
}

impl FaultyStore {
    /// A store without a fault. Its jobs run twice, because they must be able to.
    pub fn new(store: SqliteStore) -> Self {
        let faults = Faults::default();
        faults.write_twice();
        Self { sound: Arc::new(store.clone()), inner: store.with_faults(faults.clone()), faults }
    }

    /// Dies the next time that it reaches this point.
    pub fn kill_at(&self, point: KillPoint) {
        self.faults.kill_at(point);
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
        let sound = Arc::clone(&self.sound);
        self.faults.after_calls(method, calls, move || act(sound));
    }

    /// The number of times that a method has returned.
    pub fn calls(&self, method: &'static str) -> u64 {
        self.faults.calls(method)
    }

    /// Whether it died.
    pub fn is_dead(&self) -> bool {
        self.faults.is_dead()
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
                self.faults.through(stringify!($method), self.inner.$method($($argument),*)).await
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

// Its jobs meet the faults in the inner store.
#[async_trait]
impl TokenStore for FaultyStore {
    async fn decide_token(&self, actor: Actor, order: TokenRequest) -> Acted<TokenDecision> {
        self.inner.decide_token(actor, order).await
    }

    async fn tokens(&self, actor: Actor, after: Option<TokenId>, limit: usize, now: u64) -> Acted<Vec<TokenRow>> {
        self.inner.tokens(actor, after, limit, now).await
    }

    async fn revoked_signing_keys(&self) -> Stored<Vec<Thumbprint>> {
        self.inner.revoked_signing_keys().await
    }

    async fn prune(&self, now: u64, limit: usize) -> Stored<usize> {
        self.inner.prune(now, limit).await
    }
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
