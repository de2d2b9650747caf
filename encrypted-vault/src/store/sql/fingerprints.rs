//! The bound value fingerprints of rows, under several storage keys while the storage key is exchanged.

use async_trait::async_trait;
use service_runtime::sql::{Row as SqlRow, SqlError, StoreFault, Tx, row_limit};
use shared_proto::encoding::Bytes;
use shared_proto::id::{SecretId, Version};
use shared_proto::wire::vault::VersionName;

use super::SqlStore;
use super::facts::{cursor, name_at};
use crate::store::{FingerprintOfRow, FingerprintStore, WrappedFingerprint};

#[async_trait]
impl FingerprintStore for SqlStore {
    async fn fingerprints(&self, names: Vec<VersionName>) -> Result<Vec<Option<WrappedFingerprint>>, StoreFault> {
        self.database.read("fingerprints", move |tx| names.iter().map(|name| of_version(tx, *name)).collect()).await
    }

    async fn fingerprints_not_under(
        &self,
        storage_key: u32,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Result<Vec<FingerprintOfRow>, StoreFault> {
        self.database.read("fingerprints_not_under", move |tx| not_under(tx, storage_key, after.as_ref(), limit)).await
    }

    async fn exchange_fingerprints(
        &self,
        fingerprints: Vec<(FingerprintOfRow, WrappedFingerprint)>,
    ) -> Result<(), StoreFault> {
        self.database
            .write("exchange_fingerprints", move |tx| {
                fingerprints.iter().try_for_each(|(old, new)| exchange(tx, old, new))
            })
            .await
    }
}

/// Adds the fingerprint of a new row.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    (secret, version): (SecretId, Version),
    fingerprint: &WrappedFingerprint,
) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO value_fingerprints (secret_id, version, storage_key, wrapped) VALUES (?1, ?2, ?3, ?4)",
        &[&secret.as_bytes(), &version.get(), &fingerprint.storage_key, &fingerprint.stored.0],
    )?;
    Ok(())
}

/// Erases the fingerprint of a row that is erased.
pub(super) fn erase(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<(), SqlError> {
    tx.execute(
        "DELETE FROM value_fingerprints WHERE secret_id = ?1 AND version = ?2",
        &[&secret.as_bytes(), &version.get()],
    )?;
    Ok(())
}

/// The fingerprint of a version. One with impossible content must not keep others back: it is as if there were none.
fn of_version(tx: &mut Tx<'_>, name: VersionName) -> Result<Option<WrappedFingerprint>, SqlError> {
    let found = tx.optional(
        "SELECT f.storage_key, f.wrapped FROM value_fingerprints f
         JOIN envelopes e ON e.secret_id = f.secret_id AND e.version = f.version
         WHERE f.secret_id = ?1 AND f.version = ?2 AND e.environment_id = ?3",
        &[&name.secret_id.as_bytes(), &name.version.get(), &name.environment.as_bytes()],
        |row| Ok(fingerprint_of(row).ok()),
    )?;
    Ok(found.flatten())
}

fn not_under(
    tx: &mut Tx<'_>,
    storage_key: u32,
    after: Option<&(SecretId, Version)>,
    limit: usize,
) -> Result<Vec<FingerprintOfRow>, SqlError> {
    let (secret, version) = cursor(after);
    tx.all(
        "SELECT storage_key, wrapped, secret_id, version FROM value_fingerprints
         WHERE (secret_id, version) > (?1, ?2) AND storage_key <> ?3 ORDER BY secret_id, version LIMIT ?4",
        &[&secret, &version, &storage_key, &row_limit(limit)],
        |row| {
            let (secret, version) = name_at(row, 2)?;
            Ok(FingerprintOfRow { secret, version, fingerprint: fingerprint_of(row)? })
        },
    )
}

fn exchange(tx: &mut Tx<'_>, old: &FingerprintOfRow, new: &WrappedFingerprint) -> Result<(), SqlError> {
    tx.execute(
        "UPDATE value_fingerprints SET storage_key = ?1, wrapped = ?2
         WHERE secret_id = ?3 AND version = ?4 AND storage_key = ?5 AND wrapped = ?6",
        &[
            &new.storage_key,
            &new.stored.0,
            &old.secret.as_bytes(),
            &old.version.get(),
            &old.fingerprint.storage_key,
            &old.fingerprint.stored.0,
        ],
    )?;
    Ok(())
}

fn fingerprint_of(row: &SqlRow<'_>) -> Result<WrappedFingerprint, SqlError> {
    Ok(WrappedFingerprint { storage_key: row.get(0)?, stored: Bytes(row.get(1)?) })
}
