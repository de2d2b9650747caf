//! The report about the vault's keys: ages, fingerprints, what is under each storage key, what is due.

use std::collections::BTreeMap;

use service_runtime::StartError;
use service_runtime::key_folder::{KeyFolder, PINS};
use service_runtime::key_report::KeyReport;
use service_runtime::key_slots::{KeyState, NumberedKey, RsaSlot, in_place_since, load_numbered};
use shared_proto::Rejected;
use shared_proto::derive::fingerprint;
use shared_proto::encoding::b64;
use shared_proto::jwk::Thumbprint;

use crate::config::Config;
use crate::keys::{STORAGE_KEYS, TRANSPORT};
use crate::store::SqlStore;

/// The keys as they are in the folder and the database.
pub(super) fn report(config: &Config, folder: &KeyFolder, now: u64) -> Result<KeyReport, StartError> {
    let mut report = KeyReport::new("encrypted-vault", now);
    let slots = folder.rsa_slots(TRANSPORT)?;
    let row = |slot: &RsaSlot, state| (kid(&slot.key.public().thumbprint()), (state, slot.since));
    if let Some(next) = &slots.next {
        let (kid, since) = row(next, KeyState::Next);
        report.add(TRANSPORT, kid, since, None);
    }
    let (active, since) = row(&slots.active, KeyState::Active);
    report.add(TRANSPORT, active, since, Some(YEAR));
    if let Some(previous) = &slots.previous {
        let end = slots.active.since.saturating_add(config.key_times.transport_overlap);
        let (kid, since) = row(previous, KeyState::Previous);
        report.add(TRANSPORT, kid, since, Some(end.saturating_sub(previous.since)));
    }
    storage_keys(config, folder, &mut report)?;
    let identity = folder.identity_slots(config.mode)?;
    report.add("identity", kid(&identity.active.kid()), (KeyState::Active, identity.since), Some(2 * YEAR));
    if let Some(next) = &identity.next {
        report.add("identity", kid(&next.key.kid()), (KeyState::Next, next.since), None);
        report.due.push(
            "Pin identity-next.json at the manager, beside the identity that is pinned there; the vault changes to it when \
             the manager's next poll accepts it."
                .to_owned(),
        );
    }
    let pins = folder.pins(config.mode)?;
    let since = in_place_since(&folder.file(PINS))?;
    for pin in pins.kids() {
        report.add("pin", kid(pin), (KeyState::Active, since), None);
    }
    if pins.kids().count() > 1 {
        report.due.push("Two identities of the manager are accepted; run rotate-keys unpin with the old one's kid when the manager has changed.".to_owned());
    }
    report.note_due_keys();
    Ok(report)
}

fn storage_keys(config: &Config, folder: &KeyFolder, report: &mut KeyReport) -> Result<(), StartError> {
    let keys = load_numbered(&folder.file(STORAGE_KEYS))?;
    // After the folder: the service moves the rows before it retires the file, so none is shown under a retired key.
    let under = rows_under(config)?;
    let newest = keys.iter().rfind(|key| key.state == KeyState::Active).map(|key| key.number);
    for NumberedKey { number, state, since, key, .. } in keys {
        let (state, life) = match state {
            KeyState::Active if Some(number) != newest => (KeyState::Previous, None),
            KeyState::Active => (KeyState::Active, Some(STORAGE_LIFE)),
            KeyState::Retired => (KeyState::Retired, Some(config.key_times.backup_retention)),
            KeyState::Next | KeyState::Unconfirmed | KeyState::Previous => (state, None),
        };
        if state == KeyState::Unconfirmed {
            report.due.push(format!(
                "Back up {} and run rotate-keys confirm-backup storage-key; until then the key is not used.",
                config.key_dir.display()
            ));
        }
        let fingerprint =
            fingerprint(&key).map_err(|Rejected| StartError::new("A fingerprint could not be derived."))?;
        let rows = under.get(&number).copied().unwrap_or(0);
        report.add_numbered("storage-key", (None, number), fingerprint, (state, since), (life, Some(rows)));
    }
    Ok(())
}

/// Numbers of the storage keys in use that a newer one has replaced.
pub(super) fn replaced(folder: &KeyFolder) -> Result<Vec<u32>, StartError> {
    let keys = load_numbered(&folder.file(STORAGE_KEYS))?;
    let mut in_use: Vec<_> = keys.iter().filter(|key| key.state == KeyState::Active).map(|key| key.number).collect();
    in_use.pop();
    Ok(in_use)
}

/// How many wrapped keys the database has under each storage key.
pub(super) fn rows_under(config: &Config) -> Result<BTreeMap<u32, u64>, StartError> {
    Ok(SqlStore::count_by_storage_key(&config.location)?.into_iter().collect())
}

fn kid(thumbprint: &Thumbprint) -> String {
    b64(&thumbprint.0)
}

/// Seconds.
const YEAR: u64 = 365 * 24 * 60 * 60;
/// Seconds until a storage key is due for rotation.
const STORAGE_LIFE: u64 = 90 * 24 * 60 * 60;
