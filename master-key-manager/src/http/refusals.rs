//! What the domain's refusals are called outside. Their reasons go to the log, never to the client.

use service_runtime::http::ApiError;
use shared_proto::error::ErrorCode;

use crate::refusal::Refusal;

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable(why) => Self::new(ErrorCode::Unavailable).cause(why),
            Refusal::OutcomeUnknown(why) => Self::new(ErrorCode::OutcomeUnknown).cause(why),
            Refusal::EnvironmentUnknown => Self::new(ErrorCode::NameInvalid).detail("There is no such environment."),
            Refusal::Parameter(detail) => Self::new(ErrorCode::ParameterInvalid).detail(detail),
            Refusal::SecretNotFound => Self::new(ErrorCode::SecretNotFound),
            Refusal::SubjectNotFound => Self::new(ErrorCode::SubjectNotFound),
            Refusal::CredentialDisabled => Self::new(ErrorCode::CredentialInvalid),
            Refusal::LastAdministrator => Self::new(ErrorCode::LastAdministrator),
            Refusal::CredentialUnknown => Self::new(ErrorCode::CredentialNotFound),
            Refusal::BodyDiffers => Self::new(ErrorCode::IdempotencyMismatch),
            Refusal::KeyOfAnotherPath => Self::new(ErrorCode::IdempotencyConflict),
            Refusal::BodyForgotten { secret, version } => {
                Self::new(ErrorCode::IdempotencyUnknown).key_id(secret.to_string()).version(version.get())
            }
            Refusal::Storage(fault) => fault.into(),
            Refusal::Audit(fault) => fault.into(),
            Refusal::Internal(what) => Self::new(ErrorCode::Internal).cause(what),
        }
    }
}
