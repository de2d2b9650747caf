//! Key rotation while the service runs. An operator's command changes the key folder and ends. The service follows the
//! folder and completes the change (docs/adr/0007-key-folder-is-the-state.md).
//!
//! Guarantees that a token signing key is used only when the vault knows it, and is accepted until its tokens have
//! ended. A version counts as moved to another root key only when the vault's copy was read back and opened to the same
//! data key. Nothing is destroyed that may still be needed. Each step may be interrupted: the remaining ones follow
//! from the folder and the database.

mod command;
mod exchange;
mod follow;
mod report;

use std::sync::Arc;
use std::time::Duration;

use service_runtime::StartError;
use service_runtime::audit::{AuditLog, AuditUnavailable, Origin};
use service_runtime::clock::Clock;
use service_runtime::signals::Looks;
use service_runtime::sql::StoreFault;
use tokio::sync::watch;

pub use command::{RotateKeys, rotate_keys};

use self::exchange::Exchange;
use self::follow::Follower;
use crate::audit_event::{Act, KeyStep};
use crate::config::KeysConfig;
use crate::keys::KeyRing;
use crate::revocation::{RevocationSync, VaultView, stopped};
use crate::vault_client::{CallError, VaultClient};
use manager_store::RotationStore;

/// Why a step waits for the next attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Halt {
    #[error(transparent)]
    Folder(#[from] StartError),
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Audit(#[from] AuditUnavailable),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}")]
    Vault(&'static str),
}

/// Takes the steps that are possible now. The others are tried again.
trait Worker: Send {
    fn step(&mut self) -> impl Future<Output = Result<(), Halt>> + Send;
}

/// The parts that a rotation works with.
#[derive(Clone)]
pub struct KeyRotation {
    /// The keys in use and their folder.
    pub keys: Arc<KeyRing>,
    /// Knowledge of the vault.
    pub vault_view: Arc<VaultView>,
    /// Sends commands to the vault.
    pub client: Arc<VaultClient>,
    /// The polls, which carry a new identity key to the vault.
    pub sync: Arc<RevocationSync>,
    /// The records of rotations.
    pub store: Arc<dyn RotationStore>,
    /// The audit log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl KeyRotation {
    /// Runs both halves until `stop` turns true. The exchange of a root key takes long, and the folder is followed
    /// meanwhile.
    pub async fn run(self, config: KeysConfig, interval: Duration, stop: watch::Receiver<bool>) {
        let mut follower = Follower::new(self.clone(), config.backup_retention_days);
        let mut exchange = Exchange::new(self, config.root_key_overlap_seconds);
        tokio::join!(every(interval, stop.clone(), &mut follower), every(interval, stop, &mut exchange));
    }
}

/// Repeats a step. Logs once when it begins to fail, and once when it succeeds again.
async fn every(interval: Duration, mut stop: watch::Receiver<bool>, worker: &mut impl Worker) {
    let mut looks = Looks::every(interval);
    let mut last = None;
    loop {
        looks.next().await;
        let halt = tokio::select! {
            biased;
            // In the middle of a step, as a crash would.
            () = stopped(&mut stop) => return,
            result = worker.step() => result.err(),
        };
        if halt != last {
            if let Some(halt) = &halt {
                tracing::error!(%halt, "a key rotation does not go on");
            } else {
                tracing::info!("key rotations go on");
            }
            last = halt;
        }
    }
}

/// The audit line of a step, durable before the step.
async fn record(audit: &AuditLog, step: KeyStep, key: String) -> Result<(), Halt> {
    tracing::info!(action = step.action(), %key, "key rotation");
    Ok(audit.record(Act::KeyRotation(step, key), &Origin::background()).await?)
}

/// Work on files, off the async threads.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T, StartError> + Send + 'static) -> Result<T, Halt> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| StartError::new("A task broke down."))?.map_err(Halt::Folder)
}
