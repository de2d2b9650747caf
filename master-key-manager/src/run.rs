//! The life of the process: start, serve, stop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use service_runtime::StartError;
use service_runtime::audit::AuditLog;
use service_runtime::clock::{Clock, SystemClock};
use service_runtime::http::serve;
use service_runtime::process::{DirectoryLock, can_open_files};
use service_runtime::signals::shutdown_signal;
use tokio::sync::watch;

use crate::app::{App, data};
use crate::config::Config;
use crate::installation::{open_store, read_installation};
use crate::keys::LoadedKeys;
use crate::revocation::{FeedStatus, run_sync, stopped};
use crate::routes;
use crate::store::{Installation, PRUNED_AT_ONCE};

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
    let audit = AuditLog::open(&config.audit_log(), "master-key-manager", raw.audit, Arc::clone(&clock))?;
    log_start(config, &installation);
    let (app, feed) = App::assemble(config, installation, keys, Arc::new(store), audit, clock)?;
    let app = Arc::new(app);
    let (stop, stopped) = watch::channel(false);
    let interval = Duration::from_millis(raw.poll_interval_ms);
    let polling = tokio::spawn(run_sync(Arc::clone(&feed), interval, stopped.clone()));
    let rotating = tokio::spawn(app.key_rotation(feed).run(raw.keys, interval, stopped.clone()));
    let housekeeping = tokio::spawn(run_maintenance(Arc::clone(&app), interval, stopped));
    let served = serve(config.serve(), raw.mode, routes::TABLES, data(Arc::clone(&app)), shutdown).await;
    // What was accepted still needs the vault; the feed goes on until it is done.
    app.tasks.wait_idle_at_stop().await;
    stop.send_replace(true);
    let _ended = tokio::join!(polling, housekeeping, rotating);
    let closed = app.store.close().await;
    app.audit.flush_and_close().await;
    served.and(closed.map_err(|fault| StartError::new(format!("The database was not closed ({fault})."))))
}

/// After this time no token is alive that an event could hit: seal keys live for an hour, tokens for less.
const ENDED_SECONDS: u64 = 3_600;

/// Settles what is pending and forgets what has expired.
pub async fn run_maintenance(app: Arc<App>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pruned_at: Option<u64> = None;
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
        drop_ended(&app).await;
        app.no_descriptors.store(!can_open_files(), Ordering::SeqCst);
        let boot = app.clock.boot();
        if pruned_at.is_none_or(|at| boot.saturating_sub(at) >= PRUNE_SECONDS)
            && let Some(vault_time) = app.link.vault_time()
        {
            pruned_at = Some(boot);
            // A row is over when both clocks say so: one that jumped ahead must not make us forget living tokens and
            // the keys of writes that may still be repeated.
            prune(&app, app.clock.now().min(vault_time), &stop).await;
        }
    }
}

/// Drops a few events that have ended: the vault has signed for them, and no token of their time is alive. The one that
/// it named last stays, because its next feed state is compared with it.
async fn drop_ended(app: &App) {
    let (view, Some(vault_time)) = (app.link.view(), app.link.vault_time()) else { return };
    if view.status == FeedStatus::CaughtUp {
        let issued_before = app.clock.now().min(vault_time).saturating_sub(ENDED_SECONDS);
        if let Err(fault) = app.store.drop_events(view.applied, issued_before).await {
            tracing::warn!(%fault, "events that have ended were not dropped");
        }
    }
}

/// Forgets what is over by `now`, a few rows at a time: whoever waits for the writer goes in between.
async fn prune(app: &App, now: u64, stop: &watch::Receiver<bool>) {
    while !*stop.borrow() {
        match app.store.prune(now, PRUNED_AT_ONCE).await {
            Ok(PRUNED_AT_ONCE) => {}
            Ok(_fewer) => return,
            Err(fault) => return tracing::warn!(%fault, "expired rows were not removed"),
        }
    }
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

/// Expired rows do no harm; they only take room.
const PRUNE_SECONDS: u64 = 600;
