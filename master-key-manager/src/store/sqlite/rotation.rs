//! The catalogue's records of root key rotations.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use service_runtime::StartError;
use service_runtime::sql::Tx;
use service_runtime::sqlite::{open_reader, row_limit};
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::ReceiptFacts;

use super::SqliteStore;
use super::identity::installation;
use super::rows::{integer, unsigned, version_line};
use super::tokens::revoked_keys;
use crate::store::{Acted, Actor, Installation, KeyFacts, RotationState, RotationStore, Stored, VersionRow};

#[async_trait]
impl RotationStore for SqliteStore {
    async fn versions_below(
        &self,
        (environment, epoch): (EnvironmentId, u32),
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Stored<Vec<VersionRow>> {
        self.readers
            .read(move |conn| {
                let (secret, version) =
                    after.map_or(([0; 16], 0), |(secret, version)| (*secret.as_bytes(), version.get()));
                conn.prepare_cached(
                    "SELECT v.secret_id, s.environment_id, v.version, v.state, v.epoch, v.digest
                     FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
                     WHERE (v.secret_id, v.version) > (?3, ?4) AND v.state = 'committed' AND v.epoch < ?2
                           AND s.environment_id = ?1 AND NOT EXISTS (
                               SELECT 1 FROM lacking_versions l
                               WHERE l.secret_id = v.secret_id AND l.version = v.version AND l.epoch >= ?2)
                     ORDER BY v.secret_id, v.version LIMIT ?5",
                )?
                .query_map(
                    params![environment.as_bytes(), i64::from(epoch), secret, integer(version)?, row_limit(limit)],
                    version_line,
                )?
                .collect()
            })
            .await
    }

    async fn move_to_epoch(
        &self,
        (environment, epoch): (EnvironmentId, u32),
        versions: Vec<(SecretId, Version)>,
        now: u64,
    ) -> Stored<()> {
        self.writer
            .run(move |conn| {
                for (secret, version) in &versions {
                    conn.prepare_cached(
                        "UPDATE versions SET epoch = ?3
                         WHERE secret_id = ?1 AND version = ?2 AND state = 'committed' AND epoch < ?3",
                    )?
                    .execute(params![
                        secret.as_bytes(),
                        integer(version.get())?,
                        i64::from(epoch)
                    ])?;
                }
                conn.prepare_cached(
                    "INSERT INTO root_key_rotations (environment_id, epoch, changed_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (environment_id, epoch) DO UPDATE SET changed_at = excluded.changed_at",
                )?
                .execute(params![environment.as_bytes(), i64::from(epoch), integer(now)?])
                .map(|_rows| ())
            })
            .await
    }

    async fn mark_missing(&self, epoch: u32, versions: Vec<(SecretId, Version)>) -> Stored<()> {
        self.writer
            .run(move |conn| {
                for (secret, version) in &versions {
                    conn.prepare_cached(
                        "INSERT OR REPLACE INTO lacking_versions (secret_id, version, epoch) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![
                        secret.as_bytes(),
                        integer(version.get())?,
                        i64::from(epoch)
                    ])?;
                }
                Ok(())
            })
            .await
    }

    async fn rotation(&self, environment: EnvironmentId, epoch: u32) -> Stored<RotationState> {
        self.readers.read(move |conn| rotation(conn, environment, epoch)).await
    }

    async fn open_below(&self, environment: EnvironmentId, epoch: u32) -> Stored<u64> {
        self.readers
            .read(move |conn| {
                conn.prepare_cached(
                    "SELECT count(*) FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
                     WHERE v.state IN ('pending', 'committed') AND v.epoch < ?2 AND s.environment_id = ?1
                           AND NOT EXISTS (
                               SELECT 1 FROM lacking_versions l
                               WHERE l.secret_id = v.secret_id AND l.version = v.version AND l.epoch >= ?2)",
                )?
                .query_row(params![environment.as_bytes(), i64::from(epoch)], |row| unsigned(row, 0))
            })
            .await
    }

    async fn move_back(&self, actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<u64> {
        self.write_for(actor, move |conn| move_back(conn, &facts)).await
    }

    async fn record_retirement(
        &self,
        (environment, epoch): (EnvironmentId, u32),
        retirement: String,
        now: u64,
    ) -> Stored<()> {
        self.writer
            .run(move |conn| {
                conn.prepare_cached(
                    "INSERT INTO root_key_rotations (environment_id, epoch, changed_at, retirement)
                     VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (environment_id, epoch) DO UPDATE SET retirement = excluded.retirement",
                )?
                .execute(params![environment.as_bytes(), i64::from(epoch), integer(now)?, retirement])
                .map(|_rows| ())
            })
            .await
    }
}

/// The database's part of a report about keys, read beside a running service.
///
/// # Errors
/// The database cannot be read, or the service has not brought it to this schema yet.
pub fn read_key_facts(path: &Path) -> Result<KeyFacts, StartError> {
    read_one(path, key_facts)
}

/// The installation that the database belongs to, read beside a running service.
///
/// # Errors
/// Those of [`read_key_facts`].
pub fn read_owner(path: &Path) -> Result<Installation, StartError> {
    read_one(path, installation)
}

fn read_one<T>(path: &Path, read: impl FnOnce(&Connection) -> rusqlite::Result<Option<T>>) -> Result<T, StartError> {
    let cannot = |_| {
        StartError::new(format!(
            "{} cannot be read, or is of an earlier version; start the service once with this version.",
            path.display()
        ))
    };
    let conn = open_reader(path)?;
    let snapshot = conn.unchecked_transaction().map_err(cannot)?;
    read(&snapshot).map_err(cannot)?.ok_or_else(|| {
        StartError::new(format!("The database {} holds no installation; restore a backup of it.", path.display()))
    })
}

fn key_facts(conn: &Connection) -> rusqlite::Result<Option<KeyFacts>> {
    let Some(installation) = installation(conn)? else { return Ok(None) };
    let count = |sql: &str| -> rusqlite::Result<Vec<(EnvironmentId, u32, u64)>> {
        conn.prepare(sql)?
            .query_map([], |row| Ok((EnvironmentId::from_bytes(row.get(0)?), row.get(1)?, unsigned(row, 2)?)))?
            .collect()
    };
    Ok(Some(KeyFacts {
        installation,
        under: count(
            "SELECT s.environment_id, v.epoch, count(*) FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
             WHERE v.state IN ('pending', 'committed') GROUP BY 1, 2",
        )?,
        lacking: count(
            "SELECT s.environment_id, v.epoch, count(*) FROM lacking_versions l
             JOIN versions v ON v.secret_id = l.secret_id AND v.version = l.version
             JOIN secrets s ON s.secret_id = v.secret_id
             WHERE v.state = 'committed' AND v.epoch < l.epoch GROUP BY 1, 2",
        )?,
        retirements: conn
            .prepare(
                "SELECT retirement FROM root_key_rotations WHERE retirement IS NOT NULL ORDER BY changed_at, epoch",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?,
        revoked_keys: revoked_keys(&mut Tx::on(conn))?,
    }))
}

fn rotation(conn: &Connection, environment: EnvironmentId, epoch: u32) -> rusqlite::Result<RotationState> {
    let kept = conn
        .prepare_cached(
            "SELECT changed_at, retirement FROM root_key_rotations WHERE environment_id = ?1 AND epoch = ?2",
        )?
        .query_row(params![environment.as_bytes(), i64::from(epoch)], |row| Ok((unsigned(row, 0)?, row.get(1)?)))
        .optional()?;
    let (changed_at, retirement) = kept.map_or((None, None), |(changed_at, retirement)| (Some(changed_at), retirement));
    Ok(RotationState { changed_at, retirement })
}

fn move_back(conn: &Connection, facts: &[ReceiptFacts]) -> rusqlite::Result<u64> {
    let mut moved = 0;
    for fact in facts {
        let changed = conn
            .prepare_cached(
                "UPDATE versions SET epoch = ?3
                 WHERE secret_id = ?1 AND version = ?2 AND state = 'committed' AND epoch > ?3 AND digest = ?4",
            )?
            .execute(params![
                fact.secret.as_bytes(),
                integer(fact.version.get())?,
                i64::from(fact.epoch),
                fact.digest.0
            ])?;
        if changed > 0 {
            // Retirements that the vault signed before it was restored are no longer true.
            conn.prepare_cached(
                "UPDATE root_key_rotations SET retirement = NULL WHERE environment_id = ?1 AND epoch > ?2",
            )?
            .execute(params![fact.environment.as_bytes(), i64::from(fact.epoch)])?;
            moved += 1;
        }
    }
    Ok(moved)
}
