use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{RFC_7515_A2_KEY, RFC_7515_A3_KEY, Signer};

const RFC_8037_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn parse(document: &Value) -> Result<Jwk, JwkError> {
    Jwk::parse(document.to_string().as_bytes())
}

/// A document with another member.
fn with(document: &str, name: &str, value: Value) -> Result<Jwk, JwkError> {
    let mut document: Value = serde_json::from_str(document).unwrap();
    document.as_object_mut().unwrap().insert(name.to_owned(), value);
    parse(&document)
}

fn rsa_of(bits: usize, e: &str) -> Result<Jwk, JwkError> {
    let mut n = vec![0xff; bits.div_ceil(8)];
    n[0] >>= n.len() * 8 - bits;
    parse(&json!({"kty": "RSA", "n": b64(&n), "e": e}))
}

#[test]
fn rfc_7638_thumbprint() {
    let document = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    let key = Jwk::parse(document.as_bytes()).unwrap();
    assert_eq!(b64(&key.thumbprint().0), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(key.kid(), Some("2011-04-29"));
    let key = Jwk::parse(RFC_8037_KEY.as_bytes()).unwrap();
    assert_eq!(b64(&key.thumbprint().0), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn rfc_7515_and_rfc_8037_signatures_verify() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let examples = [
        (
            RFC_7515_A2_KEY,
            Algorithm::Rs256,
            format!("eyJhbGciOiJSUzI1NiJ9.{payload}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            RFC_7515_A3_KEY,
            Algorithm::Es256,
            format!("eyJhbGciOiJFUzI1NiJ9.{payload}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            RFC_8037_KEY,
            Algorithm::EdDsa,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (document, algorithm, input, signature) in &examples {
        let key = Jwk::parse(document.as_bytes()).unwrap();
        assert!(key.verifies(*algorithm, input, signature), "{algorithm:?}");
        assert!(!key.verifies(*algorithm, &format!("{input}A"), signature));
        for other in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa] {
            assert_eq!(key.verifies(other, input, signature), other == *algorithm, "{algorithm:?} {other:?}");
        }
    }
}

#[test]
fn key_is_stored_and_read_back() {
    for document in [RFC_7515_A2_KEY, RFC_7515_A3_KEY, RFC_8037_KEY] {
        let key = with(document, "kid", json!("mine")).unwrap();
        let read = Jwk::parse(key.to_json().as_bytes()).unwrap();
        assert!(read.kind == key.kind && read.kid() == Some("mine") && read.only == key.only);
    }
    let bound = with(RFC_7515_A2_KEY, "alg", json!("PS256")).unwrap();
    let read = Jwk::parse(bound.to_json().as_bytes()).unwrap();
    assert!(read.allows(Algorithm::Ps256) && !read.allows(Algorithm::Rs256));
}

#[test]
fn rsa_key_outside_its_limits_is_refused() {
    for (bits, taken) in [(2047, false), (2048, true), (2049, true), (8192, true), (8193, false), (512, false)] {
        assert_eq!(rsa_of(bits, "AQAB").err(), (!taken).then_some(JwkError::Size), "{bits}");
    }
    assert_eq!(rsa_of(2048, "Aw").err(), Some(JwkError::Size), "3");
    assert_eq!(rsa_of(2048, "AQ").err(), Some(JwkError::Size), "1: anybody could sign");
    assert_eq!(rsa_of(2048, "_____w").err(), None, "4294967295");
    assert_eq!(rsa_of(2048, "AQAAAAE").err(), Some(JwkError::Size), "4294967297");
    for e in ["AQAA", "AAEAAQ", "", "AQAB=", "A"] {
        assert_eq!(rsa_of(2048, e).err(), Some(JwkError::Value), "{e}: even, padded with zero, or no number");
    }
}

#[test]
fn point_that_is_not_on_the_curve_is_refused() {
    let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    assert!(with(RFC_7515_A3_KEY, "y", json!(y)).is_ok());
    for other in ["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4", &b64(&[0; 32]), &b64(&[0xff; 32]), &b64(&[1; 31])] {
        assert_eq!(with(RFC_7515_A3_KEY, "y", json!(other)).err(), Some(JwkError::Value), "{other}");
    }
}

/// With a public key of small order, R of order 1 and S = 0 are a signature of any text for one challenge in a few.
#[test]
fn ed25519_key_for_which_anybody_can_sign_is_refused() {
    let mut signature = [0; 64];
    signature[0] = 1;
    let mut identity = [0; 32];
    identity[0] = 1;
    let library = DecodingKey::from_ed_der(&identity);
    let accepted =
        jsonwebtoken::crypto::verify(&b64(&signature), b"any text", &library, jsonwebtoken::Algorithm::EdDSA);
    assert!(matches!(accepted, Ok(true)), "the control: the library takes it");
    for magnitude in SMALL_ORDER {
        for sign in [0, 0x80] {
            let mut x = magnitude;
            x[31] |= sign;
            let document = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&x)});
            assert_eq!(parse(&document).err(), Some(JwkError::Value), "{x:x?}");
        }
    }
}

#[test]
fn private_and_secret_keys_are_refused() {
    for name in PRIVATE {
        assert_eq!(with(RFC_8037_KEY, name, json!("AA")).err(), Some(JwkError::Private), "{name}");
    }
    assert_eq!(parse(&json!({"kty": "oct", "k": "AAAA"})).err(), Some(JwkError::Private));
    assert_eq!(parse(&json!({"kty": "oct"})).err(), Some(JwkError::Private));
    let set = json!({"keys": [serde_json::from_str::<Value>(RFC_8037_KEY).unwrap(), {"kty": "RSA", "d": "AA"}]});
    assert_eq!(KeySet::parse(set.to_string().as_bytes()).err(), Some(JwkError::Private));
}

#[test]
fn key_for_something_else_is_refused() {
    let right =
        [("use", json!("sig")), ("use", json!("jwt-svid")), ("key_ops", json!(["verify"])), ("alg", json!("EdDSA"))];
    for (name, value) in right {
        assert!(with(RFC_8037_KEY, name, value).is_ok());
    }
    let wrong = [
        ("use", json!("enc")),
        ("use", json!("x509-svid")),
        ("use", json!(null)),
        ("use", json!(["sig"])),
        ("key_ops", json!([])),
        ("key_ops", json!(["verify", "encrypt"])),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("alg", json!("RS256")),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("alg", json!(null)),
        ("alg", json!("eddsa")),
    ];
    for (name, value) in wrong {
        assert_eq!(with(RFC_8037_KEY, name, value.clone()).err(), Some(JwkError::Use), "{name} {value}");
    }
}

#[test]
fn other_types_and_curves_are_refused() {
    for document in [
        json!({}),
        json!({"kty": "EC", "crv": "P-384"}),
        json!({"kty": "EC", "crv": "secp256k1"}),
        json!({"kty": "OKP", "crv": "X25519", "x": b64(&[9; 32])}),
        json!({"kty": "rsa"}),
        json!({"kty": 1}),
    ] {
        assert_eq!(parse(&document).err(), Some(JwkError::Type), "{document}");
    }
    assert_eq!(Jwk::parse(br#"{"kty":"RSA","kty":"EC"}"#).err(), Some(JwkError::NotAnObject));
    let twice = RFC_8037_KEY.replace("\"crv\"", "\"kid\":\"a\",\"kid\":\"b\",\"crv\"");
    assert_eq!(Jwk::parse(twice.as_bytes()).err(), Some(JwkError::NotAnObject));
    let long = format!("{}{}", RFC_8037_KEY, " ".repeat(MAX_JWK_BYTES));
    assert_eq!(Jwk::parse(long.as_bytes()).err(), Some(JwkError::TooLong));
    for kid in [json!(""), json!("x".repeat(257)), json!("a\nb"), json!(1), json!(null)] {
        assert_eq!(with(RFC_8037_KEY, "kid", kid.clone()).err(), Some(JwkError::KeyId), "{kid}");
    }
}

#[test]
fn set_keeps_the_usable_keys_and_counts_the_others() {
    let (one, two) = (Signer::ed25519("one"), Signer::ed25519("two"));
    let others = [json!({"kty": "EC", "crv": "P-521"}), json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&[9; 32])})];
    let documents: Vec<_> = [one.jwk(), two.jwk()].into_iter().chain(others).collect();
    let set = KeySet::parse(json!({"keys": documents, "spiffe_sequence": 1}).to_string().as_bytes()).unwrap();
    assert_eq!(set.counts(), (2, 2));
    assert!(set.find("one").is_some() && set.find("two").is_some() && set.find("three").is_none());
    let refused = |document: Value| KeySet::parse(document.to_string().as_bytes()).err();
    assert_eq!(refused(json!({"keys": [one.jwk(), one.jwk()]})), Some(JwkError::Set));
    assert_eq!(refused(json!({"keys": []})), Some(JwkError::NoneUsable));
    assert_eq!(refused(json!({"keys": [{"kty": "EC", "crv": "P-521"}]})), Some(JwkError::NoneUsable));
    assert_eq!(refused(json!({"keys": [1]})), Some(JwkError::Set));
    assert_eq!(refused(json!({"keys": {}})), Some(JwkError::Set));
    assert_eq!(refused(one.jwk()), Some(JwkError::Set));
    assert_eq!(refused(json!({"keys": vec![json!({}); MAX_SET_KEYS + 1]})), Some(JwkError::Set));
    assert_eq!(KeySet::parse(&vec![b' '; MAX_SET_BYTES + 1]).err(), Some(JwkError::TooLong));
}

proptest! {
    #[test]
    fn no_document_panics(
        kty in "RSA|EC|OKP|oct",
        crv in "P-256|Ed25519|X25519",
        x in "[A-Za-z0-9_-]{0,50}",
        y in "[A-Za-z0-9_-]{43}",
        n in "[A-Za-z0-9_-]{340,345}",
        e in "[A-Za-z0-9_-]{0,8}",
        text: String,
    ) {
        let document = json!({"kty": kty, "crv": crv, "x": x, "y": y, "n": n, "e": e});
        if let Ok(key) = parse(&document) {
            let read = Jwk::parse(key.to_json().as_bytes()).unwrap();
            prop_assert!(read.kind == key.kind && read.thumbprint() == key.thumbprint());
        }
        let _ = Jwk::parse(text.as_bytes());
        let _ = KeySet::parse(format!("{{\"keys\":[{text}]}}").as_bytes());
    }
}
