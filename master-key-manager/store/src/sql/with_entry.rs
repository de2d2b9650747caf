//! Changes in the catalogue that are made with an entry of the registry.

use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};

use super::{destruction, places, placing, pruning, reconcile};
use crate::{CatalogueChanges, PlaceConflict, SignEvent};

/// The first reason against changes that are made together; `None` if there is none.
pub(super) fn conflict(
    tx: &mut Tx<'_>,
    key: &RowKey,
    new: &CatalogueChanges,
) -> Result<Option<PlaceConflict>, SqlError> {
    let CatalogueChanges { places, entered, destroyed, pruned } = new;
    if let Some(conflict) = placing::conflict(tx, key, places)? {
        return Ok(Some(conflict));
    }
    for secret in entered {
        if !reconcile::is_absent(tx, secret.secret, secret.environment)? {
            return Ok(Some(PlaceConflict::Changed));
        }
    }
    if let Some(one) = destroyed {
        let known = places::placed(tx, key, one.secret)?;
        if known.is_none_or(|known| known.facts.number != one.expected || known.rules.deletion.is_some()) {
            return Ok(Some(PlaceConflict::Changed));
        }
    }
    for secret in pruned {
        if let Some(conflict) = pruning::conflict(tx, key, secret)? {
            return Ok(Some(conflict));
        }
    }
    Ok(None)
}

/// Writes changes that have no conflict, with the number of their entry. Returns the numbers of their events; those that cannot be
/// numbered wait.
pub(super) fn write(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (new, number): (&CatalogueChanges, u64),
    (sign, now): (Option<&SignEvent>, u64),
) -> Result<Vec<u64>, SqlError> {
    let CatalogueChanges { places, entered, destroyed, pruned } = new;
    placing::write(tx, key, places, number)?;
    for secret in entered {
        reconcile::enter(tx, key, secret, number)?;
    }
    for one in pruned {
        pruning::remove(tx, one.secret)?;
    }
    match destroyed {
        Some(one) => Ok(destruction::destroy(tx, key, one.secret, &[one.version], sign, now)?.numbers),
        None => Ok(Vec::new()),
    }
}
