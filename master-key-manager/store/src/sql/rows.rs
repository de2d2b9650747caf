//! Reading of rows and words, and queries that several areas ask. A row that does not fit its type is an error, never a
//! guess.

use manager_api::tokens::Stage;
use manager_api::wire::CatalogueState;
use manager_policy::SecretFacts;
use manager_registry::RowKey;
use service_runtime::sql::{Row, SqlError, Tx};
use shared_proto::chain::ChainHead;
use shared_proto::encoding::Bytes;
use shared_proto::event::{EventHash, NO_EVENT};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::details;
use super::places::{self, UnverifiedPlace};
use super::version_tags::Tagged;
use crate::{EnvelopeRow, PlacedSecret, SecretState, Stages, StoredEvent, VersionRow, event_name};

pub(super) fn version(row: &Row<'_>, column: usize) -> Result<Version, SqlError> {
    Version::new(row.get(column)?).map_err(|_| SqlError::unreadable())
}

pub(super) fn optional_version(row: &Row<'_>, column: usize) -> Result<Option<Version>, SqlError> {
    row.get::<Option<u64>>(column)?.map(|number| Version::new(number).map_err(|_| SqlError::unreadable())).transpose()
}

pub(super) fn state(row: &Row<'_>, column: usize) -> Result<CatalogueState, SqlError> {
    match row.get::<String>(column)?.as_str() {
        "pending" => Ok(CatalogueState::Pending),
        "committed" => Ok(CatalogueState::Committed),
        "abandoned" => Ok(CatalogueState::Abandoned),
        "destroyed" => Ok(CatalogueState::Destroyed),
        _ => Err(SqlError::unreadable()),
    }
}

/// Columns `secret_id, environment_id, version, state, envelope, epoch, digest`.
pub(super) fn version_row(row: &Row<'_>) -> Result<VersionRow, SqlError> {
    Ok(VersionRow {
        secret: SecretId::from_bytes(row.get(0)?),
        environment: EnvironmentId::from_bytes(row.get(1)?),
        version: version(row, 2)?,
        state: state(row, 3)?,
        envelope: version(row, 4)?,
        epoch: row.get(5)?,
        digest: Bytes(row.get(6)?),
    })
}

/// Columns `secret_id, environment_id, envelope, epoch, digest`.
pub(super) fn envelope_row(row: &Row<'_>) -> Result<EnvelopeRow, SqlError> {
    Ok(EnvelopeRow {
        secret: SecretId::from_bytes(row.get(0)?),
        environment: EnvironmentId::from_bytes(row.get(1)?),
        envelope: version(row, 2)?,
        epoch: row.get(3)?,
        digest: Bytes(row.get(4)?),
    })
}

/// Columns `seq, name, compact, hash, issued_at, lasting`.
pub(super) fn event_row(row: &Row<'_>) -> Result<StoredEvent, SqlError> {
    Ok(StoredEvent {
        sequence: row.get(0)?,
        event: event_name::event_of(&row.get::<String>(1)?).map_err(|_| SqlError::unreadable())?,
        compact: row.get(2)?,
        hash: Bytes(row.get(3)?),
        issued_at: row.get(4)?,
        may_be_dropped: row.get::<Option<bool>>(5)? == Some(false),
    })
}

pub(super) fn newest_event(tx: &mut Tx<'_>) -> Result<(u64, EventHash), SqlError> {
    let newest = tx.optional("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1", &[], |row| {
        Ok((row.get(0)?, Bytes(row.get(1)?)))
    })?;
    Ok(newest.unwrap_or((0, NO_EVENT)))
}

/// The end of the chain.
pub(super) fn chain_head(tx: &mut Tx<'_>) -> Result<ChainHead, SqlError> {
    let (number, hash) = newest_event(tx)?;
    let lasting = tx.optional("SELECT hash FROM events WHERE lasting = 1 ORDER BY seq DESC LIMIT 1", &[], |row| {
        row.get(0).map(Bytes)
    })?;
    Ok(ChainHead { number, hash, lasting: lasting.unwrap_or(NO_EVENT) })
}

/// A version with its secret, if the place of that is the manager's.
pub(super) type Placed = (VersionRow, PlacedSecret);

/// A version of the database, before it is known whether the manager wrote it.
type Unverified = (VersionRow, (UnverifiedPlace, Tagged));

/// Columns of [`version_row`], then `environment_id, path, number, since, rules, tag` of the secret, and those of [`Tagged`].
fn with_place(row: &Row<'_>) -> Result<Unverified, SqlError> {
    let found = version_row(row)?;
    Ok((found, (UnverifiedPlace::read(row, found.secret, 7)?, Tagged::read(row, 13)?)))
}

fn verified(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    found: Option<Unverified>,
) -> Result<Option<Placed>, SqlError> {
    let (row, rest) = found.unzip();
    let (place, tagged) = rest.unzip();
    let is_own = |row: &VersionRow| {
        tagged.as_ref().is_some_and(|tagged| tagged.fits(key, (row.secret, row.version, row.envelope)))
    };
    let row = row.filter(is_own);
    Ok(row.zip(places::verified_or_as_if(tx, key, secret, place)?))
}

pub(super) fn one_version(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    version: Version,
) -> Result<Option<Placed>, SqlError> {
    let found = tx.optional(
        "SELECT v.secret_id, s.environment_id, v.version, v.state, v.envelope, e.epoch, e.digest,
                s.environment_id, s.path, s.number, s.since, s.rules, s.tag,
                v.note, v.author, v.expires_at, v.created_at, v.tag
         FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
         JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
         WHERE v.secret_id = ?1 AND v.version = ?2",
        &[&secret.as_bytes(), &version.get()],
        with_place,
    )?;
    verified(tx, key, secret, found)
}

/// The version with a stage. It is committed.
pub(super) fn staged_version(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    stage: Stage,
) -> Result<Option<Placed>, SqlError> {
    // Written out: statements are constants.
    let sql = match stage {
        Stage::Current => {
            "SELECT v.secret_id, s.environment_id, v.version, v.state, v.envelope, e.epoch, e.digest,
                    s.environment_id, s.path, s.number, s.since, s.rules, s.tag,
                    v.note, v.author, v.expires_at, v.created_at, v.tag
             FROM secrets s JOIN versions v ON v.secret_id = s.secret_id AND v.version = s.current_version
             JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
             WHERE s.secret_id = ?1 AND v.state = 'committed'"
        }
        Stage::Previous => {
            "SELECT v.secret_id, s.environment_id, v.version, v.state, v.envelope, e.epoch, e.digest,
                    s.environment_id, s.path, s.number, s.since, s.rules, s.tag,
                    v.note, v.author, v.expires_at, v.created_at, v.tag
             FROM secrets s JOIN versions v ON v.secret_id = s.secret_id AND v.version = s.previous_version
             JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
             WHERE s.secret_id = ?1 AND v.state = 'committed'"
        }
        Stage::Pending => {
            "SELECT v.secret_id, s.environment_id, v.version, v.state, v.envelope, e.epoch, e.digest,
                    s.environment_id, s.path, s.number, s.since, s.rules, s.tag,
                    v.note, v.author, v.expires_at, v.created_at, v.tag
             FROM secrets s JOIN versions v ON v.secret_id = s.secret_id AND v.version = s.pending_version
             JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
             WHERE s.secret_id = ?1 AND v.state = 'committed'"
        }
    };
    let found = tx.optional(sql, &[&secret.as_bytes()], with_place)?;
    verified(tx, key, secret, found)
}

pub(super) fn secret_state(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<SecretState>, SqlError> {
    let Some(PlacedSecret { facts, rules }) = places::placed(tx, key, secret)? else { return Ok(None) };
    let (created_at, revision, stages) = tx.one(
        "SELECT created_at, revision, current_version, previous_version, pending_version
         FROM secrets WHERE secret_id = ?1",
        &[&secret.as_bytes()],
        |row| {
            let stages = Stages {
                current: optional_version(row, 2)?,
                previous: optional_version(row, 3)?,
                pending: optional_version(row, 4)?,
            };
            Ok((row.get(0)?, row.get(1)?, stages))
        },
    )?;
    let last = tx.optional(
        "SELECT version FROM versions WHERE secret_id = ?1 ORDER BY version DESC LIMIT 1",
        &[&secret.as_bytes()],
        |row| version(row, 0),
    )?;
    let was_stored = "SELECT 1 FROM versions WHERE secret_id = ?1 AND state IN ('committed', 'destroyed')";
    let had_value = stages.current.is_some() || tx.exists(was_stored, &[&secret.as_bytes()])?;
    let pending = tx.all(
        "SELECT v.secret_id, s.environment_id, v.version, v.state, v.envelope, e.epoch, e.digest
         FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
         JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
         WHERE v.secret_id = ?1 AND v.state = 'pending' ORDER BY v.version",
        &[&secret.as_bytes()],
        version_row,
    )?;
    let SecretFacts { environment, path, .. } = facts;
    // A description that somebody else wrote is as none.
    let details = details::of(tx, key, secret)?.unwrap_or_default();
    let kind = details.kind;
    Ok(Some(SecretState {
        secret,
        environment,
        path,
        rules,
        kind,
        details,
        revision,
        stages,
        created_at,
        last,
        had_value,
        pending,
    }))
}
