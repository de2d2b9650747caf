//! Environments and their settings.

use async_trait::async_trait;
use manager_api::name::{DisplayName, EnvironmentName};
use manager_policy::{KnownEnvironments, ManageEnvironments, Permit, Scope};
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
        self.sql.read("environments", environments).await
    }

    async fn environment_page(
        &self,
        known: &KnownEnvironments,
        after: Option<EnvironmentName>,
        limit: usize,
    ) -> Acted<Vec<Environment>> {
        let known = known.clone();
        self.read_as("environment_page", known.basis(), move |tx| {
            // There are few, so that all of them are read.
            let all = environments(tx)?.into_iter().filter(|one| known.contain(one.id));
            Ok(all.filter(|one| after.as_ref().is_none_or(|after| one.name > *after)).take(limit).collect())
        })
        .await
    }

    async fn environment(&self, known: &KnownEnvironments, environment: EnvironmentId) -> Acted<Option<Environment>> {
        let is_known = known.contain(environment);
        self.read_as("environment", known.basis(), move |tx| if is_known { with_id(tx, environment) } else { Ok(None) })
            .await
    }

    async fn create_environment(
        &self,
        permit: &Permit<ManageEnvironments>,
        new: NewEnvironment,
    ) -> Acted<CreateOutcome> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.write_as("create_environment", basis, move |tx| create(tx, &new)).await
    }

    async fn change_environment(
        &self,
        permit: &Permit<ManageEnvironments>,
        environment: EnvironmentId,
        change: EnvironmentChange,
    ) -> Acted<Option<Environment>> {
        let basis = basis_for(permit, &Scope::Environment(environment))?;
        self.write_as("change_environment", basis, move |tx| {
            let Some(mut found) = with_id(tx, environment)? else { return Ok(None) };
            change.clone().apply(&mut found);
            tx.execute(
                "UPDATE environments SET display_name = ?2, max_token_life_seconds = ?3, frozen_at = ?4, disabled_at = ?5
                 WHERE environment_id = ?1",
                &[
                    &found.id.as_bytes(),
                    &found.display_name.as_str(),
                    &found.max_token_life_seconds,
                    &found.frozen_at,
                    &found.disabled_at,
                ],
            )?;
            Ok(Some(found))
        })
        .await
    }
}

pub(super) fn environments(tx: &mut Tx<'_>) -> Result<Vec<Environment>, SqlError> {
    tx.all(
        "SELECT environment_id, name, display_name, ordinal, max_token_life_seconds, frozen_at, disabled_at, created_at
         FROM environments ORDER BY name",
        &[],
        environment_row,
    )
}

fn with_id(tx: &mut Tx<'_>, environment: EnvironmentId) -> Result<Option<Environment>, SqlError> {
    tx.optional(
        "SELECT environment_id, name, display_name, ordinal, max_token_life_seconds, frozen_at, disabled_at, created_at
         FROM environments WHERE environment_id = ?1",
        &[&environment.as_bytes()],
        environment_row,
    )
}

fn environment_row(row: &Row<'_>) -> Result<Environment, SqlError> {
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

fn create(tx: &mut Tx<'_>, new: &NewEnvironment) -> Result<CreateOutcome, SqlError> {
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
    if !insert(tx, &environment)? {
        return Ok(CreateOutcome::Taken);
    }
    // One that is entered again after a restore: the event that disabled it may have come back before the row.
    if was_decided(tx, &Event::Environment(new.id))? {
        disable(tx, new.id, new.now)?;
    }
    with_id(tx, new.id)?.map(CreateOutcome::Made).ok_or_else(SqlError::unreadable)
}

/// Says whether it was inserted: not if its id, name or ordinal is taken.
pub(super) fn insert(tx: &mut Tx<'_>, environment: &Environment) -> Result<bool, SqlError> {
    tx.execute(
        "INSERT INTO environments (environment_id, name, display_name, ordinal, max_token_life_seconds, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        &[
            &environment.id.as_bytes(),
            &environment.name.as_str(),
            &environment.display_name.as_str(),
            &environment.ordinal,
            &environment.max_token_life_seconds,
            &environment.created_at,
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
pub(super) fn disable(tx: &mut Tx<'_>, environment: EnvironmentId, now: u64) -> Result<(), SqlError> {
    tx.execute(
        "UPDATE environments SET disabled_at = ?2 WHERE environment_id = ?1 AND disabled_at IS NULL",
        &[&environment.as_bytes(), &now],
    )
    .map(|_rows| ())
}

/// The longest life of a token of an environment; the reason if nothing is minted for it or written to it.
pub(super) fn open_for_use(tx: &mut Tx<'_>, environment: EnvironmentId) -> Result<Result<u64, Closed>, SqlError> {
    // Every write and mint looks here, so no more than this is read.
    tx.one(
        "SELECT max_token_life_seconds, frozen_at IS NOT NULL, disabled_at IS NOT NULL FROM environments
         WHERE environment_id = ?1",
        &[&environment.as_bytes()],
        |row| {
            Ok(match (row.get(2)?, row.get(1)?) {
                (true, _) => Err(Closed::Disabled),
                (false, true) => Err(Closed::Frozen),
                (false, false) => Ok(row.get(0)?),
            })
        },
    )
}
