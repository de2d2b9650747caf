//! Places of secrets: the environment, the path and the rules that decisions are made from. No row gives one unless its tag
//! fits, and it has the number of the newest change.
//!
//! Guarantees that a secret has the place that the manager gave it last, or none: an attacker with write access to the
//! database cannot move it to where he may read, put it in the place of another one, or put back where it was.

use manager_api::name::SecretPath;
use manager_registry::{PlaceRow, RowKey, RowTag, SecretRules};
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::Rejected;
use shared_proto::id::{EnvironmentId, SecretId};

use super::registry::newest_number;
use crate::{NewPlace, PlacedSecret};

/// A secret at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// None.
    Nothing,
    /// This one.
    Secret(SecretId),
    /// A row that the manager did not write. It keeps the path from others.
    Unfit,
}

/// The columns of a row, of which nothing is used before it is verified.
pub(super) struct UnverifiedPlace {
    secret: SecretId,
    environment: EnvironmentId,
    path: String,
    number: u64,
    since: u64,
    rules: String,
    tag: Option<RowTag>,
}

impl UnverifiedPlace {
    /// The columns `environment_id, path, number, since, rules, tag`, from `first` on.
    pub(super) fn read(row: &Row<'_>, secret: SecretId, first: usize) -> Result<Self, SqlError> {
        Ok(Self {
            secret,
            environment: EnvironmentId::from_bytes(row.get(first)?),
            path: row.get(first + 1)?,
            number: row.get(first + 2)?,
            since: row.get(first + 3)?,
            rules: row.get(first + 4)?,
            tag: row.get(first + 5)?,
        })
    }

    /// The secret; `None` if it has a place that the manager did not give it last.
    pub(super) fn verify(&self, tx: &mut Tx<'_>, key: &RowKey) -> Result<Option<PlacedSecret>, SqlError> {
        let Self { secret, environment, path, number, since, rules, tag } = self;
        let row = PlaceRow { secret: *secret, environment: *environment, path, number: *number, since: *since, rules };
        let newest = || newest_number(tx).map_err(Unverified::Sql);
        match row.verified(key, tag.as_ref(), newest) {
            Ok(found) => Ok(found.map(|(facts, rules)| PlacedSecret { facts, rules })),
            Err(Unverified::Sql(error)) => Err(error),
            Err(Unverified::Unreadable) => Err(SqlError::unreadable()),
        }
    }
}

/// The reason why a row cannot be verified.
enum Unverified {
    Sql(SqlError),
    Unreadable,
}

impl From<Rejected> for Unverified {
    fn from(Rejected: Rejected) -> Self {
        Self::Unreadable
    }
}

/// A secret; `None` for one that is unknown, or has a place that the manager did not give it.
pub(super) fn placed(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<PlacedSecret>, SqlError> {
    let sql = "SELECT environment_id, path, number, since, rules, tag FROM secrets WHERE secret_id = ?1";
    let found = tx.optional(sql, &[&secret.as_bytes()], |row| UnverifiedPlace::read(row, secret, 0))?;
    verified_or_as_if(tx, key, secret, found)
}

/// The secret of a row that was looked for. It takes about as long for one that is not there.
pub(super) fn verified_or_as_if(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    found: Option<UnverifiedPlace>,
) -> Result<Option<PlacedSecret>, SqlError> {
    let Some(found) = found else {
        as_if_found(key, secret);
        return Ok(None);
    };
    found.verify(tx, key)
}

/// The work of a place that is found, for a secret that is not there: it looks like one that the caller may not see, and takes
/// about as long.
pub(super) fn as_if_found(key: &RowKey, secret: SecretId) {
    let (environment, path) = (EnvironmentId::from_bytes([0; 16]), SecretPath::unnamed(secret));
    let row = PlaceRow { secret, environment, path: path.as_str(), number: 0, since: 0, rules: "" };
    std::hint::black_box((row.tag(key), SecretPath::parse(path.as_str()).is_ok()));
}

/// The secret at a place; `None` if there is none, or one that the manager did not put there.
pub(super) fn placed_at(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (environment, path): &(EnvironmentId, SecretPath),
) -> Result<Option<PlacedSecret>, SqlError> {
    let found = row_at(tx, *environment, path)?;
    verified_or_as_if(tx, key, SecretId::from_bytes([0; 16]), found)
}

fn row_at(tx: &mut Tx<'_>, environment: EnvironmentId, path: &SecretPath) -> Result<Option<UnverifiedPlace>, SqlError> {
    tx.optional(
        "SELECT secret_id, environment_id, path, number, since, rules, tag FROM secrets
         WHERE environment_id = ?1 AND path = ?2",
        &[&environment.as_bytes(), &path.as_str()],
        |row| UnverifiedPlace::read(row, SecretId::from_bytes(row.get(0)?), 1),
    )
}

/// The secret at a path.
pub(super) fn secret_at(
    tx: &mut Tx<'_>,
    key: &RowKey,
    environment: EnvironmentId,
    path: &SecretPath,
) -> Result<At, SqlError> {
    let Some(found) = row_at(tx, environment, path)? else { return Ok(At::Nothing) };
    Ok(found.verify(tx, key)?.map_or(At::Unfit, |secret| At::Secret(secret.facts.id)))
}

/// True if a secret has the path that the dots of this one stand for, or is one whose dots stand for this one. A reader
/// who means one of them would get the other.
pub(super) fn has_other_reading(
    tx: &mut Tx<'_>,
    key: &RowKey,
    environment: EnvironmentId,
    path: &SecretPath,
    own: SecretId,
) -> Result<bool, SqlError> {
    let Some(other) = path.from_dots().or_else(|| path.to_dots()) else { return Ok(false) };
    let at = secret_at(tx, key, environment, &other)?;
    Ok(at != At::Nothing && at != At::Secret(own))
}

/// Gives a secret its place and its rules, with the number of the entry that does it; 0 for none. One whose id or path exists
/// stays as it is.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, environment): (SecretId, EnvironmentId),
    (path, rules): (&SecretPath, &SecretRules),
    (number, now): (u64, u64),
) -> Result<(), SqlError> {
    let (text, has_retention) = columns(rules)?;
    let since = if number == 0 { known_since(tx, key)? } else { 0 };
    let tag = PlaceRow { secret, environment, path: path.as_str(), number, since, rules: &text }.tag(key);
    let (id, environment, path) = (secret.as_bytes(), environment.as_bytes(), path.as_str());
    tx.execute(
        "INSERT INTO secrets (secret_id, environment_id, path, number, since, rules, tag, created_at, has_retention,
             erase_at, prune_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        &[
            &id,
            &environment,
            &path,
            &number,
            &since,
            &text,
            &tag,
            &now,
            &has_retention,
            &rules.erase_at(),
            &rules.prune_at(),
        ],
    )
    .map(|_rows| ())
}

/// The columns `rules` and `has_retention`.
fn columns(rules: &SecretRules) -> Result<(String, u64), SqlError> {
    Ok((rules.write().map_err(|_| SqlError::unreadable())?, u64::from(rules.retention.is_some())))
}

/// The number of the newest change of a secret's place, as its row says it; `None` for an unknown one.
pub(super) fn number_of(tx: &mut Tx<'_>, secret: SecretId) -> Result<Option<u64>, SqlError> {
    let sql = "SELECT number FROM secrets WHERE secret_id = ?1";
    tx.optional(sql, &[&secret.as_bytes()], |row| row.get(0))
}

/// Gives a secret another place or other rules, with the number of their entry.
pub(super) fn replace(tx: &mut Tx<'_>, key: &RowKey, new: &NewPlace, number: u64) -> Result<(), SqlError> {
    let (rules, has_retention) = columns(&new.rules)?;
    let (secret, environment, path) = (new.secret, new.environment, new.path.as_str());
    let row = PlaceRow { secret, environment, path, number, since: 0, rules: &rules };
    tx.execute(
        "UPDATE secrets SET path = ?2, number = ?3, since = 0, rules = ?4, tag = ?5, erase_at = ?6, has_retention = ?7,
             prune_at = ?8, revision = revision + 1 WHERE secret_id = ?1",
        &[
            &secret.as_bytes(),
            &path,
            &number,
            &rules,
            &row.tag(key),
            &new.rules.erase_at(),
            &has_retention,
            &new.rules.prune_at(),
        ],
    )
    .map(|_rows| ())
}

/// The number of the registry for a row that is written now. It is verified: one that somebody planted would let a row count for longer.
/// It is read in the transaction, too, so that the row is in one order with the entries of the registry.
fn known_since(tx: &mut Tx<'_>, key: &RowKey) -> Result<u64, SqlError> {
    Ok(newest_number(tx)?.min(key.verified_number()))
}

/// Renews the rows behind a secret, up to `limit` of all, that have no change and are older than a number of the registry. Returns
/// the last one that it has looked at; `None` after the last of all. A row that does not count is not renewed.
pub(super) fn renew(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (after, floor): (Option<SecretId>, u64),
    limit: usize,
) -> Result<Option<SecretId>, SqlError> {
    // Every id is greater than no bytes.
    let id: &[u8] = after.as_ref().map_or(&[], |last| last.as_bytes());
    let rows = tx.all(
        "SELECT secret_id, environment_id, path, number, since, rules, tag FROM secrets
         WHERE secret_id > ?1 ORDER BY secret_id LIMIT ?2",
        &[&id, &row_limit(limit)],
        |row| UnverifiedPlace::read(row, SecretId::from_bytes(row.get(0)?), 1),
    )?;
    let last = rows.last().map(|row| row.secret);
    let since = known_since(tx, key)?;
    for row in rows.into_iter().filter(|row| row.number == 0 && row.since < floor) {
        if row.verify(tx, key)?.is_none() {
            continue;
        }
        let UnverifiedPlace { secret, environment, path, rules, .. } = &row;
        let tag = PlaceRow { secret: *secret, environment: *environment, path, number: 0, since, rules }.tag(key);
        let sql = "UPDATE secrets SET since = ?2, tag = ?3 WHERE secret_id = ?1";
        tx.execute(sql, &[&secret.as_bytes(), &since, &tag])?;
    }
    Ok(last)
}
