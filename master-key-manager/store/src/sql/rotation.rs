//! The catalogue's records of root key rotations.

use async_trait::async_trait;
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::SqlStore;
use super::environments::environments;
use super::events::revoked_keys;
use super::installation::installation;
use super::rows::envelope_row;
use crate::{EnvelopeRow, KeyFacts, RotationState, RotationStore, Stored};

#[async_trait]
impl RotationStore for SqlStore {
    async fn envelopes_below(
        &self,
        target: (EnvironmentId, u32),
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Stored<Vec<EnvelopeRow>> {
        self.sql.read("envelopes_below", move |tx| envelopes_below(tx, target, after, limit)).await
    }

    async fn move_to_epoch(
        &self,
        target: (EnvironmentId, u32),
        envelopes: Vec<(SecretId, Version)>,
        now: u64,
    ) -> Stored<()> {
        self.sql.write("move_to_epoch", move |tx| move_to_epoch(tx, target, &envelopes, now)).await
    }

    async fn mark_missing(&self, epoch: u32, envelopes: Vec<(SecretId, Version)>) -> Stored<()> {
        self.sql.write("mark_missing", move |tx| mark_missing(tx, epoch, &envelopes)).await
    }

    async fn rotation(&self, environment: EnvironmentId, epoch: u32) -> Stored<RotationState> {
        self.sql.read("rotation", move |tx| rotation(tx, environment, epoch)).await
    }

    async fn open_below(&self, environment: EnvironmentId, epoch: u32) -> Stored<u64> {
        self.sql
            .read("open_below", move |tx| {
                tx.one(
                    "SELECT count(*) FROM envelopes e JOIN secrets s ON s.secret_id = e.secret_id
                     WHERE e.state IN ('pending', 'committed') AND e.epoch < ?2 AND s.environment_id = ?1
                           AND NOT EXISTS (
                               SELECT 1 FROM lacking_envelopes l
                               WHERE l.secret_id = e.secret_id AND l.envelope = e.envelope AND l.epoch >= ?2)",
                    &[&environment.as_bytes(), &epoch],
                    |row| row.get(0),
                )
            })
            .await
    }

    async fn record_retirement(
        &self,
        (environment, epoch): (EnvironmentId, u32),
        retirement: String,
        now: u64,
    ) -> Stored<()> {
        self.sql
            .write("record_retirement", move |tx| {
                tx.execute(
                    "INSERT INTO root_key_rotations (environment_id, epoch, changed_at, retirement)
                     VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (environment_id, epoch) DO UPDATE SET retirement = excluded.retirement",
                    &[&environment.as_bytes(), &epoch, &now, &retirement],
                )
                .map(|_rows| ())
            })
            .await
    }
}

fn envelopes_below(
    tx: &mut Tx<'_>,
    (environment, epoch): (EnvironmentId, u32),
    after: Option<(SecretId, Version)>,
    limit: usize,
) -> Result<Vec<EnvelopeRow>, SqlError> {
    let (secret, number) = after.map_or(([0; 16], 0), |(secret, number)| (*secret.as_bytes(), number.get()));
    tx.all(
        "SELECT e.secret_id, s.environment_id, e.envelope, e.epoch, e.digest
         FROM envelopes e JOIN secrets s ON s.secret_id = e.secret_id
         WHERE (e.secret_id, e.envelope) > (?3, ?4) AND e.state = 'committed' AND e.epoch < ?2
               AND s.environment_id = ?1 AND NOT EXISTS (
                   SELECT 1 FROM lacking_envelopes l
                   WHERE l.secret_id = e.secret_id AND l.envelope = e.envelope AND l.epoch >= ?2)
         ORDER BY e.secret_id, e.envelope LIMIT ?5",
        &[&environment.as_bytes(), &epoch, &secret, &number, &row_limit(limit)],
        envelope_row,
    )
}

fn move_to_epoch(
    tx: &mut Tx<'_>,
    (environment, epoch): (EnvironmentId, u32),
    envelopes: &[(SecretId, Version)],
    now: u64,
) -> Result<(), SqlError> {
    for (secret, envelope) in envelopes {
        tx.execute(
            "UPDATE envelopes SET epoch = ?3
             WHERE secret_id = ?1 AND envelope = ?2 AND state = 'committed' AND epoch < ?3",
            &[&secret.as_bytes(), &envelope.get(), &epoch],
        )?;
    }
    tx.execute(
        "INSERT INTO root_key_rotations (environment_id, epoch, changed_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (environment_id, epoch) DO UPDATE SET changed_at = excluded.changed_at",
        &[&environment.as_bytes(), &epoch, &now],
    )
    .map(|_rows| ())
}

fn mark_missing(tx: &mut Tx<'_>, epoch: u32, envelopes: &[(SecretId, Version)]) -> Result<(), SqlError> {
    for (secret, envelope) in envelopes {
        tx.execute(
            "INSERT INTO lacking_envelopes (secret_id, envelope, epoch) VALUES (?1, ?2, ?3)
             ON CONFLICT (secret_id, envelope) DO UPDATE SET epoch = excluded.epoch",
            &[&secret.as_bytes(), &envelope.get(), &epoch],
        )?;
    }
    Ok(())
}

/// The database's part of a report about keys.
pub(super) fn key_facts(tx: &mut Tx<'_>, key: &RowKey) -> Result<Option<KeyFacts>, SqlError> {
    if installation(tx)?.is_none() {
        return Ok(None);
    }
    let environments = environments(tx, key)?;
    let mut count = |sql: &'static str| -> Result<Vec<(EnvironmentId, u32, u64)>, SqlError> {
        tx.all(sql, &[], |row| Ok((EnvironmentId::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)))
    };
    let under = count(
        "SELECT s.environment_id, e.epoch, count(*) FROM envelopes e JOIN secrets s ON s.secret_id = e.secret_id
         WHERE e.state IN ('pending', 'committed') GROUP BY 1, 2 ORDER BY 1, 2",
    )?;
    let lacking = count(
        "SELECT s.environment_id, e.epoch, count(*) FROM lacking_envelopes l
         JOIN envelopes e ON e.secret_id = l.secret_id AND e.envelope = l.envelope
         JOIN secrets s ON s.secret_id = e.secret_id
         WHERE e.state = 'committed' AND e.epoch < l.epoch GROUP BY 1, 2 ORDER BY 1, 2",
    )?;
    let retirements = tx.all(
        "SELECT retirement FROM root_key_rotations WHERE retirement IS NOT NULL
         ORDER BY changed_at, epoch, environment_id",
        &[],
        |row| row.get(0),
    )?;
    Ok(Some(KeyFacts { environments, under, lacking, retirements, revoked_keys: revoked_keys(tx)? }))
}

fn rotation(tx: &mut Tx<'_>, environment: EnvironmentId, epoch: u32) -> Result<RotationState, SqlError> {
    let kept = tx.optional(
        "SELECT changed_at, retirement FROM root_key_rotations WHERE environment_id = ?1 AND epoch = ?2",
        &[&environment.as_bytes(), &epoch],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (changed_at, retirement) = kept.map_or((None, None), |(changed_at, retirement)| (Some(changed_at), retirement));
    Ok(RotationState { changed_at, retirement })
}
