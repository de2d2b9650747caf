//! What is generated is accepted by the check of its kind, is unique, and holds what was asked for.

use std::collections::HashSet;

use manager_api::kind::SecretKind;
use manager_secret_kinds::certificate::PrivateKeyFact;
use manager_secret_kinds::generate::verify;
use manager_secret_kinds::random::Random;
use manager_secret_kinds::{Facts, Generated, Refused, generate, strength};
use static_assertions::assert_not_impl_any;
use x509_cert::der::Decode as _;

use crate::tools::{NOW, Seeded, checked, der, key_facts, made};

assert_not_impl_any!(Generated: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);

#[test]
fn each_form_is_of_its_kind() {
    for (request, kind) in [
        (r#"{"form":"password"}"#, SecretKind::Password),
        (r#"{"form":"passphrase"}"#, SecretKind::Password),
        (r#"{"form":"api-key","prefix":"acme"}"#, SecretKind::ApiKey),
        (r#"{"form":"token"}"#, SecretKind::ServiceToken),
        (r#"{"form":"uuid"}"#, SecretKind::ServiceToken),
        (r#"{"form":"key-256"}"#, SecretKind::EncryptionKey),
        (r#"{"form":"key-256","encoding":"base64"}"#, SecretKind::BackupKey),
        (r#"{"form":"token","bytes":32}"#, SecretKind::SessionSecret),
        (r#"{"form":"ssh-key","algorithm":"ecdsa-p256"}"#, SecretKind::SshKey),
        (r#"{"form":"key-pair","algorithm":"ec-p384"}"#, SecretKind::SigningKey),
    ] {
        let made = made(request, 1);
        checked(kind, &made.value);
        assert!(
            strength(made.value.as_bytes()).score == 4 || made.public.bits.is_none_or(|bits| bits > 70),
            "{request}"
        );
    }
}

#[test]
fn ten_thousand_values_of_each_random_form_differ() {
    let mut source = Seeded::new(1);
    for request in [
        r#"{"form":"password","length":12}"#,
        r#"{"form":"passphrase","words":6}"#,
        r#"{"form":"api-key"}"#,
        r#"{"form":"key-256"}"#,
        r#"{"form":"token","bytes":16}"#,
        r#"{"form":"uuid"}"#,
    ] {
        let request = serde_json::from_str(request).unwrap();
        let values: HashSet<String> =
            (0..10_000).map(|_| generate(&request, &mut source, NOW).unwrap().value.to_string()).collect();
        assert_eq!(values.len(), 10_000, "{request:?}");
    }
    let keys: HashSet<_> = (0..20).map(|seed| made(r#"{"form":"ssh-key"}"#, seed).public.fingerprint).collect();
    assert_eq!(keys.len(), 20);
}

#[test]
fn api_key_of_a_caller_is_verified_and_a_foreign_one_is_not() {
    let key = made(r#"{"form":"api-key","prefix":"acme"}"#, 2).value;
    assert!(verify(&key) && !verify(&key.to_lowercase()) && !verify(&format!("{}x", *key)));
    assert!(!verify(&key.replacen("acme", "acmf", 1)));
}

#[test]
fn self_signed_certificate_holds_names_subject_and_days() {
    for algorithm in ["ec-p256", "ec-p384", "ed25519", "rsa-3072"] {
        let request = format!(
            r#"{{"form":"key-pair","algorithm":"{algorithm}","self_signed":{{"days":30,"subject":{{"common_name":"Zoë & Co","organization":"Acme","country":"DE"}},
            "names":[{{"dns":"*.a.example"}},{{"ip":"10.0.0.1"}},{{"ip":"2001:db8::1"}},{{"email":"a@b.example"}},{{"uri":"spiffe://a.example/x"}}]}}}}"#
        );
        let made = made(&request, 3);
        let checked = checked(SecretKind::Certificate, &made.value);
        assert_eq!(checked.expires_at, Some(NOW + 30 * 86_400));
        assert_eq!(checked.expires_at, made.public.expires_at);
        let Facts::Certificate(facts) = checked.facts else { panic!() };
        assert_eq!((facts.private_key, facts.complete), (PrivateKeyFact::Fits, true));
        assert_eq!(facts.common_name.as_deref(), Some("Zoë & Co"));
        assert_eq!(facts.names, ["*.a.example", "10.0.0.1", "2001:db8::1", "a@b.example", "spiffe://a.example/x"]);
        assert!(made.value.starts_with(made.public.certificate.as_deref().unwrap()));
        assert!(!made.public.certificate.unwrap().contains("PRIVATE"));
    }
}

#[test]
fn request_for_a_certificate_names_the_same_key() {
    let made =
        made(r#"{"form":"key-pair","request":{"subject":{"common_name":"a"},"names":[{"dns":"a.example"}]}}"#, 4);
    let request = made.public.request.as_deref().unwrap();
    assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    let request = x509_cert::request::CertReq::from_der(&der(request)).unwrap();
    let public =
        x509_cert::spki::SubjectPublicKeyInfoOwned::from_der(&der(made.public.public_key.as_deref().unwrap())).unwrap();
    assert_eq!(request.info.public_key, public);
    assert_eq!(key_facts(SecretKind::SigningKey, &made.value).fingerprint, made.public.fingerprint);
}

/// A source of zeros.
struct Zeros;

impl Random for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Refused> {
        bytes.fill(0);
        Ok(())
    }
}

/// A source that gives nothing.
struct Silent;

impl Random for Silent {
    fn fill(&mut self, _bytes: &mut [u8]) -> Result<(), Refused> {
        Err(Refused::new("no randomness"))
    }
}

#[test]
fn source_that_gives_nothing_makes_nothing() {
    for form in ["password", "passphrase", "api-key", "key-256", "token", "uuid", "ssh-key", "key-pair"] {
        let request = serde_json::from_str(&format!("{{\"form\":\"{form}\"}}")).unwrap();
        let refused = generate(&request, &mut Silent, NOW).err().unwrap_or_else(|| panic!("{form}"));
        assert_eq!(refused.reason(), "no randomness");
    }
    // Zeros are no key of a curve: they are drawn again, and not for ever.
    let request = serde_json::from_str(r#"{"form":"key-pair","algorithm":"ec-p384"}"#).unwrap();
    assert!(generate(&request, &mut Zeros, NOW).is_err());
}

#[test]
fn contradictions_are_refused() {
    for wrong in [
        r#"{"form":"key-pair","request":{},"self_signed":{}}"#,
        r#"{"form":"key-pair","request":{}}"#,
        r#"{"form":"key-pair","self_signed":{"days":1}}"#,
    ] {
        let request = serde_json::from_str(wrong).unwrap();
        assert!(generate(&request, &mut Seeded::new(1), NOW).is_err(), "{wrong}");
    }
}
