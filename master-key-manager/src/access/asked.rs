//! Changes of the registry that were decided on, with the places of secrets that change with them.

use manager_registry::Change;
use manager_store::{ActError, CatalogueChanges, PlaceConflict};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;

/// A change that was decided on.
#[derive(Default)]
pub struct Asked {
    /// The records that change.
    pub changes: Vec<Change>,
    /// What changes in the catalogue with them. Each place has a record of its own.
    pub places: CatalogueChanges,
    /// The revocations that follow from the places.
    pub events: Vec<Event>,
}

impl From<Vec<Change>> for Asked {
    fn from(changes: Vec<Change>) -> Self {
        Self { changes, ..Self::default() }
    }
}

/// The refusal of another place of a secret.
pub fn conflict_refused(conflict: PlaceConflict) -> Refusal {
    match conflict {
        PlaceConflict::Changed => ActError::SecretChanged.into(),
        PlaceConflict::OtherRevision => {
            Refusal::new(ErrorCode::VersionConflict).detail("The secret has another revision than if_revision.")
        }
        PlaceConflict::PathTaken => Refusal::new(ErrorCode::AlreadyExists).detail("A secret has this path."),
        PlaceConflict::OtherReading => Refusal::new(ErrorCode::AlreadyExists)
            .detail("A secret has this path with dots in the place of slashes, or with slashes in the place of dots."),
        PlaceConflict::Closed(closed) => closed.into(),
    }
}
