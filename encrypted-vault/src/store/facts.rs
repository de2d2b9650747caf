//! Facts of a version, read from the tables and stated by receipts.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};
use shared_proto::encoding::Bytes;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;

use super::{stored, tombstone};

/// The facts of a name: an envelope, a tombstone or nothing.
pub(super) fn existing(
    conn: &Connection,
    secret: SecretId,
    version: Version,
) -> rusqlite::Result<Option<ReceiptFacts>> {
    let found = conn
        .prepare_cached(
            "SELECT e.environment_id, e.secret_id, e.version, e.digest, max(k.epoch) FROM envelopes e
             JOIN wrapped_keys k ON k.secret_id = e.secret_id AND k.version = e.version
             WHERE e.secret_id = ?1 AND e.version = ?2 GROUP BY e.secret_id, e.version",
        )?
        .query_row(params![secret.as_bytes(), version.get().cast_signed()], facts_of)
        .optional()?;
    if found.is_some() {
        return Ok(found);
    }
    conn.prepare_cached("SELECT environment_id FROM tombstones WHERE secret_id = ?1 AND version = ?2")?
        .query_row(params![secret.as_bytes(), version.get().cast_signed()], |row| {
            let environment = EnvironmentId::from_bytes(row.get(0)?);
            Ok(tombstone(VersionName { environment, secret_id: secret, version }))
        })
        .optional()
}

/// The facts of a row: environment, secret, version, digest, newest epoch.
pub(super) fn facts_of(row: &SqlRow<'_>) -> rusqlite::Result<ReceiptFacts> {
    Ok(stored(
        EnvironmentId::from_bytes(row.get(0)?),
        SecretId::from_bytes(row.get(1)?),
        version_at(row, 2)?,
        row.get(4)?,
        Bytes(row.get(3)?),
    ))
}

pub(super) fn version_at(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Version> {
    let number = row.get::<_, i64>(column)?;
    Version::new(number.cast_unsigned())
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error)))
}
