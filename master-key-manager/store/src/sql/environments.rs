//! Environments and their settings.

use async_trait::async_trait;
use manager_api::name::{DisplayName, EnvironmentName};
use manager_policy::{KnownEnvironments, ManageEnvironments, Permit, Scope};
use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::sql::{Row, SqlError, Tx};
use shared_proto::event::Event;
use shared_proto::id::EnvironmentId;

use super::SqlStore;
use super::events::was_decided;
use crate::{
    Acted, Closed, CreateOutcome, Environment, EnvironmentChange, EnvironmentStore, MAX_ENVIRONMENTS, NewEnvironment,
    Stored, basis_for,
};

#[async_trait]
impl EnvironmentStore for SqlStore {
    async fn environments(&self) -> Stored<Vec<Environment>> {
        let key = self.key();
        self.sql.read("environments", move |tx| environments(tx, &key)).await
    }

    async fn environment_page(
        &self,
        known: &KnownEnvironments,
        after: Option<EnvironmentName>,
        limit: usize,
    ) -> Acted<Vec<Environment>> {
        let (key, known) = (self.key(), known.clone());
        self.read_as("environment_page", known.basis(), move |tx| {
            // There are few, so that all of them are read.
            let all = environments(tx, &key)?.into_iter().filter(|one| known.contain(one.id));
            Ok(all.filter(|one| after.as_ref().is_none_or(|after| one.name > *after)).take(limit).collect())
        })
        .await
    }

    async fn environment(&self, known: &KnownEnvironments, environment: EnvironmentId) -> Acted<Option<Environment>> {
        let (key, is_known) = (self.key(), known.contain(environment));
        let read = move |tx: &mut Tx<'_>| if is_known { with_id(tx, &key, environment) } else { Ok(None) };
        self.read_as("environment", known.basis(), read).await
    }

    async fn create_environment(
        &self,
        permit: &Permit<ManageEnvironments>,
        new: NewEnvironment,
    ) -> Acted<CreateOutcome> {
        let basis = basis_for(permit, &Scope::Installation)?;
        let key = self.key();
        self.write_as("create_environment", basis, move |tx| create(tx, &key, &new)).await
    }

    async fn change_environment(
        &self,
        permit: &Permit<ManageEnvironments>,
        environment: EnvironmentId,
        change: EnvironmentChange,
    ) -> Acted<Option<Environment>> {
        let basis = basis_for(permit, &Scope::Environment(environment))?;
        let key = self.key();
        self.write_as("change_environment", basis, move |tx| {
            let Some(mut found) = with_id(tx, &key, environment)? else { return Ok(None) };
            change.clone().apply(&mut found);
            update(tx, &key, &found)?;
            Ok(Some(found))
        })
        .await
    }
}

pub(super) fn environments(tx: &mut Tx<'_>, key: &RowKey) -> Result<Vec<Environment>, SqlError> {
    tx.all(
        "SELECT environment_id, name, display_name, ordinal, max_token_life_seconds, frozen_at, disabled_at, created_at,
             tag
         FROM environments ORDER BY name",
        &[],
        |row| environment_row(row, key),
    )
}

pub(super) fn with_id(
    tx: &mut Tx<'_>,
    key: &RowKey,
    environment: EnvironmentId,
) -> Result<Option<Environment>, SqlError> {
    tx.optional(
        "SELECT environment_id, name, display_name, ordinal, max_token_life_seconds, frozen_at, disabled_at, created_at,
             tag
         FROM environments WHERE environment_id = ?1",
        &[&environment.as_bytes()],
        |row| environment_row(row, key),
    )
}

/// Those without a tag.
pub(super) fn untagged(tx: &mut Tx<'_>) -> Result<Vec<Environment>, SqlError> {
    tx.all(
        "SELECT environment_id, name, display_name, ordinal, max_token_life_seconds, frozen_at, disabled_at, created_at
         FROM environments WHERE tag IS NULL",
        &[],
        untagged_row,
    )
}

/// An environment, if it is what the manager wrote. Without its row nothing of it can be decided.
fn environment_row(row: &Row<'_>, key: &RowKey) -> Result<Environment, SqlError> {
    let (found, tag): (Environment, Option<RowTag>) = (untagged_row(row)?, row.get(8)?);
    let fits = with_parts(&found, |parts| key.fits(RowKind::Environment, found.id, parts, tag.as_ref()));
    if fits { Ok(found) } else { Err(SqlError::unreadable()) }
}

fn untagged_row(row: &Row<'_>) -> Result<Environment, SqlError> {
    Ok(Environment {
        id: EnvironmentId::from_bytes(row.get(0)?),
        name: EnvironmentName::parse(row.get::<String>(1)?).map_err(|_| SqlError::unreadable())?,
        display_name: DisplayName::parse(row.get::<String>(2)?).map_err(|_| SqlError::unreadable())?,
        ordinal: row.get(3)?,
        max_token_life_seconds: row.get(4)?,
        frozen_at: row.get(5)?,
        disabled_at: row.get(6)?,
        created_at: row.get(7)?,
    })
}

fn create(tx: &mut Tx<'_>, key: &RowKey, new: &NewEnvironment) -> Result<CreateOutcome, SqlError> {
    let (count, last): (u64, u32) =
        tx.one("SELECT count(*), COALESCE(MAX(ordinal), 0) FROM environments", &[], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if count >= MAX_ENVIRONMENTS {
        return Ok(CreateOutcome::Full);
    }
    let environment = Environment {
        display_name: new.display_name.clone(),
        max_token_life_seconds: new.max_token_life_seconds,
        ..Environment::new(new.id, new.name.clone(), last.saturating_add(1), new.now)
    };
    if !insert(tx, key, &environment)? {
        return Ok(CreateOutcome::Taken);
    }
    // One that is entered again after a restore: the event that disabled it may have come back before the row.
    if was_decided(tx, &Event::Environment(new.id))? {
        disable(tx, key, new.id, new.now)?;
    }
    with_id(tx, key, new.id)?.map(CreateOutcome::Made).ok_or_else(SqlError::unreadable)
}

/// Says whether it was inserted: not if its id, name or ordinal is taken.
pub(super) fn insert(tx: &mut Tx<'_>, key: &RowKey, environment: &Environment) -> Result<bool, SqlError> {
    tx.execute(
        "INSERT INTO environments (environment_id, name, display_name, ordinal, max_token_life_seconds, created_at, tag)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        &[
            &environment.id.as_bytes(),
            &environment.name.as_str(),
            &environment.display_name.as_str(),
            &environment.ordinal,
            &environment.max_token_life_seconds,
            &environment.created_at,
            &tag(key, environment),
        ],
    )
    .map(|inserted| inserted > 0)
}

pub(super) fn is_disabled(tx: &mut Tx<'_>, environment: EnvironmentId) -> Result<bool, SqlError> {
    tx.exists(
        "SELECT 1 FROM environments WHERE environment_id = ?1 AND disabled_at IS NOT NULL",
        &[&environment.as_bytes()],
    )
}

/// One that is disabled keeps its time.
pub(super) fn disable(tx: &mut Tx<'_>, key: &RowKey, environment: EnvironmentId, now: u64) -> Result<(), SqlError> {
    match with_id(tx, key, environment)?.filter(|found| found.disabled_at.is_none()) {
        Some(found) => update(tx, key, &Environment { disabled_at: Some(now), ..found }),
        None => Ok(()),
    }
}

/// Writes the settings of an environment that exists.
fn update(tx: &mut Tx<'_>, key: &RowKey, changed: &Environment) -> Result<(), SqlError> {
    tx.execute(
        "UPDATE environments SET display_name = ?2, max_token_life_seconds = ?3, frozen_at = ?4, disabled_at = ?5, tag = ?6
         WHERE environment_id = ?1",
        &[
            &changed.id.as_bytes(),
            &changed.display_name.as_str(),
            &changed.max_token_life_seconds,
            &changed.frozen_at,
            &changed.disabled_at,
            &tag(key, changed),
        ],
    )
    .map(|_rows| ())
}

pub(super) fn write_tag(tx: &mut Tx<'_>, key: &RowKey, environment: &Environment) -> Result<(), SqlError> {
    let sql = "UPDATE environments SET tag = ?2 WHERE environment_id = ?1";
    tx.execute(sql, &[&environment.id.as_bytes(), &tag(key, environment)]).map(|_rows| ())
}

fn tag(key: &RowKey, environment: &Environment) -> RowTag {
    with_parts(environment, |parts| key.tag(RowKind::Environment, parts))
}

/// All of an environment, for its tag.
fn with_parts<T>(environment: &Environment, then: impl FnOnce(&[&[u8]]) -> T) -> T {
    let Environment { id, name, display_name, ordinal, max_token_life_seconds, frozen_at, disabled_at, created_at } =
        environment;
    let time = |at: Option<u64>| at.map_or_else(String::new, |at| at.to_string());
    let [frozen, disabled] = [frozen_at, disabled_at].map(|at| time(*at));
    let [ordinal, life, created] = [u64::from(*ordinal), *max_token_life_seconds, *created_at].map(u64::to_be_bytes);
    then(&[
        id.as_bytes(),
        name.as_str().as_bytes(),
        display_name.as_str().as_bytes(),
        &ordinal,
        &life,
        frozen.as_bytes(),
        disabled.as_bytes(),
        &created,
    ])
}

/// The longest life of a token of an environment; the reason if nothing is minted for it or written to it.
pub(super) fn open_for_use(
    tx: &mut Tx<'_>,
    key: &RowKey,
    environment: EnvironmentId,
) -> Result<Result<u64, Closed>, SqlError> {
    let found = with_id(tx, key, environment)?.ok_or_else(SqlError::unreadable)?;
    Ok(found.closed().map_or(Ok(found.max_token_life_seconds), Err))
}
