//! The wrapped keys of rows: of several epochs while a root key is exchanged, and under several storage keys while the
//! storage key is. Nothing here can remove the last wrapped key of a row.

use service_runtime::sql::{Row as SqlRow, SqlError, Tx, row_limit};
use shared_proto::encoding::Bytes;
use shared_proto::envelope::EnvelopeDigest;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::VersionState;
use shared_proto::wire::vault::VersionName;

use super::facts::{cursor, existing, name_at};
use crate::store::{Completeness, KeyOfRow, NewKey, Rewrapped, WrappedKey};

/// The wrapped key of a version under one epoch, with the digest of its envelope.
pub(super) fn of_epoch(
    tx: &mut Tx<'_>,
    epoch: u32,
    name: VersionName,
) -> Result<Option<(EnvelopeDigest, WrappedKey)>, SqlError> {
    tx.optional(
        "SELECT k.epoch, k.storage_key, k.wrapped, e.digest FROM wrapped_keys k
         JOIN envelopes e ON e.secret_id = k.secret_id AND e.version = k.version
         WHERE k.secret_id = ?1 AND k.version = ?2 AND k.epoch = ?3 AND e.environment_id = ?4",
        &[&name.secret_id.as_bytes(), &name.version.get(), &epoch, &name.environment.as_bytes()],
        |row| Ok((Bytes(row.get(3)?), key_of(row)?)),
    )
}

/// Adds the wrapped key of a newer epoch to a row.
pub(super) fn add(tx: &mut Tx<'_>, new: &NewKey) -> Result<Option<Rewrapped>, SqlError> {
    let VersionName { environment, secret_id, version } = new.name;
    let Some(facts) = existing(tx, secret_id, version)? else { return Ok(None) };
    let is_the_row =
        facts.state == VersionState::Stored && facts.environment == environment && facts.digest == new.digest;
    if !is_the_row {
        return Ok(Some(Rewrapped { facts, key: None }));
    }
    if new.key.epoch > facts.epoch && new.key.epoch >= retired_below(tx, environment)? {
        insert(tx, secret_id, version, &new.key)?;
    }
    let found = of_epoch(tx, new.key.epoch, new.name)?;
    let facts = existing(tx, secret_id, version)?.unwrap_or(facts);
    Ok(Some(Rewrapped { facts, key: found.map(|(_, key)| key) }))
}

/// Adds a wrapped key to the table.
pub(super) fn insert(tx: &mut Tx<'_>, secret: SecretId, version: Version, key: &WrappedKey) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO wrapped_keys (secret_id, version, epoch, storage_key, wrapped) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[&secret.as_bytes(), &version.get(), &key.epoch, &key.storage_key, &key.stored.0],
    )?;
    Ok(())
}

/// The epoch below which nothing of the environment is stored any more; 0 before the first retirement.
pub(super) fn retired_below(tx: &mut Tx<'_>, environment: EnvironmentId) -> Result<u32, SqlError> {
    let found =
        tx.optional("SELECT epoch FROM retired_epochs WHERE environment_id = ?1", &[&environment.as_bytes()], |row| {
            row.get(0)
        })?;
    Ok(found.unwrap_or(0))
}

/// Notes that nothing of the environment is stored below `epoch` from now on.
pub(super) fn retire_below(tx: &mut Tx<'_>, environment: EnvironmentId, epoch: u32) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO retired_epochs (environment_id, epoch) VALUES (?1, ?2)
         ON CONFLICT (environment_id) DO UPDATE SET epoch = excluded.epoch
         WHERE excluded.epoch > retired_epochs.epoch",
        &[&environment.as_bytes(), &epoch],
    )?;
    Ok(())
}

/// Scans up to `limit` rows of any environment after one. Counts those of this environment, and those among them that
/// lack a key of `epoch` or above. Also returns the last scanned row.
pub(super) fn completeness(
    tx: &mut Tx<'_>,
    (environment, epoch): (EnvironmentId, u32),
    after: Option<&(SecretId, Version)>,
    limit: usize,
) -> Result<(Completeness, Option<(SecretId, Version)>), SqlError> {
    let (secret, version) = cursor(after);
    let (mut found, mut last) = (Completeness { rows: 0, lacking: 0 }, None);
    tx.all(
        "SELECT e.secret_id, e.version, e.environment_id = ?3, EXISTS (SELECT 1 FROM wrapped_keys k
             WHERE k.secret_id = e.secret_id AND k.version = e.version AND k.epoch >= ?4)
         FROM envelopes e WHERE (e.secret_id, e.version) > (?1, ?2) ORDER BY e.secret_id, e.version LIMIT ?5",
        &[&secret, &version, &environment.as_bytes(), &epoch, &row_limit(limit)],
        |row| {
            last = Some(name_at(row, 0)?);
            if row.get(2)? {
                found.rows += 1;
                found.lacking += u64::from(!row.get::<bool>(3)?);
            }
            Ok(())
        },
    )?;
    Ok((found, last))
}

/// Up to `limit` versions of the environment, after one, that have a key below `epoch`.
pub(super) fn with_older(
    tx: &mut Tx<'_>,
    (environment, epoch): (EnvironmentId, u32),
    after: Option<&(SecretId, Version)>,
    limit: usize,
) -> Result<Vec<(SecretId, Version)>, SqlError> {
    let (secret, version) = cursor(after);
    tx.all(
        "SELECT DISTINCT k.secret_id, k.version FROM wrapped_keys k
         JOIN envelopes e ON e.secret_id = k.secret_id AND e.version = k.version
         WHERE (k.secret_id, k.version) > (?1, ?2) AND e.environment_id = ?3 AND k.epoch < ?4
         ORDER BY k.secret_id, k.version LIMIT ?5",
        &[&secret, &version, &environment.as_bytes(), &epoch, &row_limit(limit)],
        |row| name_at(row, 0),
    )
}

/// Erases the keys of a version below `epoch`, if it has one of `epoch` or above.
pub(super) fn erase_below(tx: &mut Tx<'_>, (secret, version): (SecretId, Version), epoch: u32) -> Result<(), SqlError> {
    tx.execute(
        "DELETE FROM wrapped_keys WHERE secret_id = ?1 AND version = ?2 AND epoch < ?3 AND EXISTS (
             SELECT 1 FROM wrapped_keys k WHERE k.secret_id = ?1 AND k.version = ?2 AND k.epoch >= ?3)",
        &[&secret.as_bytes(), &version.get(), &epoch],
    )?;
    Ok(())
}

/// Up to `limit` wrapped keys, after one, that are not under this storage key.
pub(super) fn not_under(
    tx: &mut Tx<'_>,
    storage_key: u32,
    after: Option<(SecretId, Version, u32)>,
    limit: usize,
) -> Result<Vec<KeyOfRow>, SqlError> {
    let name = after.map(|(secret, version, _)| (secret, version));
    let (secret, version) = cursor(name.as_ref());
    tx.all(
        "SELECT epoch, storage_key, wrapped, secret_id, version FROM wrapped_keys
         WHERE (secret_id, version, epoch) > (?1, ?2, ?3) AND storage_key <> ?4
         ORDER BY secret_id, version, epoch LIMIT ?5",
        &[&secret, &version, &after.map_or(0, |(_, _, epoch)| epoch), &storage_key, &row_limit(limit)],
        |row| {
            let (secret, version) = name_at(row, 3)?;
            Ok(KeyOfRow { secret, version, key: key_of(row)? })
        },
    )
}

/// Replaces a wrapped key by the same one under another storage key. A row that changed meanwhile stays as it is.
pub(super) fn exchange(tx: &mut Tx<'_>, old: &KeyOfRow, new: &WrappedKey) -> Result<(), SqlError> {
    tx.execute(
        "UPDATE wrapped_keys SET storage_key = ?1, wrapped = ?2
         WHERE secret_id = ?3 AND version = ?4 AND epoch = ?5 AND storage_key = ?6 AND wrapped = ?7",
        &[
            &new.storage_key,
            &new.stored.0,
            &old.secret.as_bytes(),
            &old.version.get(),
            &old.key.epoch,
            &old.key.storage_key,
            &old.key.stored.0,
        ],
    )?;
    Ok(())
}

/// The number of wrapped keys under each storage key, and of fingerprints there whose row has no wrapped key with them.
pub(super) fn count_by_storage_key(tx: &mut Tx<'_>) -> Result<Vec<(u32, u64)>, SqlError> {
    tx.all(
        "SELECT u.storage_key, count(*) FROM (
             SELECT storage_key FROM wrapped_keys UNION ALL
             SELECT f.storage_key FROM value_fingerprints f WHERE NOT EXISTS (
                 SELECT 1 FROM wrapped_keys k
                 WHERE k.secret_id = f.secret_id AND k.version = f.version AND k.storage_key = f.storage_key)) AS u
         GROUP BY u.storage_key ORDER BY u.storage_key",
        &[],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// The wrapped key of a row that begins with its epoch, its storage key and itself.
fn key_of(row: &SqlRow<'_>) -> Result<WrappedKey, SqlError> {
    Ok(WrappedKey {
        epoch: row.get(0)?,
        storage_key: row.get(1)?,
        // Altered bytes make a key that does not unwrap, not an error: other rows must go on.
        stored: Bytes(row.get(2).unwrap_or([0; 48])),
    })
}

#[cfg(test)]
mod tests {
    use service_runtime::sql::Location;
    use shared_proto::id::VaultId;
    use shared_proto::identity::Mode;

    use super::*;
    use crate::store::SqlStore;

    #[tokio::test]
    async fn rows_of_an_environment_are_counted_in_pages_that_together_see_each_of_them_once() {
        let dir = tempfile::tempdir().unwrap();
        let (location, vault) = (Location::File(dir.path().join("vault.db")), VaultId::generate());
        SqlStore::create(&location, vault, Mode::Development).unwrap();
        let database = SqlStore::open(&location, vault, Mode::Development).unwrap().database;
        let (ours, other) = (EnvironmentId::generate(), EnvironmentId::generate());
        let fill = move |tx: &mut Tx<'_>| {
            for number in 0..7_u8 {
                let environment = if number < 5 { ours } else { other };
                tx.execute(
                    "INSERT INTO envelopes (secret_id, version, environment_id, digest, key_commitment, nonce,
                     ciphertext, stored_at) VALUES (?1, 1, ?2, ?3, ?3, ?3, ?3, 0)",
                    &[&[number; 16], &environment.as_bytes(), &Vec::<u8>::new()],
                )?;
                // Two of ours have only the older epoch.
                let epoch = if number < 2 { 1_u32 } else { 2 };
                let key = WrappedKey { epoch, storage_key: 1, stored: Bytes([0; 48]) };
                insert(tx, SecretId::from_bytes([number; 16]), Version::FIRST, &key)?;
            }
            Ok(())
        };
        database.write("fill", fill).await.unwrap();
        let (mut pages, mut after, mut sum) = (0, None, (0, 0));
        loop {
            let look = database.read("look", move |tx| completeness(tx, (ours, 2), after.as_ref(), 3));
            let (page, last) = look.await.unwrap();
            assert!(page.rows <= 3, "no more than it was told to look at");
            sum = (sum.0 + page.rows, sum.1 + page.lacking);
            if last.is_none() {
                break;
            }
            (pages, after) = (pages + 1, last);
        }
        assert_eq!((pages, sum), (3, (5, 2)));
    }
}
