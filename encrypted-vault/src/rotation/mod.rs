//! Keys that take turns while the vault serves. The key folder is the desired state; this follows it once a second.
//!
//! Guarantees that every step can be repeated and is taken up where it was left, because all state is in the folder and
//! the database. Refuses to destroy anything by a clock that no poll of the manager confirms.

mod command;
mod report;
mod storage_key;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service_runtime::key_folder::KeyFolder;
use service_runtime::key_slots::IDENTITY_NEXT;
use service_runtime::process::StartError;
use service_runtime::signals::Looks;
use shared_proto::jwk::Thumbprint;

pub use self::command::{Numbered, Rotate, rotate_keys};
use crate::app::Vault;
use crate::keys::TRANSPORT;

/// What the rotation remembers between two looks.
#[derive(Default)]
pub struct RotationState {
    // The second of the boot clock from which the rows are gone through again.
    next_pass: AtomicU64,
    // Said once, not every second.
    trouble: Mutex<Option<String>>,
}

/// Follows the folder until the vault stops.
pub async fn run(vault: Arc<Vault>) {
    let mut looks = Looks::every(Duration::from_secs(1));
    loop {
        looks.next().await;
        step(&vault).await;
    }
}

/// Takes over what changed in the folder, and does what is due.
pub async fn step(vault: &Arc<Vault>) {
    let worker = Arc::clone(vault);
    // Files are touched: not on an async thread.
    let followed = tokio::task::spawn_blocking(move || {
        if worker.keys.look() {
            taken_over(&worker);
        }
        transport(&worker)
    });
    let followed = followed.await.unwrap_or_else(|_| Err(StartError::new("A look at the key folder broke down.")));
    let outcome = match followed {
        Ok(()) => storage_key::work(vault).await,
        Err(error) => Err(error),
    };
    let sentence = outcome.err().map(|error| error.to_string());
    let mut trouble = vault.rotation.trouble.lock().unwrap_or_else(PoisonError::into_inner);
    if *trouble != sentence
        && let Some(error) = &sentence
    {
        tracing::error!(error, "a rotation of keys cannot go on; it is tried again");
    }
    *trouble = sentence;
}

/// Takes the next identity key into use, once the manager accepts it.
pub async fn heard_pins(vault: &Arc<Vault>, pins: &[Thumbprint]) {
    if vault.keys.current().next_identity.is_none_or(|next| !pins.contains(&next)) {
        return;
    }
    let worker = Arc::clone(vault);
    let activate = move || {
        let mode = worker.keys.mode();
        // Two polls at once: the first one has done it.
        let waits = |folder: &KeyFolder| folder.file(IDENTITY_NEXT).exists();
        change(&worker, |folder| if waits(folder) { folder.activate_next_identity(mode) } else { Ok(()) })
    };
    match tokio::task::spawn_blocking(activate).await {
        Ok(Ok(())) => tracing::info!("the manager accepts the next identity key: it is in use"),
        Ok(Err(error)) => tracing::error!(%error, "the next identity key cannot be taken into use"),
        Err(_) => tracing::error!("the next identity key cannot be taken into use"),
    }
}

fn transport(vault: &Vault) -> Result<(), StartError> {
    let keys = vault.keys.current();
    let Some(active) = keys.transport.first() else { return Ok(()) };
    let replaced = keys.transport.len() > 1;
    let over = vault.clock.now() >= active.since.saturating_add(vault.key_times.transport_overlap);
    if replaced && over && vault.clock_is_confirmed() {
        change(vault, |folder| folder.destroy_previous_rsa(TRANSPORT))?;
        tracing::info!("the replaced transport key is destroyed");
    } else if keys.transport_waits && !replaced {
        change(vault, |folder| folder.activate_next_rsa(TRANSPORT))?;
        tracing::info!("the next transport key is in use");
    }
    Ok(())
}

fn change(vault: &Vault, act: impl FnOnce(&KeyFolder) -> Result<(), StartError>) -> Result<(), StartError> {
    let changed = vault.keys.change(act);
    taken_over(vault);
    changed
}

fn taken_over(vault: &Vault) {
    vault.manager_keys.verify_again(&vault.keys.current().pins);
    vault.rotation.next_pass.store(0, Ordering::SeqCst);
}
