//! Token requests and their answers.

use manager_api::tokens::WantedSecret;
use serde::Serialize;
use zeroize::Zeroizing;

use super::details::{self, GrantedDetail};
use super::error::{OauthError, OauthErrorCode};
use super::form::{self, Form};

/// The grant type of assertions (RFC 7523 section 2.1).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The grant type of exchanges (RFC 8693 section 2.1).
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The grant type of clients themselves (RFC 6749 section 4.4).
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";

/// A token request. It has no `Debug` form.
pub struct TokenRequest {
    /// The client that the request names.
    pub client: Client,
    /// The grant, which entitles the client.
    pub grant: Grant,
    /// The secrets that the token is to open, 1 to 64.
    pub wanted: Vec<WantedSecret>,
    /// The life that is wanted, if it is named.
    pub life_seconds: Option<u64>,
}

/// The client of a request, whom nobody authenticated. It has no `Debug` form.
pub enum Client {
    /// Nobody says who he is; the grant does.
    Unnamed,
    /// A name without proof. With an exchange it is the service that the token is to stand for.
    Named(String),
    /// An opaque credential, by HTTP Basic or in the body. The credential must be of the client that is named.
    Secret {
        /// The client.
        id: String,
        /// Its credential.
        secret: Zeroizing<String>,
    },
    /// An assertion (RFC 7523 section 2.2). The client that is named, if any, must be its subject.
    Assertion {
        /// The client.
        id: Option<String>,
        /// The JWT.
        assertion: Zeroizing<String>,
    },
}

/// The thing that entitles a client to a token. It has no `Debug` form.
pub enum Grant {
    /// The client itself: [`Client::Secret`] or [`Client::Assertion`].
    ClientCredentials,
    /// An assertion of a service (RFC 7523 section 2.1).
    JwtBearer {
        /// The JWT.
        assertion: Zeroizing<String>,
    },
    /// A token of an external issuer (RFC 8693).
    TokenExchange {
        /// The JWT.
        subject_token: Zeroizing<String>,
    },
}

impl TokenRequest {
    /// Reads the `Authorization` header and the body of a request.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn parse(authorization: Option<&str>, body: &[u8]) -> Result<Self, OauthError> {
        let form = Form::parse(body)?;
        let client = client(authorization, &form)?;
        let grant = grant(&form, &client)?;
        if form.get("scope").is_some() {
            return Err(OauthError::new(
                OauthErrorCode::InvalidScope,
                "There are no scopes; use authorization_details.",
            ));
        }
        if form.get("audience").is_some() || form.get("resource").is_some() {
            return Err(OauthError::new(OauthErrorCode::InvalidTarget, "Tokens are for the vault only."));
        }
        let details = form.get("authorization_details");
        let details = details.ok_or(OauthError::request("The parameter authorization_details is missing."))?;
        let (wanted, life_seconds) = details::parse(details)?;
        Ok(Self { client, grant, wanted, life_seconds })
    }
}

fn client(authorization: Option<&str>, form: &Form) -> Result<Client, OauthError> {
    let (id, secret) = (form.get("client_id"), form.secret("client_secret"));
    let assertion = form.secret("client_assertion");
    let kind = form.get("client_assertion_type");
    // RFC 6749 section 2.3: one method in each request.
    let methods = [authorization.is_some(), secret.is_some(), assertion.is_some()];
    if methods.into_iter().filter(|used| *used).count() > 1 {
        return Err(OauthError::request("The client authenticates in more than one way."));
    }
    if id.is_some_and(|id| id.len() > LONGEST_CLIENT_ID) {
        return Err(OauthError::request("The parameter client_id is too long."));
    }
    if let Some(header) = authorization {
        let (basic_id, secret) = form::basic(header)?;
        if basic_id.len() > LONGEST_CLIENT_ID || id.is_some_and(|id| id != basic_id) {
            return Err(OauthError::request(
                "The parameter client_id differs from the Authorization header, or is too long.",
            ));
        }
        return Ok(Client::Secret { id: basic_id, secret });
    }
    let id = id.map(str::to_owned);
    match (assertion, kind, secret, id) {
        (Some(assertion), Some(ASSERTION_TYPE), _, id) => Ok(Client::Assertion { id, assertion }),
        (Some(_), ..) => Err(OauthError::request("The parameter client_assertion_type is missing or none of ours.")),
        (None, Some(_), ..) => Err(OauthError::request("The parameter client_assertion is missing.")),
        (None, None, Some(secret), Some(id)) => Ok(Client::Secret { id, secret }),
        (None, None, Some(_), None) => Err(OauthError::request("The parameter client_id is missing.")),
        (None, None, None, Some(id)) => Ok(Client::Named(id)),
        (None, None, None, None) => Ok(Client::Unnamed),
    }
}

fn grant(form: &Form, client: &Client) -> Result<Grant, OauthError> {
    match form.get("grant_type") {
        None => Err(OauthError::request("The parameter grant_type is missing.")),
        Some(CLIENT_CREDENTIALS) => match client {
            Client::Secret { .. } | Client::Assertion { .. } => Ok(Grant::ClientCredentials),
            Client::Unnamed | Client::Named(_) => {
                Err(OauthError::new(OauthErrorCode::InvalidClient, "The client does not authenticate."))
            }
        },
        Some(JWT_BEARER) => {
            let assertion = form.secret("assertion");
            Ok(Grant::JwtBearer {
                assertion: assertion.ok_or(OauthError::request("The parameter assertion is missing."))?,
            })
        }
        Some(TOKEN_EXCHANGE) => exchange(form),
        Some(_) => Err(OauthError::new(OauthErrorCode::UnsupportedGrantType, "The grant_type is none of ours.")),
    }
}

fn exchange(form: &Form) -> Result<Grant, OauthError> {
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return Err(OauthError::request("Nobody acts for another one here: actor_token is not accepted."));
    }
    if form.get("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN_TYPE) {
        return Err(OauthError::request("The only requested_token_type is that of access tokens."));
    }
    let subject_token = form.secret("subject_token");
    let subject_token = subject_token.ok_or(OauthError::request("The parameter subject_token is missing."))?;
    match form.get("subject_token_type") {
        // RFC 8693 section 3: the token of an issuer is a JWT, and often an ID token.
        Some(JWT_TYPE | ID_TOKEN_TYPE) => Ok(Grant::TokenExchange { subject_token }),
        _ => Err(OauthError::request("The subject_token_type is missing, or neither that of JWTs nor of ID tokens.")),
    }
}

/// The answer to a token request (RFC 6749 section 5.1). `Cache-Control: no-store` goes with it. It has no `Debug` form.
#[derive(Serialize)]
pub struct TokenAnswer {
    /// The token.
    pub access_token: Zeroizing<String>,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Its life in seconds.
    pub expires_in: u64,
    /// With an exchange only (RFC 8693 section 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
    /// The secrets that it opens.
    pub authorization_details: [GrantedDetail; 1],
}

impl TokenAnswer {
    /// The answer to a request with this grant.
    pub fn new(grant: &Grant, access_token: Zeroizing<String>, expires_in: u64, granted: GrantedDetail) -> Self {
        let issued_token_type = match grant {
            Grant::TokenExchange { .. } => Some(ACCESS_TOKEN_TYPE),
            Grant::ClientCredentials | Grant::JwtBearer { .. } => None,
        };
        Self { access_token, token_type: "Bearer", expires_in, issued_token_type, authorization_details: [granted] }
    }
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
const LONGEST_CLIENT_ID: usize = 256;

#[cfg(test)]
mod tests;
