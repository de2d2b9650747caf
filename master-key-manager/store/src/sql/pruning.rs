//! Removal of destroyed secrets that are no longer kept.

use async_trait::async_trait;
use manager_api::secrets::SecretStatus;
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::id::SecretId;

use super::environments::open_for_use;
use super::search::index;
use super::{SqlStore, places};
use crate::{DueErasure, PlaceConflict, PruneStore, PrunedSecret, Stored};

#[async_trait]
impl PruneStore for SqlStore {
    async fn due_prunes(&self, after: Option<DueErasure>, now: u64, limit: usize) -> Stored<Vec<DueErasure>> {
        self.sql.read("due_prunes", move |tx| due(tx, after, now, limit)).await
    }

    async fn shorten(&self, secret: SecretId, limit: usize) -> Stored<bool> {
        let key = self.key();
        self.sql.write("shorten", move |tx| shorten(tx, &key, secret, limit)).await
    }

    fn renewal_floor(&self) -> u64 {
        self.key().former_number()
    }

    async fn renew_places(&self, after: Option<SecretId>, floor: u64, limit: usize) -> Stored<Option<SecretId>> {
        let key = self.key();
        self.sql.write("renew_places", move |tx| places::renew(tx, &key, (after, floor), limit)).await
    }
}

fn due(tx: &mut Tx<'_>, after: Option<DueErasure>, now: u64, limit: usize) -> Result<Vec<DueErasure>, SqlError> {
    // Every id is greater than no bytes, and no time is below 0.
    let (at, id): (u64, &[u8]) = after.as_ref().map_or((0, &[]), |last| (last.at, last.secret.as_bytes()));
    tx.all(
        "SELECT s.prune_at, s.secret_id FROM secrets s JOIN environments e ON e.environment_id = s.environment_id
         WHERE s.prune_at IS NOT NULL AND (s.prune_at, s.secret_id) > (?1, ?2) AND s.prune_at <= ?3
             AND e.frozen_at IS NULL AND e.disabled_at IS NULL
         ORDER BY s.prune_at, s.secret_id LIMIT ?4",
        &[&at, &id, &now, &row_limit(limit)],
        |row| Ok(DueErasure { at: row.get(0)?, secret: SecretId::from_bytes(row.get(1)?) }),
    )
}

fn shorten(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId, limit: usize) -> Result<bool, SqlError> {
    let placed = places::placed(tx, key, secret)?;
    if placed.is_none_or(|placed| placed.rules.status() != SecretStatus::Destroyed) {
        return Ok(false);
    }
    // Of two bounds, so that neither is passed: what goes now, and what is left for the change that removes the rest.
    let numbers: Vec<u64> = tx.all(
        "SELECT version FROM versions WHERE secret_id = ?1 AND state IN ('destroyed', 'abandoned')
         ORDER BY version LIMIT ?2",
        &[&secret.as_bytes(), &row_limit(limit.saturating_mul(2))],
        |row| row.get(0),
    )?;
    let Some(last) = numbers.len().checked_sub(limit + 1).and_then(|index| numbers.get(index)) else {
        return Ok(false);
    };
    for statement in [
        "DELETE FROM idempotency WHERE secret_id = ?1 AND version <= ?2",
        "DELETE FROM versions WHERE secret_id = ?1 AND version <= ?2 AND state IN ('destroyed', 'abandoned')",
        "DELETE FROM lacking_envelopes WHERE secret_id = ?1 AND envelope <= ?2 AND NOT EXISTS (
             SELECT 1 FROM versions v
             WHERE v.secret_id = lacking_envelopes.secret_id AND v.envelope = lacking_envelopes.envelope)",
        "DELETE FROM envelopes WHERE secret_id = ?1 AND envelope <= ?2 AND NOT EXISTS (
             SELECT 1 FROM versions v WHERE v.secret_id = envelopes.secret_id AND v.envelope = envelopes.envelope)",
    ] {
        tx.execute(statement, &[&secret.as_bytes(), last])?;
    }
    Ok(numbers.len() == limit.saturating_mul(2))
}

/// The reason against the removal of a secret; `None` if it is destroyed, all of it, and as it was seen.
pub(super) fn conflict(
    tx: &mut Tx<'_>,
    key: &RowKey,
    pruned: &PrunedSecret,
) -> Result<Option<PlaceConflict>, SqlError> {
    let known = places::placed(tx, key, pruned.secret)?;
    let is_seen = |known: &crate::PlacedSecret| {
        known.facts.number == pruned.expected && known.rules.status() == SecretStatus::Destroyed
    };
    let Some(known) = known.filter(is_seen) else { return Ok(Some(PlaceConflict::Changed)) };
    if let Err(closed) = open_for_use(tx, key, known.facts.environment)? {
        return Ok(Some(PlaceConflict::Closed(closed)));
    }
    let left = "SELECT 1 FROM versions WHERE secret_id = ?1 AND state IN ('pending', 'committed')";
    Ok(tx.exists(left, &[&pruned.secret.as_bytes()])?.then_some(PlaceConflict::Changed))
}

/// Removes all rows of a secret but its events: these erase its envelopes again in a vault that comes back from a backup.
pub(super) fn remove(tx: &mut Tx<'_>, secret: SecretId) -> Result<(), SqlError> {
    index::remove(tx, secret)?;
    for statement in [
        "DELETE FROM rotations WHERE secret_id = ?1",
        "DELETE FROM notices WHERE secret_id = ?1",
        "DELETE FROM idempotency WHERE secret_id = ?1",
        "DELETE FROM versions WHERE secret_id = ?1",
        "DELETE FROM lacking_envelopes WHERE secret_id = ?1",
        "DELETE FROM envelopes WHERE secret_id = ?1",
        "DELETE FROM secrets WHERE secret_id = ?1",
    ] {
        tx.execute(statement, &[&secret.as_bytes()])?;
    }
    Ok(())
}
