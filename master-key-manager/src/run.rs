//! The life of the process: start, serve, stop.

use std::sync::Arc;
use std::time::Duration;

use service_runtime::StartError;
use service_runtime::audit::AuditLog;
use service_runtime::clock::{Clock, SystemClock};
use service_runtime::http::serve;
use service_runtime::signals::{shutdown_or_loss, shutdown_signal};
use tokio::sync::watch;

use crate::app::App;
use crate::catalogue::fill_index;
use crate::config::Config;
use crate::installation::{InstallationLock, check_installation, open_registry, open_store, read_installation};
use crate::keys::LoadedKeys;
use crate::revocation::run_sync;
use crate::routes;
use manager_store::Installation;

/// Runs the service until it is asked to stop.
///
/// # Errors
/// Why it does not start, with the repair.
pub async fn run(config: &Config) -> Result<(), StartError> {
    let raw = config.get();
    let shutdown = shutdown_signal()?;
    let _lock = InstallationLock::acquire(config)?;
    let store = Arc::new(open_store(config)?);
    check_installation(config, &store).await?;
    // Before the rows that it lets an operator vouch for, and the sign-on key that it makes in a key folder of an earlier release.
    let registry = Arc::new(open_registry(config, store.clone()).await?);
    fill_index(store.as_ref()).await?;
    let (installation, environments) = read_installation(config, &store).await?;
    let keys = LoadedKeys::at_start(&raw.key_dir, &installation, &environments)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let audit = AuditLog::open(&config.audit_log(), "master-key-manager", raw.audit, Arc::clone(&clock))?;
    log_start(config, &installation);
    let (app, sync) = App::assemble(config, (installation, environments), keys, (store, registry), audit, clock)?;
    let app = Arc::new(app);
    let (stop, stopped) = watch::channel(false);
    let interval = Duration::from_millis(raw.poll_interval_ms);
    let polling = tokio::spawn(run_sync(Arc::clone(&sync), interval, stopped.clone()));
    let rotating = tokio::spawn(app.key_rotation(sync).run(raw.keys, interval, stopped.clone()));
    let housekeeping = tokio::spawn(app.maintenance().run(interval, stopped));
    let store = Arc::clone(&app.store);
    let (shutdown, loss) = shutdown_or_loss(shutdown, async move { store.lost().await });
    let served = serve(config.serve(), raw.mode, routes::TABLES, routes::data(Arc::clone(&app)), shutdown).await;
    // Accepted requests still need the vault: the sync continues until they are done.
    app.gate.tasks.wait_idle_at_stop().await;
    stop.send_replace(true);
    let _ended = tokio::join!(polling, housekeeping, rotating);
    app.store.close().await;
    app.gate.audit.flush_and_close().await;
    served.and(loss.check())
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
