//! The running service: its parts, put together once.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use service_runtime::StartError;
use service_runtime::audit::AuditLog;
use service_runtime::clock::{Clock, SystemClock};
use service_runtime::config::Mode;
use service_runtime::http::{ServeConfig, serve, shutdown_signal};
use service_runtime::process::DirectoryLock;
use service_runtime::tasks::Tasks;
use shared_proto::encoding::b64;
use shared_proto::id::{TokenId, VaultId};
use shared_proto::identity::{Issuer, Owner, Pins};
use tokio::sync::watch;

use crate::catalogue::{KeyedLocks, Settler, StoreFlow, start_delivery};
use crate::config::Config;
use crate::idempotency::Bodies;
use crate::identity::Authenticator;
use crate::issuer::{Lives, Mint, TokenSealer};
use crate::keys::{LoadedKeys, TokenSigner};
use crate::refusal::Refusal;
use crate::revocation::{Feed, Link, Revocations, event_signer, run_feed, stopped};
use crate::routes;
use crate::sealing::Sealer;
use crate::store::sqlite::SqliteStore;
use crate::store::{IdentityStore as _, Installation, ManagerStore};
use crate::vault_client::{Signing, VaultClient};

/// What handlers work with.
pub struct App {
    /// Development or production.
    pub mode: Mode,
    /// What `init` made.
    pub installation: Installation,
    /// The database.
    pub store: Arc<dyn ManagerStore>,
    /// Knowledge of the vault.
    pub link: Arc<Link>,
    /// The vault's address.
    pub client: Arc<VaultClient>,
    /// The vault's identity.
    pub pins: Pins,
    /// Checks credentials.
    pub authenticator: Authenticator,
    /// Stores, mints and settles.
    pub flow: Arc<StoreFlow>,
    /// Revokes.
    pub revocations: Revocations,
    /// The audit log.
    pub audit: AuditLog,
    /// Work that outlives its request.
    pub tasks: Tasks,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The JWKS document.
    pub jwks: String,
    /// The `OpenAPI` document.
    pub openapi: String,
}

impl App {
    /// Puts the parts together. Call it on the runtime that is to run the tasks; start [`run_feed`] with the feed.
    ///
    /// # Errors
    /// The vault's URL or the machine's TLS setup is not usable.
    pub fn assemble(
        config: &Config,
        installation: Installation,
        keys: LoadedKeys,
        store: Arc<dyn ManagerStore>,
        audit: AuditLog,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Arc<Feed>), StartError> {
        let vault = vault_id(&keys.pins)?;
        let raw = config.get();
        let issuer = Issuer { mode: installation.mode, manager: installation.manager };
        let signing = Arc::new(Signing { identity: keys.identity, issuer, vault });
        let (signer, pins) = (Arc::new(keys.token_signer), keys.pins);
        let link = Arc::new(Link::new(Arc::clone(&clock)));
        let client = Arc::new(VaultClient::new(&raw.vault_url, Arc::clone(&signing), Arc::clone(&clock))?);
        let sign = event_signer(Arc::clone(&signing), Arc::clone(&clock));
        let feed = Arc::new(Feed::new(
            Arc::clone(&store),
            Arc::clone(&client),
            Arc::clone(&link),
            signing,
            pins.clone(),
            Arc::clone(&sign),
            signer.public().clone(),
            Arc::clone(&clock),
        ));
        let sealer = Arc::new(Sealer::new(Arc::new(keys.roots), vault));
        let jwks = jwks(&signer);
        let token_sealer = Arc::new(TokenSealer::new(Arc::clone(&sealer), signer, issuer, vault));
        let lives = Lives { default: raw.token_life_seconds, max: raw.max_token_life_seconds };
        let mint =
            Mint::new(Arc::clone(&store), Arc::clone(&link), token_sealer, audit.clone(), Arc::clone(&clock), lives);
        let locks = Arc::new(KeyedLocks::default());
        let flow = StoreFlow {
            store: Arc::clone(&store),
            link: Arc::clone(&link),
            sealer,
            delivery: start_delivery(Arc::clone(&client), pins.clone(), Arc::clone(&clock)),
            settler: Arc::new(Settler::new(Arc::clone(&store), Arc::clone(&client), pins.clone(), locks)),
            mint: Arc::new(mint),
            bodies: Arc::new(Bodies::new(Arc::clone(&clock))),
            audit: audit.clone(),
            clock: Arc::clone(&clock),
            environments: installation.environments.clone(),
        };
        let app = Self {
            mode: raw.mode,
            installation,
            authenticator: Authenticator::new(Arc::clone(&store), keys.credentials),
            revocations: Revocations::new(Arc::clone(&store), Arc::clone(&link), sign, Arc::clone(&clock)),
            store,
            link,
            client,
            pins,
            flow: Arc::new(flow),
            audit,
            tasks: Tasks::new(tokio::runtime::Handle::current()),
            clock,
            jwks,
            openapi: serde_json::to_string(&routes::document()).unwrap_or_default(),
        };
        Ok((app, feed))
    }

    /// Whether a token can still be revoked.
    ///
    /// # Errors
    /// We made no such token, or it has expired.
    pub async fn require_token(&self, jti: TokenId) -> Result<(), Refusal> {
        match self.store.token(jti, self.clock.now()).await? {
            Some(_) => Ok(()),
            None => Err(Refusal::TokenNotFound),
        }
    }
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// Why it does not start, with the repair.
pub async fn run(config: &Config) -> Result<(), StartError> {
    let raw = config.get();
    let shutdown = shutdown_signal()?;
    let _lock = DirectoryLock::acquire(&raw.data_dir)?;
    let store = open_store(config)?;
    let installation = read_installation(config, &store).await?;
    let keys = LoadedKeys::load(&raw.key_dir, &installation)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let audit = AuditLog::open(&config.audit_log(), "master-key-manager", raw.audit.sync, Arc::clone(&clock))?;
    log_start(config, &installation);
    let (app, feed) = App::assemble(config, installation, keys, Arc::new(store), audit, clock)?;
    let app = Arc::new(app);
    let (stop, stopped) = watch::channel(false);
    let interval = Duration::from_millis(raw.poll_interval_ms);
    let polling = tokio::spawn(run_feed(feed, interval, stopped.clone()));
    let housekeeping = tokio::spawn(keep_house(Arc::clone(&app), interval, stopped));
    let served = serve(serve_config(config), raw.mode, routes::ROUTES, data(Arc::clone(&app)), shutdown).await;
    // What was accepted still needs the vault; the feed goes on until it is done.
    app.tasks.wait_idle().await;
    stop.send_replace(true);
    let _ended = tokio::join!(polling, housekeeping);
    let closed = app.store.close().await;
    app.audit.flush_and_close().await;
    served.and(closed.map_err(|fault| StartError::new(format!("The database was not closed ({fault})."))))
}

/// Adds the application to a worker.
pub fn data(app: Arc<App>) -> impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static {
    let app = web::Data::from(app);
    move |worker| {
        worker.app_data(app.clone());
    }
}

/// Settles what is pending and forgets what has expired.
pub async fn keep_house(app: Arc<App>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pruned_at = 0;
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = ticks.tick() => {}
        }
        if app.link.keys_for_storing().is_ok()
            && let Err(refusal) = app.flow.settler.settle_idle().await
        {
            tracing::warn!(%refusal, "pending versions are not settled yet");
        }
        let now = app.clock.now();
        if now.saturating_sub(pruned_at) >= PRUNE_SECONDS {
            pruned_at = now;
            if let Err(fault) = app.store.prune(now).await {
                tracing::warn!(%fault, "expired rows were not removed");
            }
        }
    }
}

/// Opens the database of a configuration; `init` must have made it.
///
/// # Errors
/// It is not there, or cannot be opened.
pub fn open_store(config: &Config) -> Result<SqliteStore, StartError> {
    let path = config.database();
    if !path.exists() {
        return Err(StartError::new(format!(
            "There is no database {}; run: master-key-manager --config <file> init",
            path.display()
        )));
    }
    SqliteStore::open(&path)
}

/// Reads what `init` wrote, and compares the mode.
///
/// # Errors
/// The database is empty, cannot be read, or is of the other mode.
pub async fn read_installation(config: &Config, store: &SqliteStore) -> Result<Installation, StartError> {
    let shown = config.database();
    let shown = shown.display();
    let found = store.installation().await.map_err(|fault| {
        StartError::new(format!("The database {shown} cannot be read ({fault}); restore a backup of it."))
    })?;
    let Some(installation) = found else {
        return Err(StartError::new(format!("The database {shown} is empty; remove it and run init.")));
    };
    if installation.mode != config.mode() {
        return Err(StartError::new(format!(
            "The configuration says {} mode and the database {shown} is of {} mode; the two never mix: use the other \
             configuration, or make a new installation.",
            config.mode(),
            installation.mode
        )));
    }
    Ok(installation)
}

fn vault_id(pins: &Pins) -> Result<VaultId, StartError> {
    match pins.id() {
        Owner::Vault(id) => Ok(id),
        Owner::Manager(_) => {
            Err(StartError::new("The pinned identity is not a vault's; pin the vault's identity.json."))
        }
    }
}

fn serve_config(config: &Config) -> ServeConfig {
    let raw = config.get();
    let mut serve = ServeConfig::new(raw.listen);
    serve.workers = raw.workers;
    serve.max_connections = raw.max_connections;
    serve.shutdown_seconds = raw.shutdown_seconds;
    serve.ready_file.clone_from(&raw.ready_file);
    serve
}

fn log_start(config: &Config, installation: &Installation) {
    let raw = config.get();
    let dangers = raw.danger.names().join(", ");
    tracing::info!(mode = %installation.mode, manager = %installation.manager, audit_sync = ?raw.audit.sync, dangers, "starting");
    if raw.mode.is_development() {
        tracing::warn!("development mode: none of the security claims holds; never store a real secret here");
    }
    #[cfg(feature = "sabotage")]
    {
        crate::sabotage::set_data_dir(&raw.data_dir);
        tracing::error!(switches = ?crate::sabotage::names(), "this build can be weakened on purpose");
    }
}

fn jwks(signer: &TokenSigner) -> String {
    let mut key = serde_json::to_value(signer.public()).unwrap_or_default();
    if let Some(members) = key.as_object_mut() {
        let text = |text: &str| serde_json::Value::String(text.to_owned());
        members.insert("kid".to_owned(), text(&b64(&signer.kid().0)));
        members.insert("use".to_owned(), text("sig"));
        members.insert("alg".to_owned(), text("RS256"));
    }
    serde_json::json!({ "keys": [key] }).to_string()
}

const PRUNE_SECONDS: u64 = 600;
