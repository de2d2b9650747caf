//! Texts of strangers who prove who they are: keys, tokens of others, codes, addresses of key sets, token requests.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use manager_sign_on::assertion::UnverifiedAssertion;
use manager_sign_on::code::{EnrolmentCode, SessionCode};
use manager_sign_on::jwk::{Algorithm, Jwk, KeySet};
use manager_sign_on::oauth::{Client, Grant, TokenRequest};
use manager_sign_on::password::{Password, StoredPassword};
use manager_sign_on::recovery::RecoveryCode;
use manager_sign_on::trust::{AddressRules, KeySetUrl, parse_token};

/// A key that nobody here signs with.
static KEY: LazyLock<Jwk> = LazyLock::new(|| {
    let document = br#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    Jwk::parse(document).unwrap()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(key) = Jwk::parse(data) {
        let again = Jwk::parse(key.to_json().as_bytes()).unwrap();
        assert_eq!((again.thumbprint(), again.kid()), (key.thumbprint(), key.kid()));
        let all = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];
        let allowed = all.iter().filter(|algorithm| key.allows(**algorithm)).count();
        assert!((1..=2).contains(&allowed));
        assert!(all.iter().all(|algorithm| key.allows(*algorithm) == again.allows(*algorithm)));
    }
    if let Ok(set) = KeySet::parse(data) {
        let (usable, skipped) = set.counts();
        assert!(usable > 0 && usable + skipped <= manager_sign_on::jwk::MAX_SET_KEYS);
    }
    requested(None, data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some((header, body)) = text.split_once('\n') {
        requested(Some(header), body.as_bytes());
    }
    token(text);
    code(text);
    if let Ok(url) = KeySetUrl::parse(text, &AddressRules::STRICT) {
        assert_eq!(url.as_str(), text);
        assert!(text.starts_with("https://") && !text.contains(['#', '\\', ' ']));
    }
    if let Ok(password) = Password::entered(text) {
        let _ = password.choose(&[]);
    }
    if let Ok(stored) = StoredPassword::parse(text) {
        let again = StoredPassword::parse(&stored.to_text().unwrap()).unwrap();
        assert_eq!(again.to_text().unwrap(), stored.to_text().unwrap());
        assert!(stored.memory_bytes() <= 1 << 30);
    }
});

/// A token is read, and nobody's signature holds.
fn token(text: &str) {
    if let Ok(token) = parse_token(text) {
        assert!(text.len() <= manager_sign_on::jwt::MAX_TOKEN_BYTES && text.matches('.').count() == 2);
        assert!(token.kid().len() <= manager_sign_on::jwk::MAX_KEY_ID_BYTES);
    }
    if let Ok(assertion) = UnverifiedAssertion::parse(text) {
        let verified = assertion.verify(std::slice::from_ref(&*KEY), "https://manager.example", 1_800_000_000);
        assert!(verified.is_err());
    }
}

/// A code that is read has a text of its own, which is read as the same code.
fn code(text: &str) {
    if let Ok(code) = SessionCode::parse(text) {
        assert_eq!(*code.expose_text(), text);
    }
    if let Ok(code) = EnrolmentCode::parse(text) {
        let canonical = code.expose_text();
        assert!(EnrolmentCode::parse(&canonical).is_ok_and(|again| again.expose_text() == canonical));
    }
    if let Ok(code) = RecoveryCode::parse(text) {
        let canonical = code.expose_text();
        assert!(RecoveryCode::parse(&canonical).is_ok_and(|again| again.expose_text() == canonical));
    }
}

fn requested(authorization: Option<&str>, body: &[u8]) {
    match TokenRequest::parse(authorization, body) {
        Ok(request) => {
            assert!((1..=64).contains(&request.wanted.len()));
            let authenticates = matches!(request.client, Client::Secret { .. } | Client::Assertion { .. });
            assert!(authenticates || !matches!(request.grant, Grant::ClientCredentials));
        }
        Err(error) => {
            assert!(matches!(error.code.status(), 400 | 401));
            // RFC 6749 section 5.2.
            assert!(error.description.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)));
        }
    }
}
