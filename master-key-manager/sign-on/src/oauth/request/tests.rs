use proptest::prelude::*;
use serde_json::json;
use shared_proto::id::{SecretId, Version};
use static_assertions::assert_not_impl_any;

use manager_api::name::SecretPath;
use manager_api::tokens::GrantedSecret;

use super::super::OauthErrorCode as Code;
use super::*;

assert_not_impl_any!(TokenRequest: std::fmt::Debug, std::fmt::Display, Clone, Serialize);
assert_not_impl_any!(TokenAnswer: std::fmt::Debug, std::fmt::Display, Clone);

/// `svc:spv_secret`.
const BASIC: &str = "Basic c3ZjOnNwdl9zZWNyZXQ=";

/// `Authorization` header, parameters, and the code of the answer.
type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], Code);

fn body(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        form.append_pair(name, value);
    }
    let details = json!([{"type": "splitvault_secrets", "secrets": [{"key_id": SecretId::from_bytes([1; 16])}]}]);
    form.append_pair("authorization_details", &details.to_string());
    form.finish().into_bytes()
}

fn parse(authorization: Option<&str>, parameters: &[(&str, &str)]) -> Result<TokenRequest, Code> {
    TokenRequest::parse(authorization, &body(parameters)).map_err(|error| error.code)
}

fn refused(authorization: Option<&str>, parameters: &[(&str, &str)]) -> Option<Code> {
    parse(authorization, parameters).err()
}

#[test]
fn client_authenticates_by_basic_or_in_the_body_or_with_an_assertion() {
    let grant = ("grant_type", "client_credentials");
    let by_basic = parse(Some(BASIC), &[grant]).ok();
    let by_body = parse(None, &[grant, ("client_id", "svc"), ("client_secret", "spv_secret")]).ok();
    for request in [by_basic, by_body] {
        let TokenRequest { client: Client::Secret { id, secret }, grant: Grant::ClientCredentials, wanted, .. } =
            request.unwrap_or_else(|| unreachable!())
        else {
            panic!("another client or grant")
        };
        assert_eq!((id.as_str(), secret.as_str(), wanted.len()), ("svc", "spv_secret", 1));
    }
    let assertion = [grant, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", "a.b.c")];
    let request = parse(None, &assertion).unwrap_or_else(|_| unreachable!());
    assert!(matches!(request.client, Client::Assertion { id: None, assertion } if *assertion == "a.b.c"));
}

#[test]
fn assertion_or_token_of_another_issuer_is_a_grant() {
    let request = parse(None, &[("grant_type", JWT_BEARER), ("assertion", "a.b.c")]).unwrap_or_else(|_| unreachable!());
    assert!(matches!(request.grant, Grant::JwtBearer { assertion } if *assertion == "a.b.c"));
    assert!(matches!(request.client, Client::Unnamed));
    for kind in [JWT_TYPE, ID_TOKEN_TYPE] {
        let parameters = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", "a.b.c"),
            ("subject_token_type", kind),
            ("client_id", "svc"),
        ];
        let request = parse(None, &parameters).unwrap_or_else(|_| unreachable!());
        assert!(matches!(request.grant, Grant::TokenExchange { subject_token } if *subject_token == "a.b.c"));
        assert!(matches!(request.client, Client::Named(id) if id == "svc"));
    }
}

#[test]
fn each_fault_has_the_code_that_the_rfcs_give_it() {
    let grant = ("grant_type", "client_credentials");
    let exchange = ("grant_type", TOKEN_EXCHANGE);
    let subject = ("subject_token", "a.b.c");
    let jwt = ("subject_token_type", JWT_TYPE);
    assert_eq!(refused(None, &[exchange, subject, jwt]), None, "the control");
    assert_eq!(
        refused(Some(BASIC), &[grant, ("unknown", "x"), ("scope", ""), ("client_id", "svc")]),
        None,
        "the control"
    );
    let cases: &[Case<'_>] = &[
        (Some(BASIC), &[], Code::InvalidRequest),
        (Some(BASIC), &[("grant_type", "password")], Code::UnsupportedGrantType),
        (Some(BASIC), &[("grant_type", "Client_Credentials")], Code::UnsupportedGrantType),
        (Some(BASIC), &[grant, grant], Code::InvalidRequest),
        (Some(BASIC), &[grant, ("client_secret", "x")], Code::InvalidRequest),
        (Some(BASIC), &[grant, ("client_id", "other")], Code::InvalidRequest),
        (
            Some(BASIC),
            &[grant, ("client_assertion", "x"), ("client_assertion_type", ASSERTION_TYPE)],
            Code::InvalidRequest,
        ),
        (Some(BASIC), &[grant, ("scope", "all")], Code::InvalidScope),
        (Some(BASIC), &[grant, ("resource", "https://other.example")], Code::InvalidTarget),
        (Some(BASIC), &[grant, ("audience", "other")], Code::InvalidTarget),
        (Some("Bearer x"), &[grant], Code::InvalidClient),
        (Some("Basic x"), &[grant], Code::InvalidClient),
        (None, &[grant], Code::InvalidClient),
        (None, &[grant, ("client_id", "svc")], Code::InvalidClient),
        (None, &[grant, ("client_secret", "x")], Code::InvalidRequest),
        (None, &[grant, ("client_assertion", "x")], Code::InvalidRequest),
        (None, &[grant, ("client_assertion", "x"), ("client_assertion_type", "other")], Code::InvalidRequest),
        (None, &[grant, ("client_assertion_type", ASSERTION_TYPE)], Code::InvalidRequest),
        (None, &[("grant_type", JWT_BEARER)], Code::InvalidRequest),
        (None, &[("grant_type", JWT_BEARER), ("assertion", "")], Code::InvalidRequest),
        (None, &[exchange, jwt], Code::InvalidRequest),
        (None, &[exchange, subject], Code::InvalidRequest),
        (None, &[exchange, subject, ("subject_token_type", ACCESS_TOKEN_TYPE)], Code::InvalidRequest),
        (None, &[exchange, subject, jwt, ("actor_token", "x")], Code::InvalidRequest),
        (None, &[exchange, subject, jwt, ("requested_token_type", JWT_TYPE)], Code::InvalidRequest),
    ];
    for (authorization, parameters, code) in cases {
        assert_eq!(refused(*authorization, parameters), Some(*code), "{authorization:?} {parameters:?}");
    }
    let error = |body: &[u8]| TokenRequest::parse(Some(BASIC), body).err().map(|error| error.code);
    assert_eq!(error(b"grant_type=client_credentials"), Some(Code::InvalidRequest));
    assert_eq!(
        error(b"grant_type=client_credentials&authorization_details=[]"),
        Some(Code::InvalidAuthorizationDetails)
    );
    assert_eq!(error(b"grant_type=%"), Some(Code::InvalidRequest));
}

#[test]
fn error_answer_is_that_of_rfc_6749() {
    let refused = TokenRequest::parse(None, &body(&[("grant_type", "client_credentials")]))
        .err()
        .unwrap_or_else(|| unreachable!());
    assert_eq!(refused.code.status(), 401);
    let answer = serde_json::to_string(&refused).unwrap();
    assert_eq!(answer, r#"{"error":"invalid_client","error_description":"The client does not authenticate."}"#);
    let refused = TokenRequest::parse(Some(BASIC), b"").err().unwrap_or_else(|| unreachable!());
    assert_eq!((refused.code.status(), refused.code.as_str()), (400, "invalid_request"));
    // The characters that section 5.2 allows in a description.
    let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert!(refused.description.bytes().all(allowed));
}

#[test]
fn answer_names_what_the_token_opens() {
    let secret = |path: &str| GrantedSecret {
        key_id: SecretId::from_bytes([0; 16]),
        version: Version::FIRST,
        envelope: Version::FIRST,
        path: SecretPath::parse(path).ok(),
        expires_at: None,
        expired: false,
    };
    let granted = || GrantedDetail::new(vec![secret("a/b"), secret("")]);
    let token = || Zeroizing::new("a.b.c".to_owned());
    let answer = TokenAnswer::new(&Grant::ClientCredentials, token(), 300, granted());
    assert_eq!(
        serde_json::to_value(&answer).unwrap(),
        json!({"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 300, "authorization_details": [
            {"type": "splitvault_secrets", "actions": ["read"], "secrets": [
                {"key_id": "sec_AAAAAAAAAAAAAAAAAAAAAA", "version": 1, "envelope": 1, "path": "a/b"},
                {"key_id": "sec_AAAAAAAAAAAAAAAAAAAAAA", "version": 1, "envelope": 1}]}]})
    );
    let exchange = Grant::TokenExchange { subject_token: token() };
    let answer = serde_json::to_value(TokenAnswer::new(&exchange, token(), 300, granted())).unwrap();
    assert_eq!(answer["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
}

proptest! {
    #[test]
    fn no_request_panics(authorization: Option<String>, bytes: Vec<u8>, parameters in proptest::collection::vec((
        prop_oneof![Just("grant_type"), Just("client_id"), Just("client_secret"), Just("assertion"), Just("subject_token"), Just("client_assertion")],
        prop_oneof![Just("client_credentials".to_owned()), Just(JWT_BEARER.to_owned()), Just(TOKEN_EXCHANGE.to_owned()), any::<String>()],
    ), 0..6)) {
        let _ = TokenRequest::parse(authorization.as_deref(), &bytes);
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let _ = parse(authorization.as_deref(), &parameters);
    }
}
