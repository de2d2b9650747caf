//! Places of secrets: the environment and the path that decisions are made from. No row gives one unless its tag fits.
//!
//! Guarantees that a secret has the place that the manager gave it, or none: an attacker with write access to the database
//! cannot move it to where he may read, or put it in the place of another one.

use manager_api::name::SecretPath;
use manager_api::tags::Tags;
use manager_policy::SecretFacts;
use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::sql::{Row, SqlError, Tx};
use shared_proto::id::{EnvironmentId, SecretId};

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

/// The facts about a secret; `None` for one that is unknown, or has a place that the manager did not give it.
pub(super) fn facts_of(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<SecretFacts>, SqlError> {
    let sql = "SELECT environment_id, path, tag FROM secrets WHERE secret_id = ?1";
    let found = tx.optional(sql, &[&secret.as_bytes()], |row| facts(row, key, secret, 0))?;
    if found.is_none() {
        as_if_found(key, secret);
    }
    Ok(found.flatten())
}

/// The work of a place that is found, for a secret that is not there: it looks like one that the caller may not see, and takes
/// about as long.
pub(super) fn as_if_found(key: &RowKey, secret: SecretId) {
    let (nowhere, path) = (EnvironmentId::from_bytes([0; 16]), SecretPath::unnamed(secret));
    std::hint::black_box((tag(key, secret, nowhere, path.as_str()), SecretPath::parse(path.as_str()).is_ok()));
}

/// The facts in the columns `environment_id, path, tag` of a secret, from `first` on.
pub(super) fn facts(
    row: &Row<'_>,
    key: &RowKey,
    secret: SecretId,
    first: usize,
) -> Result<Option<SecretFacts>, SqlError> {
    let environment = EnvironmentId::from_bytes(row.get(first)?);
    facts_with(row, key, (secret, environment), first + 1)
}

/// The same with the columns `path, tag`.
pub(super) fn facts_with(
    row: &Row<'_>,
    key: &RowKey,
    (secret, environment): (SecretId, EnvironmentId),
    first: usize,
) -> Result<Option<SecretFacts>, SqlError> {
    let (path, tag): (String, Option<RowTag>) = (row.get(first)?, row.get(first + 1)?);
    if !key.fits(RowKind::Place, secret, &[secret.as_bytes(), environment.as_bytes(), path.as_bytes()], tag.as_ref()) {
        return Ok(None);
    }
    let path = SecretPath::parse(path).map_err(|_| SqlError::unreadable())?;
    Ok(Some(SecretFacts { id: secret, environment, path, tags: Tags::default(), service_only: false }))
}

/// The facts about the secret at a place; `None` if there is none, or one that the manager did not put there.
pub(super) fn facts_at(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (environment, path): &(EnvironmentId, SecretPath),
) -> Result<Option<SecretFacts>, SqlError> {
    let found = tx.optional(
        "SELECT secret_id, environment_id, path, tag FROM secrets WHERE environment_id = ?1 AND path = ?2",
        &[&environment.as_bytes(), &path.as_str()],
        |row| facts(row, key, SecretId::from_bytes(row.get(0)?), 1),
    )?;
    if found.is_none() {
        as_if_found(key, SecretId::from_bytes([0; 16]));
    }
    Ok(found.flatten())
}

/// The secret at a path.
pub(super) fn secret_at(
    tx: &mut Tx<'_>,
    key: &RowKey,
    environment: EnvironmentId,
    path: &SecretPath,
) -> Result<At, SqlError> {
    let found = tx.optional(
        "SELECT secret_id, environment_id, path, tag FROM secrets WHERE environment_id = ?1 AND path = ?2",
        &[&environment.as_bytes(), &path.as_str()],
        |row| {
            let secret = SecretId::from_bytes(row.get(0)?);
            Ok(facts(row, key, secret, 1)?.map_or(At::Unfit, |_| At::Secret(secret)))
        },
    )?;
    Ok(found.unwrap_or(At::Nothing))
}

/// Gives a secret its place. One whose id or path exists stays as it is.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, environment): (SecretId, EnvironmentId),
    path: &SecretPath,
    now: u64,
) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO secrets (secret_id, environment_id, path, tag, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        &[
            &secret.as_bytes(),
            &environment.as_bytes(),
            &path.as_str(),
            &tag(key, secret, environment, path.as_str()),
            &now,
        ],
    )
    .map(|_rows| ())
}

pub(super) fn tag(key: &RowKey, secret: SecretId, environment: EnvironmentId, path: &str) -> RowTag {
    key.tag(RowKind::Place, &[secret.as_bytes(), environment.as_bytes(), path.as_bytes()])
}
