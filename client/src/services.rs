//! Services and their credentials.

use manager_api::services::{
    ApproveService, ApprovedService, ChangeService, CreateCredential, CreateService, CreateServiceToken,
    CredentialList, NewCredential, ServiceDetails, ServiceList, ServiceToken, SoleSecretList,
};
use manager_api::wire::RevocationAnswer;
use reqwest::Method;
use shared_proto::id::{CredentialId, ServiceId};

use crate::http::{self, Body};
use crate::{Client, ClientError, Idempotency};

impl Client {
    /// Registers a service, which gives it nothing. A repeat with the same key finds the one that the first call made.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_service(
        &self,
        new: &CreateService,
        idempotency_key: Idempotency<'_>,
    ) -> Result<ServiceDetails, ClientError> {
        http::send(self.keyed(Method::POST, "/api/services", idempotency_key), Body::json(new)?).await
    }

    /// A page of the services that the caller manages, and himself. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_services(&self, after: Option<&str>) -> Result<ServiceList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/services").query("after", after), Body::none()).await
    }

    /// A service.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn service(&self, id: ServiceId) -> Result<ServiceDetails, ClientError> {
        http::send(self.at_manager(Method::GET, &format!("/api/services/{id}")), Body::none()).await
    }

    /// Changes what is said of a service.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn change_service(&self, id: ServiceId, change: &ChangeService) -> Result<ServiceDetails, ClientError> {
        http::send(self.at_manager(Method::PATCH, &format!("/api/services/{id}")), Body::json(change)?).await
    }

    /// Lets a service list and read required keys of it, which are named.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn approve_service(
        &self,
        id: ServiceId,
        approval: &ApproveService,
    ) -> Result<ApprovedService, ClientError> {
        let request = self.at_manager(Method::POST, &format!("/api/services/{id}:approve"));
        http::send(request, Body::json(approval)?).await
    }

    /// Disables a service, and revokes the tokens of its credentials. The answer is that of [`Self::revoke`].
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn disable_service(&self, id: ServiceId) -> Result<RevocationAnswer, ClientError> {
        http::send(self.at_manager(Method::POST, &format!("/api/services/{id}:disable")), Body::none()).await
    }

    /// Lets a service that was disabled act again.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn enable_service(&self, id: ServiceId) -> Result<ServiceDetails, ClientError> {
        http::send(self.at_manager(Method::POST, &format!("/api/services/{id}:enable")), Body::none()).await
    }

    /// A page of the secrets that nobody but a service may read. It may be empty and have a next one.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn sole_secrets(&self, id: ServiceId, after: Option<&str>) -> Result<SoleSecretList, ClientError> {
        let request = self.at_manager(Method::GET, &format!("/api/services/{id}/sole-secrets"));
        http::send(request.query("after", after), Body::none()).await
    }

    /// Makes a credential of a service, which is shown once.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_credential(
        &self,
        service: ServiceId,
        terms: &CreateCredential,
        idempotency_key: Idempotency<'_>,
    ) -> Result<NewCredential, ClientError> {
        let path = format!("/api/services/{service}/credentials");
        http::send(self.keyed(Method::POST, &path, idempotency_key), Body::json(terms)?).await
    }

    /// A page of the credentials of a service, without their secrets.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_credentials(
        &self,
        service: ServiceId,
        after: Option<&str>,
    ) -> Result<CredentialList, ClientError> {
        let request = self.at_manager(Method::GET, &format!("/api/services/{service}/credentials"));
        http::send(request.query("after", after), Body::none()).await
    }

    /// Makes the next credential with the terms of one, which stays.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn renew_credential(
        &self,
        service: ServiceId,
        credential: CredentialId,
        idempotency_key: Idempotency<'_>,
    ) -> Result<NewCredential, ClientError> {
        let path = format!("/api/services/{service}/credentials/{credential}:renew");
        http::send(self.keyed(Method::POST, &path, idempotency_key), Body::none()).await
    }

    /// Disables a credential, and revokes the tokens that were made with it. The answer is that of [`Self::revoke`].
    ///
    /// # Errors
    ///
    /// As [`Self::revoke`].
    pub async fn disable_credential(
        &self,
        service: ServiceId,
        credential: CredentialId,
    ) -> Result<RevocationAnswer, ClientError> {
        let path = format!("/api/services/{service}/credentials/{credential}");
        http::send(self.at_manager(Method::DELETE, &path), Body::none()).await
    }

    /// Makes a credential of a service by its name, with no terms but its end.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_service_token(
        &self,
        new: &CreateServiceToken,
        idempotency_key: Idempotency<'_>,
    ) -> Result<ServiceToken, ClientError> {
        http::send(self.keyed(Method::POST, "/tokens", idempotency_key), Body::json(new)?).await
    }
}
