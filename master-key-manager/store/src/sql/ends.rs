//! Ends of versions, of which only those count that the manager wrote.

use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::EnvironmentId;

use super::version_tags::Tagged;
use crate::{Ending, Expired, Expiry, VersionRow};

/// The end of a version.
pub(super) fn expiry(tx: &mut Tx<'_>, key: &RowKey, row: &VersionRow) -> Result<Expiry, SqlError> {
    let sql = "SELECT note, author, expires_at, created_at, tag FROM versions WHERE secret_id = ?1 AND version = ?2";
    let found = tx.optional(sql, &[&row.secret.as_bytes(), &row.version.get()], |row| Tagged::read(row, 0))?;
    let pointer = (row.secret, row.version, row.envelope);
    Ok(found.map_or(Expiry::Unverified, |tagged| tagged.expires_at(key, pointer)))
}

/// The ends of versions, and the time that a token for them must not outlive.
pub(super) type Ends = (Vec<Ending>, Option<u64>);

/// The ends of versions of an environment that a token is to open, and the time that it must not outlive.
pub(super) fn of_token(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (environment, versions): (EnvironmentId, &[VersionRow]),
    now: u64,
) -> Result<Result<Ends, Expired>, SqlError> {
    let refuses = key.refuses_expired(environment);
    let (mut endings, mut until): (Vec<Ending>, Option<u64>) = (Vec::with_capacity(versions.len()), None);
    for row in versions {
        let found = expiry(tx, key, row)?;
        if refuses {
            match found.after(now) {
                Ok(end) => until = until.into_iter().chain(end).min(),
                Err(expired) => return Ok(Err(expired)),
            }
        }
        endings.push(found.told_at(now));
    }
    Ok(Ok((endings, until)))
}
