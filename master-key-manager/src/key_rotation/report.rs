//! The report about the manager's keys: what is under each key, and what an operator has to do.

use service_runtime::StartError;
use service_runtime::key_folder::{IDENTITY_NEXT_DOCUMENT, KeyFolder};
use service_runtime::key_report::KeyReport;
use service_runtime::key_slots::{KeyState, path_of};
use shared_proto::encoding::b64;
use shared_proto::id::EnvironmentId;

use crate::keys::{LoadedKeys, OVERLAP_SECONDS, TokenKey, names};
use manager_store::{Environment, KeyFacts};

const DAY: u64 = 24 * 60 * 60;
/// The age at which a token signing key, a root key and an identity key are due for rotation.
const LIVES: (u64, u64, u64) = (30 * DAY, 365 * DAY, 730 * DAY);

/// The report about the keys of `folder`.
///
/// # Errors
/// The pins cannot be read.
pub(super) fn report(
    folder: &KeyFolder,
    keys: &LoadedKeys,
    facts: &KeyFacts,
    (now, retention_seconds): (u64, u64),
) -> Result<KeyReport, StartError> {
    let mut report = KeyReport::new("master-key-manager", now);
    token_keys(&mut report, keys, facts);
    report.add("identity", b64(&keys.identity.kid().0), (KeyState::Active, keys.identity_since), Some(LIVES.2));
    if let Some(next) = &keys.next_identity {
        report.add("identity", b64(&next.key.kid().0), (KeyState::Next, next.since), None);
        report.due.push(format!(
            "Carry {} to the vault as a second pin; the manager changes to it when the vault accepts it.",
            folder.file(IDENTITY_NEXT_DOCUMENT).display()
        ));
    }
    for environment in &facts.environments {
        root_keys(&mut report, folder, keys, facts, environment, retention_seconds);
    }
    let pins = folder.pinned_since()?;
    for (kid, since) in &pins {
        report.add("pin", b64(&kid.0), (KeyState::Active, *since), None);
    }
    if pins.len() > 1 {
        report.due.push(
            "Two identities of the vault are pinned. When it signs with the new one: rotate-keys unpin <old kid>."
                .to_owned(),
        );
    }
    report.note_due_keys();
    report.retirements = facts.retirements.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    Ok(report)
}

fn token_keys(report: &mut KeyReport, keys: &LoadedKeys, facts: &KeyFacts) {
    let tokens = &keys.tokens;
    let mut add =
        |key: &TokenKey, state, life| report.add("token-signing", b64(&key.kid().0), (state, key.since), life);
    if let Some(next) = &tokens.next {
        add(next, KeyState::Next, None);
    }
    add(&tokens.active, KeyState::Active, Some(LIVES.0));
    if let Some(previous) = &tokens.previous {
        // Its end is counted from when the active key took its place.
        add(previous, KeyState::Previous, Some(tokens.active.since.saturating_sub(previous.since) + OVERLAP_SECONDS));
    }
    if facts.revoked_keys.contains(&tokens.active.kid()) && tokens.next.is_none() {
        report
            .due
            .push("The token signing key was revoked and nothing is minted; run rotate-keys token-signing.".to_owned());
    }
}

fn root_keys(
    report: &mut KeyReport,
    folder: &KeyFolder,
    keys: &LoadedKeys,
    facts: &KeyFacts,
    environment: &Environment,
    retention_seconds: u64,
) {
    let count = |rows: &[(EnvironmentId, u32, u64)], epoch: u32| {
        let of = rows.iter().find(|(id, under, _)| (*id, *under) == (environment.id, epoch));
        of.map_or(0, |(_, _, count)| *count)
    };
    let newest = keys.roots.newest(environment.id).map_or(0, |(epoch, _)| epoch);
    for (epoch, slot) in keys.roots.all(environment.id) {
        let (state, life) = match slot.state {
            KeyState::Active if epoch < newest => (KeyState::Previous, None),
            KeyState::Active => (KeyState::Active, Some(LIVES.1)),
            KeyState::Retired => (KeyState::Retired, Some(retention_seconds)),
            state @ (KeyState::Unconfirmed | KeyState::Next | KeyState::Previous) => (state, None),
        };
        let (name, under) = (environment.name.to_string(), count(&facts.under, epoch));
        report.add_numbered(
            "root-key",
            (Some(name), epoch),
            slot.fingerprint(),
            (state, slot.since),
            (life, Some(under)),
        );
        if slot.state == KeyState::Unconfirmed {
            let roots = folder.file(names::ROOT_KEYS);
            let path = path_of(&roots, &environment.id.to_string(), epoch, KeyState::Unconfirmed);
            report.due.push(format!(
                "Back up {}, then run rotate-keys confirm-backup root-key {}; nothing is sealed with it before.",
                path.display(),
                environment.name
            ));
        }
        match count(&facts.lacking, epoch) {
            0 => {}
            lacking => report.due.push(format!(
                "{lacking} versions of {} under epoch {epoch} are not in the vault: it was restored and they are lost. \
                 Destroy them.",
                environment.name
            )),
        }
    }
}
