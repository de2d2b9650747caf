//! Key rotation while the vault serves. The key folder is the desired state, and this module follows it once a second.
//!
//! Guarantees that every step can be repeated and continues where it stopped, because all state is in the folder and
//! the database. Refuses to destroy anything by a clock that no poll of the manager confirms.

mod command;
mod report;
mod storage_key;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service_runtime::StartError;
use service_runtime::clock::Clock;
use service_runtime::key_folder::KeyFolder;
use service_runtime::key_slots::IDENTITY_NEXT;
use service_runtime::signals::Looks;
use shared_proto::jwk::Thumbprint;

pub use self::command::{Numbered, Rotate, rotate_keys};
use crate::config::KeyTimes;
use crate::keys::{KeyRing, ManagerKeys, TRANSPORT};
use crate::statements::KeyStatements;
use crate::store::VaultStore;

/// Follows the key folder.
pub struct KeyRotation {
    keys: Arc<KeyRing>,
    key_times: KeyTimes,
    manager_keys: Arc<ManagerKeys>,
    statements: Arc<KeyStatements>,
    store: Arc<dyn VaultStore>,
    clock: Arc<dyn Clock>,
    // The second of the boot clock from which the rows are gone through again.
    next_pass: AtomicU64,
    // Said once, not every second.
    trouble: Mutex<Option<String>>,
}

impl KeyRotation {
    /// A rotation that follows the folder of `keys`, and moves rows of `store` when a storage key was replaced.
    pub fn new(
        (keys, key_times): (Arc<KeyRing>, KeyTimes),
        manager_keys: Arc<ManagerKeys>,
        statements: Arc<KeyStatements>,
        store: Arc<dyn VaultStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (next_pass, trouble) = (AtomicU64::new(0), Mutex::default());
        Self { keys, key_times, manager_keys, statements, store, clock, next_pass, trouble }
    }

    /// Follows the folder until the vault stops.
    pub async fn run(self: Arc<Self>) {
        let mut looks = Looks::every(Duration::from_secs(1));
        loop {
            looks.next().await;
            self.step().await;
        }
    }

    /// Adopts changes of the folder, and takes the steps that are due.
    pub async fn step(self: &Arc<Self>) {
        let worker = Arc::clone(self);
        // Files are touched: not on an async thread.
        let followed = tokio::task::spawn_blocking(move || {
            if worker.keys.reload_if_changed() {
                worker.taken_over();
            }
            worker.turn_transport_key()
        });
        let followed = followed.await.unwrap_or_else(|_| Err(StartError::new("A look at the key folder broke down.")));
        let outcome = match followed {
            Ok(()) => self.turn_storage_key().await,
            Err(error) => Err(error),
        };
        let sentence = outcome.err().map(|error| error.to_string());
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *trouble != sentence
            && let Some(error) = &sentence
        {
            tracing::error!(error, "a rotation of keys cannot go on; it is tried again");
        }
        *trouble = sentence;
    }

    /// Takes the next identity key into use, once the manager accepts it.
    pub async fn note_pins(self: &Arc<Self>, pins: &[Thumbprint]) {
        if self.keys.current().next_identity.is_none_or(|next| !pins.contains(&next)) {
            return;
        }
        let worker = Arc::clone(self);
        let activate = move || {
            let mode = worker.keys.mode();
            // Two polls at once: the first one has done it.
            let waits = |folder: &KeyFolder| folder.file(IDENTITY_NEXT).exists();
            worker.change(|folder| if waits(folder) { folder.activate_next_identity(mode) } else { Ok(()) })
        };
        match tokio::task::spawn_blocking(activate).await {
            Ok(Ok(())) => tracing::info!("the manager accepts the next identity key: it is in use"),
            Ok(Err(error)) => tracing::error!(%error, "the next identity key cannot be taken into use"),
            Err(_) => tracing::error!("the next identity key cannot be taken into use"),
        }
    }

    fn turn_transport_key(&self) -> Result<(), StartError> {
        let keys = self.keys.current();
        let Some(active) = keys.transport.first() else { return Ok(()) };
        let replaced = keys.transport.len() > 1;
        let over = self.clock.now() >= active.since.saturating_add(self.key_times.transport_overlap);
        if replaced && over && self.statements.clock_is_confirmed() {
            self.change(|folder| folder.destroy_previous_rsa(TRANSPORT))?;
            tracing::info!("the replaced transport key is destroyed");
        } else if keys.transport_waits && !replaced {
            self.change(|folder| folder.activate_next_rsa(TRANSPORT))?;
            tracing::info!("the next transport key is in use");
        }
        Ok(())
    }

    fn change(&self, act: impl FnOnce(&KeyFolder) -> Result<(), StartError>) -> Result<(), StartError> {
        let changed = self.keys.change(act);
        self.taken_over();
        changed
    }

    fn taken_over(&self) {
        self.manager_keys.verify_again(&self.keys.current().pins);
        self.next_pass.store(0, Ordering::SeqCst);
    }
}
