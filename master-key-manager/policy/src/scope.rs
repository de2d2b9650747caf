//! Scopes: where a right holds, and what an act is about.

use manager_api::name::SecretPath;
use shared_proto::id::{EnvironmentId, SecretId};

/// A part of the installation. A line of the policy holds in one, and an act is about one.
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
    /// A secret by its id.
    Secret(SecretId),
}

impl Scope {
    /// Whether the other scope lies wholly in this one.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Installation, _) => true,
            (Self::Environment(own), Self::Environment(other) | Self::Folder(other, _) | Self::Path(other, _)) => {
                own == other
            }
            (Self::Folder(own, folder), Self::Folder(other, inner)) => {
                own == other && (folder == inner || is_below(folder, inner))
            }
            (Self::Folder(own, folder), Self::Path(other, path)) => own == other && is_below(folder, path),
            (Self::Path(own, path), Self::Path(other, same)) => own == other && path == same,
            (Self::Secret(own), Self::Secret(other)) => own == other,
            (Self::Environment(_), Self::Installation | Self::Secret(_))
            | (Self::Folder(..), Self::Installation | Self::Environment(_) | Self::Secret(_))
            | (Self::Path(..), Self::Installation | Self::Environment(_) | Self::Folder(..) | Self::Secret(_))
            | (Self::Secret(_), Self::Installation | Self::Environment(_) | Self::Folder(..) | Self::Path(..)) => false,
        }
    }
}

/// By whole segments: `app-admin/x` is not below `app`.
fn is_below(folder: &SecretPath, path: &SecretPath) -> bool {
    path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
