//! Putting the vault together: load, check, serve, tick, stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::{self, Bytes};
use service_runtime::audit::AuditLog;
use service_runtime::clock::{Clock, SystemClock};
use service_runtime::files::create_private_directory;
use service_runtime::http::{Health, serve};
use service_runtime::process::{DirectoryLock, StartError, boot_id, can_open_files};
use service_runtime::readiness::{self, Readiness, Trouble};
use service_runtime::signals::{Looks, shutdown_signal};
use service_runtime::standing::StandingStatements;
use service_runtime::tasks::Tasks;
use service_runtime::{files, telemetry};
use shared_proto::Rejected;
use shared_proto::id::VaultId;
use shared_proto::identity::{Issuer, Owner};
use shared_proto::statement::{KeyStatement, Purpose};

use crate::config::{Config, KeyTimes};
use crate::grant::{Authority, TokenCache};
use crate::keys::{KeyRing, ManagerKeys, RuntimeDirectory, SealKeys};
use crate::manager_clock::ManagerClock;
use crate::manager_instances::ManagerInstances;
use crate::reading::Reader;
use crate::revocation::{Feed, MarkFile, Refusals, Source};
use crate::rotation::{self, RotationState};
use crate::routes::{self, TABLES};
use crate::row_cache::RowCache;
use crate::store::{SqliteStore, Statements, VaultStore};
use crate::transfer::TransferKeys;

/// Verified tokens kept in memory. A token with 64 grants takes about 10 KiB.
const CACHED_TOKENS: u64 = 10_000;
/// Ciphertext rows kept in memory, in bytes: some 14,000 small ones.
const CACHED_ROW_BYTES: u64 = 16 << 20;
/// How far the wall clock may go from the boot clock before it counts as set.
const CLOCK_DRIFT_SECONDS: u64 = 60;

/// A running vault.
pub struct Vault {
    /// This vault.
    pub id: VaultId,
    /// Issuer of the pinned manager.
    pub issuer: Issuer,
    /// Long-lived keys.
    pub keys: Arc<KeyRing>,
    /// How long keys that were replaced stay.
    pub key_times: KeyTimes,
    /// What their rotation remembers.
    pub rotation: RotationState,
    /// Seal keys.
    pub seal_keys: Arc<SealKeys>,
    /// The manager's token signing keys.
    pub manager_keys: Arc<ManagerKeys>,
    /// Transfer keys of the last minutes.
    pub transfer_keys: TransferKeys,
    /// Events and revocation.
    pub feed: Arc<Feed>,
    /// Local refusals.
    pub refusals: Arc<Refusals>,
    /// Verified tokens of the last minutes.
    pub tokens: Arc<TokenCache>,
    /// Opens versions.
    pub reader: Reader,
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
    /// What must run to its end.
    pub tasks: Tasks,
    unkept_statements: AtomicBool,
    no_descriptors: AtomicBool,
    authority: Arc<Authority>,
    // The seal keys, or their files, are not as they should be.
    seal_keys_stuck: AtomicBool,
    settings: String,
    openapi: Bytes,
    transport: StandingStatements,
    // The wall clock and the boot clock when a poll was verified last.
    polled_at: Mutex<Option<(u64, u64)>>,
}

impl Vault {
    /// Loads everything, destroys what is over, and is ready to listen.
    ///
    /// # Errors
    /// One sentence: what is wrong, and the way out.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StartError> {
        let keys = Arc::new(KeyRing::open(&config.key_dir, config.mode)?);
        let store = Arc::new(SqliteStore::open(&config.database(), keys.current().id, config.mode)?);
        Self::assemble(config, clock, keys, store).await
    }

    /// [`Self::open`] with a folder that is loaded and a database that is open.
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
        let runtime = RuntimeDirectory::open(config, keys.id)?;
        let owner = Owner::Vault(keys.id);
        let boot = boot_id(runtime.path())
            .map_err(|error| StartError::new(format!("The boot of this machine has no id ({error}).")))?;
        let seal_keys = SealKeys::open(&runtime, boot, Arc::clone(&clock), (&keys.identity, owner))?;
        let source = Source { keys: Arc::clone(&ring), issuer: keys.issuer, vault: keys.id };
        let (feed, history_lost) = Feed::open(Arc::clone(&store), MarkFile::new(&runtime), Arc::clone(&clock), source)
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
        let (seal_keys, feed, manager_keys) = (Arc::new(seal_keys), Arc::new(feed), Arc::new(ManagerKeys::default()));
        let (statements, stated_at) = stored_statements(&*store).await?;
        let _nothing_is_older = manager_keys.replace(&statements, (stated_at, clock.now()), &keys.pins);
        let refusals = Arc::new(Refusals::open(&config.data_dir));
        let manager_clock = Arc::new(ManagerClock::new(&*clock));
        let authority = Arc::new(Authority {
            issuer: keys.issuer,
            vault: keys.id,
            clock: Arc::clone(&clock),
            manager_clock: Arc::clone(&manager_clock),
            manager_keys: Arc::clone(&manager_keys),
            refusals: Arc::clone(&refusals),
            feed: Arc::clone(&feed),
            seal_keys: Arc::clone(&seal_keys),
        });
        let tokens = Arc::new(TokenCache::new(CACHED_TOKENS));
        let rows = Arc::new(RowCache::new(Arc::clone(&store), CACHED_ROW_BYTES));
        let vault = Self {
            id: keys.id,
            issuer: keys.issuer,
            reader: Reader::new(
                Arc::clone(&authority),
                Arc::clone(&tokens),
                Arc::clone(&ring),
                Arc::clone(&rows),
                audit.clone(),
            ),
            keys: ring,
            key_times: config.key_times,
            rotation: RotationState::default(),
            seal_keys,
            manager_keys,
            transfer_keys: TransferKeys::default(),
            feed,
            refusals,
            tokens,
            rows,
            store,
            settings: readiness::settings(config.mode, config.audit.sync, &config.danger.names()),
            openapi: routes::openapi_json().into(),
            manager_clock,
            authority,
            manager_instances: ManagerInstances::default(),
            audit,
            clock,
            tasks: Tasks::new(tokio::runtime::Handle::current()),
            unkept_statements: AtomicBool::new(false),
            no_descriptors: AtomicBool::new(false),
            seal_keys_stuck: AtomicBool::new(false),
            transport: StandingStatements::new(Purpose::Transport),
            polled_at: Mutex::default(),
        };
        Ok(Arc::new(vault))
    }

    /// The statements of this vault's living keys.
    pub fn own_statements(&self) -> Vec<KeyStatement> {
        let (owner, keys) = (Owner::Vault(self.id), self.keys.current());
        // The key before it is stated for as long as it is accepted; the last one is the one to be used.
        let end = keys.transport.first().map(|active| active.since.saturating_add(self.key_times.transport_overlap));
        let ends = std::iter::once(None).chain(std::iter::repeat(end));
        let mut transport: Vec<_> = keys.transport.iter().map(|key| &key.public).zip(ends).collect();
        transport.reverse();
        let mut statements = self.transport.at(self.clock.now(), &keys.identity, owner, &transport);
        statements.extend(self.seal_keys.statements(&keys.identity, owner));
        statements
    }

    /// Takes over the manager's statements, and keeps them for a restart. A full disk does not make the poll fail that
    /// brought them: they count, and the next poll tries again to keep them.
    ///
    /// # Errors
    /// The poll is older than what was taken over, and says something else.
    pub async fn learn_manager_keys(&self, statements: &[KeyStatement], stated_at: u64) -> Result<(), Rejected> {
        let times = (stated_at, self.manager_clock.token_time(&*self.clock));
        let changed = self.manager_keys.replace(statements, times, &self.keys.current().pins)?;
        if !self.manager_clock.heard(stated_at, &*self.clock) {
            return Ok(());
        }
        let confirmed = (self.clock.now(), self.clock.boot());
        *self.polled_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(confirmed);
        if self.unkept_statements.fetch_or(changed, Ordering::SeqCst) || changed {
            let documents = statements.iter().filter_map(|statement| serde_json::to_string(statement).ok());
            match self.store.replace_statements(Statements { documents: documents.collect(), stated_at }).await {
                Ok(()) => self.unkept_statements.store(false, Ordering::SeqCst),
                Err(fault) => tracing::warn!(%fault, "the manager's key statements could not be kept"),
            }
        }
        Ok(())
    }

    /// Whether a poll has shown that the manager's clock and this one agree, because a command is good for a minute only,
    /// and the wall clock has gone as the boot clock has since. What cannot be undone does not happen by a clock that
    /// jumped.
    pub fn clock_is_confirmed(&self) -> bool {
        let polled_at = *self.polled_at.lock().unwrap_or_else(PoisonError::into_inner);
        polled_at.is_some_and(|(now, boot)| {
            let expected = now.saturating_add(self.clock.boot().saturating_sub(boot));
            self.clock.now().abs_diff(expected) <= CLOCK_DRIFT_SECONDS
        })
    }

    /// What is due every second: turn of the seal keys, and wiping of what is over.
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
        self.transfer_keys.sweep(self.clock.boot());
        self.feed.forget_expired();
        self.rows.sweep();
    }
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

    fn openapi(&self) -> Bytes {
        self.openapi.clone()
    }
}

async fn stored_statements(store: &dyn VaultStore) -> Result<(Vec<KeyStatement>, u64), StartError> {
    let found = store.statements().await.map_err(|fault| StartError::new(format!("{fault}.")))?;
    let statements = found.documents.iter().filter_map(|document| serde_json::from_str(document).ok());
    Ok((statements.collect(), found.stated_at))
}

/// `encrypted-vault run`.
///
/// # Errors
/// One sentence: why the vault does not start, or why it ended.
pub async fn run(config: Config) -> Result<(), StartError> {
    telemetry::init(config.log.as_deref());
    announce(&config);
    let shutdown = shutdown_signal()?;
    files::check_private_directory(&config.data_dir)?;
    let _lock = DirectoryLock::acquire(&config.data_dir)?;
    let vault = Vault::open(&config, Arc::new(SystemClock)).await?;
    let ticker = tokio::spawn(every(Duration::from_secs(1), Arc::clone(&vault), Vault::tick));
    let watcher = tokio::spawn(every(Duration::from_millis(100), Arc::clone(&vault), |vault| vault.refusals.reload()));
    let rotation = tokio::spawn(rotation::run(Arc::clone(&vault)));
    let data = web::Data::new(Arc::clone(&vault));
    let configure = move |app: &mut web::ServiceConfig| {
        app.app_data(data.clone());
    };
    let served = serve(config.serve, config.mode, TABLES, configure, shutdown).await;
    vault.tasks.wait_idle_at_stop().await;
    ticker.abort();
    watcher.abort();
    rotation.abort();
    vault.store.close().await;
    vault.audit.flush_and_close().await;
    served
}

async fn every(period: Duration, vault: Arc<Vault>, act: fn(&Vault)) {
    let mut looks = Looks::every(period);
    loop {
        looks.next().await;
        let vault = Arc::clone(&vault);
        // Files are touched: not on the threads that serve.
        if tokio::task::spawn_blocking(move || act(&vault)).await.is_err() {
            tracing::error!("a periodic duty failed");
        }
    }
}

fn announce(config: &Config) {
    let danger = config.danger.names().join(",");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), mode = %config.mode, danger, "encrypted-vault starts");
    if config.mode.is_development() {
        tracing::warn!("development mode: nothing that SECURITY.md claims holds; never store a real secret here");
    }
}

/// Makes the data directory of a new vault.
///
/// # Errors
/// It cannot be made.
pub fn create_data_directory(config: &Config) -> Result<(), StartError> {
    create_private_directory(&config.data_dir)
}
