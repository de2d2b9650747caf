//! The choices of `init`.

use async_trait::async_trait;
use manager_registry::Rows;
use shared_proto::id::{CredentialId, ManagerId};
use shared_proto::identity::Mode;

use crate::{Environment, Stored};

/// The installation.
#[async_trait]
pub trait InstallationStore: Send + Sync {
    /// The installation that `init` wrote.
    async fn installation(&self) -> Stored<Option<Installation>>;
    /// Writes a new installation, once.
    async fn install(&self, installation: NewInstallation) -> Stored<()>;
}

/// The choices of `init`, which never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Development or production.
    pub mode: Mode,
    /// This manager.
    pub manager: ManagerId,
    /// The credential id that tokens of anonymous submissions carry.
    pub anonymous: CredentialId,
}

/// A new installation with its administrator.
#[derive(Clone, Debug)]
pub struct NewInstallation {
    /// The installation.
    pub installation: Installation,
    /// Its first environments.
    pub environments: Vec<Environment>,
    /// The first entry of its registry, with the administrator.
    pub registry: Rows,
}
