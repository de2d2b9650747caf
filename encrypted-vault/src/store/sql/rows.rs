//! Envelopes and tombstones. A version has one of them or none, and an envelope is never changed.

use service_runtime::sql::{Row as SqlRow, SqlError, Tx, row_limit};
use shared_proto::encoding::Bytes;
use shared_proto::envelope::Ciphertext;
use shared_proto::id::{SecretId, Version};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;

use super::facts::{cursor, existing, facts_of, name_at};
use super::{fingerprints, wrapped_keys};
use crate::store::{NewRow, Row, WrappedKey, stored, tombstone};

/// Stores a row, unless its name is taken or its epoch is retired.
pub(super) fn insert(tx: &mut Tx<'_>, row: &NewRow, now: u64) -> Result<Option<ReceiptFacts>, SqlError> {
    let VersionName { environment, secret_id, version } = row.name;
    if let Some(facts) = existing(tx, secret_id, version)? {
        return Ok(Some(facts));
    }
    if row.key.epoch < wrapped_keys::retired_below(tx, environment)? {
        return Ok(None);
    }
    tx.execute(
        "INSERT INTO envelopes
         (secret_id, version, environment_id, digest, key_commitment, nonce, ciphertext, stored_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        &[
            &secret_id.as_bytes(),
            &version.get(),
            &environment.as_bytes(),
            &row.digest.0,
            &row.ciphertext.commitment.0,
            &row.ciphertext.nonce.0,
            &row.ciphertext.bytes,
            &now,
        ],
    )?;
    wrapped_keys::insert(tx, secret_id, version, &row.key)?;
    if let Some(fingerprint) = &row.fingerprint {
        fingerprints::insert(tx, (secret_id, version), fingerprint)?;
    }
    Ok(Some(stored(environment, secret_id, version, row.key.epoch, row.digest)))
}

/// The facts of a name, after a tombstone took it if it was free.
pub(super) fn settle(tx: &mut Tx<'_>, name: VersionName, now: u64) -> Result<ReceiptFacts, SqlError> {
    match existing(tx, name.secret_id, name.version)? {
        Some(facts) => Ok(facts),
        None => bury(tx, name, now).map(|()| tombstone(name)),
    }
}

/// The tombstones that took these names, if all of them were free.
pub(super) fn settle_unused(
    tx: &mut Tx<'_>,
    names: &[VersionName],
    now: u64,
) -> Result<Option<Vec<ReceiptFacts>>, SqlError> {
    for name in names {
        if existing(tx, name.secret_id, name.version)?.is_some() {
            return Ok(None);
        }
    }
    names.iter().map(|name| bury(tx, *name, now).map(|()| tombstone(*name))).collect::<Result<_, _>>().map(Some)
}

/// The row of a version. Cells with impossible content are no fault of the database, and must not keep others back: it
/// is as if nothing were there that could open.
pub(super) fn read(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<Option<Row>, SqlError> {
    let (mut ciphertext, mut keys) = (None, Vec::new());
    tx.all(
        "SELECT e.key_commitment, e.nonce, e.ciphertext, k.epoch, k.storage_key, k.wrapped FROM envelopes e
         LEFT JOIN wrapped_keys k ON k.secret_id = e.secret_id AND k.version = e.version
         WHERE e.secret_id = ?1 AND e.version = ?2 ORDER BY k.epoch DESC",
        &[&secret.as_bytes(), &version.get()],
        |row| {
            ciphertext = ciphertext.take().or_else(|| ciphertext_of(row).ok());
            keys.extend(key_of(row).ok());
            Ok(())
        },
    )?;
    Ok(ciphertext.map(|ciphertext| Row { ciphertext, keys }))
}

fn ciphertext_of(row: &SqlRow<'_>) -> Result<Ciphertext, SqlError> {
    Ciphertext::new(Bytes(row.get(0)?), Bytes(row.get(1)?), row.get(2)?).map_err(|_| SqlError::unreadable())
}

fn key_of(row: &SqlRow<'_>) -> Result<WrappedKey, SqlError> {
    Ok(WrappedKey { epoch: row.get(3)?, storage_key: row.get(4)?, stored: Bytes(row.get(5)?) })
}

/// Up to `limit` stored versions after one.
pub(super) fn inventory(
    tx: &mut Tx<'_>,
    after: Option<(SecretId, Version)>,
    limit: usize,
) -> Result<Vec<ReceiptFacts>, SqlError> {
    let (secret, version) = cursor(after.as_ref());
    tx.all(
        "SELECT e.environment_id, e.secret_id, e.version, e.digest, max(k.epoch) FROM envelopes e
         JOIN wrapped_keys k ON k.secret_id = e.secret_id AND k.version = e.version
         WHERE (e.secret_id, e.version) > (?1, ?2) GROUP BY e.secret_id, e.version
         ORDER BY e.secret_id, e.version LIMIT ?3",
        &[&secret, &version, &row_limit(limit)],
        facts_of,
    )
}

/// The versions that have a tombstone.
pub(super) fn tombstones(tx: &mut Tx<'_>) -> Result<Vec<(SecretId, Version)>, SqlError> {
    tx.all("SELECT secret_id, version FROM tombstones ORDER BY secret_id, version", &[], |row| name_at(row, 0))
}

/// Erases a version and leaves a tombstone.
pub(super) fn destroy(tx: &mut Tx<'_>, name: VersionName, now: u64) -> Result<(), SqlError> {
    let (secret, version) = (name.secret_id.as_bytes(), name.version.get());
    tx.execute("DELETE FROM wrapped_keys WHERE secret_id = ?1 AND version = ?2", &[&secret, &version])?;
    fingerprints::erase(tx, name.secret_id, name.version)?;
    tx.execute("DELETE FROM envelopes WHERE secret_id = ?1 AND version = ?2", &[&secret, &version])?;
    bury(tx, name, now)
}

fn bury(tx: &mut Tx<'_>, name: VersionName, now: u64) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO tombstones (secret_id, version, environment_id, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (secret_id, version) DO NOTHING",
        &[&name.secret_id.as_bytes(), &name.version.get(), &name.environment.as_bytes(), &now],
    )?;
    Ok(())
}
