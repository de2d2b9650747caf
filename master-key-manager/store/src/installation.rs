//! The choices of `init`.

use async_trait::async_trait;
use manager_api::name::EnvironmentName;
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, ServiceId};
use shared_proto::identity::Mode;

use crate::{NewCredential, Stored};

/// The installation.
#[async_trait]
pub trait InstallationStore: Send + Sync {
    /// The installation that `init` wrote.
    async fn installation(&self) -> Stored<Option<Installation>>;
    /// Writes a new installation, once.
    async fn install(&self, installation: NewInstallation) -> Stored<()>;
}

/// An environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its id, all that the vault sees of it.
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
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
    /// Its environments, ordered by name.
    pub environments: Vec<Environment>,
}

/// A new installation with its administrator.
#[derive(Clone, Debug)]
pub struct NewInstallation {
    /// The installation.
    pub installation: Installation,
    /// The administrator's subject.
    pub administrator: ServiceId,
    /// The administrator's credential.
    pub credential: NewCredential,
    /// Unix seconds.
    pub now: u64,
}
