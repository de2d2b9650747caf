//! Facts of a version, read from the tables and stated by receipts.

use service_runtime::sql::{Row as SqlRow, SqlError, Tx};
use shared_proto::encoding::Bytes;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;

use crate::store::{stored, tombstone};

/// The facts of a name: an envelope, a tombstone or nothing.
pub(super) fn existing(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<Option<ReceiptFacts>, SqlError> {
    let found = tx.optional(
        "SELECT e.environment_id, e.secret_id, e.version, e.digest, max(k.epoch) FROM envelopes e
         JOIN wrapped_keys k ON k.secret_id = e.secret_id AND k.version = e.version
         WHERE e.secret_id = ?1 AND e.version = ?2 GROUP BY e.secret_id, e.version",
        &[&secret.as_bytes(), &version.get()],
        facts_of,
    )?;
    if found.is_some() {
        return Ok(found);
    }
    tx.optional(
        "SELECT environment_id FROM tombstones WHERE secret_id = ?1 AND version = ?2",
        &[&secret.as_bytes(), &version.get()],
        |row| {
            let environment = EnvironmentId::from_bytes(row.get(0)?);
            Ok(tombstone(VersionName { environment, secret_id: secret, version }))
        },
    )
}

/// The facts of a row: environment, secret, version, digest, newest epoch.
pub(super) fn facts_of(row: &SqlRow<'_>) -> Result<ReceiptFacts, SqlError> {
    let (secret, version) = name_at(row, 1)?;
    Ok(stored(EnvironmentId::from_bytes(row.get(0)?), secret, version, row.get(4)?, Bytes(row.get(3)?)))
}

/// A secret and, in the column after it, a version.
pub(super) fn name_at(row: &SqlRow<'_>, column: usize) -> Result<(SecretId, Version), SqlError> {
    let version = Version::new(row.get(column + 1)?).map_err(|_| SqlError::unreadable())?;
    Ok((SecretId::from_bytes(row.get(column)?), version))
}

/// A secret and a version after which a page begins. Every id is greater than no bytes.
pub(super) fn cursor(after: Option<&(SecretId, Version)>) -> (&[u8], u64) {
    after.map_or((&[], 0), |(secret, version)| (secret.as_bytes(), version.get()))
}
