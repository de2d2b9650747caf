//! Errors of the token endpoint (RFC 6749 section 5.2, RFC 8693 section 2.2.2, RFC 9396 section 5).

use serde::Serialize;
use serde::ser::SerializeMap as _;

/// The codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OauthErrorCode {
    /// A parameter is missing, malformed or comes twice.
    InvalidRequest,
    /// The client is not authenticated.
    InvalidClient,
    /// The assertion or token that is the grant does not count.
    InvalidGrant,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// The grant is none of ours.
    UnsupportedGrantType,
    /// There are no scopes.
    InvalidScope,
    /// The token is wanted for somebody else than the vault.
    InvalidTarget,
    /// `authorization_details` are malformed, or ask for what the client may not have.
    InvalidAuthorizationDetails,
}

impl OauthErrorCode {
    /// The text of `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidAuthorizationDetails => "invalid_authorization_details",
        }
    }

    /// The HTTP status. With 401 goes [`OauthError::CHALLENGE`] as `WWW-Authenticate`.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::InvalidRequest
            | Self::InvalidGrant
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::InvalidAuthorizationDetails => 400,
        }
    }
}

/// An error answer. Its JSON form is the body; `Cache-Control: no-store` goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OauthError {
    /// The code.
    pub code: OauthErrorCode,
    /// One sentence for the author of the client. It never repeats what was sent.
    pub description: &'static str,
}

impl OauthError {
    /// The value of `WWW-Authenticate` with status 401.
    pub const CHALLENGE: &'static str = r#"Basic realm="splitvault", charset="UTF-8""#;

    /// An error.
    pub const fn new(code: OauthErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }

    pub(super) const fn request(description: &'static str) -> Self {
        Self::new(OauthErrorCode::InvalidRequest, description)
    }
}

impl Serialize for OauthError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("error", self.code.as_str())?;
        map.serialize_entry("error_description", self.description)?;
        map.end()
    }
}
