//! Certificates with chains and keys, made when the test runs.

use manager_api::kind::SecretKind::Certificate;
use manager_secret_kinds::certificate::{CertificateFacts, PrivateKeyFact};
use manager_secret_kinds::{Facts, Validity, check};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA512,
};
use time::OffsetDateTime;

use crate::tools::{NOW, checked, der, made, pem, reason};

const DAY: u64 = 86_400;

fn params(name: &str, authority: bool, days: u64) -> CertificateParams {
    let mut params = CertificateParams::new(if authority { vec![] } else { vec![name.to_owned()] }).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let at = |seconds: u64| OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap();
    (params.not_before, params.not_after) = (at(NOW - DAY), at(NOW + days * DAY));
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

/// A leaf on P-256, an issuer on P-384 and a root with Ed25519, and the leaf's key.
struct Chain {
    root: String,
    issuer: String,
    leaf: String,
    key: String,
}

fn chain() -> Chain {
    let root_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let root = CertifiedIssuer::self_signed(params("root", true, 900), root_key).unwrap();
    let issuer_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let issuer = CertifiedIssuer::signed_by(params("issuer", true, 20), issuer_key, &root).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = params("a.example", false, 90).signed_by(&leaf_key, &issuer).unwrap();
    Chain { root: root.pem(), issuer: issuer.pem(), leaf: leaf.pem(), key: leaf_key.serialize_pem() }
}

fn facts(value: &str) -> CertificateFacts {
    let Facts::Certificate(facts) = checked(Certificate, value).facts else { panic!("no facts of a certificate") };
    *facts
}

#[test]
fn chain_is_read_in_any_order_and_ends_with_its_leaf() {
    let Chain { root, issuer, leaf, key } = chain();
    let parts = [&leaf, &issuer, &root, &key];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let value = order.map(|index| parts[index].as_str()).concat();
        let checked = checked(Certificate, &value);
        assert_eq!((checked.expires_at, checked.validity), (Some(NOW + 90 * DAY), Validity::Valid));
        let facts = facts(&value);
        assert_eq!((facts.chain_length, facts.complete, facts.private_key), (3, true, PrivateKeyFact::Fits));
        assert_eq!(facts.chain_ends_at, Some(NOW + 20 * DAY));
        assert_eq!(
            (facts.common_name.as_deref(), facts.names.as_slice()),
            (Some("a.example"), &["a.example".to_owned()][..])
        );
        assert_eq!((facts.fingerprint.len(), facts.not_before), (64, NOW - DAY));
    }
    let without_root = facts(&format!("{leaf}{issuer}"));
    assert_eq!(
        (without_root.chain_length, without_root.complete, without_root.private_key),
        (2, false, PrivateKeyFact::Absent)
    );
    let alone = facts(&leaf);
    assert_eq!((alone.chain_length, alone.complete), (1, false));
}

#[test]
fn files_as_tools_write_them_are_read() {
    let Chain { issuer, leaf, key, .. } = chain();
    let text = format!(
        "Certificate:\n    Data:\n        Version: 3 (0x2)\n{leaf}\nBag Attributes\n    friendlyName: x\n{issuer}{key}\n# end"
    );
    assert_eq!(facts(&text).private_key, PrivateKeyFact::Fits);
    assert_eq!(facts(&text.replace('\n', "\r\n")).chain_length, 2);
    let encrypted = pem(
        "ENCRYPTED PRIVATE KEY",
        &[0x30, 0x12, 0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 0x0d, 4, 3, 1, 2, 3],
        64,
    );
    assert_eq!(facts(&format!("{leaf}{encrypted}")).private_key, PrivateKeyFact::Encrypted);
}

#[test]
fn what_does_not_belong_together_is_refused_with_the_reason() {
    let (one, other) = (chain(), chain());
    let leaf_key = KeyPair::generate().unwrap();
    // Issued by a certificate that may not: a leaf.
    let leaf_issuer = CertifiedIssuer::self_signed(params("leaf", false, 9), KeyPair::generate().unwrap()).unwrap();
    let child = params("child", false, 9).signed_by(&leaf_key, &leaf_issuer).unwrap();
    for (value, expected) in [
        (format!("{}{}", one.leaf, other.key), "not that of the certificate"),
        (format!("{}{}{}", one.leaf, one.key, one.key), "more than one key"),
        // Of the same name, and another key.
        (format!("{}{}", one.leaf, other.issuer), "not signed by"),
        (format!("{}{}{}", one.leaf, one.issuer, other.issuer), "name of the issuer"),
        (format!("{}{}", one.leaf, one.root), "two of them issued no other"),
        (format!("{}{}", one.leaf, other.leaf), "two of them issued no other"),
        (format!("{}{}", one.leaf, one.leaf), "comes twice"),
        (format!("{}{}", child.pem(), leaf_issuer.pem()), "may not issue"),
        (one.key.clone(), "no certificate"),
        (format!("{}{}", one.leaf, pem("PUBLIC KEY", &leaf_key_spki(&leaf_key), 64)), "public key has no place"),
        (format!("{}{}", one.leaf, pem("X509 CRL", &[0x30, 0], 64)), "no certificate and no private key"),
        (pem("CERTIFICATE", &[0x30, 0], 64), "X.509"),
        (pem("CERTIFICATE REQUEST", &[0x30, 0], 64), "no certificate"),
        (pem("CERTIFICATE", &[der(&one.leaf), vec![0]].concat(), 64), "X.509"),
        (format!("\u{feff}{}", one.leaf), "byte order mark"),
        (one.leaf.repeat(17), "more than 16"),
        (one.leaf[..200].to_owned(), "does not end"),
        ("hunter2".to_owned(), "no block"),
    ] {
        let reason = reason(Certificate, &value);
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}

fn leaf_key_spki(key: &KeyPair) -> Vec<u8> {
    use rcgen::PublicKeyData as _;
    key.subject_public_key_info()
}

#[test]
fn changed_signature_of_any_link_is_found() {
    let Chain { root, issuer, leaf, .. } = chain();
    for (changed, rest) in [(&leaf, [&issuer, &root]), (&issuer, [&leaf, &root])] {
        let mut bytes = der(changed);
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        let value = format!("{}{}{}", pem("CERTIFICATE", &bytes, 64), rest[0], rest[1]);
        assert!(reason(Certificate, &value).contains("not signed by"));
    }
}

#[test]
fn chain_of_rsa_is_verified() {
    let key = || {
        KeyPair::from_pkcs8_pem_and_sign_algo(
            &made(r#"{"form":"key-pair","algorithm":"rsa-3072"}"#, 1).value,
            &PKCS_RSA_SHA512,
        )
        .unwrap()
    };
    let root = CertifiedIssuer::self_signed(params("root", true, 9), key()).unwrap();
    let leaf = params("b.example", false, 9).signed_by(&KeyPair::generate().unwrap(), &root).unwrap();
    assert_eq!(facts(&format!("{}{}", root.pem(), leaf.pem())).chain_length, 2);
    let impostor = CertifiedIssuer::self_signed(params("root", true, 9), key()).unwrap();
    assert!(reason(Certificate, &format!("{}{}", impostor.pem(), leaf.pem())).contains("not signed by"));
}

#[test]
fn end_and_beginning_are_told_and_year_9999_is_no_end() {
    let leaf = chain().leaf;
    let at = |now| check(Certificate, leaf.as_bytes(), now).unwrap().validity;
    assert_eq!(at(NOW - 2 * DAY), Validity::NotYet);
    assert_eq!(at(NOW + 90 * DAY), Validity::Ended);
    let mut endless = params("device", false, 1);
    endless.not_after = OffsetDateTime::from_unix_timestamp(253_402_300_799).unwrap();
    let endless = endless.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let checked = checked(Certificate, &endless.pem());
    assert_eq!((checked.expires_at, checked.validity), (None, Validity::Valid));
}
