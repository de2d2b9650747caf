//! Requests and answers about many operations at once.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::encoding::present;
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};

use crate::deletion::{DeletedSecret, DestroyedSecret};
use crate::lines::ChangeAnswer;
use crate::name::Reason;
use crate::rotation::{Rotate, RotationAnswer};
use crate::secrets::{ChangeSecret, CreateSecret, WriteVersion, WrittenSecret};
use crate::versions::{ChangeVersion, VersionAfterChange};
use crate::wire::{Destroy, DestroyAnswer, Rollback, RollbackAnswer};

/// The most operations of a request.
pub const MAX_OPERATIONS: usize = 100;

/// Body of `POST /api/secrets:bulk`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// 1 to 100 operations, carried out one after the other.
    #[serde(deserialize_with = "operations")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub operations: Vec<BulkOperation>,
}

/// One operation, as its own route takes it. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BulkOperation {
    /// `POST /api/secrets`.
    Create(Box<CreateSecret>),
    /// `PUT /api/secrets/{key_id}`.
    Write(Box<BulkWrite>),
    /// `PATCH /api/secrets/{key_id}`.
    Change(Box<BulkChange>),
    /// `POST /api/secrets/{key_id}:rollback`.
    Rollback(BulkRollback),
    /// `POST /api/secrets/{key_id}:rotate`.
    Rotate(Box<BulkRotate>),
    /// `PATCH /api/secrets/{key_id}/versions/{version}`.
    ChangeVersion(BulkChangeVersion),
    /// `DELETE /api/secrets/{key_id}`.
    Delete(BulkNamed),
    /// `POST /api/secrets/{key_id}:undelete`.
    Undelete(BulkNamed),
    /// `POST /api/secrets/{key_id}:destroy`.
    Destroy(BulkDestroy),
    /// `POST /api/keys/{key_id}/destroy`.
    DestroyVersions(BulkDestroyVersions),
}

/// The next version of a secret.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkWrite {
    /// The secret.
    pub key_id: SecretId,
    /// The body of the route.
    pub body: WriteVersion,
}

/// A change of a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkChange {
    /// The secret.
    pub key_id: SecretId,
    /// The body of the route.
    pub body: ChangeSecret,
}

/// A rollback of a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkRollback {
    /// The secret.
    pub key_id: SecretId,
    /// The body of the route.
    pub body: Rollback,
}

/// A rotation of a secret.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkRotate {
    /// The secret.
    pub key_id: SecretId,
    /// The body of the route.
    pub body: Rotate,
}

/// A change of a version: its note, or its stages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkChangeVersion {
    /// The secret.
    pub key_id: SecretId,
    /// The version.
    pub version: Version,
    /// The body of the route.
    pub body: ChangeVersion,
}

/// An operation on a secret that needs nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkNamed {
    /// The secret.
    pub key_id: SecretId,
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub reason: Option<Reason>,
}

/// The destruction of a deleted secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkDestroy {
    /// The secret.
    pub key_id: SecretId,
    /// The reason.
    pub reason: Reason,
}

/// The destruction of versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkDestroyVersions {
    /// The secret.
    pub key_id: SecretId,
    /// The body of the route.
    pub body: Destroy,
}

/// Answer to [`BulkRequest`].
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkAnswer {
    /// How many operations were done.
    pub done: u64,
    /// How many were refused, or failed.
    pub refused: u64,
    /// A result for each operation, in the order of the request.
    pub results: Vec<BulkResult>,
}

/// The result of one operation: what its own route would have answered. It has no `Debug` form.
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkResult {
    /// The HTTP status that its own route would have answered with.
    pub status: u16,
    /// The reason why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// Answer to `create` and `write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Box<WrittenSecret>>,
    /// Answer to `rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RollbackAnswer>,
    /// Answer to `rotate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<RotationAnswer>,
    /// Answer to `change-version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_version: Option<VersionAfterChange>,
    /// Answer to `change` and `undelete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ChangeAnswer>,
    /// Answer to `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<DeletedSecret>,
    /// Answer to `destroy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<DestroyedSecret>,
    /// Answer to `destroy-versions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_versions: Option<DestroyAnswer>,
}

/// The reason why one of many operations was not done. It never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationError {
    /// Stable code.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub code: ErrorCode,
    /// The fault of this operation, when there is something to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The secret that was written all the same, as the code says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<SecretId>,
    /// The version that was written all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// Reads operations, and stops at the first one that is too many.
fn operations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BulkOperation>, D::Error> {
    struct Bounded;

    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<BulkOperation>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("1 to 100 operations")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut read = Vec::new();
            while let Some(operation) = items.next_element()? {
                if read.len() == MAX_OPERATIONS {
                    return Err(serde::de::Error::invalid_length(MAX_OPERATIONS + 1, &self));
                }
                read.push(operation);
            }
            if read.is_empty() { Err(serde::de::Error::invalid_length(0, &self)) } else { Ok(read) }
        }
    }

    deserializer.deserialize_seq(Bounded)
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    // What holds a value or a token cannot be printed or copied as a whole.
    assert_not_impl_any!(BulkRequest: Debug, Display, Clone);
    assert_not_impl_any!(BulkOperation: Debug, Display, Clone);
    assert_not_impl_any!(BulkRotate: Debug, Display, Clone);
    assert_not_impl_any!(BulkResult: Debug, Display, Clone);

    fn read(count: usize) -> Result<BulkRequest, serde_json::Error> {
        let one = format!(r#"{{"delete": {{"key_id": "{}"}}}}"#, SecretId::generate());
        serde_json::from_str(&format!(r#"{{"operations": [{}]}}"#, vec![one; count].join(",")))
    }

    #[test]
    fn a_request_has_1_to_100_operations() {
        assert!(read(1).is_ok() && read(MAX_OPERATIONS).is_ok());
        assert!(read(0).is_err() && read(MAX_OPERATIONS + 1).is_err());
    }

    #[test]
    fn an_operation_has_one_verb_and_no_other_member() {
        let id = SecretId::generate();
        let read = |text: &str| serde_json::from_str::<BulkOperation>(text).is_ok();
        assert!(read(&format!(r#"{{"write": {{"key_id": "{id}", "body": {{"value": "v"}}}}}}"#)));
        assert!(read(r#"{"create": {"environment": "dev", "path": "p", "value": "v"}}"#));
        assert!(!read(&format!(r#"{{"delete": {{"key_id": "{id}"}}, "undelete": {{"key_id": "{id}"}}}}"#)));
        assert!(!read(&format!(r#"{{"write": {{"key_id": "{id}", "value": "v"}}}}"#)));
        assert!(!read(&format!(r#"{{"delete": {{"key_id": "{id}", "reason": null}}}}"#)));
        assert!(!read(&format!(r#"{{"mint": {{"key_id": "{id}"}}}}"#)));
    }
}
