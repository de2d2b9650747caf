//! Stages: names that point to committed versions of a secret.
//!
//! `current` is what a reader gets who names no version, `previous` is what `current` was before, and `pending` is on its way
//! to become `current`. A version gets its stage in the transaction that commits it.

use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{SecretId, Version};

use super::rows::optional_version;
use super::search::index;
use crate::Stages;

/// The versions of a secret that have a stage; none of an unknown one.
pub(super) fn of(tx: &mut Tx<'_>, secret: SecretId) -> Result<Stages, SqlError> {
    let sql = "SELECT current_version, previous_version, pending_version FROM secrets WHERE secret_id = ?1";
    let found = tx.optional(sql, &[&secret.as_bytes()], |row| {
        let (current, previous) = (optional_version(row, 0)?, optional_version(row, 1)?);
        Ok(Stages { current, previous, pending: optional_version(row, 2)? })
    })?;
    Ok(found.unwrap_or_default())
}

/// Gives `previous` to a version.
pub(super) fn give_previous(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<(), SqlError> {
    let sql = "UPDATE secrets SET previous_version = ?2 WHERE secret_id = ?1";
    tx.execute(sql, &[&secret.as_bytes(), &version.get()])?;
    index::moved(tx, secret)
}

/// Takes `previous` and `pending` away from a version. No other one gets them.
pub(super) fn take(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<(), SqlError> {
    for statement in [
        "UPDATE secrets SET previous_version = NULL WHERE secret_id = ?1 AND previous_version = ?2",
        "UPDATE secrets SET pending_version = NULL WHERE secret_id = ?1 AND pending_version = ?2",
    ] {
        tx.execute(statement, &[&secret.as_bytes(), &version.get()])?;
    }
    index::moved(tx, secret)
}

/// Gives a version that was committed now the stage that it was begun with. One with a lower number than the version that has
/// the stage does not get it.
pub(super) fn advance(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<(), SqlError> {
    let sql = "SELECT stage FROM versions WHERE secret_id = ?1 AND version = ?2";
    let stage: Option<String> = tx.optional(sql, &[&secret.as_bytes(), &version.get()], |row| row.get(0))?;
    let statement = match stage.as_deref() {
        None => return Ok(()),
        Some("current") => {
            "UPDATE secrets SET previous_version = current_version, current_version = ?2
             WHERE secret_id = ?1 AND (current_version IS NULL OR current_version < ?2)"
        }
        Some("pending") => {
            "UPDATE secrets SET pending_version = ?2
             WHERE secret_id = ?1 AND (pending_version IS NULL OR pending_version < ?2)"
        }
        Some(_) => return Err(SqlError::unreadable()),
    };
    tx.execute(statement, &[&secret.as_bytes(), &version.get()])?;
    index::moved(tx, secret)
}

/// A version that was pending has become current, and `current` may fall back to it.
pub(super) fn promoted(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<(), SqlError> {
    let sql = "UPDATE versions SET stage = 'current' WHERE secret_id = ?1 AND version = ?2";
    tx.execute(sql, &[&secret.as_bytes(), &version.get()]).map(|_rows| ())
}

/// Takes stages away from versions that are no longer committed. `current` and `previous` fall back to the newest committed
/// versions before them, but to none that was begun as pending and never promoted: it waits, or was given up. A `previous` that was
/// taken away stays so.
pub(super) fn mend(tx: &mut Tx<'_>, secret: SecretId) -> Result<(), SqlError> {
    for statement in [
        "UPDATE secrets SET pending_version = NULL WHERE secret_id = ?1 AND NOT EXISTS (
             SELECT 1 FROM versions v WHERE v.secret_id = secrets.secret_id AND v.version = secrets.pending_version
             AND v.state = 'committed')",
        "UPDATE secrets SET current_version = (
             SELECT MAX(v.version) FROM versions v WHERE v.secret_id = secrets.secret_id AND v.state = 'committed'
             AND v.version <> COALESCE(secrets.pending_version, 0) AND v.stage <> 'pending'
             AND v.version < COALESCE(secrets.current_version, 9223372036854775807))
         WHERE secret_id = ?1 AND NOT EXISTS (
             SELECT 1 FROM versions v WHERE v.secret_id = secrets.secret_id AND v.version = secrets.current_version
             AND v.state = 'committed')",
        "UPDATE secrets SET previous_version = (
             SELECT MAX(v.version) FROM versions v WHERE v.secret_id = secrets.secret_id AND v.state = 'committed'
             AND v.version < secrets.current_version AND v.version <> COALESCE(secrets.pending_version, 0)
             AND v.stage <> 'pending')
         WHERE secret_id = ?1 AND previous_version IS NOT NULL AND (previous_version = current_version OR NOT EXISTS (
             SELECT 1 FROM versions v WHERE v.secret_id = secrets.secret_id AND v.version = secrets.previous_version
             AND v.state = 'committed'))",
    ] {
        tx.execute(statement, &[&secret.as_bytes()])?;
    }
    index::moved(tx, secret)
}
