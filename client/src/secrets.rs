//! The life of secrets at the manager: made, written, described, rotated, deleted, destroyed.

use manager_api::deletion::{DeletedSecret, DestroySecret, DestroyedSecret};
use manager_api::import::{ImportAnswer, ImportSecrets};
use manager_api::lines::ChangeAnswer;
use manager_api::name::Reason;
use manager_api::rotation::{Promote, Repair, Rotate, RotationAnswer, RotationStep};
use manager_api::secrets::{ChangeSecret, CreateSecret, SecretDetails, WriteVersion, WrittenSecret};
use manager_api::versions::{
    ChangeVersion, HistorySort, VersionAfterChange, VersionDetails, VersionDifference, VersionHistory,
};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_proto::id::{SecretId, Version};

use crate::http::{self, Body};
use crate::{Client, ClientError, Idempotency};

impl Client {
    /// Makes a secret with its first version, from a value or by generation. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_secret(
        &self,
        new: &CreateSecret,
        idempotency_key: Idempotency<'_>,
    ) -> Result<WrittenSecret, ClientError> {
        http::send(self.keyed(Method::POST, "/api/secrets", idempotency_key), Body::json(new)?).await
    }

    /// Writes the next version of a secret, from a value or by generation. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn write_secret(
        &self,
        secret: SecretId,
        version: &WriteVersion,
        idempotency_key: Idempotency<'_>,
    ) -> Result<WrittenSecret, ClientError> {
        let path = format!("/api/secrets/{secret}");
        http::send(self.keyed(Method::PUT, &path, idempotency_key), Body::json(version)?).await
    }

    /// A secret, without a value.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn secret(&self, secret: SecretId) -> Result<SecretDetails, ClientError> {
        http::send(self.at_manager(Method::GET, &format!("/api/secrets/{secret}")), Body::none()).await
    }

    /// Changes path, tags, rules or description of a secret. It makes no version.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn change_secret(&self, secret: SecretId, change: &ChangeSecret) -> Result<ChangeAnswer, ClientError> {
        http::send(self.at_manager(Method::PATCH, &format!("/api/secrets/{secret}")), Body::json(change)?).await
    }

    /// A page of the versions of a secret. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_versions(
        &self,
        secret: SecretId,
        sort: HistorySort,
        after: Option<Version>,
    ) -> Result<VersionHistory, ClientError> {
        let sort = match sort {
            HistorySort::NewestFirst => "-version",
            HistorySort::OldestFirst => "version",
        };
        let after = after.map(|version| version.to_string());
        let request = self
            .at_manager(Method::GET, &format!("/api/secrets/{secret}/versions"))
            .query("sort", Some(sort))
            .query("after", after.as_deref());
        http::send(request, Body::none()).await
    }

    /// A version of a secret, without its value.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn version(&self, secret: SecretId, version: Version) -> Result<VersionDetails, ClientError> {
        let path = format!("/api/secrets/{secret}/versions/{version}");
        http::send(self.at_manager(Method::GET, &path), Body::none()).await
    }

    /// The difference of two versions: what is said of them, and whether their values are the same as far as that is known.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn diff_versions(
        &self,
        secret: SecretId,
        version: Version,
        with: Version,
    ) -> Result<VersionDifference, ClientError> {
        let path = format!("/api/secrets/{secret}/versions/{version}:diff");
        let with = with.to_string();
        http::send(self.at_manager(Method::GET, &path).query("with", Some(&with)), Body::none()).await
    }

    /// Changes the note or the stage of a version.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn change_version(
        &self,
        secret: SecretId,
        version: Version,
        change: &ChangeVersion,
    ) -> Result<VersionAfterChange, ClientError> {
        let path = format!("/api/secrets/{secret}/versions/{version}");
        http::send(self.at_manager(Method::PATCH, &path), Body::json(change)?).await
    }

    /// Makes the next value of a secret, from a value, by generation, or as the last time. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn rotate(
        &self,
        secret: SecretId,
        rotation: &Rotate,
        idempotency_key: Idempotency<'_>,
    ) -> Result<RotationAnswer, ClientError> {
        let path = format!("/api/secrets/{secret}:rotate");
        http::send(self.keyed(Method::POST, &path, idempotency_key), Body::json(rotation)?).await
    }

    /// Says that the pending version of a rotation works.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn verify_rotation(&self, secret: SecretId, step: RotationStep) -> Result<RotationAnswer, ClientError> {
        self.act_on(secret, "verify", &step).await
    }

    /// Makes the pending version current.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn promote(&self, secret: SecretId, promote: Promote) -> Result<RotationAnswer, ClientError> {
        self.act_on(secret, "promote", &promote).await
    }

    /// Ends the grace time of a rotation, and revokes the tokens of the former version.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn finish_rotation(&self, secret: SecretId, step: RotationStep) -> Result<RotationAnswer, ClientError> {
        self.act_on(secret, "finish", &step).await
    }

    /// Finishes or takes back what an interrupted rotation left.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn repair_rotation(&self, secret: SecretId, repair: Repair) -> Result<RotationAnswer, ClientError> {
        self.act_on(secret, "repair", &repair).await
    }

    /// Deletes a secret, which can be taken back until a date, and revokes its tokens.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn delete_secret(&self, secret: SecretId, reason: Option<&Reason>) -> Result<DeletedSecret, ClientError> {
        let request = self.at_manager(Method::DELETE, &format!("/api/secrets/{secret}"));
        http::send(request.query("reason", reason.map(Reason::as_str)), Body::none()).await
    }

    /// Takes a deletion back.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn undelete_secret(
        &self,
        secret: SecretId,
        reason: Option<&Reason>,
    ) -> Result<ChangeAnswer, ClientError> {
        let request = self.at_manager(Method::POST, &format!("/api/secrets/{secret}:undelete"));
        http::send(request.query("reason", reason.map(Reason::as_str)), Body::none()).await
    }

    /// Destroys a deleted secret permanently, or asks for the approval that its environment wants.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn destroy_secret(&self, secret: SecretId, reason: Reason) -> Result<DestroyedSecret, ClientError> {
        self.act_on(secret, "destroy", &DestroySecret { reason }).await
    }

    /// Stores the values of a document, or says what that would do. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn import_secrets(
        &self,
        import: &ImportSecrets,
        idempotency_key: Idempotency<'_>,
    ) -> Result<ImportAnswer, ClientError> {
        http::send(self.keyed(Method::POST, "/api/secrets:import", idempotency_key), Body::json(import)?).await
    }

    async fn act_on<A: DeserializeOwned>(
        &self,
        secret: SecretId,
        verb: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<A, ClientError> {
        http::send(self.at_manager(Method::POST, &format!("/api/secrets/{secret}:{verb}")), Body::json(body)?).await
    }
}
