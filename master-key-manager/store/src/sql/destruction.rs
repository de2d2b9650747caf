//! Destruction: of the catalogue's versions, and of envelopes when no version points to them any more.

use manager_api::wire::CatalogueState;
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::events::{apply, defer, number};
use super::rows::one_version;
use super::stages;
use crate::events::Effect;
use crate::{Destroyed, SignEvent};

pub(super) fn destroy(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    versions: &[Version],
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Destroyed, SqlError> {
    // All of them first: versions of one request may point to the same envelope.
    for version in versions {
        tx.execute(
            "UPDATE versions SET state = 'destroyed' WHERE secret_id = ?1 AND version = ?2 AND state = 'committed'",
            &[&secret.as_bytes(), &version.get()],
        )?;
    }
    stages::mend(tx, secret)?;
    let mut done = Destroyed::default();
    for version in versions {
        let row = one_version(tx, key, secret, *version)?.map(|(row, _)| row);
        let Some(row) = row.filter(|row| row.state == CatalogueState::Destroyed) else { continue };
        if is_used(tx, secret, row.envelope)? {
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

/// Tells whether a committed version points to an envelope.
fn is_used(tx: &mut Tx<'_>, secret: SecretId, envelope: Version) -> Result<bool, SqlError> {
    let by_its_own = tx.exists(
        "SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2 AND state = 'committed'",
        &[&secret.as_bytes(), &envelope.get()],
    )?;
    let by_rollback = "SELECT 1 FROM versions
         WHERE secret_id = ?1 AND envelope = ?2 AND envelope <> version AND state = 'committed'";
    Ok(by_its_own || tx.exists(by_rollback, &[&secret.as_bytes(), &envelope.get()])?)
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
