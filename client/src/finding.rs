//! Finding secrets.

use manager_api::kind::SecretKind;
use manager_api::name::{EnvironmentName, SecretPath};
use manager_api::policy::PartyId;
use manager_api::search::{FolderList, SecretList, SecretSort, StateFilter};
use manager_api::secrets::SecretStatus;
use reqwest::Method;

use crate::http::{self, Body};
use crate::{Client, ClientError};

/// The secrets that are looked for: those that fit every condition. Without any: all active ones that may be listed.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// In this environment.
    pub environment: Option<EnvironmentName>,
    /// With this path, in slashes or dots.
    pub path: Option<SecretPath>,
    /// Below this folder.
    pub under: Option<SecretPath>,
    /// With this text in their path, of 2 characters or more, in any case.
    pub text: Option<String>,
    /// With each of these tags, `key=value` or `key`; up to 8.
    pub tags: Vec<String>,
    /// Of this kind.
    pub kind: Option<SecretKind>,
    /// With this owner.
    pub owner: Option<PartyId>,
    /// In this state; active by default.
    pub state: Option<StateFilter>,
    /// To be rotated or ending within so many days.
    pub due_within: Option<u32>,
    /// Their order; by environment and path by default.
    pub sort: Option<SecretSort>,
    /// The most rows of the page, 1 to 500; 100 by default.
    pub limit: Option<u16>,
    /// `next` of the page before.
    pub after: Option<String>,
}

impl Client {
    /// A page of secrets, without values. It may be short, and have a `next`.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn find_secrets(&self, finding: &Finding) -> Result<SecretList, ClientError> {
        let state = finding.state.map(|state| match state {
            StateFilter::Only(SecretStatus::Active) => "active",
            StateFilter::Only(SecretStatus::Deleted) => "deleted",
            StateFilter::Only(SecretStatus::Destroyed) => "destroyed",
            StateFilter::All => "all",
        });
        let [owner, days, sort, limit] = [
            finding.owner.map(|owner| owner.to_string()),
            finding.due_within.map(|days| days.to_string()),
            finding.sort.map(|sort| sort.to_string()),
            finding.limit.map(|limit| limit.to_string()),
        ];
        let mut request = self
            .at_manager(Method::GET, "/api/secrets")
            .query("environment", finding.environment.as_ref().map(EnvironmentName::as_str))
            .query("path", finding.path.as_ref().map(SecretPath::as_str))
            .query("under", finding.under.as_ref().map(SecretPath::as_str))
            .query("q", finding.text.as_deref())
            .query("kind", finding.kind.map(SecretKind::as_str))
            .query("owner", owner.as_deref())
            .query("state", state)
            .query("due_within", days.as_deref())
            .query("sort", sort.as_deref())
            .query("limit", limit.as_deref())
            .query("after", finding.after.as_deref());
        for tag in &finding.tags {
            request = request.query("tag", Some(tag.as_str()));
        }
        http::send(request, Body::none()).await
    }

    /// A page of active secrets, without values. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// As [`Self::find_secrets`].
    pub async fn list_secrets(
        &self,
        environment: Option<&EnvironmentName>,
        after: Option<&str>,
    ) -> Result<SecretList, ClientError> {
        let (environment, after) = (environment.cloned(), after.map(str::to_owned));
        self.find_secrets(&Finding { environment, after, ..Finding::default() }).await
    }

    /// A page of the secrets and folders in a folder, or at the top. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// As [`Self::find_secrets`].
    pub async fn folders(
        &self,
        environment: &EnvironmentName,
        under: Option<&SecretPath>,
        after: Option<&str>,
    ) -> Result<FolderList, ClientError> {
        let request = self
            .at_manager(Method::GET, "/api/folders")
            .query("environment", Some(environment.as_str()))
            .query("under", under.map(SecretPath::as_str))
            .query("after", after);
        http::send(request, Body::none()).await
    }
}
