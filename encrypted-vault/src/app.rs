//! The vault as a whole: its parts are loaded, checked and put together here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use service_runtime::StartError;
use service_runtime::audit::AuditLog;
use service_runtime::clock::Clock;
use service_runtime::http::Health;
use service_runtime::process::{boot_id, can_open_files};
use service_runtime::readiness::{self, Readiness, Trouble};
use service_runtime::tasks::Tasks;
use shared_proto::id::VaultId;
use shared_proto::identity::{Issuer, Owner};

use crate::config::Config;
use crate::fingerprints::Comparer;
use crate::grant::{Authority, TokenCache};
use crate::http::CommandGate;
use crate::ingest::{Ingest, ReceiptSigner};
use crate::key_rotation::KeyRotation;
use crate::keys::{KeyRing, ManagerKeys, RuntimeDirectory, SealKeys};
use crate::manager_clock::ManagerClock;
use crate::manager_instances::ManagerInstances;
use crate::reading::Reader;
use crate::revocation::{Feed, LocalRefusals, MarkFile, Source};
use crate::rewrap::Rewrapper;
use crate::row_cache::RowCache;
use crate::statements::KeyStatements;
use crate::store::{SqlStore, VaultStore};
use crate::transfer::TransferKeys;

/// Verified tokens kept in memory. A token with 64 grants takes about 10 KiB.
const CACHED_TOKENS: u64 = 10_000;
/// Ciphertext rows kept in memory, in bytes: some 14,000 small ones.
const CACHED_ROW_BYTES: u64 = 16 << 20;

/// A running vault.
pub struct Vault {
    /// This vault.
    pub id: VaultId,
    /// Issuer of the pinned manager.
    pub issuer: Issuer,
    /// Long-lived keys.
    pub keys: Arc<KeyRing>,
    /// Their rotation.
    pub key_rotation: Arc<KeyRotation>,
    /// Statements of this vault's keys and of the manager's.
    pub statements: Arc<KeyStatements>,
    /// Seal keys.
    pub seal_keys: Arc<SealKeys>,
    /// The manager's token signing keys.
    pub manager_keys: Arc<ManagerKeys>,
    /// Transfer keys of the last minutes.
    pub transfer_keys: Arc<TransferKeys>,
    /// Events and revocation.
    pub feed: Arc<Feed>,
    /// Local refusals.
    pub refusals: Arc<LocalRefusals>,
    /// Verified tokens of the last minutes.
    pub tokens: Arc<TokenCache>,
    /// Opens versions.
    pub reader: Arc<Reader>,
    /// Verifies commands.
    pub command_gate: Arc<CommandGate>,
    /// Takes envelopes in.
    pub ingest: Arc<Ingest>,
    /// Exchanges wrapped keys.
    pub rewrapper: Arc<Rewrapper>,
    /// Compares fingerprints of values.
    pub comparer: Arc<Comparer>,
    /// Signs receipts.
    pub receipts: Arc<ReceiptSigner>,
    /// Ciphertext rows.
    pub rows: Arc<RowCache>,
    /// The database.
    pub store: Arc<dyn VaultStore>,
    /// The audit log.
    pub audit: AuditLog,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The manager's clock.
    pub manager_clock: Arc<ManagerClock>,
    /// The manager's processes.
    pub manager_instances: ManagerInstances,
    /// Work that must run to its end.
    pub tasks: Tasks,
    no_descriptors: AtomicBool,
    authority: Arc<Authority>,
    // The seal keys, or their files, are not as they should be.
    seal_keys_stuck: AtomicBool,
    settings: String,
}

impl Vault {
    /// Loads everything, destroys expired keys, and is ready to listen.
    ///
    /// # Errors
    /// One sentence: what is wrong, and the way out.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StartError> {
        let keys = Arc::new(KeyRing::open(&config.key_dir, config.mode)?);
        let store = Arc::new(SqlStore::open(&config.location, keys.current().id, config.mode)?);
        Self::assemble(config, clock, keys, store).await
    }

    /// [`Self::open`] with a loaded key folder and an open database.
    ///
    /// # Errors
    /// One sentence: what is wrong, and the way out.
    pub async fn assemble(
        config: &Config,
        clock: Arc<dyn Clock>,
        ring: Arc<KeyRing>,
        store: Arc<dyn VaultStore>,
    ) -> Result<Arc<Self>, StartError> {
        let audit = AuditLog::open(&config.audit_log(), "encrypted-vault", config.audit, Arc::clone(&clock))?;
        let keys = ring.current();
        let (feed, seal_keys) = open_history(config, &clock, &ring, &store).await?;
        let (seal_keys, feed, manager_keys) = (Arc::new(seal_keys), Arc::new(feed), Arc::new(ManagerKeys::default()));
        let refusals = Arc::new(LocalRefusals::open(&config.data_dir));
        let manager_clock = Arc::new(ManagerClock::new(&*clock));
        let statements = KeyStatements::open(
            (Arc::clone(&ring), config.key_times),
            Arc::clone(&seal_keys),
            Arc::clone(&manager_keys),
            Arc::clone(&manager_clock),
            Arc::clone(&store),
            Arc::clone(&clock),
        );
        let statements = Arc::new(statements.await?);
        let key_rotation = Arc::new(KeyRotation::new(
            (Arc::clone(&ring), config.key_times),
            Arc::clone(&manager_keys),
            Arc::clone(&statements),
            Arc::clone(&store),
            Arc::clone(&clock),
        ));
        let authority = Arc::new(Authority {
            issuer: keys.issuer,
            vault: keys.id,
            clock: Arc::clone(&clock),
            manager_clock: Arc::clone(&manager_clock),
            manager_keys: Arc::clone(&manager_keys),
            refusals: Arc::clone(&refusals),
            feed: Arc::clone(&feed),
            seal_keys: Arc::clone(&seal_keys),
            store: Arc::clone(&store),
        });
        let tokens = Arc::new(TokenCache::new(CACHED_TOKENS));
        let rows = Arc::new(RowCache::new(Arc::clone(&store), CACHED_ROW_BYTES));
        let reader = Reader::new(
            Arc::clone(&authority),
            Arc::clone(&tokens),
            Arc::clone(&ring),
            (Arc::clone(&rows), config.budgets),
            audit.clone(),
        );
        let command_gate = CommandGate {
            id: keys.id,
            issuer: keys.issuer,
            keys: Arc::clone(&ring),
            clock: Arc::clone(&clock),
            manager_clock: Arc::clone(&manager_clock),
            audit: audit.clone(),
        };
        let carriers = Carriers::new(&ring, (&store, &rows), &audit, &clock);
        let vault = Self {
            id: keys.id,
            issuer: keys.issuer,
            keys: ring,
            key_rotation,
            statements,
            seal_keys,
            manager_keys,
            transfer_keys: carriers.transfer_keys,
            feed,
            refusals,
            tokens,
            reader: Arc::new(reader),
            command_gate: Arc::new(command_gate),
            ingest: Arc::new(carriers.ingest),
            rewrapper: Arc::new(carriers.rewrapper),
            comparer: Arc::new(carriers.comparer),
            receipts: carriers.receipts,
            rows,
            store,
            audit,
            clock,
            manager_clock,
            manager_instances: ManagerInstances::default(),
            tasks: Tasks::new(tokio::runtime::Handle::current()),
            no_descriptors: AtomicBool::new(false),
            seal_keys_stuck: AtomicBool::new(false),
            authority,
            settings: readiness::settings(config.mode, config.audit.sync, &config.danger.names()),
        };
        Ok(Arc::new(vault))
    }

    /// The work of every second: replaces seal keys, and wipes expired keys and rows.
    pub fn tick(&self) {
        let turned = self.seal_keys.turn(&self.keys.current().identity, Owner::Vault(self.id));
        let stuck_before = self.seal_keys_stuck.swap(turned.is_err(), Ordering::SeqCst);
        match turned {
            Ok(turn) if turn.all_new && turn.made => self.feed.distrust_history(),
            Ok(_) if stuck_before => tracing::warn!("the seal keys are turned again"),
            Err(error) if !stuck_before => tracing::error!(%error, "the seal keys could not be turned"),
            Ok(_) | Err(_) => {}
        }
        self.feed.keep_mark();
        self.no_descriptors.store(!can_open_files(), Ordering::SeqCst);
        self.tokens.sweep(&self.authority);
        self.transfer_keys.sweep();
        self.feed.forget_expired();
        self.rows.sweep(self.feed.destroyed(), |secret, version| self.feed.is_destroyed(secret, version));
    }
}

/// The part that carries out the manager's orders about rows.
struct Carriers {
    transfer_keys: Arc<TransferKeys>,
    receipts: Arc<ReceiptSigner>,
    ingest: Ingest,
    rewrapper: Rewrapper,
    comparer: Comparer,
}

impl Carriers {
    fn new(
        ring: &Arc<KeyRing>,
        (store, rows): (&Arc<dyn VaultStore>, &Arc<RowCache>),
        audit: &AuditLog,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let transfer_keys = Arc::new(TransferKeys::new(Arc::clone(ring), Arc::clone(clock)));
        let receipts = Arc::new(ReceiptSigner::new(Arc::clone(ring), Arc::clone(clock)));
        let ingest = Ingest::new(
            Arc::clone(ring),
            Arc::clone(&transfer_keys),
            Arc::clone(store),
            Arc::clone(&receipts),
            audit.clone(),
            Arc::clone(clock),
        );
        let rewrapper = Rewrapper::new(
            Arc::clone(ring),
            Arc::clone(&transfer_keys),
            (Arc::clone(store), Arc::clone(rows)),
            Arc::clone(&receipts),
            audit.clone(),
            Arc::clone(clock),
        );
        let comparer = Comparer::new(
            Arc::clone(ring),
            Arc::clone(&transfer_keys),
            Arc::<dyn VaultStore>::clone(store),
            audit.clone(),
            Arc::clone(clock),
        );
        Self { transfer_keys, receipts, ingest, rewrapper, comparer }
    }
}

/// Opens the events and the seal keys. All seal keys are destroyed when the history is not the acknowledged one.
async fn open_history(
    config: &Config,
    clock: &Arc<dyn Clock>,
    ring: &Arc<KeyRing>,
    store: &Arc<dyn VaultStore>,
) -> Result<(Feed, SealKeys), StartError> {
    let keys = ring.current();
    let runtime = RuntimeDirectory::open(config, keys.id)?;
    let owner = Owner::Vault(keys.id);
    let boot = boot_id(runtime.path())
        .map_err(|error| StartError::new(format!("The boot of this machine has no id ({error}).")))?;
    let seal_keys = SealKeys::open(&runtime, boot, Arc::clone(clock), (&keys.identity, owner))?;
    let source = Source { keys: Arc::clone(ring), issuer: keys.issuer, vault: keys.id };
    let (feed, history_lost) = Feed::open(Arc::clone(store), MarkFile::new(&runtime), Arc::clone(clock), source)
        .await
        .map_err(|reason| StartError::new(format!("The events in the database are refused: {reason}.")))?;
    if history_lost {
        tracing::warn!(
            "no mark stands for this database (a first start, a restarted machine, or a restored backup): earlier \
             tokens are dead, and nothing opens before the manager's poll"
        );
        seal_keys.destroy_all()?;
    }
    if !seal_keys.is_empty() {
        feed.trust_history();
    }
    // The mark changes only after the seal keys are gone, so that a crash in between is noticed again, and before new
    // ones are made, so that they count as new until a poll was heard, however often the vault starts.
    feed.acknowledge()
        .await
        .map_err(|_| StartError::new("The mark cannot be written; check the runtime directory."))?;
    if seal_keys.turn(&keys.identity, owner)?.all_new {
        feed.distrust_history();
    }
    Ok((feed, seal_keys))
}

impl Health for Vault {
    /// Whether tokens can be opened.
    fn readiness(&self) -> Readiness {
        let keys = self.manager_keys.any_valid(self.clock.now()) && self.seal_keys.any_valid();
        let own = [
            (Trouble::Storage, !self.store.is_healthy()),
            (Trouble::Audit, !self.audit.is_healthy()),
            (Trouble::Descriptors, self.no_descriptors.load(Ordering::SeqCst)),
            (Trouble::Refusing, self.refusals.refuse_everything()),
            (Trouble::Conflict, self.manager_instances.are_two(self.clock.boot())),
            (Trouble::Clock, self.manager_clock.differs(&*self.clock)),
            (Trouble::Keys, !keys || self.seal_keys_stuck.load(Ordering::SeqCst)),
        ];
        Readiness::new(&[&own[..], &self.feed.checks()].concat(), &self.settings)
    }
}
