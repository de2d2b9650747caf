use proptest::prelude::*;
use serde_json::json;
use shared_proto::encoding::b64;

use super::*;
use crate::testing::Signer;

fn key(signer: &Signer) -> Jwk {
    Jwk::parse(signer.jwk().to_string().as_bytes()).unwrap()
}

/// The outcome of a token of this header, signed with the right key.
fn with_header(signer: &Signer, header: &str) -> Result<(), JwtFault> {
    let text = signer.token_with(header, "{}");
    UnverifiedJwt::parse(&text)?.verify(&key(signer)).map(|_| ())
}

#[test]
fn token_of_each_algorithm_verifies_with_its_key_only() {
    let signers = [Signer::ed25519("a"), Signer::p256("a"), Signer::rsa("a")];
    for (at, signer) in signers.iter().enumerate() {
        let text = signer.token(&json!({"sub": "me"}));
        let token = UnverifiedJwt::parse(&text).unwrap();
        assert_eq!(token.kid(), "a");
        for (other, of) in signers.iter().enumerate() {
            let claims = token.verify(&key(of)).map(|claims| claims.text("sub").map(str::to_owned));
            let expected = if at == other { Ok(Some("me".to_owned())) } else { Err(JwtFault::OtherAlgorithm) };
            assert_eq!(claims, expected);
        }
        let stranger = match signer.alg() {
            "EdDSA" => Signer::ed25519("a"),
            "ES256" => Signer::p256("a"),
            _ => Signer::rsa("a"),
        };
        assert_eq!(token.verify(&key(&stranger)).err(), Some(JwtFault::Signature));
    }
}

#[test]
fn rsa_pss_counts_unless_the_key_is_bound_to_pkcs1() {
    let signer = Signer::rsa("a");
    let input = format!("{}.{}", b64(br#"{"alg":"PS256","kid":"a"}"#), b64(b"{}"));
    let text = format!("{input}.{}", b64(&signer.sign_pss(input.as_bytes())));
    let token = UnverifiedJwt::parse(&text).unwrap();
    assert!(token.verify(&key(&signer)).is_ok());
    let mut bound = signer.jwk();
    bound["alg"] = json!("RS256");
    let bound = Jwk::parse(bound.to_string().as_bytes()).unwrap();
    assert_eq!(token.verify(&bound).err(), Some(JwtFault::OtherAlgorithm));
}

#[test]
fn unsigned_token_and_mac_with_the_public_key_are_refused() {
    let signer = Signer::rsa("a");
    for alg in ["none", "None", "NONE", "", "HS256", "hs256", "RS512", "ES384", "rs256", "RS256 "] {
        let header = json!({"alg": alg, "kid": "a"}).to_string();
        assert_eq!(with_header(&signer, &header), Err(JwtFault::Algorithm), "{alg}");
    }
    let input = format!("{}.{}", b64(br#"{"alg":"HS256","kid":"a"}"#), b64(b"{}"));
    let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &signer.public_bytes());
    let text = format!("{input}.{}", b64(aws_lc_rs::hmac::sign(&mac, input.as_bytes()).as_ref()));
    assert_eq!(UnverifiedJwt::parse(&text).err(), Some(JwtFault::Algorithm));
    let good = signer.token(&json!({}));
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    assert_eq!(UnverifiedJwt::parse(&format!("{unsigned}.")).err(), Some(JwtFault::Form));
    // An ES256 signature of zeros (CVE-2022-21449).
    let p256 = Signer::p256("a");
    let good = p256.token(&json!({}));
    let (input, _) = good.rsplit_once('.').unwrap();
    let zeros = format!("{input}.{}", b64(&[0; 64]));
    assert_eq!(UnverifiedJwt::parse(&zeros).unwrap().verify(&key(&p256)).err(), Some(JwtFault::Signature));
}

#[test]
fn header_that_brings_its_own_key_is_refused() {
    let signer = Signer::ed25519("a");
    let plain = json!({"alg": "EdDSA", "kid": "a", "typ": "JWT", "x5t": "AAAA", "other": 1});
    assert_eq!(with_header(&signer, &plain.to_string()), Ok(()), "the control");
    let members = [
        ("jwk", signer.jwk()),
        ("jku", json!("https://evil.example")),
        ("x5u", json!("https://evil.example")),
        ("x5c", json!(["AA"])),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ];
    for (name, value) in members {
        let mut header = plain.clone();
        header[name] = value;
        assert_eq!(with_header(&signer, &header.to_string()), Err(JwtFault::HeaderMember), "{name}");
    }
}

#[test]
fn malformed_header_is_refused() {
    let signer = Signer::ed25519("a");
    let cases = [
        (r#"{"alg":"EdDSA"}"#, JwtFault::NoKey),
        (r#"{"alg":"EdDSA","kid":1}"#, JwtFault::Header),
        (r#"{"alg":["EdDSA"],"kid":"a"}"#, JwtFault::Header),
        (r#"{"alg":"EdDSA","kid":"a","kid":"b"}"#, JwtFault::Header),
        (r#"{"alg":"EdDSA","alg":"none","kid":"a"}"#, JwtFault::Header),
        (r#"{"alg":"EdDSA","kid":"a","typ":1}"#, JwtFault::Header),
        (r#"{"alg":"EdDSA","kid":"a","cty":"JWT"}"#, JwtFault::Type),
        (r#"{"kid":"a"}"#, JwtFault::Algorithm),
        ("[]", JwtFault::Header),
        ("", JwtFault::Header),
    ];
    for (header, fault) in cases {
        assert_eq!(with_header(&signer, header), Err(fault), "{header}");
    }
}

#[test]
fn kind_of_token_is_looked_at() {
    let signer = Signer::ed25519("a");
    let of = |typ: Value| {
        let text = signer.token_with(&json!({"alg": "EdDSA", "kid": "a", "typ": typ}).to_string(), "{}");
        UnverifiedJwt::parse(&text).and_then(|token| token.of_type(&["JWT"]))
    };
    for typ in ["JWT", "jwt", "application/jwt"] {
        assert_eq!(of(json!(typ)), Ok(()));
    }
    for typ in ["at+jwt", "secevent+jwt", "command+jwt", ""] {
        assert_eq!(of(json!(typ)), Err(JwtFault::Type), "{typ}");
    }
}

#[test]
fn claims_with_a_member_twice_are_refused_although_the_signature_holds() {
    let signer = Signer::ed25519("a");
    let header = json!({"alg": "EdDSA", "kid": "a"}).to_string();
    for claims in [r#"{"sub":"a","sub":"b"}"#, "[]", "x", r#"{"a":{"b":1,"b":2}}"#] {
        let text = signer.token_with(&header, claims);
        let token = UnverifiedJwt::parse(&text).unwrap();
        assert_eq!(token.verify(&key(&signer)).err(), Some(JwtFault::Claims), "{claims}");
        assert_eq!(token.unverified_text("sub").err(), Some(JwtFault::Claims));
    }
}

#[test]
fn text_that_is_not_three_canonical_parts_is_refused() {
    let signer = Signer::ed25519("a");
    let good = signer.token(&json!({}));
    let (input, signature) = good.rsplit_once('.').unwrap();
    let forms = [
        String::new(),
        "..".to_owned(),
        "a.b".to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{input}.{signature}="),
        format!("{input}.{signature}\n"),
        format!(" {good}"),
        format!("{input}.é"),
    ];
    for text in forms {
        assert_eq!(UnverifiedJwt::parse(&text).err(), Some(JwtFault::Form), "{text}");
    }
    let long = signer.token(&json!({"x": "x".repeat(MAX_TOKEN_BYTES)}));
    assert_eq!(UnverifiedJwt::parse(&long).err(), Some(JwtFault::TooLong));
}

#[test]
fn times_have_skew_where_it_helps_and_none_at_the_end() {
    let check = |claims: Value| {
        let claims = Claims(claims);
        let times = claims.times()?;
        times.check(1000)?;
        times.check_life(1000, 300)
    };
    let cases = [
        (json!({"exp": 1001}), Ok(())),
        (json!({"exp": 1000}), Err(JwtFault::Expired)),
        (json!({"exp": 1360}), Ok(())),
        (json!({"exp": 1361}), Err(JwtFault::TooLongLived)),
        (json!({"exp": 1300, "iat": 1000}), Ok(())),
        (json!({"exp": 1300, "iat": 999}), Err(JwtFault::TooLongLived)),
        (json!({"exp": 1360, "iat": 1060}), Ok(())),
        (json!({"exp": 1350, "iat": 1061}), Err(JwtFault::NotYet)),
        (json!({"exp": 1350, "nbf": 1060}), Ok(())),
        (json!({"exp": 1350, "nbf": 1061}), Err(JwtFault::NotYet)),
        (json!({}), Err(JwtFault::Times)),
        (json!({"exp": "1100"}), Err(JwtFault::Times)),
        (json!({"exp": 1100.5}), Err(JwtFault::Times)),
        (json!({"exp": -1}), Err(JwtFault::Times)),
        (json!({"exp": null}), Err(JwtFault::Times)),
        (json!({"exp": 1100, "nbf": "x"}), Err(JwtFault::Times)),
        (json!({"exp": u64::MAX}), Err(JwtFault::Times)),
    ];
    for (claims, expected) in cases {
        assert_eq!(check(claims.clone()), expected, "{claims}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String, header in r#"\{("(alg|kid|typ|crit)":("EdDSA"|"none"|"a"|1|null),?){0,4}\}"#, claims: Vec<u8>) {
        let _ = UnverifiedJwt::parse(&text).map(|token| token.unverified_text("sub"));
        let text = format!("{}.{}.AAAA", b64(header.as_bytes()), b64(&claims));
        let _ = UnverifiedJwt::parse(&text).map(|token| token.unverified_text("sub"));
    }

    /// No change of one character gives another text that verifies.
    #[test]
    fn token_has_one_text(at in 0_usize..140, character in "[A-Za-z0-9_.=-]") {
        let signer = Signer::ed25519("a");
        let good = signer.token(&json!({"sub": "me"}));
        let at = at.min(good.len() - 1);
        let changed = format!("{}{character}{}", &good[..at], &good[at + 1..]);
        let verified = UnverifiedJwt::parse(&changed).and_then(|token| token.verify(&key(&signer)).map(|_| ()));
        prop_assert_eq!(verified.is_ok(), changed == good);
    }
}
