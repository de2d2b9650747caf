//! Client of a Splitvault installation: stores at the manager, reads at the vault.
//!
//! Guarantees: no proxy from the environment, no redirects, no address taken from an answer but the vault's that the manager tells (ADR 46), a deadline on every call;
//! credentials, tokens and values are in types that cannot be printed and are wiped when dropped; an error never holds a
//! URL, a header or a value. Buffers of the HTTP and TLS libraries are beyond its reach.

mod address;
mod answer;
mod error;
mod finding;
mod http;
mod people;
mod policy;
mod reading;
pub mod references;
mod retry;
mod secret;
mod secrets;
mod services;
mod shared_reader;
mod vault;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use manager_api::audit::AuditList;
use manager_api::environments::{ChangeEnvironment, CreateEnvironment, EnvironmentDetails, EnvironmentList};
use manager_api::name::{EnvironmentName, SecretPath, UserLabel};
use manager_api::service_keys::{RegisterKey, RegisteredKey, RegisteredKeyList};
use manager_api::tokens::{MintAnswer, MintToken, SecretRequest};
use manager_api::trusts::{ChangeTrust, CreateTrust, DryRunTrust, TrustDetails, TrustDryRunAnswer, TrustList};
use manager_api::wire::{
    Destroy, DestroyAnswer, RevocationAnswer, Revoke, Rollback, RollbackAnswer, StoreKey, StoredKeyAnswer, TokenList,
};
use reqwest::Method;
use shared_proto::id::{CredentialId, SecretId, ServiceId, TokenId, Version};
use shared_proto::secret::SecretValue;
use shared_proto::wire::vault::{OpenedKey, ReadAnswer, ReadKeys};

pub use address::Address;
pub use answer::{Opened, Stored, Token};
pub use error::{ClientError, TransportFault};
pub use finding::Finding;
pub use policy::LineFilter;
pub use reading::{MAX_BATCH, ReadResult, ReadSecret, Wanted};
pub use retry::Retries;
pub use secret::{AccessToken, Credential};
pub use shared_reader::SharedReader;
pub use {manager_api, shared_proto};

use crate::http::{Body, Peer};
use crate::vault::Vault;

/// A client of one installation. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Client {
    manager: Peer,
    vault: Vault,
    credential: Option<Credential>,
}

/// The `Idempotency-Key` of a change, by which a repeat is recognized: 1 to 128 visible ASCII characters.
pub type Idempotency<'a> = Option<&'a str>;

/// A switch of an environment. Disabling one is a revocation: [`Client::disable_environment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvironmentSwitch {
    /// Nothing is written to it and nothing minted for it.
    Freeze,
    /// It is no longer frozen.
    Unfreeze,
    /// It is no longer disabled.
    Enable,
}

/// A value to store. It has no `Debug` form.
pub struct NewSecret {
    /// A label for the submitter. Never an identity.
    pub user_id: UserLabel,
    /// The value.
    pub value: SecretValue,
    /// Its name; without one it is filed under `unnamed/`. A known name gets a new version.
    pub path: Option<SecretPath>,
    /// Its environment; required outside development mode.
    pub environment: Option<EnvironmentName>,
    /// Whether an access token for the new version is wanted.
    pub token: bool,
}

impl NewSecret {
    /// A value without a name, with a token for it.
    pub fn new(user_id: UserLabel, value: SecretValue) -> Self {
        Self { user_id, value, path: None, environment: None, token: true }
    }
}

impl Client {
    /// A client of the two services at these base addresses (`https://host:port`). Without a credential it can submit
    /// in development mode, and read with tokens.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`] when an address is not a bare `http` or `https` origin; [`ClientError::Transport`]
    /// when TLS cannot be set up.
    pub fn new(manager_url: &str, vault_url: &str, credential: Option<Credential>) -> Result<Self, ClientError> {
        Self::with(http::library_client(DEADLINE)?, manager_url, vault_url, credential)
    }

    /// As [`Self::new`], with TLS 1.3 and the CA of an installation: only certificates of the CAs in this PEM file are
    /// believed, not those of the machine.
    ///
    /// # Errors
    ///
    /// [`ClientError::Transport`] when the file cannot be read or holds no certificate; as [`Self::new`].
    pub fn with_ca(
        manager_url: &str,
        vault_url: &str,
        ca_file: &Path,
        credential: Option<Credential>,
    ) -> Result<Self, ClientError> {
        Self::with(http::library_client_of(ca_file, DEADLINE)?, manager_url, vault_url, credential)
    }

    /// A client that is told the vault's address by the manager, with each token that it makes. It believes the CAs in `ca_file`,
    /// without it those of the machine, and follows no
    /// plain HTTP to another machine unless the manager itself is reached that way.
    ///
    /// # Errors
    ///
    /// As [`Self::with_ca`].
    pub fn of_manager(
        manager_url: &str,
        ca_file: Option<&Path>,
        credential: Option<Credential>,
    ) -> Result<Self, ClientError> {
        let http = match ca_file {
            Some(ca_file) => http::library_client_of(ca_file, DEADLINE)?,
            None => http::library_client(DEADLINE)?,
        };
        let manager = Peer::new(http, manager_url)?;
        Ok(Self { vault: Vault::Told(Arc::default()), manager, credential })
    }

    /// The same client, which repeats calls where that is right. A new client repeats none.
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.manager.retries = retries;
        if let Vault::Known(vault) = &mut self.vault {
            vault.retries = retries;
        }
        self
    }

    fn with(
        http: reqwest::Client,
        manager_url: &str,
        vault_url: &str,
        credential: Option<Credential>,
    ) -> Result<Self, ClientError> {
        let vault = Vault::Known(Peer::new(http.clone(), vault_url)?);
        Ok(Self { manager: Peer::new(http, manager_url)?, vault, credential })
    }

    /// Stores a value. With an `idempotency_key` (1 to 128 visible ASCII characters; needs a credential) a repeat of the
    /// same call answers with the same id and version, also after [`ErrorCode::OutcomeUnknown`].
    ///
    /// [`ErrorCode::OutcomeUnknown`]: shared_proto::error::ErrorCode::OutcomeUnknown
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn store(&self, secret: NewSecret, idempotency_key: Idempotency<'_>) -> Result<Stored, ClientError> {
        let body = StoreKey {
            user_id: secret.user_id,
            encoding: Some(secret.value.encoding()),
            // EXPOSE: the value goes into the request.
            key_data: secret.value.expose_json(),
            path: secret.path,
            environment: secret.environment,
            token: Some(secret.token),
        };
        let request = self.keyed(Method::POST, "/api/keys", idempotency_key);
        let answer: StoredKeyAnswer = http::send(request, Body::json(&body)?).await?;
        Ok(answer.into())
    }

    /// Makes a token for 1 to 64 secrets of one environment, by id or by path.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn mint(&self, request: &MintToken) -> Result<Token, ClientError> {
        let answer: MintAnswer = http::send(self.at_manager(Method::POST, "/api/tokens"), Body::json(request)?).await?;
        self.vault.note(&self.manager, answer.vault_url.as_deref())?;
        Ok(answer.into())
    }

    /// Makes a token for the current versions at these paths of an environment, with the configured life. A dotted path
    /// means the same as one with slashes.
    ///
    /// # Errors
    ///
    /// As [`Self::mint`].
    pub async fn mint_by_path(
        &self,
        environment: &EnvironmentName,
        paths: Vec<SecretPath>,
    ) -> Result<Token, ClientError> {
        let secrets = paths.into_iter().map(|path| SecretRequest::path(environment.clone(), path)).collect();
        self.mint(&MintToken { secrets, user_id: None, life_seconds: None }).await
    }

    /// Reads the version of `key_id` that the token names.
    ///
    /// # Errors
    ///
    /// The vault refuses, cannot be reached, or answers out of form or with another secret.
    pub async fn read(&self, token: &AccessToken, key_id: SecretId) -> Result<Opened, ClientError> {
        let request = self.vault.peer()?.request(Method::GET, &format!("/api/keys/{key_id}"));
        let answer: OpenedKey = http::send(request.bearer(token.expose()), Body::none()).await?;
        if answer.key_id != key_id {
            return Err(ClientError::Malformed { status: 200 });
        }
        answer.try_into()
    }

    /// Reads up to 64 secrets that the token names, in the order asked. Each may be refused by itself.
    ///
    /// # Errors
    ///
    /// The vault refuses all, cannot be reached, or answers out of form or with other secrets.
    pub async fn read_many(
        &self,
        token: &AccessToken,
        key_ids: &[SecretId],
    ) -> Result<Vec<Result<Opened, shared_proto::error::ErrorCode>>, ClientError> {
        let body = ReadKeys { key_ids: key_ids.to_vec() };
        let request = self.vault.peer()?.request(Method::POST, "/api/keys:read").bearer(token.expose()).reads();
        let answer: ReadAnswer = http::send(request, Body::json(&body)?).await?;
        answer::opened_in_order(answer, key_ids)
    }

    /// Revokes. The answer says `pending` until the vault has signed that it applied the revocation.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn revoke(&self, what: &Revoke) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/revocations"), Body::json(what)?).await
    }

    /// Revokes one token by its id.
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn revoke_token(&self, jti: TokenId) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::DELETE, &format!("/api/tokens/{jti}")), Body::none()).await
    }

    /// Destroys versions of a secret permanently.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn destroy(&self, key_id: SecretId, versions: Vec<Version>) -> Result<DestroyAnswer, ClientError> {
        let request = self.at_manager(Method::POST, &format!("/api/keys/{key_id}/destroy"));
        http::send(request, Body::json(&Destroy { versions })?).await
    }

    /// Makes the next version of a secret point to the envelope of an older one. `if_version` refuses it, with
    /// [`ErrorCode::VersionConflict`], when another version is the newest committed one. The key is as for
    /// [`Self::store`].
    ///
    /// [`ErrorCode::VersionConflict`]: shared_proto::error::ErrorCode::VersionConflict
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn rollback(
        &self,
        key_id: SecretId,
        rollback: &Rollback,
        idempotency_key: Idempotency<'_>,
    ) -> Result<RollbackAnswer, ClientError> {
        let request = self.keyed(Method::POST, &format!("/api/secrets/{key_id}:rollback"), idempotency_key);
        http::send(request, Body::json(rollback)?).await
    }

    /// A page of living tokens; the tokens themselves are kept nowhere.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_tokens(&self, after: Option<&str>) -> Result<TokenList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/tokens").query("after", after), Body::none()).await
    }

    /// A page of audit lines, the newest first: all, or the caller's own and those about what he audits. `after` is `next`
    /// of the page before; a page may be empty and have one.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_audit(&self, after: Option<&str>) -> Result<AuditList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/audit").query("after", after), Body::none()).await
    }

    /// Makes an environment with a root key of its own. Back up the manager's key folder afterwards.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_environment(&self, new: &CreateEnvironment) -> Result<EnvironmentDetails, ClientError> {
        http::send(self.at_manager(Method::POST, "/api/environments"), Body::json(new)?).await
    }

    /// A page of environments. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_environments(&self, after: Option<&str>) -> Result<EnvironmentList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/environments").query("after", after), Body::none()).await
    }

    /// An environment.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn environment(&self, name: &EnvironmentName) -> Result<EnvironmentDetails, ClientError> {
        let path = format!("/api/environments/{name}");
        http::send(self.at_manager(Method::GET, &path), Body::none()).await
    }

    /// Changes the settings of an environment.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn change_environment(
        &self,
        name: &EnvironmentName,
        change: &ChangeEnvironment,
    ) -> Result<EnvironmentDetails, ClientError> {
        let path = format!("/api/environments/{name}");
        http::send(self.at_manager(Method::PATCH, &path), Body::json(change)?).await
    }

    /// Freezes an environment, or undoes that or its disabling.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn switch_environment(
        &self,
        name: &EnvironmentName,
        switch: EnvironmentSwitch,
    ) -> Result<EnvironmentDetails, ClientError> {
        let verb = match switch {
            EnvironmentSwitch::Freeze => "freeze",
            EnvironmentSwitch::Unfreeze => "unfreeze",
            EnvironmentSwitch::Enable => "enable",
        };
        let path = format!("/api/environments/{name}:{verb}");
        http::send(self.at_manager(Method::POST, &path), Body::none()).await
    }

    /// Disables an environment and revokes its tokens. The answer is that of [`Self::revoke`].
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn disable_environment(&self, name: &EnvironmentName) -> Result<RevocationAnswer, ClientError> {
        let path = format!("/api/environments/{name}:disable");
        http::send(self.at_manager(Method::POST, &path), Body::none()).await
    }

    /// Registers a public key of a service. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn register_key(
        &self,
        service: ServiceId,
        new: &RegisterKey,
        idempotency_key: Idempotency<'_>,
    ) -> Result<RegisteredKey, ClientError> {
        let request = self.keyed(Method::POST, &format!("/api/services/{service}/keys"), idempotency_key);
        http::send(request, Body::json(new)?).await
    }

    /// The public keys of a service.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_keys(&self, service: ServiceId) -> Result<RegisteredKeyList, ClientError> {
        http::send(self.at_manager(Method::GET, &format!("/api/services/{service}/keys")), Body::none()).await
    }

    /// Disables a public key of a service, and revokes its tokens. The answer is that of [`Self::revoke`].
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn disable_key(&self, service: ServiceId, key: CredentialId) -> Result<RevocationAnswer, ClientError> {
        let path = format!("/api/services/{service}/keys/{key}");
        http::send(self.at_manager(Method::DELETE, &path), Body::none()).await
    }

    /// Makes a trust. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, with the reason if it is too broad, cannot be reached, or answers out of form.
    pub async fn create_trust(
        &self,
        new: &CreateTrust,
        idempotency_key: Idempotency<'_>,
    ) -> Result<TrustDetails, ClientError> {
        let request = self.keyed(Method::POST, "/api/trusts", idempotency_key);
        http::send(request, Body::json(new)?).await
    }

    /// A page of trusts. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_trusts(&self, after: Option<&str>) -> Result<TrustList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/trusts").query("after", after), Body::none()).await
    }

    /// A trust.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn trust(&self, id: CredentialId) -> Result<TrustDetails, ClientError> {
        http::send(self.at_manager(Method::GET, &format!("/api/trusts/{id}")), Body::none()).await
    }

    /// Changes a trust. Tokens that were made by it are revoked if other tokens count from now on.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn change_trust(&self, id: CredentialId, change: &ChangeTrust) -> Result<TrustDetails, ClientError> {
        http::send(self.at_manager(Method::PATCH, &format!("/api/trusts/{id}")), Body::json(change)?).await
    }

    /// Disables a trust, and revokes its tokens. The answer is that of [`Self::revoke`].
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn disable_trust(&self, id: CredentialId) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::DELETE, &format!("/api/trusts/{id}")), Body::none()).await
    }

    /// The outcome of a token of an issuer by a trust, now.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn dry_run_trust(&self, id: CredentialId, token: &DryRunTrust) -> Result<TrustDryRunAnswer, ClientError> {
        let request = self.at_manager(Method::POST, &format!("/api/trusts/{id}:dry-run"));
        http::send(request, Body::json(token)?).await
    }

    pub(crate) fn keyed(&self, method: Method, path: &str, idempotency_key: Idempotency<'_>) -> http::Request {
        self.at_manager(method, path).idempotency(idempotency_key)
    }

    pub(crate) fn at_manager(&self, method: Method, path: &str) -> http::Request {
        let request = self.manager.request(method, path);
        match &self.credential {
            Some(credential) => request.bearer(credential.expose()),
            None => request,
        }
    }
}

/// Above the services' own deadlines, so that their answer (which says whether something was written) arrives.
const DEADLINE: Duration = Duration::from_secs(40);
