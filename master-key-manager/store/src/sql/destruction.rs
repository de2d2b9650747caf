//! Destruction: of the catalogue's versions, and of envelopes when no version points to them any more.

use std::collections::BTreeSet;

use manager_api::secrets::SecretStatus;
use manager_api::wire::CatalogueState;
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::event::Event;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::events::{apply, defer, number};
use super::rows::{one_version, version};
use super::{due, places, stages};
use crate::events::Effect;
use crate::{Destroyed, ERASED_AT_ONCE, Erased, SignEvent, VersionRow};

/// The rows by which an envelope is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// Those that are committed.
    Committed,
    /// All that are not destroyed: nobody has asked for the destruction, so that a state which somebody altered keeps it.
    NotDestroyed,
}

/// Destroys versions on request.
pub(super) fn destroy(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    versions: &[Version],
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Destroyed, SqlError> {
    destroy_unless(tx, key, (secret, versions), Used::Committed, (sign, now))
}

/// Destroys versions that a rule does not keep.
pub(super) fn destroy_outlived(
    tx: &mut Tx<'_>,
    key: &RowKey,
    of: (SecretId, &[Version]),
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Destroyed, SqlError> {
    destroy_unless(tx, key, of, Used::NotDestroyed, (sign, now))
}

fn destroy_unless(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, versions): (SecretId, &[Version]),
    used: Used,
    (sign, now): (Option<&SignEvent>, u64),
) -> Result<Destroyed, SqlError> {
    // All of them first: versions of one request may point to the same envelope.
    for version in versions {
        tx.execute(
            "UPDATE versions SET state = 'destroyed' WHERE secret_id = ?1 AND version = ?2 AND state = 'committed'",
            &[&secret.as_bytes(), &version.get()],
        )?;
    }
    stages::mend(tx, secret)?;
    due::refresh(tx, key, secret)?;
    let mut done = Destroyed::default();
    for version in versions {
        let row = one_version(tx, key, secret, *version)?.map(|(row, _)| row);
        let Some(row) = row.filter(|row| row.state == CatalogueState::Destroyed) else { continue };
        if is_used(tx, (secret, row.envelope), used)? {
            done.kept.push(*version);
            continue;
        }
        let event = Event::Destroy(row.environment, secret, row.envelope);
        if let Some(sign) = sign {
            apply(tx, key, &Effect::Event(event), now)?;
            let number = number(tx, &event, sign, now)?;
            if !done.numbers.contains(&number) {
                done.numbers.push(number);
            }
        } else {
            defer(tx, key, &Effect::Event(event), now)?;
            done.deferred = true;
        }
    }
    Ok(done)
}

/// Destroys the first versions of a secret that may still be opened, or become so, with their envelopes. A write that is under
/// way is not committed any more: the vault refuses its envelope, or erases it.
pub(super) fn erase(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Option<Erased>, SqlError> {
    let Some(environment) = environment_of_destroyed(tx, key, secret)? else { return Ok(None) };
    let envelopes: BTreeSet<Version> = tx
        .all(
            "SELECT envelope FROM versions WHERE secret_id = ?1 AND state IN ('pending', 'committed')
             ORDER BY version LIMIT ?2",
            &[&secret.as_bytes(), &row_limit(ERASED_AT_ONCE)],
            |row| version(row, 0),
        )?
        .into_iter()
        .collect();
    let mut done = erase_envelopes(tx, key, (environment, secret, envelopes), sign, now)?;
    let has_more = "SELECT 1 FROM versions WHERE secret_id = ?1 AND state IN ('pending', 'committed')";
    done.more = tx.exists(has_more, &[&secret.as_bytes()])?;
    Ok(Some(done))
}

/// Erases envelopes of a destroyed secret that no row of a version names.
pub(super) fn erase_stored(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, envelopes): (SecretId, &[Version]),
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Option<Erased>, SqlError> {
    let Some(environment) = environment_of_destroyed(tx, key, secret)? else { return Ok(None) };
    let envelopes = envelopes.iter().copied().collect();
    erase_envelopes(tx, key, (environment, secret, envelopes), sign, now).map(Some)
}

fn environment_of_destroyed(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
) -> Result<Option<EnvironmentId>, SqlError> {
    let found = places::placed(tx, key, secret)?;
    let destroyed = found.filter(|placed| placed.rules.status() == SecretStatus::Destroyed);
    Ok(destroyed.map(|placed| placed.facts.environment))
}

fn erase_envelopes(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (environment, secret, envelopes): (EnvironmentId, SecretId, BTreeSet<Version>),
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Erased, SqlError> {
    let mut done = Erased::default();
    for envelope in envelopes {
        let event = Event::Destroy(environment, secret, envelope);
        if let Some(sign) = sign {
            apply(tx, key, &Effect::Event(event), now)?;
            done.numbers.push(number(tx, &event, sign, now)?);
        } else {
            defer(tx, key, &Effect::Event(event), now)?;
            done.deferred = true;
        }
    }
    Ok(done)
}

/// Tells whether a version points to an envelope.
pub(super) fn is_used(tx: &mut Tx<'_>, (secret, envelope): (SecretId, Version), used: Used) -> Result<bool, SqlError> {
    let by_its_own = tx.exists(
        "SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2 AND state = 'committed'",
        &[&secret.as_bytes(), &envelope.get()],
    )?;
    // Written out: statements are constants.
    let by_rollback = match used {
        Used::Committed => {
            "SELECT 1 FROM versions
             WHERE secret_id = ?1 AND envelope = ?2 AND envelope <> version AND state = 'committed'"
        }
        Used::NotDestroyed => {
            "SELECT 1 FROM versions
             WHERE secret_id = ?1 AND envelope = ?2 AND envelope <> version AND state <> 'destroyed'"
        }
    };
    Ok(by_its_own || tx.exists(by_rollback, &[&secret.as_bytes(), &envelope.get()])?)
}

/// Versions that are looked at before somebody is asked.
const LOOKED_AT: usize = 64;

/// Tells whether another version points to the envelope of one, as a tag says and not only a row.
pub(super) fn is_kept_by_another(tx: &mut Tx<'_>, key: &RowKey, of: &VersionRow) -> Result<bool, SqlError> {
    let mut others = tx.all(
        "SELECT version FROM versions
         WHERE secret_id = ?1 AND envelope = ?2 AND envelope <> version AND state = 'committed' LIMIT ?3",
        &[&of.secret.as_bytes(), &of.envelope.get(), &row_limit(LOOKED_AT)],
        |row| version(row, 0),
    )?;
    others.push(of.envelope);
    for other in others.into_iter().filter(|other| *other != of.version) {
        let row = one_version(tx, key, of.secret, other)?.map(|(row, _)| row);
        if row.is_some_and(|row| row.state == CatalogueState::Committed && row.envelope == of.envelope) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records that the vault erases an envelope. No version that points to it can be opened from then on, and no pending
/// one is committed.
pub(super) fn destroy_envelope(tx: &mut Tx<'_>, secret: SecretId, envelope: Version) -> Result<(), SqlError> {
    for statement in [
        "UPDATE envelopes SET state = 'destroyed' WHERE secret_id = ?1 AND envelope = ?2",
        "UPDATE versions SET state = 'destroyed' WHERE secret_id = ?1 AND version = ?2",
        "UPDATE versions SET state = 'destroyed'
         WHERE secret_id = ?1 AND envelope = ?2 AND envelope <> version AND state IN ('pending', 'committed')",
    ] {
        tx.execute(statement, &[&secret.as_bytes(), &envelope.get()])?;
    }
    stages::mend(tx, secret)
}
