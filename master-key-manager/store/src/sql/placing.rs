//! Changes of places and descriptions of secrets.

use async_trait::async_trait;
use manager_policy::{AnyAction, Permit, Scope, Write};
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::SecretId;

use super::environments::open_for_use;
use super::places::{self, At};
use super::rows::secret_state;
use super::search::index;
use super::{SqlStore, details, due, secret_rotation};
use crate::{
    Acted, DescribedSecret, Details, NewDetails, NewPlace, PlaceConflict, PlaceStore, PlacedSecret, Stored, basis_for,
};

#[async_trait]
impl PlaceStore for SqlStore {
    async fn placed(&self, secrets: Vec<SecretId>) -> Stored<Vec<Option<(PlacedSecret, Details, u64)>>> {
        let key = self.key();
        let placed = move |tx: &mut Tx<'_>| secrets.iter().map(|secret| placed(tx, &key, *secret)).collect();
        self.sql.read("placed", placed).await
    }

    async fn described(&self, permit: &Permit<AnyAction>, secret: SecretId) -> Acted<Option<DescribedSecret>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.read_as("described", basis, move |tx| {
            let Some(state) = secret_state(tx, &key, secret)? else { return Ok(None) };
            let rotation = secret_rotation::shown(tx, &key, &state)?;
            Ok(Some(DescribedSecret { state, details: details::of(tx, &key, secret)?, rotation }))
        })
        .await
    }

    async fn describe(&self, permit: &Permit<Write>, new: NewDetails) -> Acted<Result<u64, PlaceConflict>> {
        let basis = basis_for(permit, &Scope::Secret(new.secret))?;
        let key = self.key();
        self.write_as("describe", basis, move |tx| describe(tx, &key, &new)).await
    }
}

fn placed(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<(PlacedSecret, Details, u64)>, SqlError> {
    let Some(placed) = places::placed(tx, key, secret)? else { return Ok(None) };
    let revision = revision_of(tx, secret)?.unwrap_or_default();
    // A description that somebody else wrote is as none.
    Ok(Some((placed, details::of(tx, key, secret)?.unwrap_or_default(), revision)))
}

fn revision_of(tx: &mut Tx<'_>, secret: SecretId) -> Result<Option<u64>, SqlError> {
    tx.optional("SELECT revision FROM secrets WHERE secret_id = ?1", &[&secret.as_bytes()], |row| row.get(0))
}

fn describe(tx: &mut Tx<'_>, key: &RowKey, new: &NewDetails) -> Result<Result<u64, PlaceConflict>, SqlError> {
    let Some(placed) = places::placed(tx, key, new.secret)? else { return Ok(Err(PlaceConflict::Changed)) };
    if let Err(closed) = open_for_use(tx, key, placed.facts.environment)? {
        return Ok(Err(PlaceConflict::Closed(closed)));
    }
    if revision_of(tx, new.secret)? != Some(new.expected) {
        return Ok(Err(PlaceConflict::OtherRevision));
    }
    details::write(tx, key, new.secret, &new.details)?;
    due::refresh(tx, key, new.secret)?;
    tx.execute("UPDATE secrets SET revision = revision + 1 WHERE secret_id = ?1", &[&new.secret.as_bytes()])?;
    index::described(tx, key, (new.secret, placed.facts.environment), &new.details)?;
    Ok(Ok(new.expected + 1))
}

/// The first reason against changes of places that are made together; `None` if there is none.
pub(super) fn conflict(tx: &mut Tx<'_>, key: &RowKey, new: &[NewPlace]) -> Result<Option<PlaceConflict>, SqlError> {
    for place in new {
        let known = places::placed(tx, key, place.secret)?;
        let Some(known) = known.filter(|known| known.facts.number == place.expected) else {
            return Ok(Some(PlaceConflict::Changed));
        };
        if known.facts.environment != place.environment {
            return Ok(Some(PlaceConflict::Changed));
        }
        if let Err(closed) = open_for_use(tx, key, place.environment)? {
            return Ok(Some(PlaceConflict::Closed(closed)));
        }
        if place.if_revision.is_some() && revision_of(tx, place.secret)? != place.if_revision {
            return Ok(Some(PlaceConflict::OtherRevision));
        }
        if known.facts.path == place.path {
            continue;
        }
        let is_asked_twice =
            new.iter().filter(|other| (other.environment, &other.path) == (place.environment, &place.path)).count() > 1;
        match places::secret_at(tx, key, place.environment, &place.path)? {
            At::Nothing if !is_asked_twice => {}
            At::Nothing | At::Secret(_) | At::Unfit => return Ok(Some(PlaceConflict::PathTaken)),
        }
        if places::has_other_reading(tx, key, place.environment, &place.path, place.secret)? {
            return Ok(Some(PlaceConflict::OtherReading));
        }
    }
    Ok(None)
}

/// Writes places that have no conflict, with the number of their entry.
pub(super) fn write(tx: &mut Tx<'_>, key: &RowKey, new: &[NewPlace], number: u64) -> Result<(), SqlError> {
    for place in new {
        places::replace(tx, key, place, number)?;
        let (secret, environment) = (place.secret, place.environment);
        index::placed(tx, secret, place.path.as_str(), &place.rules)?;
        if let Some(description) = &place.details {
            details::write(tx, key, secret, description)?;
            index::described(tx, key, (secret, environment), description)?;
            due::refresh(tx, key, secret)?;
        }
    }
    Ok(())
}
