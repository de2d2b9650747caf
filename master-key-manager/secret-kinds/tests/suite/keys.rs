//! Keys in the forms that tools write.

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair};
use manager_api::kind::SecretKind::{BackupKey, EncryptionKey, SigningKey, SshKey};
use manager_secret_kinds::key::KeyAlgorithm;
use pkcs8::der::Encode as _;

use crate::tools::{der, key_facts, made, pem, reason};

/// RFC 8410 section 10.3: a private key of PKCS#8, and one of version 2 with attributes and its public key.
const ED25519_V1: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const ED25519_V2: &str = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";
/// RFC 8410 section 10.1: its public key.
const ED25519_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
/// RFC 7468 section 11: an encrypted private key.
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHNMEAGCSqGSIb3DQEFDTAzMBsGCSqGSIb3DQEFDDAOBAghhICA6T/51QICCAAw
FAYIKoZIhvcNAwcECBCxDgvI59i9BIGIY3CAqlMNBgaSI5QiiWVNJ3IpfLnEiEsW
Z0JIoHyRmKK/+cr9QPLnzxImm0TR9s4JrG3CilzTWvb0jIvbG3hu0zyFPraoMkap
8eRzWsIvC5SVel+CSjoS2mVS87cyjlD+txrmrXOVYDE+eTgMLbrLmsWh3QkCTRtF
QC7k0NNzUHTV9yGDwfqMbw==
-----END ENCRYPTED PRIVATE KEY-----
";

#[test]
fn examples_of_rfc_8410_are_one_key() {
    let facts = [ED25519_V1, ED25519_V2, ED25519_PUBLIC].map(|text| key_facts(SigningKey, text));
    assert!(facts.iter().all(|facts| facts.algorithm == Some(KeyAlgorithm::Ed25519) && !facts.encrypted));
    assert_eq!(facts[0].fingerprint, facts[2].fingerprint);
    assert_eq!(facts[1].fingerprint, facts[2].fingerprint);
    assert_eq!(facts.map(|facts| facts.private), [true, true, false]);
    let pair = format!("{ED25519_PUBLIC}{ED25519_V1}");
    assert!(key_facts(SshKey, &pair).private);
    let other = made(r#"{"form":"key-pair","algorithm":"ed25519"}"#, 1);
    assert!(reason(SshKey, &format!("{ED25519_PUBLIC}{}", *other.value)).contains("not that of the private key"));
    assert!(reason(SshKey, &format!("{ED25519_V1}{ED25519_V2}")).contains("more than one key"));
    // Of version 2 with another public key inside.
    let mut apart = der(ED25519_V2);
    *apart.last_mut().unwrap() ^= 1;
    assert!(reason(SshKey, &pem("PRIVATE KEY", &apart, 64)).contains("do not fit"));
}

#[test]
fn encrypted_keys_are_taken_as_such() {
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\r\n\r\n\
                  AAAAAAAAAAAAAAAAAAAAAA==\r\n-----END RSA PRIVATE KEY-----\r\n";
    for text in [ENCRYPTED, legacy] {
        let facts = key_facts(SshKey, text);
        assert!(facts.encrypted && facts.private && facts.fingerprint.is_none());
    }
    assert!(reason(SshKey, &pem("ENCRYPTED PRIVATE KEY", &[0x30, 0], 64)).contains("PKCS#8"));
    // The frame of OpenSSH shows the public half.
    let plain = made(r#"{"form":"ssh-key"}"#, 3);
    let bytes = der(&plain.value);
    let public = &bytes[bytes.windows(4).position(|window| window == [0, 0, 0, 51]).unwrap()..][..55];
    let mut frame = b"openssh-key-v1\0\0\0\0\x0aaes256-ctr\0\0\0\x06bcrypt\0\0\0\x18\0\0\0\x10".to_vec();
    frame.extend_from_slice(&[7; 16]);
    frame.extend_from_slice(&[0, 0, 0, 16, 0, 0, 0, 1]);
    frame.extend_from_slice(public);
    frame.extend_from_slice(&[0, 0, 0, 144]);
    frame.extend_from_slice(&[9; 144]);
    let facts = key_facts(SshKey, &pem("OPENSSH PRIVATE KEY", &frame, 70));
    assert!(facts.encrypted && facts.private);
    assert_eq!(facts.fingerprint, plain.public.fingerprint);
    frame.pop();
    assert!(reason(SshKey, &pem("OPENSSH PRIVATE KEY", &frame, 70)).contains("OpenSSH"));
}

#[test]
fn one_rsa_key_is_the_same_in_each_of_its_forms() {
    let pair = made(r#"{"form":"key-pair","algorithm":"rsa-3072"}"#, 1);
    let pkcs8 = der(&pair.value);
    let info = pkcs8::PrivateKeyInfo::try_from(pkcs8.as_slice()).unwrap();
    let expected = key_facts(SigningKey, &pair.value);
    assert_eq!((expected.algorithm, expected.bits), (Some(KeyAlgorithm::Rsa), Some(3072)));
    let public_pkcs1 = {
        use pkcs8::der::Decode as _;
        let key = pkcs1::RsaPrivateKey::from_der(info.private_key).unwrap();
        key.public_key().to_der().unwrap()
    };
    for (label, bytes) in [("RSA PRIVATE KEY", info.private_key), ("RSA PUBLIC KEY", public_pkcs1.as_slice())] {
        assert_eq!(key_facts(SigningKey, &pem(label, bytes, 76)).fingerprint, expected.fingerprint, "{label}");
    }
    assert_eq!(key_facts(SigningKey, pair.public.public_key.as_deref().unwrap()).fingerprint, expected.fingerprint);
    let mut broken = info.private_key.to_vec();
    *broken.last_mut().unwrap() ^= 1;
    assert!(reason(SigningKey, &pem("RSA PRIVATE KEY", &broken, 64)).contains("do not fit"));
}

#[test]
fn keys_of_curves_are_read_in_the_form_of_sec1() {
    for (signs, algorithm) in [
        (&ECDSA_P256_SHA256_ASN1_SIGNING, KeyAlgorithm::EcP256),
        (&ECDSA_P521_SHA512_ASN1_SIGNING, KeyAlgorithm::EcP521),
    ] {
        let pair = EcdsaKeyPair::generate(signs).unwrap();
        let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        let text = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
            pem("EC PRIVATE KEY", sec1.as_ref(), 64)
        );
        let facts = key_facts(SshKey, &text);
        assert_eq!((facts.algorithm, facts.private), (Some(algorithm), true));
        let pkcs8 = pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref(), 64);
        assert_eq!(key_facts(SshKey, &pkcs8).fingerprint, facts.fingerprint);
    }
}

#[test]
fn ssh_keys_of_each_algorithm_are_read_with_their_public_halves() {
    for (algorithm, expected) in
        [("ed25519", KeyAlgorithm::Ed25519), ("ecdsa-p256", KeyAlgorithm::EcP256), ("rsa-3072", KeyAlgorithm::Rsa)]
    {
        let made = made(&format!(r#"{{"form":"ssh-key","algorithm":"{algorithm}","comment":"a b@c"}}"#), 2);
        let public = made.public.public_key.as_deref().unwrap();
        assert!(public.ends_with(" a b@c"), "{public}");
        let facts = key_facts(SshKey, &made.value);
        assert_eq!((facts.algorithm, facts.private, facts.encrypted), (Some(expected), true, false));
        assert_eq!(facts.fingerprint, made.public.fingerprint);
        let of_public = key_facts(SshKey, &format!("# mine\n\n{public}\r\n"));
        assert_eq!((of_public.fingerprint, of_public.private), (facts.fingerprint, false));
        let crlf = format!("leading text\r\n{}trailing text\r\n", made.value.replace('\n', "\r\n"));
        assert_eq!(key_facts(SshKey, &crlf).fingerprint, made.public.fingerprint);
        // Another public half in front of the same private one.
        let mut bytes = der(&made.value);
        let last = bytes.len() - 100;
        bytes[last] ^= 1;
        reason(SshKey, &pem("OPENSSH PRIVATE KEY", &bytes, 70));
    }
}

#[test]
fn files_that_are_no_ssh_key_are_refused_with_the_reason() {
    let good = made(r#"{"form":"ssh-key"}"#, 4);
    let public = good.public.public_key.clone().unwrap();
    for (text, expected) in [
        ("PuTTY-User-Key-File-3: ssh-ed25519\n".to_owned(), "PuTTY"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\n".to_owned(), "4716"),
        (format!("\u{feff}{}", *good.value), "byte order mark"),
        (good.value.replace("-----END", "----END"), "not of base64"),
        (good.value.lines().take(3).collect::<Vec<_>>().join("\n"), "does not end"),
        (format!("{}{}", *good.value, *made(r#"{"form":"ssh-key"}"#, 5).value), "more than one key"),
        (format!("command=\"x\" {public}"), "no block of PEM"),
        (format!("{public}\ncommand=\"x\" {public}"), "options"),
        (public.replace("AAAA", "AAAB"), "form of OpenSSH"),
        (pem("DSA PRIVATE KEY", &[0x30, 0], 64), "DSA"),
        (pem("CERTIFICATE", &[0x30, 0], 64), "holds no key"),
        (pem("PRIVATE KEY", &[0x30, 0], 64), "PKCS#8"),
        ("hunter2".to_owned(), "no block of PEM"),
        (String::new(), "empty"),
    ] {
        let reason = reason(SshKey, &text);
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    assert!(manager_secret_kinds::check(SshKey, b"\x30\x82\x01\x00\xff\xff", 0).unwrap_err().reason().contains("DER"));
    // Many public keys are taken, as in authorized_keys; what is known of one is then not known.
    let two = key_facts(SshKey, &format!("{public}\n{public}\n"));
    assert_eq!((two.algorithm, two.fingerprint), (None, None));
    assert!(reason(SshKey, &format!("{public}\n").repeat(65)).contains("65th"));
}

#[test]
fn keys_for_encryption_and_backups_are_pem_or_bytes() {
    for kind in [EncryptionKey, SigningKey, BackupKey] {
        let key = made(r#"{"form":"key-256"}"#, 6);
        assert_eq!(key_facts(kind, &key.value).bits, Some(256));
        assert!(key_facts(kind, ED25519_V1).private);
        assert!(reason(kind, "too short").contains("128 bits"));
        assert!(reason(kind, &format!("{}\n", *key.value)).contains("line break"));
    }
    // RFC 7748 keys of X25519 agree, and do not sign: OpenSSH has no use for them.
    let mut x25519 = der(ED25519_V1);
    let oid = x25519.windows(3).position(|window| window == [0x2b, 0x65, 0x70]).unwrap();
    x25519[oid + 2] = 0x6e;
    let text = pem("PRIVATE KEY", &x25519, 64);
    assert_eq!(key_facts(EncryptionKey, &text).algorithm, Some(KeyAlgorithm::X25519));
    assert!(reason(SshKey, &text).contains("X25519"));
}
