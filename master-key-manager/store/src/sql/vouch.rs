//! Tags for the rows of a database from before rows had them. An operator vouches for them, once: before its first entry
//! of the registry, or for versions of secrets before the entry that says so.

use manager_registry::{PlaceRow, RowKey};
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId};

use super::identity::label_tag;
use super::registry::newest_number;
use super::version_tags::tag_versions;
use super::{catalogue, environments, events};
use crate::Vouched;

/// Tags up to `limit` rows of each table that have no tag, and returns how many there were. A row with a wrong one keeps
/// it. A database with an entry was written with tags, and gets none.
pub(super) fn vouch(tx: &mut Tx<'_>, key: &RowKey, what: Vouched, limit: usize) -> Result<usize, SqlError> {
    if what == Vouched::Versions {
        return tag_versions(tx, key, limit);
    }
    if newest_number(tx)? > 0 {
        return Ok(0);
    }
    let mut done = secrets(tx, key, limit)?;
    for environment in environments::untagged(tx)? {
        done += 1;
        environments::write_tag(tx, key, &environment)?;
    }
    done += tag_versions(tx, key, limit)?;
    done += labels(tx, key, limit)?;
    done += events::tag_waiting(tx, key, limit)?;
    done += catalogue::tag_repeats(tx, key, limit)?;
    Ok(done)
}

fn secrets(tx: &mut Tx<'_>, key: &RowKey, limit: usize) -> Result<usize, SqlError> {
    let rows: Vec<([u8; 16], [u8; 16], String)> = tx.all(
        "SELECT secret_id, environment_id, path FROM secrets WHERE tag IS NULL AND rules = '' AND number = 0 LIMIT ?1",
        &[&row_limit(limit)],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    for (secret, environment, path) in &rows {
        let (id, environment) = (SecretId::from_bytes(*secret), EnvironmentId::from_bytes(*environment));
        let tag = PlaceRow { secret: id, environment, path, number: 0, since: 0, rules: "" }.tag(key);
        tx.execute("UPDATE secrets SET tag = ?2, since = 0 WHERE secret_id = ?1", &[secret, &tag])?;
    }
    Ok(rows.len())
}

fn labels(tx: &mut Tx<'_>, key: &RowKey, limit: usize) -> Result<usize, SqlError> {
    let rows: Vec<(String, String)> =
        tx.all("SELECT label, subject FROM subjects WHERE tag IS NULL LIMIT ?1", &[&row_limit(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    for (label, subject) in &rows {
        tx.execute("UPDATE subjects SET tag = ?2 WHERE label = ?1", &[label, &label_tag(key, label, subject)])?;
    }
    Ok(rows.len())
}
