//! The catalogue as it stands in the database.

use std::collections::BTreeSet;

use async_trait::async_trait;
use manager_api::integrity::SecretFault;
use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Operate, Permit, Scope};
use manager_registry::RowKey;
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::destruction::{Used, is_used};
use super::places::UnverifiedPlace;
use super::rows::{optional_version, version};
use super::version_tags::Tagged;
use super::{SqlStore, details};
use crate::{
    Acted, CHECKED_AT_ONCE, CatalogueRows, CheckedEnvelope, CheckedVersion, Erasure, IntegrityStore, RowOrigin,
    SecretRow, VersionKey, basis_for, event_name,
};

#[async_trait]
impl IntegrityStore for SqlStore {
    async fn rows_of(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        after: Option<Version>,
    ) -> Acted<CatalogueRows> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.read_as("rows_of", basis, move |tx| rows_of(tx, &key, secret, after)).await
    }

    async fn rows_after(&self, permit: &Permit<Operate>, after: Option<VersionKey>) -> Acted<CatalogueRows> {
        let basis = basis_for(permit, &Scope::Installation)?;
        let key = self.key();
        self.read_as("rows_after", basis, move |tx| rows_after(tx, &key, after)).await
    }
}

/// A version, before its secret and its envelope are looked at.
struct Line {
    secret: SecretId,
    version: Version,
    envelope: Version,
    state: Option<CatalogueState>,
    tagged: Tagged,
}

/// Columns `secret_id, version, envelope, state, note, author, expires_at, created_at, tag`.
fn line(row: &Row<'_>) -> Result<Line, SqlError> {
    Ok(Line {
        secret: SecretId::from_bytes(row.get(0)?),
        version: version(row, 1)?,
        envelope: version(row, 2)?,
        state: state_of(&row.get::<String>(3)?),
        tagged: Tagged::read(row, 4)?,
    })
}

fn state_of(word: &str) -> Option<CatalogueState> {
    match word {
        "pending" => Some(CatalogueState::Pending),
        "committed" => Some(CatalogueState::Committed),
        "abandoned" => Some(CatalogueState::Abandoned),
        "destroyed" => Some(CatalogueState::Destroyed),
        _ => None,
    }
}

fn rows_of(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId, after: Option<Version>) -> Result<CatalogueRows, SqlError> {
    let lines = tx.all(
        "SELECT secret_id, version, envelope, state, note, author, expires_at, created_at, tag FROM versions
         WHERE secret_id = ?1 AND version > ?2 ORDER BY version LIMIT ?3",
        &[&secret.as_bytes(), &after.map_or(0, Version::get), &row_limit(CHECKED_AT_ONCE)],
        line,
    )?;
    let complete_to = end_of_full(&lines);
    let secrets = match after {
        None => secret_row(tx, key, secret)?.into_iter().collect(),
        Some(_) => Vec::new(),
    };
    Ok(CatalogueRows { secrets, versions: checked(tx, key, lines)?, complete_to })
}

fn rows_after(tx: &mut Tx<'_>, key: &RowKey, after: Option<VersionKey>) -> Result<CatalogueRows, SqlError> {
    // Every id is greater than no bytes, and every version than 0.
    let (id, number): (&[u8], u64) =
        after.as_ref().map_or((&[], 0), |(secret, version)| (secret.as_bytes(), version.get()));
    let lines = tx.all(
        "SELECT secret_id, version, envelope, state, note, author, expires_at, created_at, tag FROM versions
         WHERE (secret_id, version) > (?1, ?2) ORDER BY secret_id, version LIMIT ?3",
        &[&id, &number, &row_limit(CHECKED_AT_ONCE)],
        line,
    )?;
    let ids = tx.all(
        "SELECT secret_id FROM secrets WHERE secret_id > ?1 ORDER BY secret_id LIMIT ?2",
        &[&id, &row_limit(CHECKED_AT_ONCE)],
        |row| row.get(0).map(SecretId::from_bytes),
    )?;
    let last_secret = ids.last().filter(|_| ids.len() == CHECKED_AT_ONCE).map(|id| (*id, Version::LAST));
    let complete_to = [end_of_full(&lines), last_secret].into_iter().flatten().min();
    let is_in = |key: VersionKey| complete_to.is_none_or(|end| key <= end);
    let mut secrets = Vec::new();
    for id in ids.into_iter().filter(|id| is_in((*id, Version::FIRST))) {
        secrets.extend(secret_row(tx, key, id)?);
    }
    let lines = lines.into_iter().filter(|line| is_in((line.secret, line.version))).collect();
    Ok(CatalogueRows { secrets, versions: checked(tx, key, lines)?, complete_to })
}

/// The last version of a full page.
fn end_of_full(lines: &[Line]) -> Option<VersionKey> {
    lines.last().filter(|_| lines.len() == CHECKED_AT_ONCE).map(|line| (line.secret, line.version))
}

fn checked(tx: &mut Tx<'_>, key: &RowKey, lines: Vec<Line>) -> Result<Vec<CheckedVersion>, SqlError> {
    let mut all = Vec::with_capacity(lines.len());
    let mut known: Option<(SecretId, Option<EnvironmentId>)> = None;
    for line in lines {
        let environment = match known {
            Some((secret, environment)) if secret == line.secret => environment,
            Some(_) | None => environment_of(tx, key, line.secret)?,
        };
        known = Some((line.secret, environment));
        all.push(checked_version(tx, key, line, environment)?);
    }
    Ok(all)
}

fn checked_version(
    tx: &mut Tx<'_>,
    key: &RowKey,
    line: Line,
    environment: Option<EnvironmentId>,
) -> Result<CheckedVersion, SqlError> {
    let Line { secret, version, envelope, state, tagged } = line;
    let kept = tx.optional(
        "SELECT state, epoch, digest FROM envelopes WHERE secret_id = ?1 AND envelope = ?2",
        &[&secret.as_bytes(), &envelope.get()],
        |row| {
            let state = state_of(&row.get::<String>(0)?);
            Ok(CheckedEnvelope { state, epoch: row.get(1)?, digest: Bytes(row.get(2)?) })
        },
    )?;
    let origin = match &tagged.tag {
        None => RowOrigin::Untagged,
        Some(_) if tagged.fits(key, (secret, version, envelope)) => RowOrigin::Manager,
        Some(_) => RowOrigin::Altered,
    };
    let erasure = match environment {
        Some(environment) => erasure_of(tx, &Event::Destroy(environment, secret, envelope))?,
        None => Erasure::None,
    };
    let is_used = is_used(tx, (secret, envelope), Used::NotDestroyed)?;
    Ok(CheckedVersion { secret, version, environment, state, envelope, origin, kept, erasure, is_used })
}

fn erasure_of(tx: &mut Tx<'_>, event: &Event) -> Result<Erasure, SqlError> {
    let name = event_name::name_of(event);
    let sql = "SELECT seq FROM events WHERE name = ?1 ORDER BY seq LIMIT 1";
    if let Some(number) = tx.optional(sql, &[&name], |row| row.get(0))? {
        return Ok(Erasure::Event(number));
    }
    let waits = tx.exists("SELECT 1 FROM pending_revocations WHERE name = ?1", &[&name])?;
    Ok(if waits { Erasure::Waiting } else { Erasure::None })
}

fn environment_of(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<EnvironmentId>, SqlError> {
    let sql = "SELECT environment_id, path, number, since, rules, tag FROM secrets WHERE secret_id = ?1";
    let found = tx.optional(sql, &[&secret.as_bytes()], |row| UnverifiedPlace::read(row, secret, 0))?;
    Ok(match found {
        Some(found) => found.verify(tx, key)?.map(|placed| placed.facts.environment),
        None => None,
    })
}

fn secret_row(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<SecretRow>, SqlError> {
    let found = tx.optional(
        "SELECT environment_id, path, number, since, rules, tag, details, details_tag,
                current_version, previous_version, pending_version
         FROM secrets WHERE secret_id = ?1",
        &[&secret.as_bytes()],
        |row| {
            let place = UnverifiedPlace::read(row, secret, 0)?;
            let is_described = details::read(row, key, secret, 6)?.is_some();
            let stages = [optional_version(row, 8)?, optional_version(row, 9)?, optional_version(row, 10)?];
            Ok((place, is_described, stages))
        },
    )?;
    let Some((place, is_described, stages)) = found else { return Ok(None) };
    let mut faults = Vec::new();
    if place.verify(tx, key)?.is_none() {
        faults.push(SecretFault::PlaceAltered);
    }
    if !is_described {
        faults.push(SecretFault::DescriptionAltered);
    }
    for staged in stages.into_iter().flatten().collect::<BTreeSet<Version>>() {
        let sql = "SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2 AND state = 'committed'";
        if !tx.exists(sql, &[&secret.as_bytes(), &staged.get()])? {
            faults.push(SecretFault::StageWithoutVersion);
            break;
        }
    }
    Ok(Some(SecretRow { secret, faults }))
}
