//! Changes of the registry that were decided on, with the places of secrets that change with them.

use std::collections::BTreeMap;

use manager_registry::{Change, Deletion, Kind, Record, RecordName};
use manager_store::{ActError, CatalogueChanges, PlaceConflict};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Subject};

use super::View;

/// A change that was decided on.
#[derive(Default)]
pub struct Asked {
    /// The records that change.
    pub changes: Vec<Change>,
    /// Changes in the catalogue that are made with them. Each place has a record of its own.
    pub places: CatalogueChanges,
    /// The revocations that follow from the places.
    pub events: Vec<Event>,
}

impl From<Vec<Change>> for Asked {
    fn from(changes: Vec<Change>) -> Self {
        Self { changes, ..Self::default() }
    }
}

impl Asked {
    /// The same, with the deletion of each secret in the record of its place.
    pub(super) fn with_deletions(mut self) -> Self {
        let placed = self.places.places.iter().map(|place| (place.secret, place.rules.deletion));
        let entered = self.places.entered.iter().map(|secret| (secret.secret, secret.rules.deletion));
        let deletions: BTreeMap<SecretId, Option<Deletion>> = placed.chain(entered).collect();
        for change in &mut self.changes {
            if let Some(Record::Place(place)) = &mut change.after {
                place.deletion = deletions.get(&place.secret_id).copied().flatten();
            }
        }
        self
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

/// The principal whose session, credential or code a record is; `None` for another kind of record.
pub(super) fn owner(view: &View, name: &RecordName) -> Option<Subject> {
    match name.kind {
        Kind::Credential => name.id.parse().ok().and_then(|id| view.state.credential(id)).map(|known| known.subject),
        Kind::Enrolment => name.id.parse().ok().and_then(|id| view.state.enrolment(id)).and_then(|code| code.author),
        Kind::Service
        | Kind::Person
        | Kind::Group
        | Kind::Uses
        | Kind::RoleAssignment
        | Kind::Permission
        | Kind::Settings
        | Kind::TaggedRows
        | Kind::SignOn
        | Kind::EnvironmentRules
        | Kind::Place
        | Kind::Approval
        | Kind::Incident
        | Kind::Renewal => None,
    }
}
