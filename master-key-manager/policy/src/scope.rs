//! Scopes: the parts of the installation that an act is about.

use manager_api::name::SecretPath;
use shared_proto::id::{EnvironmentId, SecretId};

use crate::Reach;
use crate::pattern::Shape;
use crate::region::{Region, Target};

/// A part of the installation that an act is about.
///
/// Containment is a partial order with [`Scope::Installation`] at its top. It is decided from the scopes alone: a
/// secret that is named by its id, without its place, is in the installation and in no smaller scope but its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Installation,
    /// Everything of an environment.
    Environment(EnvironmentId),
    /// Everything below a folder; not the secret that has the folder's path.
    Folder(EnvironmentId, SecretPath),
    /// The secret at a path, also before it exists.
    Path(EnvironmentId, SecretPath),
    /// Everything that a line of the policy with this reach holds for.
    Reach(Reach),
    /// A secret by its id.
    Secret(SecretId),
}

impl Scope {
    /// Tells whether the other scope lies wholly in this one.
    pub fn contains(&self, other: &Self) -> bool {
        match (self.part(), other.part()) {
            (Some((environment, shape)), Some((inner, inside))) => {
                environment.is_none_or(|own| inner == Some(own)) && shape.contains(inside)
            }
            (Some((None, shape)), None) => shape.contains(Shape::EVERYTHING),
            (Some((Some(_), _)), None) | (None, Some(_)) => false,
            (None, None) => self == other,
        }
    }

    /// Environment and paths; `None` for a secret by its id.
    fn part(&self) -> Option<(Option<EnvironmentId>, Shape<'_>)> {
        match self {
            Self::Installation => Some((None, Shape::EVERYTHING)),
            Self::Environment(environment) => Some((Some(*environment), Shape::EVERYTHING)),
            Self::Folder(environment, folder) => Some((Some(*environment), Shape::below(folder))),
            Self::Path(environment, path) => Some((Some(*environment), Shape::exact(path))),
            Self::Reach(Reach { environment, pattern }) => Some((*environment, pattern.shape())),
            Self::Secret(_) => None,
        }
    }
}

impl<'a> Target<'a> {
    /// The secrets that are asked about. A secret whose place is not known may be any.
    pub(crate) fn region(self) -> Region<'a> {
        match self {
            Self::Scope(scope) => {
                let (environment, shape) = scope.part().unwrap_or((None, Shape::EVERYTHING));
                Region::part(environment, shape, None)
            }
            Self::Secret(secret) => {
                let place = Region::place(secret.environment, &secret.path, &secret.tags);
                if secret.service_only { place.for_services_only() } else { place }
            }
        }
    }
}
