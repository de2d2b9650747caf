//! Conversion between columns and types. A row that does not fit its type is an error, never a guess.

use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use service_runtime::sql::{self, SqlError, Tx};
use shared_proto::chain::ChainHead;
use shared_proto::encoding::Bytes;
use shared_proto::event::{EventHash, NO_EVENT};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use crate::store::{SecretState, StoredEvent, VersionRow, event_name};

/// The error for a row that does not fit its type.
pub(super) fn unreadable() -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(0, String::new(), Type::Null)
}

/// SQLite's integers are signed; those of the store stay below 2^53.
pub(super) fn integer(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|_| unreadable())
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| unreadable())
}

pub(super) fn text<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get::<_, String>(column)?.parse().map_err(|_| unreadable())
}

pub(super) fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<Version> {
    Version::new(unsigned(row, column)?).map_err(|_| unreadable())
}

pub(super) fn path(row: &Row<'_>, column: usize) -> rusqlite::Result<SecretPath> {
    SecretPath::parse(row.get::<_, String>(column)?).map_err(|_| unreadable())
}

pub(super) fn state_word(state: CatalogueState) -> &'static str {
    match state {
        CatalogueState::Pending => "pending",
        CatalogueState::Committed => "committed",
        CatalogueState::Abandoned => "abandoned",
        CatalogueState::Destroyed => "destroyed",
    }
}

pub(super) fn state(row: &sql::Row<'_>, column: usize) -> Result<CatalogueState, SqlError> {
    match row.get::<String>(column)?.as_str() {
        "pending" => Ok(CatalogueState::Pending),
        "committed" => Ok(CatalogueState::Committed),
        "abandoned" => Ok(CatalogueState::Abandoned),
        "destroyed" => Ok(CatalogueState::Destroyed),
        _ => Err(SqlError::unreadable()),
    }
}

/// Columns `secret_id, environment_id, version, state, epoch, digest`.
pub(super) fn version_row(row: &sql::Row<'_>) -> Result<VersionRow, SqlError> {
    Ok(VersionRow {
        secret: SecretId::from_bytes(row.get(0)?),
        environment: EnvironmentId::from_bytes(row.get(1)?),
        version: Version::new(row.get(2)?).map_err(|_| SqlError::unreadable())?,
        state: state(row, 3)?,
        epoch: row.get(4)?,
        digest: Bytes(row.get(5)?),
    })
}

/// The same for a query on the connection.
pub(super) fn version_line(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    Ok(version_row(&sql::Row::of(row))?)
}

/// Columns `seq, name, compact, hash, issued_at, lasting`.
pub(super) fn event_row(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        sequence: unsigned(row, 0)?,
        event: event_name::event_of(&row.get::<_, String>(1)?).map_err(|_| unreadable())?,
        compact: row.get(2)?,
        hash: Bytes(row.get(3)?),
        issued_at: unsigned(row, 4)?,
        may_be_dropped: row.get::<_, Option<bool>>(5)? == Some(false),
    })
}

pub(super) fn newest_event(tx: &mut Tx<'_>) -> Result<(u64, EventHash), SqlError> {
    let newest = tx.optional("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1", &[], |row| {
        Ok((row.get(0)?, Bytes(row.get(1)?)))
    })?;
    Ok(newest.unwrap_or((0, NO_EVENT)))
}

/// The end of the chain.
pub(super) fn chain_head(conn: &Connection) -> rusqlite::Result<ChainHead> {
    let (number, hash) = newest_event(&mut Tx::on(conn))?;
    let lasting = conn
        .prepare_cached("SELECT hash FROM events WHERE lasting = 1 ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0).map(Bytes))
        .optional()?;
    Ok(ChainHead { number, hash, lasting: lasting.unwrap_or(NO_EVENT) })
}

pub(super) fn one_version(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<Option<VersionRow>, SqlError> {
    tx.optional(
        "SELECT v.secret_id, s.environment_id, v.version, v.state, v.epoch, v.digest
         FROM versions v JOIN secrets s ON s.secret_id = v.secret_id WHERE v.secret_id = ?1 AND v.version = ?2",
        &[&secret.as_bytes(), &version.get()],
        version_row,
    )
}

pub(super) fn secret_state(conn: &Connection, secret: SecretId) -> rusqlite::Result<Option<SecretState>> {
    let found = conn
        .prepare_cached("SELECT environment_id, path, created_at FROM secrets WHERE secret_id = ?1")?
        .query_row([secret.as_bytes()], |row| {
            Ok((EnvironmentId::from_bytes(row.get(0)?), path(row, 1)?, unsigned(row, 2)?))
        })
        .optional()?;
    let Some((environment, path, created_at)) = found else { return Ok(None) };
    let last = conn
        .prepare_cached("SELECT version FROM versions WHERE secret_id = ?1 ORDER BY version DESC LIMIT 1")?
        .query_row([secret.as_bytes()], |row| version(row, 0))
        .optional()?;
    let pending = conn
        .prepare_cached(
            "SELECT v.secret_id, s.environment_id, v.version, v.state, v.epoch, v.digest
             FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
             WHERE v.secret_id = ?1 AND v.state = 'pending' ORDER BY v.version",
        )?
        .query_map([secret.as_bytes()], version_line)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(SecretState { secret, environment, path, created_at, last, pending }))
}
