//! `encrypted-vault run`: serves until the process is asked to stop, and does the periodic work meanwhile.

use std::sync::Arc;
use std::time::Duration;

use service_runtime::StartError;
use service_runtime::clock::SystemClock;
use service_runtime::files::create_private_directory;
use service_runtime::http::serve;
use service_runtime::process::DirectoryLock;
use service_runtime::signals::{Looks, shutdown_or_loss, shutdown_signal};
use service_runtime::{files, telemetry};

use crate::app::Vault;
use crate::config::Config;
use crate::revocation::{LocalRefusals, drop_ended};
use crate::routes;

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
    let watcher = tokio::spawn(every(Duration::from_millis(100), Arc::clone(&vault.refusals), LocalRefusals::reload));
    let rotation = tokio::spawn(Arc::clone(&vault.key_rotation).run());
    let dropping = tokio::spawn(drop_ended(Arc::clone(&vault.feed)));
    let store = Arc::clone(&vault.store);
    let (shutdown, loss) = shutdown_or_loss(shutdown, async move { store.lost().await });
    let served = serve(config.serve, config.mode, routes::TABLES, routes::data(&vault), shutdown).await;
    vault.tasks.wait_idle_at_stop().await;
    ticker.abort();
    watcher.abort();
    rotation.abort();
    dropping.abort();
    vault.store.close().await;
    vault.audit.flush_and_close().await;
    served.and(loss.check())
}

async fn every<P: Send + Sync + 'static>(period: Duration, part: Arc<P>, act: fn(&P)) {
    let mut looks = Looks::every(period);
    loop {
        looks.next().await;
        let part = Arc::clone(&part);
        // Files are touched: not on the threads that serve.
        if tokio::task::spawn_blocking(move || act(&part)).await.is_err() {
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
