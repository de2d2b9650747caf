//! What a command is run with.

use client::Finding;
use client::manager_api::name::{EnvironmentName, SecretPath};
use client::manager_api::search::{SecretSummary, StateFilter};
use client::manager_api::secrets::SecretStatus;
use client::shared_proto::id::SecretId;

use crate::access::Access;
use crate::arguments::Global;
use crate::failure::{Exit, Failure};
use crate::folder::{self, Found};
use crate::output::Output;
use crate::profile::ProfileName;
use crate::secret_name::{SecretAddress, SecretName, no_environment, parse_folder};

/// What a command is run with.
pub(crate) struct Context {
    profile: Option<ProfileName>,
    environment: Option<EnvironmentName>,
    no_folder: bool,
    pub(crate) output: Output,
}

/// The folder of secrets that a command is about.
pub(crate) struct Scope {
    pub(crate) environment: EnvironmentName,
    pub(crate) path: Option<SecretPath>,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let Global { profile, environment, output, no_folder } = global;
        Self { profile, environment, no_folder, output: Output::new(output) }
    }

    /// The profile that is meant, by name or by default.
    pub(crate) fn profile(&self) -> ProfileName {
        self.profile.clone().unwrap_or_else(ProfileName::usual)
    }

    pub(crate) fn access(&self) -> Result<Access, Failure> {
        Access::of(self.profile.as_ref())
    }

    /// The environment that was named for this command.
    pub(crate) fn named_environment(&self) -> Option<&EnvironmentName> {
        self.environment.as_ref()
    }

    /// The file of the folder, unless it shall not count.
    pub(crate) fn folder(&self) -> Result<Option<Found>, Failure> {
        if self.no_folder { Ok(None) } else { folder::find() }
    }

    /// The environment of paths that name none: of the command, of the folder, of the profile.
    pub(crate) fn environment(&self, access: &Access) -> Result<Option<EnvironmentName>, Failure> {
        if let Some(environment) = &self.environment {
            return Ok(Some(environment.clone()));
        }
        let folder = self.folder()?.and_then(|folder| folder.says.environment);
        Ok(folder.or_else(|| access.environment.clone()))
    }

    /// The secret of an argument.
    pub(crate) fn name(&self, access: &Access, text: &str) -> Result<SecretName, Failure> {
        // A name that says where it is needs no file.
        if let Ok(name) = SecretName::parse(text, None) {
            return Ok(name);
        }
        SecretName::parse(text, self.environment(access)?.as_ref())
    }

    /// The secret of an argument that names no field and no version.
    pub(crate) fn place(&self, access: &Access, text: &str) -> Result<SecretAddress, Failure> {
        self.name(access, text)?.whole()
    }

    /// The folder of an argument, or else of the working folder's file, or else a whole environment.
    pub(crate) fn scope(&self, access: &Access, text: Option<&str>) -> Result<Scope, Failure> {
        let (environment, path) = match text {
            Some(text) => parse_folder(text)?,
            None => (None, self.folder()?.and_then(|folder| folder.says.path)),
        };
        let environment = match environment {
            Some(environment) => environment,
            None => self.environment(access)?.ok_or_else(no_environment)?,
        };
        Ok(Scope { environment, path })
    }
}

impl Access {
    /// The id of a secret in one of these states.
    pub(crate) async fn id_of(&self, place: &SecretAddress, state: StateFilter) -> Result<SecretId, Failure> {
        match place {
            SecretAddress::Id(id) => Ok(*id),
            SecretAddress::Path(..) => Ok(self.find(place, state).await?.ok_or_else(|| missing(place))?.key_id),
        }
    }

    /// The id of an active secret.
    pub(crate) async fn active(&self, place: &SecretAddress) -> Result<SecretId, Failure> {
        self.id_of(place, StateFilter::Only(SecretStatus::Active)).await
    }

    /// The secret at a path, if there is one that may be listed. Nothing for an id.
    pub(crate) async fn find(
        &self,
        place: &SecretAddress,
        state: StateFilter,
    ) -> Result<Option<SecretSummary>, Failure> {
        let SecretAddress::Path(environment, path) = place else { return Ok(None) };
        let (environment, path) = (Some(environment.clone()), Some(path.clone()));
        let mut finding = Finding { environment, path, state: Some(state), ..Finding::default() };
        loop {
            let mut page = self.client.find_secrets(&finding).await?;
            if page.secrets.len() > 1 {
                return Err(Failure::failed(format!("More than one secret is or was at {place}."))
                    .next("Name it by its id: splitvault search --state all"));
            }
            match (page.secrets.pop(), page.next) {
                (Some(secret), _) => return Ok(Some(secret)),
                (None, None) => return Ok(None),
                (None, next) => finding.after = next,
            }
        }
    }
}

/// There is no such secret, or none for the caller.
pub(crate) fn missing(place: &SecretAddress) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("There is no secret {place}, or it is not yours to see."));
    match place {
        SecretAddress::Path(environment, _) => {
            failure.next(format!("See what there is: splitvault list {environment}:"))
        }
        SecretAddress::Id(_) => failure,
    }
}
