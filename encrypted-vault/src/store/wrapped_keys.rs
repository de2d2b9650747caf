//! The wrapped keys of rows in SQLite: of several epochs while a root key is exchanged, and under several storage keys
//! while the storage key is. Nothing here can remove the last wrapped key of a row.

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};
use service_runtime::sqlite::row_limit;
use shared_proto::encoding::Bytes;
use shared_proto::envelope::EnvelopeDigest;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::VersionState;
use shared_proto::wire::vault::VersionName;

use super::facts::{existing, version_at};
use super::{Completeness, KeyOfRow, NewKey, Rewrapped, WrappedKey};

/// The wrapped key of each version under one epoch, with the digest of its envelope.
pub(super) fn of_epoch(
    conn: &Connection,
    epoch: u32,
    names: &[VersionName],
) -> rusqlite::Result<Vec<Option<(EnvelopeDigest, WrappedKey)>>> {
    let mut statement = conn.prepare_cached(
        "SELECT k.epoch, k.storage_key, k.wrapped, e.digest FROM wrapped_keys k
         JOIN envelopes e ON e.secret_id = k.secret_id AND e.version = k.version
         WHERE k.secret_id = ?1 AND k.version = ?2 AND k.epoch = ?3 AND e.environment_id = ?4",
    )?;
    let mut find = |name: &VersionName| {
        let key =
            params![name.secret_id.as_bytes(), name.version.get().cast_signed(), epoch, name.environment.as_bytes()];
        statement.query_row(key, |row| Ok((Bytes(row.get(3)?), key_at(row, 0)?))).optional()
    };
    names.iter().map(&mut find).collect()
}

/// Adds the wrapped key of a newer epoch to a row.
pub(super) fn add(conn: &Connection, new: &NewKey) -> rusqlite::Result<Option<Rewrapped>> {
    let VersionName { environment, secret_id, version } = new.name;
    let Some(facts) = existing(conn, secret_id, version)? else { return Ok(None) };
    let is_the_row =
        facts.state == VersionState::Stored && facts.environment == environment && facts.digest == new.digest;
    if !is_the_row {
        return Ok(Some(Rewrapped { facts, key: None }));
    }
    if new.key.epoch > facts.epoch && new.key.epoch >= retired_below(conn, environment)? {
        insert(conn, secret_id, version, &new.key)?;
    }
    let found = of_epoch(conn, new.key.epoch, &[new.name])?.pop().flatten();
    let facts = existing(conn, secret_id, version)?.unwrap_or(facts);
    Ok(Some(Rewrapped { facts, key: found.map(|(_, key)| key) }))
}

/// Adds a wrapped key to the table.
pub(super) fn insert(conn: &Connection, secret: SecretId, version: Version, key: &WrappedKey) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO wrapped_keys (secret_id, version, epoch, storage_key, wrapped) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![secret.as_bytes(), version.get().cast_signed(), key.epoch, key.storage_key, key.stored.0])?;
    Ok(())
}

/// The epoch below which nothing of the environment is stored any more; 0 before the first retirement.
pub(super) fn retired_below(conn: &Connection, environment: EnvironmentId) -> rusqlite::Result<u32> {
    let found = conn
        .prepare_cached("SELECT epoch FROM retired_epochs WHERE environment_id = ?1")?
        .query_row([environment.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// Notes that nothing of the environment is stored below `epoch` from now on.
pub(super) fn retire_below(conn: &Connection, environment: EnvironmentId, epoch: u32) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO retired_epochs (environment_id, epoch) VALUES (?1, ?2)
         ON CONFLICT (environment_id) DO UPDATE SET epoch = max(epoch, excluded.epoch)",
        params![environment.as_bytes(), epoch],
    )?;
    Ok(())
}

/// Scans up to `limit` rows of any environment after one. Counts those of this environment, and those among them that
/// lack a key of `epoch` or above. Also returns the last scanned row.
pub(super) fn completeness(
    conn: &Connection,
    (environment, epoch): (EnvironmentId, u32),
    after: Option<(SecretId, Version)>,
    limit: usize,
) -> rusqlite::Result<(Completeness, Option<(SecretId, Version)>)> {
    let (secret, version) = after.map_or((Vec::new(), 0), |(id, version)| (id.as_bytes().to_vec(), version.get()));
    let mut statement = conn.prepare_cached(
        "SELECT e.secret_id, e.version, e.environment_id = ?3, EXISTS (SELECT 1 FROM wrapped_keys k
             WHERE k.secret_id = e.secret_id AND k.version = e.version AND k.epoch >= ?4)
         FROM envelopes e WHERE (e.secret_id, e.version) > (?1, ?2) ORDER BY e.secret_id, e.version LIMIT ?5",
    )?;
    let mut lines =
        statement.query(params![secret, version.cast_signed(), environment.as_bytes(), epoch, row_limit(limit)])?;
    let (mut found, mut last) = (Completeness { rows: 0, lacking: 0 }, None);
    while let Some(line) = lines.next()? {
        last = Some((SecretId::from_bytes(line.get(0)?), version_at(line, 1)?));
        if line.get(2)? {
            found.rows += 1;
            found.lacking += u64::from(!line.get::<_, bool>(3)?);
        }
    }
    Ok((found, last))
}

/// Up to `limit` versions of the environment, after one, that have a key below `epoch`.
pub(super) fn with_older(
    conn: &Connection,
    (environment, epoch): (EnvironmentId, u32),
    after: Option<(SecretId, Version)>,
    limit: usize,
) -> rusqlite::Result<Vec<(SecretId, Version)>> {
    let (secret, version) = after.map_or((Vec::new(), 0), |(id, version)| (id.as_bytes().to_vec(), version.get()));
    conn.prepare_cached(
        "SELECT DISTINCT k.secret_id, k.version FROM wrapped_keys k
         JOIN envelopes e ON e.secret_id = k.secret_id AND e.version = k.version
         WHERE (k.secret_id, k.version) > (?1, ?2) AND e.environment_id = ?3 AND k.epoch < ?4
         ORDER BY k.secret_id, k.version LIMIT ?5",
    )?
    .query_map(params![secret, version.cast_signed(), environment.as_bytes(), epoch, row_limit(limit)], |row| {
        Ok((SecretId::from_bytes(row.get(0)?), version_at(row, 1)?))
    })?
    .collect()
}

/// Erases the keys of a version below `epoch`, if it has one of `epoch` or above.
pub(super) fn erase_below(
    conn: &Connection,
    (secret, version): (SecretId, Version),
    epoch: u32,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "DELETE FROM wrapped_keys WHERE secret_id = ?1 AND version = ?2 AND epoch < ?3 AND EXISTS (
             SELECT 1 FROM wrapped_keys k WHERE k.secret_id = ?1 AND k.version = ?2 AND k.epoch >= ?3)",
    )?
    .execute(params![secret.as_bytes(), version.get().cast_signed(), epoch])?;
    Ok(())
}

/// Up to `limit` wrapped keys, after one, that are not under this storage key.
pub(super) fn not_under(
    conn: &Connection,
    storage_key: u32,
    after: Option<(SecretId, Version, u32)>,
    limit: usize,
) -> rusqlite::Result<Vec<KeyOfRow>> {
    let (secret, version, epoch) =
        after.map_or((Vec::new(), 0, 0), |(id, version, epoch)| (id.as_bytes().to_vec(), version.get(), epoch));
    conn.prepare_cached(
        "SELECT epoch, storage_key, wrapped, secret_id, version FROM wrapped_keys
         WHERE (secret_id, version, epoch) > (?1, ?2, ?3) AND storage_key <> ?4
         ORDER BY secret_id, version, epoch LIMIT ?5",
    )?
    .query_map(params![secret, version.cast_signed(), epoch, storage_key, row_limit(limit)], |row| {
        Ok(KeyOfRow { secret: SecretId::from_bytes(row.get(3)?), version: version_at(row, 4)?, key: key_at(row, 0)? })
    })?
    .collect()
}

/// Replaces a wrapped key by the same one under another storage key. A row that changed meanwhile stays as it is.
pub(super) fn exchange(conn: &Connection, old: &KeyOfRow, new: &WrappedKey) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE wrapped_keys SET storage_key = ?1, wrapped = ?2
         WHERE secret_id = ?3 AND version = ?4 AND epoch = ?5 AND storage_key = ?6 AND wrapped = ?7",
    )?
    .execute(params![
        new.storage_key,
        new.stored.0,
        old.secret.as_bytes(),
        old.version.get().cast_signed(),
        old.key.epoch,
        old.key.storage_key,
        old.key.stored.0,
    ])?;
    Ok(())
}

/// The number of wrapped keys under each storage key.
pub(super) fn count_by_storage_key(conn: &Connection) -> rusqlite::Result<Vec<(u32, u64)>> {
    conn.prepare_cached("SELECT storage_key, count(*) FROM wrapped_keys GROUP BY storage_key")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect()
}

fn key_at(row: &SqlRow<'_>, first: usize) -> rusqlite::Result<WrappedKey> {
    Ok(WrappedKey {
        epoch: row.get(first)?,
        storage_key: row.get(first + 1)?,
        // An altered length makes a key that does not unwrap, not an error: other rows must go on.
        stored: Bytes(row.get::<_, Vec<u8>>(first + 2)?.try_into().unwrap_or([0; 48])),
    })
}

#[cfg(test)]
mod tests {
    use shared_proto::id::VaultId;
    use shared_proto::identity::Mode;

    use super::super::SqliteStore;
    use super::*;

    #[test]
    fn rows_of_an_environment_are_counted_in_pages_that_together_see_each_of_them_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        SqliteStore::create(&path, VaultId::generate(), Mode::Development).unwrap();
        let conn = Connection::open(&path).unwrap();
        let (ours, other) = (EnvironmentId::generate(), EnvironmentId::generate());
        for number in 0..7_u8 {
            let environment = if number < 5 { ours } else { other };
            conn.execute(
                "INSERT INTO envelopes VALUES (?1, 1, ?2, x'', x'', x'', x'', 0)",
                params![[number; 16], environment.as_bytes()],
            )
            .unwrap();
            // Two of ours have only the older epoch.
            let epoch = if number < 2 { 1 } else { 2 };
            conn.execute("INSERT INTO wrapped_keys VALUES (?1, 1, ?2, 1, x'')", params![[number; 16], epoch]).unwrap();
        }
        let (mut pages, mut after, mut sum) = (0, None, (0, 0));
        loop {
            let (page, last) = completeness(&conn, (ours, 2), after, 3).unwrap();
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
