//! The store on SQLite: one writer with group commit, several readers.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::StartError;
use service_runtime::sqlite::{
    Readers, StoreFault, Writer, check_version, migrate, open_reader, open_writer, restore, row_limit,
};
use shared_proto::encoding::Bytes;
use shared_proto::envelope::{Ciphertext, EnvelopeDigest};
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};
use shared_proto::identity::Mode;
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;

use super::facts::{existing, facts_of, version_at};
use super::{
    Completeness, KeyOfRow, NewEvent, NewKey, NewRow, Rewrapped, Row, Statements, VaultStore, WrappedKey, stored,
    tombstone, wrapped_keys,
};

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE installation (vault_id BLOB NOT NULL, mode TEXT NOT NULL);
CREATE TABLE envelopes (
    secret_id BLOB NOT NULL, version INTEGER NOT NULL, environment_id BLOB NOT NULL, digest BLOB NOT NULL,
    key_commitment BLOB NOT NULL, nonce BLOB NOT NULL, ciphertext BLOB NOT NULL, stored_at INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version)) WITHOUT ROWID;
CREATE TABLE wrapped_keys (
    secret_id BLOB NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL, storage_key INTEGER NOT NULL,
    wrapped BLOB NOT NULL, PRIMARY KEY (secret_id, version, epoch)) WITHOUT ROWID;
CREATE TABLE tombstones (
    secret_id BLOB NOT NULL, version INTEGER NOT NULL, environment_id BLOB NOT NULL, created_at INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version)) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, compact TEXT NOT NULL);
CREATE TABLE statements (position INTEGER PRIMARY KEY, document TEXT NOT NULL);
",
    "
CREATE TABLE retired_epochs (environment_id BLOB PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE statements ADD COLUMN stated_at INTEGER NOT NULL DEFAULT 0;
",
];

/// Rows whose older keys one transaction erases. Writes wait for it, so it is short.
const ERASED_AT_ONCE: usize = 256;
/// Rows that one read transaction scans. An open one keeps the WAL from being written back.
const LOOKED_AT_ONCE: usize = 4_096;
/// Connections that only read.
const READERS: usize = 4;

/// The vault's database on SQLite.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Makes the database of a new vault.
    ///
    /// # Errors
    /// It exists for another vault, or cannot be written.
    pub fn create(path: &Path, id: VaultId, mode: Mode) -> Result<(), StartError> {
        let mut conn = open_writer(path)?;
        migrate(&mut conn, MIGRATIONS)?;
        conn.execute(
            "INSERT INTO installation (vault_id, mode) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM installation)",
            params![id.as_bytes(), mode.as_str()],
        )
        .map_err(|error| StartError::new(format!("{} cannot be written ({error}).", path.display())))?;
        check_installation(&conn, path, id, mode)
    }

    /// Replaces the database, which no process may use, with a backup of this vault. Returns the path at which the
    /// replaced one is kept.
    ///
    /// # Errors
    /// Those of [`service_runtime::sqlite::restore`], or the backup is of another vault or mode.
    pub fn restore(backup: &Path, path: &Path, id: VaultId, mode: Mode) -> Result<Option<PathBuf>, StartError> {
        restore(backup, path, MIGRATIONS, |conn| check_installation(conn, backup, id, mode))
    }

    /// Opens the database of this vault.
    ///
    /// # Errors
    /// It is missing, of another vault or mode, from newer code, or SQLite is too old.
    pub fn open(path: &Path, id: VaultId, mode: Mode) -> Result<Self, StartError> {
        check_version()?;
        if !path.exists() {
            return Err(StartError::new(format!(
                "{} is missing; run `encrypted-vault init`, or `encrypted-vault restore` with a backup.",
                path.display()
            )));
        }
        let mut conn = open_writer(path)?;
        migrate(&mut conn, MIGRATIONS)?;
        check_installation(&conn, path, id, mode)?;
        let writer = Writer::spawn(conn)?;
        let readers = Readers::open(path, READERS, writer.health())?;
        Ok(Self { writer, readers })
    }

    /// The number of wrapped keys under each storage key. It can be read while the vault runs.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn count_by_storage_key(path: &Path) -> Result<Vec<(u32, u64)>, StartError> {
        let conn = open_reader(path)?;
        wrapped_keys::count_by_storage_key(&conn)
            .map_err(|error| StartError::new(format!("{} cannot be read ({error}).", path.display())))
    }
}

impl SqliteStore {
    /// Scans all rows, a page in each transaction.
    async fn completeness(&self, target: (EnvironmentId, u32)) -> Result<Completeness, StoreFault> {
        let (mut sum, mut after) = (Completeness { rows: 0, lacking: 0 }, None);
        loop {
            let look = move |conn: &Connection| wrapped_keys::completeness(conn, target, after, LOOKED_AT_ONCE);
            let (page, last) = self.readers.read(look).await?;
            sum.rows += page.rows;
            sum.lacking += page.lacking;
            if last.is_none() {
                return Ok(sum);
            }
            after = last;
        }
    }
}

fn check_installation(conn: &Connection, path: &Path, id: VaultId, mode: Mode) -> Result<(), StartError> {
    let found: Option<([u8; 16], String)> = conn
        .query_row("SELECT vault_id, mode FROM installation", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(|error| StartError::new(format!("{} cannot be read ({error}).", path.display())))?;
    if found == Some((*id.as_bytes(), mode.as_str().to_owned())) {
        return Ok(());
    }
    Err(StartError::new(format!(
        "{} belongs to another vault or to the other mode; each vault has a data directory and backups of its own.",
        path.display()
    )))
}

#[async_trait]
impl VaultStore for SqliteStore {
    async fn insert(&self, rows: Vec<NewRow>, now: u64) -> Result<Vec<Option<ReceiptFacts>>, StoreFault> {
        self.writer.run(move |conn| rows.iter().map(|row| insert_one(conn, row, now)).collect()).await
    }

    async fn settle(&self, names: Vec<VersionName>, now: u64) -> Result<Vec<ReceiptFacts>, StoreFault> {
        self.writer
            .run(move |conn| {
                names
                    .iter()
                    .map(|name| match existing(conn, name.secret_id, name.version)? {
                        Some(facts) => Ok(facts),
                        None => bury(conn, *name, now).map(|()| tombstone(*name)),
                    })
                    .collect()
            })
            .await
    }

    async fn read(&self, secret: SecretId, version: Version) -> Result<Option<Row>, StoreFault> {
        self.readers.read(move |conn| read_row(conn, secret, version)).await
    }

    async fn inventory(
        &self,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Result<Vec<ReceiptFacts>, StoreFault> {
        self.readers
            .read(move |conn| {
                let (secret, version) =
                    after.map_or((Vec::new(), 0), |(secret, version)| (secret.as_bytes().to_vec(), version.get()));
                conn.prepare_cached(
                    "SELECT e.environment_id, e.secret_id, e.version, e.digest, max(k.epoch) FROM envelopes e
                     JOIN wrapped_keys k ON k.secret_id = e.secret_id AND k.version = e.version
                     WHERE (e.secret_id, e.version) > (?1, ?2) GROUP BY e.secret_id, e.version
                     ORDER BY e.secret_id, e.version LIMIT ?3",
                )?
                .query_map(params![secret, version.cast_signed(), row_limit(limit)], facts_of)?
                .collect()
            })
            .await
    }

    async fn wrapped(
        &self,
        epoch: u32,
        names: Vec<VersionName>,
    ) -> Result<Vec<Option<(EnvelopeDigest, WrappedKey)>>, StoreFault> {
        self.readers.read(move |conn| wrapped_keys::of_epoch(conn, epoch, &names)).await
    }

    async fn rewrap(&self, keys: Vec<NewKey>) -> Result<Vec<Option<Rewrapped>>, StoreFault> {
        self.writer.run(move |conn| keys.iter().map(|key| wrapped_keys::add(conn, key)).collect()).await
    }

    async fn retire(&self, environment: EnvironmentId, epoch: u32) -> Result<Completeness, StoreFault> {
        let before = self.completeness((environment, epoch)).await?;
        if before.lacking > 0 {
            return Ok(before);
        }
        self.writer.run(move |conn| wrapped_keys::retire_below(conn, environment, epoch)).await?;
        let mut after = None;
        loop {
            let find =
                move |conn: &Connection| wrapped_keys::with_older(conn, (environment, epoch), after, ERASED_AT_ONCE);
            let page = self.readers.read(find).await?;
            let Some(last) = page.last().copied() else { break };
            let erase =
                move |conn: &Connection| page.iter().try_for_each(|name| wrapped_keys::erase_below(conn, *name, epoch));
            self.writer.run(erase).await?;
            after = Some(last);
        }
        // A row that was stored between the first look and the mark shows here.
        self.completeness((environment, epoch)).await
    }

    async fn not_under(
        &self,
        storage_key: u32,
        after: Option<(SecretId, Version, u32)>,
        limit: usize,
    ) -> Result<Vec<KeyOfRow>, StoreFault> {
        self.readers.read(move |conn| wrapped_keys::not_under(conn, storage_key, after, limit)).await
    }

    async fn exchange(&self, keys: Vec<(KeyOfRow, WrappedKey)>) -> Result<(), StoreFault> {
        let exchange =
            move |conn: &Connection| keys.iter().try_for_each(|(old, new)| wrapped_keys::exchange(conn, old, new));
        self.writer.run(exchange).await
    }

    async fn append_events(&self, events: Vec<NewEvent>, now: u64) -> Result<(), StoreFault> {
        self.writer
            .run(move |conn| {
                for event in &events {
                    // The primary key and this condition together keep the order that was checked.
                    let added = conn
                        .prepare_cached(
                            "INSERT INTO events (seq, compact)
                         SELECT ?1, ?2 WHERE (SELECT coalesce(max(seq), 0) FROM events) = ?3 AND ?1 > ?3",
                        )?
                        .execute(params![event.seq.cast_signed(), event.compact, event.after.cast_signed()])?;
                    if added != 1 {
                        return Err(rusqlite::Error::StatementChangedRows(added));
                    }
                    if let Some(name) = event.destroys {
                        destroy(conn, name, now)?;
                    }
                }
                Ok(())
            })
            .await
    }

    async fn drop_events(&self, numbers: Vec<u64>) -> Result<(), StoreFault> {
        self.writer
            .run(move |conn| {
                let mut statement = conn.prepare_cached("DELETE FROM events WHERE seq = ?1")?;
                numbers.iter().try_for_each(|seq| statement.execute([seq.cast_signed()]).map(|_rows| ()))
            })
            .await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreFault> {
        self.readers
            .read(move |conn| {
                conn.prepare_cached("SELECT seq, compact FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?
                    .query_map(params![after.cast_signed(), row_limit(limit)], |row| {
                        Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
                    })?
                    .collect()
            })
            .await
    }

    async fn tombstones(&self) -> Result<Vec<(SecretId, Version)>, StoreFault> {
        self.readers
            .read(|conn| {
                conn.prepare_cached("SELECT secret_id, version FROM tombstones")?
                    .query_map([], |row| Ok((SecretId::from_bytes(row.get(0)?), version_at(row, 1)?)))?
                    .collect()
            })
            .await
    }

    async fn replace_statements(&self, statements: Statements) -> Result<(), StoreFault> {
        self.writer
            .run(move |conn| {
                conn.execute("DELETE FROM statements", [])?;
                for document in &statements.documents {
                    conn.execute(
                        "INSERT INTO statements (document, stated_at) VALUES (?1, ?2)",
                        params![document, statements.stated_at.cast_signed()],
                    )?;
                }
                Ok(())
            })
            .await
    }

    async fn statements(&self) -> Result<Statements, StoreFault> {
        self.readers
            .read(|conn| {
                let mut found = Statements::default();
                let mut statement =
                    conn.prepare_cached("SELECT document, stated_at FROM statements ORDER BY position")?;
                let mut lines = statement.query([])?;
                while let Some(line) = lines.next()? {
                    found.documents.push(line.get(0)?);
                    found.stated_at = line.get::<_, i64>(1)?.cast_unsigned();
                }
                Ok(found)
            })
            .await
    }

    fn is_healthy(&self) -> bool {
        self.writer.health().is_good()
    }

    async fn close(&self) {
        self.writer.close().await;
    }
}

fn insert_one(conn: &Connection, row: &NewRow, now: u64) -> rusqlite::Result<Option<ReceiptFacts>> {
    let VersionName { environment, secret_id, version } = row.name;
    if let Some(facts) = existing(conn, secret_id, version)? {
        return Ok(Some(facts));
    }
    if row.key.epoch < wrapped_keys::retired_below(conn, environment)? {
        return Ok(None);
    }
    conn.prepare_cached(
        "INSERT INTO envelopes
         (secret_id, version, environment_id, digest, key_commitment, nonce, ciphertext, stored_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        secret_id.as_bytes(),
        version.get().cast_signed(),
        environment.as_bytes(),
        row.digest.0,
        row.ciphertext.commitment.0,
        row.ciphertext.nonce.0,
        row.ciphertext.bytes,
        now.cast_signed(),
    ])?;
    wrapped_keys::insert(conn, secret_id, version, &row.key)?;
    Ok(Some(stored(environment, secret_id, version, row.key.epoch, row.digest)))
}

fn read_row(conn: &Connection, secret: SecretId, version: Version) -> rusqlite::Result<Option<Row>> {
    let name = params![secret.as_bytes(), version.get().cast_signed()];
    let found = conn
        .prepare_cached(
            "SELECT key_commitment, nonce, ciphertext FROM envelopes WHERE secret_id = ?1 AND version = ?2",
        )?
        .query_row(name, |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?)))
        .optional();
    let Some((commitment, nonce, ciphertext)) = unless_altered(found)?.flatten() else { return Ok(None) };
    // Lengths that cannot be are an altered row: it is as if nothing were there that could open.
    let parts = commitment.try_into().ok().zip(nonce.try_into().ok());
    let ciphertext =
        parts.and_then(|(commitment, nonce)| Ciphertext::new(Bytes(commitment), Bytes(nonce), ciphertext).ok());
    let Some(ciphertext) = ciphertext else { return Ok(None) };
    let keys = conn
        .prepare_cached(
            "SELECT epoch, storage_key, wrapped FROM wrapped_keys
             WHERE secret_id = ?1 AND version = ?2 ORDER BY epoch DESC",
        )?
        .query_map(name, |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)))?
        .filter_map(|row| match unless_altered(row) {
            Ok(Some((epoch, storage_key, wrapped))) => {
                let stored = Bytes(wrapped.try_into().ok()?);
                Some(Ok(WrappedKey { epoch, storage_key, stored }))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Row { ciphertext, keys }))
}

/// `None` for cells with impossible content: that is no fault of the database, and must not block other rows.
fn unless_altered<T>(found: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    use rusqlite::Error as E;
    match found {
        Ok(found) => Ok(Some(found)),
        Err(E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..) | E::FromSqlConversionFailure(..)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn destroy(conn: &Connection, name: VersionName, now: u64) -> rusqlite::Result<()> {
    let key = params![name.secret_id.as_bytes(), name.version.get().cast_signed()];
    conn.execute("DELETE FROM wrapped_keys WHERE secret_id = ?1 AND version = ?2", key)?;
    conn.execute("DELETE FROM envelopes WHERE secret_id = ?1 AND version = ?2", key)?;
    bury(conn, name, now)
}

fn bury(conn: &Connection, name: VersionName, now: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO tombstones (secret_id, version, environment_id, created_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        name.secret_id.as_bytes(),
        name.version.get().cast_signed(),
        name.environment.as_bytes(),
        now.cast_signed(),
    ])?;
    Ok(())
}
