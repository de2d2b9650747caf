//! The request of a write.

use manager_api::name::{IdempotencyKey, SecretPath, UserLabel};
use manager_registry::SecretRules;
use manager_store::{AboutVersion, Details, IfVersion, NewRotation, SecretState};
use shared_proto::secret::ValueEncoding;

use super::target::{Destination, StoreTo};
use super::value::NewValue;
use crate::idempotency::BodyMark;

/// A value to be stored.
pub struct StoreRequest {
    /// The submitter's label; the caller by default.
    pub label: Option<UserLabel>,
    /// The value.
    pub value: NewValue,
    /// The secret that it goes to.
    pub to: StoreTo,
    /// What the caller has seen of the secret.
    pub if_version: Option<IfVersion>,
    /// What is kept with the version, except its author.
    pub about: AboutVersion,
    /// Whether a token is wanted.
    pub token: bool,
    /// True if a value that is the current one makes no version. It takes the right to read.
    pub skip_unchanged: bool,
    /// The rotation that begins with it.
    pub rotation: Option<NewRotation>,
    /// The idempotency key and the mark of the body, to recognize a repeat.
    pub idempotency: Option<(IdempotencyKey, BodyMark)>,
}

impl StoreRequest {
    /// The encoding of the value in answers.
    pub(super) fn encoding(&self) -> ValueEncoding {
        match &self.value {
            NewValue::Given(value) => value.encoding(),
            NewValue::Made(_) | NewValue::Filled { .. } => ValueEncoding::Text,
        }
    }

    /// The rules of a secret that is made.
    pub(super) fn rules(&self) -> Option<&SecretRules> {
        match &self.to {
            StoreTo::New { rules, .. } => Some(rules),
            StoreTo::Path { .. } | StoreTo::Id(_) => None,
        }
    }

    /// The condition of a create.
    pub(super) fn first(&self) -> Option<IfVersion> {
        self.rules().map(|_| IfVersion::Absent)
    }

    /// The description of a secret that is made.
    pub(super) fn details(&self) -> Option<&Details> {
        match &self.to {
            StoreTo::New { details, .. } => Some(details),
            StoreTo::Path { .. } | StoreTo::Id(_) => None,
        }
    }
}

/// Tells whether a request is for the environment and the path of a secret.
pub(super) fn goes_to(to: &Destination, request: &StoreRequest, state: &SecretState) -> bool {
    if let StoreTo::Id(secret) = request.to {
        return secret == state.secret;
    }
    let path = to.path.clone().unwrap_or_else(|| SecretPath::unnamed(state.secret));
    (to.environment.id, path) == (state.environment, state.path.clone())
}
