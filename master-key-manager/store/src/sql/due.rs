//! Times at which secrets are due for their next rotation.
//!
//! The column `rotation_due_at` is for search alone. What is shown is computed again from the verified description.

use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::rows::version;
use super::{details, environments};

/// The current version of a secret, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) version: Version,
    pub(super) due_at: u64,
}

/// When a secret is due for its next rotation; `None` for one without a current version.
pub(super) fn of(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, environment): (SecretId, EnvironmentId),
) -> Result<Option<Due>, SqlError> {
    let made: Option<(Version, u64)> = tx.optional(
        "SELECT v.version, v.created_at FROM secrets s
         JOIN versions v ON v.secret_id = s.secret_id AND v.version = s.current_version WHERE s.secret_id = ?1",
        &[&secret.as_bytes()],
        |row| Ok((version(row, 0)?, row.get(1)?)),
    )?;
    let Some((version, made_at)) = made else { return Ok(None) };
    let Some(environment) = environments::with_id(tx, key, environment)? else { return Ok(None) };
    let details = details::of(tx, key, secret)?.unwrap_or_default();
    Ok(Some(Due { version, due_at: details.rotation_due_at(&environment.name, made_at) }))
}

/// Writes the time for search, after the current version or the description has changed.
pub(super) fn refresh(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<(), SqlError> {
    let sql = "SELECT environment_id FROM secrets WHERE secret_id = ?1";
    let Some(environment) = tx.optional(sql, &[&secret.as_bytes()], |row| row.get(0).map(EnvironmentId::from_bytes))?
    else {
        return Ok(());
    };
    let due_at = of(tx, key, (secret, environment))?.map(|due| due.due_at);
    let sql = "UPDATE secrets SET rotation_due_at = ?2 WHERE secret_id = ?1";
    tx.execute(sql, &[&secret.as_bytes(), &due_at]).map(|_rows| ())
}
