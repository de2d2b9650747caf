//! The metadata document (RFC 8414), with the member of RFC 9396 section 10.

use serde::Serialize;

use super::details::DETAIL_TYPE;
use super::request::{CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE};
use crate::jwk::Algorithm;

/// The path of the document, for an issuer that has none itself (RFC 8414 section 3).
pub const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// The document that clients find at [`METADATA_PATH`].
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    issuer: String,
    token_endpoint: String,
    /// Required, and empty: there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 3],
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: &'static [&'static str],
    authorization_details_types_supported: [&'static str; 1],
}

impl Metadata {
    /// The document of an issuer, which is an `https` origin without a slash at its end.
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{issuer}/oauth/token"),
            response_types_supported: [],
            grant_types_supported: [CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE],
            token_endpoint_auth_methods_supported: [
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
                "none",
            ],
            token_endpoint_auth_signing_alg_values_supported: Algorithm::NAMES,
            authorization_details_types_supported: [DETAIL_TYPE],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_has_the_required_members_and_names_no_symmetric_algorithm() {
        let document = serde_json::to_value(Metadata::new("https://manager.example")).unwrap();
        assert_eq!(document["issuer"], "https://manager.example");
        assert_eq!(document["token_endpoint"], "https://manager.example/oauth/token");
        assert_eq!(document["response_types_supported"], serde_json::json!([]));
        let algorithms = document["token_endpoint_auth_signing_alg_values_supported"].to_string();
        assert!(algorithms.contains("ES256") && !algorithms.contains("HS") && !algorithms.contains("none"));
    }
}
