//! Assertions that services sign with a registered key (RFC 7521, RFC 7523).
//!
//! Decisions where the RFCs leave room:
//! - `iss` and `sub` are the service's id (`svc_…`), both, and the same.
//! - `aud` is the manager's issuer, exactly: as a text, or as an array of this one text, which some libraries always
//!   send. With another audience beside it, its holder could present it there, too, so that is refused.
//! - `exp` and `iat` are required. `exp` has no skew, and is 300 seconds after `iat` at most. `iat` is in the future by
//!   [`MAX_AHEAD_SECONDS`] at most: what a verifier has forgotten must have been issued before it began to remember.
//!   `nbf` may be in the future by 60 seconds.
//! - `jti` is required. It counts once: whoever lets the service in remembers [`ProvenService::replay_key`], and refuses
//!   when it is there already.
//! - `kid` names the registered key by its thumbprint, or by the `kid` that the key was registered with.

use shared_proto::encoding::{b64, lp, sha256};
use shared_proto::id::{ServiceId, Subject};
use shared_proto::jwk::Thumbprint;

use crate::jwk::Jwk;
use crate::jwt::{JwtFault, UnverifiedJwt};
use crate::proof::{Method, Proof};

/// The longest life of an assertion in seconds.
pub const MAX_LIFE_SECONDS: u64 = 300;
/// How far `iat` may be in the future, in seconds.
pub const MAX_AHEAD_SECONDS: u64 = 5;
/// The longest `jti` in bytes.
pub const MAX_TOKEN_ID_BYTES: usize = 128;

/// An assertion that nobody verified.
pub struct UnverifiedAssertion<'a> {
    token: UnverifiedJwt<'a>,
    service: ServiceId,
}

impl<'a> UnverifiedAssertion<'a> {
    /// Checks the form.
    ///
    /// # Errors
    /// It is no assertion of a service.
    pub fn parse(text: &'a str) -> Result<Self, JwtFault> {
        let token = UnverifiedJwt::parse(text)?;
        token.of_type(&["JWT", "client-authentication+jwt"])?;
        let service = token.unverified_text("sub")?.parse().map_err(|_| JwtFault::Subject)?;
        Ok(Self { token, service })
    }

    /// The service that it claims to be of, to look up its registered keys. It decides nothing.
    pub fn claimed_service(&self) -> ServiceId {
        self.service
    }

    /// True if it claims to be signed by the service itself, and not by an issuer that calls it its subject. It selects
    /// whose keys are asked, and decides nothing.
    pub fn claims_to_be_own(&self) -> bool {
        self.token.unverified_text("iss").is_ok_and(|issuer| issuer == self.service.to_string())
    }

    /// Verifies it with the registered keys of [`Self::claimed_service`].
    ///
    /// # Errors
    /// No key of the service signed it, or a claim is wrong.
    pub fn verify(&self, keys: &[Jwk], issuer: &str, now: u64) -> Result<ProvenService, JwtFault> {
        let kid = self.token.kid();
        let named = |key: &&Jwk| key.kid() == Some(kid) || b64(&key.thumbprint().0) == kid;
        let key = keys.iter().find(named).ok_or(JwtFault::UnknownKey)?;
        let claims = self.token.verify(key)?;
        let service = self.service.to_string();
        if claims.text("sub") != Some(service.as_str()) {
            return Err(JwtFault::Subject);
        }
        if claims.text("iss") != Some(service.as_str()) {
            return Err(JwtFault::Issuer);
        }
        claims.only_audience(issuer)?;
        let times = claims.times()?;
        times.check(now)?;
        times.check_life(now, MAX_LIFE_SECONDS)?;
        let issued = times.issued.ok_or(JwtFault::Times)?;
        if issued > now.saturating_add(MAX_AHEAD_SECONDS) {
            return Err(JwtFault::NotYet);
        }
        let jti = claims.text("jti").filter(|jti| (1..=MAX_TOKEN_ID_BYTES).contains(&jti.len()));
        let jti = jti.ok_or(JwtFault::TokenId)?;
        Ok(ProvenService {
            proof: Proof { subject: Subject::Service(self.service), method: Method::Assertion, at: now },
            key: key.thumbprint(),
            replay_key: sha256(&lp(&[b"splitvault/1/assertion", self.service.as_bytes(), jti.as_bytes()])),
            issued,
            remember_until: times.expires,
        })
    }
}

/// A service that signed an assertion. It acts only after `replay_key` was stored for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenService {
    /// The service.
    pub proof: Proof,
    /// The registered key. The transaction that acts looks again at whether it is still registered.
    pub key: Thumbprint,
    /// When it was issued (Unix seconds).
    pub issued: u64,
    /// Digest of service and `jti`, so that what must be remembered has one length.
    pub replay_key: [u8; 32],
    /// Until when the replay key must be remembered (Unix seconds); afterwards the assertion is expired.
    pub remember_until: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::Signer;

    const ISSUER: &str = "https://manager.example";
    const NOW: u64 = 1_800_000_000;

    fn service() -> ServiceId {
        ServiceId::from_bytes([1; 16])
    }

    fn keys(signers: &[&Signer]) -> Vec<Jwk> {
        signers.iter().map(|signer| Jwk::parse(signer.jwk().to_string().as_bytes()).unwrap()).collect()
    }

    fn claims() -> Value {
        let id = service().to_string();
        json!({"iss": id, "sub": id, "aud": ISSUER, "exp": NOW + 300, "iat": NOW, "jti": "one"})
    }

    fn verify(signer: &Signer, claims: &Value) -> Result<ProvenService, JwtFault> {
        let text = signer.token(claims);
        UnverifiedAssertion::parse(&text)?.verify(&keys(&[signer]), ISSUER, NOW)
    }

    /// The claims with another value for one, or without it.
    fn changed(name: &str, value: Option<Value>) -> Value {
        let mut claims = claims();
        let members = claims.as_object_mut().unwrap();
        members.remove(name);
        members.extend(value.map(|value| (name.to_owned(), value)));
        claims
    }

    #[test]
    fn service_that_signed_is_proven_and_what_to_remember_is_told() {
        for signer in [Signer::ed25519("a"), Signer::p256("a"), Signer::rsa("a")] {
            let proven = verify(&signer, &claims()).unwrap();
            assert_eq!(proven.proof.subject, Subject::Service(service()));
            assert_eq!((proven.proof.at, proven.remember_until), (NOW, NOW + 300));
            assert_eq!(proven.key, keys(&[&signer])[0].thumbprint());
            let other = verify(&signer, &changed("jti", Some(json!("two")))).unwrap();
            assert_ne!(proven.replay_key, other.replay_key);
            assert_eq!(proven.replay_key, verify(&signer, &claims()).unwrap().replay_key);
        }
    }

    #[test]
    fn key_is_named_by_its_thumbprint_or_its_registered_name() {
        let (mut one, two) = (Signer::ed25519("one"), Signer::ed25519("two"));
        let keys = keys(&[&two, &one]);
        let text = one.token(&claims());
        let proven = UnverifiedAssertion::parse(&text).unwrap().verify(&keys, ISSUER, NOW).unwrap();
        assert_eq!(proven.key, keys[1].thumbprint());
        one.kid = b64(&keys[1].thumbprint().0);
        let text = one.token(&claims());
        assert_eq!(UnverifiedAssertion::parse(&text).unwrap().verify(&keys, ISSUER, NOW), Ok(proven));
        one.kid = "two".to_owned();
        let text = one.token(&claims());
        let refused = UnverifiedAssertion::parse(&text).unwrap().verify(&keys, ISSUER, NOW);
        assert_eq!(refused, Err(JwtFault::Signature));
        one.kid = "three".to_owned();
        let text = one.token(&claims());
        assert_eq!(UnverifiedAssertion::parse(&text).unwrap().verify(&keys, ISSUER, NOW), Err(JwtFault::UnknownKey));
        assert_eq!(UnverifiedAssertion::parse(&text).unwrap().verify(&[], ISSUER, NOW), Err(JwtFault::UnknownKey));
    }

    #[test]
    fn every_wrong_claim_is_refused() {
        let signer = Signer::ed25519("a");
        let other = ServiceId::from_bytes([2; 16]).to_string();
        let cases = [
            ("iss", None, JwtFault::Issuer),
            ("iss", Some(json!(other)), JwtFault::Issuer),
            ("iss", Some(json!([service().to_string()])), JwtFault::Issuer),
            ("sub", None, JwtFault::Claims),
            ("sub", Some(json!(other)), JwtFault::Issuer),
            ("sub", Some(json!("billing")), JwtFault::Subject),
            ("aud", None, JwtFault::Audience),
            ("aud", Some(json!("https://manager.example/")), JwtFault::Audience),
            ("aud", Some(json!("https://manager.example/oauth/token")), JwtFault::Audience),
            ("aud", Some(json!([])), JwtFault::Audience),
            ("aud", Some(json!([ISSUER, "https://other.example"])), JwtFault::Audience),
            ("aud", Some(json!([ISSUER, ISSUER])), JwtFault::Audience),
            ("aud", Some(json!({"x": ISSUER})), JwtFault::Audience),
            ("exp", None, JwtFault::Times),
            ("exp", Some(json!(NOW)), JwtFault::Expired),
            ("exp", Some(json!(NOW + 301)), JwtFault::TooLongLived),
            ("exp", Some(json!(NOW + 100_000)), JwtFault::TooLongLived),
            ("iat", None, JwtFault::Times),
            ("iat", Some(json!(NOW + 6)), JwtFault::NotYet),
            ("nbf", Some(json!(NOW + 61)), JwtFault::NotYet),
            ("jti", None, JwtFault::TokenId),
            ("jti", Some(json!("")), JwtFault::TokenId),
            ("jti", Some(json!(1)), JwtFault::TokenId),
            ("jti", Some(json!("x".repeat(129))), JwtFault::TokenId),
        ];
        for (name, value, fault) in cases {
            assert_eq!(verify(&signer, &changed(name, value.clone())).err(), Some(fault), "{name} {value:?}");
        }
        for (name, value) in [
            ("aud", Some(json!([ISSUER]))),
            ("iat", Some(json!(NOW + 5))),
            ("nbf", Some(json!(NOW + 60))),
            ("jti", Some(json!("x".repeat(128)))),
        ] {
            assert!(verify(&signer, &changed(name, value.clone())).is_ok(), "{name} {value:?}");
        }
    }

    #[test]
    fn access_token_of_the_manager_is_no_assertion() {
        let signer = Signer::ed25519("a");
        let text = signer.token_with(r#"{"alg":"EdDSA","kid":"a","typ":"at+jwt"}"#, &claims().to_string());
        assert_eq!(UnverifiedAssertion::parse(&text).err(), Some(JwtFault::Type));
        let text =
            signer.token_with(r#"{"alg":"EdDSA","kid":"a","typ":"client-authentication+jwt"}"#, &claims().to_string());
        assert!(UnverifiedAssertion::parse(&text).is_ok());
    }

    #[test]
    fn manager_without_an_issuer_takes_no_assertion() {
        let signer = Signer::ed25519("a");
        let text = signer.token(&changed("aud", Some(json!(""))));
        let refused = UnverifiedAssertion::parse(&text).unwrap().verify(&keys(&[&signer]), "", NOW);
        assert_eq!(refused, Err(JwtFault::Audience));
    }

    #[test]
    fn same_id_of_another_service_is_another_assertion() {
        let signer = Signer::ed25519("a");
        let other = ServiceId::from_bytes([2; 16]).to_string();
        let mut of_other = claims();
        of_other["iss"] = json!(other);
        of_other["sub"] = json!(other);
        let (one, two) = (verify(&signer, &claims()).unwrap(), verify(&signer, &of_other).unwrap());
        assert_ne!(one.replay_key, two.replay_key);
    }

    proptest! {
        #[test]
        fn no_claims_panic(text in r#"\{("(iss|sub|aud|exp|iat|jti)":("svc_AAAAAAAAAAAAAAAAAAAAAA"|[0-9]{1,20}|null|\[\]),?){0,6}\}"#) {
            let signer = Signer::ed25519("a");
            let token = signer.token_with(r#"{"alg":"EdDSA","kid":"a"}"#, &text);
            if let Ok(assertion) = UnverifiedAssertion::parse(&token) {
                prop_assert!(assertion.verify(&keys(&[&signer]), ISSUER, NOW).is_err());
            }
        }
    }
}
