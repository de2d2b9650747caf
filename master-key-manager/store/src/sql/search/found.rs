//! Secrets as lists show them: read from the rows that the manager wrote, whatever the index says.

use std::collections::HashMap;

use manager_api::kind::{Class, SecretKind};
use manager_api::secrets::SecretStatus;
use manager_registry::{Deletion, RowKey};
use service_runtime::sql::{Param, Row, SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId};

use super::statements::{BATCH, NEXT_SECRETS, SECRETS};
use crate::sql::details;
use crate::sql::environments;
use crate::sql::places::UnverifiedPlace;
use crate::sql::rows::optional_version;
use crate::sql::version_tags::Tagged;
use crate::{Details, ListedDetails, ListedSecret, PlacedSecret, Stages};

const DAY: u64 = 24 * 60 * 60;

/// A secret as its rows say it, of which nothing is used before they are verified.
struct Unverified {
    secret: SecretId,
    place: UnverifiedPlace,
    details: Option<Details>,
    stages: Stages,
    revision: u64,
    created_at: u64,
    updated_at: Option<u64>,
    /// When the current version was made, and when it ends; `None` without one.
    current: Option<(u64, Option<u64>)>,
}

/// Secrets by their ids, those that the manager wrote, in the order of the ids.
pub(super) fn secrets(
    tx: &mut Tx<'_>,
    key: &RowKey,
    known: &mut Environments,
    ids: &[SecretId],
) -> Result<Vec<Option<PlacedListed>>, SqlError> {
    let mut found: HashMap<SecretId, PlacedListed> = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let Some(last) = ids.last() else { continue };
        let places: Vec<&dyn Param> =
            ids.iter().chain(std::iter::repeat(last)).take(BATCH).map(|id| id.as_bytes() as &dyn Param).collect();
        let rows = tx.all(SECRETS, &places, |row| read(row, key))?;
        for row in rows {
            let secret = row.secret;
            if let Some(listed) = verify(tx, key, known, row)? {
                found.insert(secret, listed);
            }
        }
    }
    Ok(ids.iter().map(|id| found.remove(id)).collect())
}

/// The next secrets by their ids, those that the manager wrote, and the last id that was looked at.
pub(super) fn next(
    tx: &mut Tx<'_>,
    key: &RowKey,
    after: Option<SecretId>,
    limit: usize,
) -> Result<(Vec<PlacedListed>, Option<SecretId>), SqlError> {
    let after = after.unwrap_or(SecretId::from_bytes([0; 16]));
    let rows = tx.all(NEXT_SECRETS, &[&after.as_bytes(), &row_limit(limit)], |row| read(row, key))?;
    let last = rows.last().map(|row| row.secret);
    let (mut found, mut known) = (Vec::with_capacity(rows.len()), Environments::default());
    for row in rows {
        found.extend(verify(tx, key, &mut known, row)?);
    }
    Ok((found, last))
}

/// A secret in a list, with the facts that policy decides from.
pub(super) struct PlacedListed {
    pub(super) placed: PlacedSecret,
    pub(super) listed: ListedSecret,
}

/// The environments of a page, and whether each is for development.
#[derive(Default)]
pub(super) struct Environments(Vec<(EnvironmentId, bool)>);

impl Environments {
    /// Tells whether an environment is for development: its secrets are of the lowest class.
    pub(super) fn is_development(
        &mut self,
        tx: &mut Tx<'_>,
        key: &RowKey,
        id: EnvironmentId,
    ) -> Result<bool, SqlError> {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| *known == id) {
            return Ok(*known);
        }
        let found = environments::with_id(tx, key, id)?.is_some_and(|found| found.name.as_str() == "dev");
        self.0.push((id, found));
        Ok(found)
    }
}

/// The time from a version to the next rotation, in seconds: that of the plan of rotation, of the secret, or of its class.
pub(super) fn rotation(details: &Details, class: Class) -> u64 {
    let planned = details.rotation.as_ref().and_then(|plan| plan.every_days);
    u64::from(planned.or(details.rotation_days).unwrap_or(class.rotation_days())) * DAY
}

/// What a description means in an environment.
pub(super) fn meaning(details: &Details, is_development: bool) -> (SecretKind, Class) {
    let kind = details.kind.unwrap_or(SecretKind::Text);
    (kind, details.class.unwrap_or_else(|| Class::default_of(kind, is_development)))
}

/// The state of a secret.
pub(super) fn status(deletion: Option<&Deletion>) -> SecretStatus {
    match deletion {
        None => SecretStatus::Active,
        Some(Deletion { destroyed: true, .. }) => SecretStatus::Destroyed,
        Some(Deletion { destroyed: false, .. }) => SecretStatus::Deleted,
    }
}

fn read(row: &Row<'_>, key: &RowKey) -> Result<Unverified, SqlError> {
    let secret = SecretId::from_bytes(row.get(0)?);
    let stages = Stages {
        current: optional_version(row, 12)?,
        previous: optional_version(row, 13)?,
        pending: optional_version(row, 14)?,
    };
    Ok(Unverified {
        secret,
        place: UnverifiedPlace::read(row, secret, 1)?,
        details: details::read(row, key, secret, 7)?,
        stages,
        revision: row.get(9)?,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
        current: current(row, key, secret)?,
    })
}

/// The current version in the columns from 15 on, if the manager wrote it.
fn current(row: &Row<'_>, key: &RowKey, secret: SecretId) -> Result<Option<(u64, Option<u64>)>, SqlError> {
    let (Some(version), Some(envelope)) = (optional_version(row, 15)?, optional_version(row, 16)?) else {
        return Ok(None);
    };
    let tagged = Tagged::read(row, 17)?;
    let is_own = tagged.fits(key, (secret, version, envelope));
    Ok(is_own.then_some((tagged.created_at, tagged.expires_at)))
}

fn verify(
    tx: &mut Tx<'_>,
    key: &RowKey,
    known: &mut Environments,
    row: Unverified,
) -> Result<Option<PlacedListed>, SqlError> {
    let Some(placed) = row.place.verify(tx, key)? else { return Ok(None) };
    let is_development = known.is_development(tx, key, placed.facts.environment)?;
    let details = row.details.map(|details| {
        let (kind, class) = meaning(&details, is_development);
        ListedDetails { details, kind, class }
    });
    let current = row.current.filter(|_| placed.rules.deletion.is_none());
    let rotated = current
        .zip(details.as_ref())
        .map(|((made, _), details)| made.saturating_add(rotation(&details.details, details.class)));
    let listed = ListedSecret {
        secret: row.secret,
        environment: placed.facts.environment,
        path: placed.facts.path.clone(),
        rules: placed.rules.clone(),
        details,
        stages: row.stages,
        revision: row.revision,
        created_at: row.created_at,
        updated_at: row.updated_at.unwrap_or(row.created_at),
        rotation_due_at: rotated,
        expires_at: current.and_then(|(_, ends)| ends),
    };
    Ok(Some(PlacedListed { placed, listed }))
}
