//! Times at which secrets are due for their next rotation.
//!
//! The column `rotation_due_at` is for search alone. What is shown is computed again from the verified description.

use manager_policy::Visible;
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::rows::version;
use super::search::within::{Walk, Within};
use super::{details, environments, places};
use crate::{Bounds, DuePage, DuePlace, DueSecret};

/// Rows that are due, in their order: behind a time and an id, before another time.
const WALK: Walk = Walk {
    within: "SELECT s.rotation_due_at, s.secret_id, i.environment_id, i.path FROM search_secrets i CROSS JOIN secrets s
         WHERE i.environment_id = ?1 AND i.path >= ?2 AND i.path < ?3 AND s.secret_id = i.secret_id
             AND s.rotation_due_at < ?6 AND (s.rotation_due_at > ?4 OR (s.rotation_due_at = ?4 AND s.secret_id > ?5))
         ORDER BY s.rotation_due_at, s.secret_id LIMIT ?7",
    along: "SELECT rotation_due_at, secret_id, environment_id, path FROM secrets
         WHERE rotation_due_at < ?3 AND (rotation_due_at > ?1 OR (rotation_due_at = ?1 AND secret_id > ?2))
         ORDER BY rotation_due_at, secret_id LIMIT ?4",
    columns: 2,
};

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

/// A page of what is due from one time to before another one.
pub(super) fn page(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (visible, bounds): (&Visible, Bounds),
    ((from, before), after): ((u64, u64), Option<DuePlace>),
    limit: usize,
) -> Result<DuePage, SqlError> {
    let after = after.unwrap_or(DuePlace { due_at: from, secret: SecretId::from_bytes([0; 16]) });
    let within = Within::of(tx, visible, None, bounds)?;
    let found = within.read(tx, WALK, &[&after.due_at, &after.secret.as_bytes(), &before], |row| {
        Ok((DuePlace { due_at: row.get(0)?, secret: SecretId::from_bytes(row.get(1)?) }, ()))
    })?;
    let (secrets, next) = found.page(limit, |place, ()| {
        let placed = places::placed(tx, key, place.secret)?.filter(|found| found.rules.deletion.is_none());
        let Some(facts) = placed.map(|found| found.facts).filter(|facts| visible.shows(facts)) else {
            return Ok(None);
        };
        let due = of(tx, key, (facts.id, facts.environment))?.filter(|due| (from..before).contains(&due.due_at));
        let (secret, environment, path) = (facts.id, facts.environment, facts.path);
        Ok(due.map(|Due { version, due_at }| DueSecret { secret, environment, path, version, due_at }))
    })?;
    Ok(DuePage { secrets, next })
}
