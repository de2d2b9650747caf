//! The one table of error codes that both services answer with.
//!
//! Every refusal that leaves a service over HTTP is an RFC 9457 problem document whose `code` is one of these. The
//! table feeds the services, the client library, the `OpenAPI` documents and `docs/errors.md`; a test holds them
//! together. A code is never renamed: clients match on it.

use serde::{Deserialize, Serialize};

/// Whether a client may send the same request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request will be refused again.
    No,
    /// The same request may succeed later. Nothing was written.
    Later,
    /// The request may or may not have been carried out. Repeat it with the same `Idempotency-Key` to settle it.
    SameKey,
    /// A new access token is needed first.
    NewToken,
}

impl Retry {
    /// The word used in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Later => "later",
            Self::SameKey => "same-key",
            Self::NewToken => "new-token",
        }
    }
}

macro_rules! error_table {
    ($($variant:ident, $code:literal, $status:literal, $retry:ident, $advice:literal;)*) => {
        /// A stable error code (`code` member of a problem document).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $(#[doc = $advice] #[serde(rename = $code)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in table order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The wire form.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The HTTP status code it is sent with.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// Whether and how the request may be repeated.
            pub fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry),* }
            }

            /// One sentence for the author of a client.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),* }
            }
        }
    };
}

error_table! {
    BodyInvalid, "body_invalid", 400, No, "The body is not the JSON document that this route takes.";
    ParameterInvalid, "parameter_invalid", 400, No, "A field or query parameter is outside its allowed values.";
    NameInvalid, "name_invalid", 400, No, "A path, pattern, environment, name, label, tag, reason, lifetime or range of addresses breaks its rules; the detail says which.";
    EncodingInvalid, "encoding_invalid", 400, No, "The value is not canonical base64 although the encoding says so.";
    PathInvalid, "path_invalid", 400, No, "The request path is not in the plain form that the API uses.";
    HostInvalid, "host_invalid", 400, No, "Development mode answers only to localhost, without a proxy in between.";
    IdempotencyForbidden, "idempotency_forbidden", 400, No, "Anonymous callers may not send Idempotency-Key.";
    CredentialInvalid, "credential_invalid", 401, No, "The credential is missing, unknown, expired, disabled or used up, or is not for this address.";
    TokenInvalid, "token_invalid", 401, NewToken, "The access token is missing, malformed, expired, revoked or of another vault.";
    SealKeyUnknown, "seal_key_unknown", 401, NewToken, "The token was sealed to a key that no longer exists; fetch a new token.";
    CommandInvalid, "command_invalid", 401, No, "The command is missing, malformed, expired or not signed by the manager.";
    ClockDiffers, "clock_differs", 401, No, "The command is the manager's but of another time: the clocks of the services differ, or it is an old one.";
    LoginFailed, "login_failed", 401, No, "Name, password or code is wrong, or the code was used; which of them is not told.";
    EnrolmentInvalid, "enrolment_invalid", 401, No, "The enrolment code is unknown, was redeemed, has ended, or is for another address; ask for a new one.";
    LoginRequired, "login_required", 403, No, "The last login is too long ago for this; repeat it with POST /api/sessions:reauthenticate.";
    MfaRequired, "mfa_required", 403, No, "This needs a login with two factors; set up an authenticator, and log in with its code.";
    ApprovalRequired, "approval_required", 403, No, "This needs the approval of somebody else: ask for it with POST /api/approvals, or with the :destroy of the secret.";
    NotPermitted, "not_permitted", 403, No, "The policy does not allow this to the caller.";
    SecretNotFound, "secret_not_found", 404, No, "No such secret or version, or it is not yours to see.";
    EnvironmentNotFound, "environment_not_found", 404, No, "There is no such environment.";
    TokenNotFound, "token_not_found", 404, No, "This is not the id of a token.";
    SubjectNotFound, "subject_not_found", 404, No, "Nobody has this label, as it is written: nothing was revoked.";
    ServiceNotFound, "service_not_found", 404, No, "No such service, or it is not yours to see.";
    CredentialNotFound, "credential_not_found", 404, No, "There is no such credential.";
    PartyNotFound, "party_not_found", 404, No, "There is no such person, service or group, or it is not a member.";
    GroupNotFound, "group_not_found", 404, No, "There is no such group.";
    LineNotFound, "line_not_found", 404, No, "There is no such role assignment or permission, or it is not yours to see.";
    PolicyVersionNotFound, "policy_version_not_found", 404, No, "No version of the policy has this number.";
    PersonNotFound, "person_not_found", 404, No, "There is no such person.";
    EnrolmentNotFound, "enrolment_not_found", 404, No, "There is no such enrolment code.";
    TrustNotFound, "trust_not_found", 404, No, "There is no such trust.";
    IncidentNotFound, "incident_not_found", 404, No, "There is no such incident, or it is not yours to see.";
    ApprovalNotFound, "approval_not_found", 404, No, "There is no such approval, or it is not yours to see.";
    RouteNotFound, "route_not_found", 404, No, "There is no such route.";
    MethodNotAllowed, "method_not_allowed", 405, No, "The route exists, but not for this method.";
    IdempotencyUnknown, "idempotency_unknown", 409, No, "The first request succeeded, but its body can no longer be compared; id and version are given.";
    IdempotencyConflict, "idempotency_conflict", 409, No, "This Idempotency-Key was used for another path or environment; that request stored nothing.";
    TooManyCredentials, "too_many_credentials", 409, No, "The service has two credentials that may be used; disable one of them first.";
    LastAdministrator, "last_administrator", 409, No, "After this nobody could make policy and principals any more.";
    EnvironmentFrozen, "environment_frozen", 409, No, "The environment is frozen: nothing is written to it and no token is made for it.";
    EnvironmentDisabled, "environment_disabled", 409, No, "The environment is disabled: nothing is written to it and no token is made for it.";
    VersionConflict, "version_conflict", 409, No, "The version number is taken by other content or by a tombstone, or another version is the newest.";
    EventGap, "event_gap", 409, Later, "An event is missing before this one; send from the expected number.";
    EventConflict, "event_conflict", 409, No, "A known event number came with other content; the feed is stopped.";
    SecondManager, "second_manager", 409, Later, "Two managers with the same identity poll this vault; end one of them.";
    EpochIncomplete, "epoch_incomplete", 409, Later, "A stored version has no key of this epoch yet; rewrap it first.";
    AlreadyExists, "already_exists", 409, No, "The thing to be made is there already.";
    SecretDeleted, "secret_deleted", 409, No, "The secret is deleted: no token is made for it and nothing is written to it.";
    SecretFrozen, "secret_frozen", 409, No, "The secret is frozen because of an incident: no token is made for it until that is lifted.";
    SecretNotDeleted, "secret_not_deleted", 409, No, "The secret is not deleted; only a deleted one is destroyed or taken back.";
    ApprovalDecided, "approval_decided", 409, No, "The approval is decided, used, withdrawn or ended, and takes no other decision.";
    VersionExpired, "version_expired", 409, No, "The version has expired, and its environment makes no token for expired ones.";
    RotationConflict, "rotation_conflict", 409, No, "The rotation of the secret is not at the step that this one follows.";
    GroupInUse, "group_in_use", 409, No, "A role assignment, a permission or an owner names the group; delete or change that first.";
    LimitReached, "limit_reached", 409, No, "There are as many of these as there may be.";
    ValueInvalid, "value_invalid", 400, No, "The value is not what its kind says, or cannot be made as asked; the detail says why and never repeats it.";
    ValueWeak, "value_weak", 400, No, "A password is weaker than its environment asks for; nothing was written.";
    BodyTooLarge, "body_too_large", 413, No, "The body is larger than this route takes.";
    ValueTooLarge, "value_too_large", 413, No, "A secret value is at most 1048576 bytes after decoding.";
    MediaTypeUnsupported, "media_type_unsupported", 415, No, "Send application/json without content encoding.";
    IdempotencyMismatch, "idempotency_mismatch", 422, No, "This Idempotency-Key was used with another body.";
    DryRunTooLarge, "dry_run_too_large", 422, No, "The question concerns too many principals for so many secrets; ask about fewer of these.";
    RateLimited, "rate_limited", 429, Later, "Too many requests: of a token that were refused within this second, beyond a budget, or attempts that failed; wait as Retry-After says.";
    HeaderTooLarge, "header_too_large", 431, No, "The request head is larger than 16 KiB.";
    Internal, "internal", 500, No, "A fault in the service; the request id finds it in the log.";
    Unavailable, "unavailable", 503, Later, "A part that is needed is not reachable; nothing was written.";
    OutcomeUnknown, "outcome_unknown", 503, SameKey, "It may have been carried out; repeat with the same Idempotency-Key to settle it.";
    RevocationsBehind, "revocations_behind", 503, Later, "The vault has not yet applied every revocation that it must know; wait a second.";
    AuditUnavailable, "audit_unavailable", 503, Later, "The audit log cannot be written, so nothing is released.";
    StorageUnavailable, "storage_unavailable", 503, Later, "The database cannot be read or written.";
    Overloaded, "overloaded", 503, Later, "Too many requests at once.";
}

/// An RFC 9457 problem document (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:splitvault:error:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The table's sentence for this code.
    pub title: String,
    /// HTTP status code.
    pub status: u16,
    /// Stable code.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub code: ErrorCode,
    /// What is wrong with this request, when there is something to add. Never holds a value, a key or a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The same as the `X-Request-Id` header.
    pub request_id: String,
    /// With `event_gap`: the event number that is expected next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// With `epoch_incomplete`: how many stored versions lack a key of the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacking: Option<u64>,
    /// With `idempotency_unknown`: the secret that the first request wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// With `idempotency_unknown`: the version that the first request wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// With `already_exists`: the id of the thing that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Problem {
    /// A document for `code`, without optional members.
    pub fn new(code: ErrorCode, request_id: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:splitvault:error:{}", code.as_str()),
            title: code.advice().to_owned(),
            status: code.status(),
            code,
            detail: None,
            request_id: request_id.into(),
            expected: None,
            lacking: None,
            key_id: None,
            version: None,
            id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_survive_json() {
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{} is listed twice", code.as_str());
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), *code);
        }
    }
}
