//! What changes in the catalogue with an entry of the registry.

use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx};

use super::{placing, reconcile};
use crate::{CatalogueChanges, PlaceConflict};

/// The first reason against changes that are made together; `None` if there is none.
pub(super) fn conflict(
    tx: &mut Tx<'_>,
    key: &RowKey,
    new: &CatalogueChanges,
) -> Result<Option<PlaceConflict>, SqlError> {
    let CatalogueChanges { places, entered } = new;
    if let Some(conflict) = placing::conflict(tx, key, places)? {
        return Ok(Some(conflict));
    }
    for secret in entered {
        if !reconcile::is_absent(tx, secret.secret, secret.environment)? {
            return Ok(Some(PlaceConflict::Changed));
        }
    }
    Ok(None)
}

/// Writes changes that have no conflict, with the number of their entry.
pub(super) fn write(tx: &mut Tx<'_>, key: &RowKey, new: &CatalogueChanges, number: u64) -> Result<(), SqlError> {
    let CatalogueChanges { places, entered } = new;
    placing::write(tx, key, places, number)?;
    for secret in entered {
        reconcile::enter(tx, key, secret, number)?;
    }
    Ok(())
}
