//! Published vectors of the primitives, through the same functions that the product uses where they are public, and
//! through the same calls of the same libraries where they are not: RFC 3394, NIST SP 800-38F, RFC 5869, RFC 9180
//! (see `vectors/published/`), and Project Wycheproof.
//!
//! Each test says how many vectors it ran, so that one that stops to run does not go unseen.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a vector file that is not in form fails its test, and should"
)]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as HPKE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey};
use serde_json::Value;
use shared_proto::envelope::{TRANSFER_LABEL, key_unwrap, key_wrap};
use wycheproof::TestResult;

fn cases(name: &str) -> Vec<Value> {
    let path = format!("{}/vectors/published/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn hex_of(case: &Value, name: &str) -> Vec<u8> {
    hex::decode(case[name].as_str().unwrap()).unwrap()
}

/// RFC 3394 unwrapping: through the product's function where the length is one that it takes, else through the library
/// as the product calls it. The flag says which.
fn unwrap(key: &[u8; 32], wrapped: &[u8]) -> (Option<Vec<u8>>, bool) {
    use aes_kw::KeyInit as _;

    if let Ok(wrapped) = <[u8; 40]>::try_from(wrapped) {
        return (key_unwrap::<40, 32>(key, &wrapped).ok().map(|data| data.to_vec()), true);
    }
    if let Ok(wrapped) = <[u8; 48]>::try_from(wrapped) {
        return (key_unwrap::<48, 40>(key, &wrapped).ok().map(|data| data.to_vec()), true);
    }
    let mut out = vec![0; wrapped.len()];
    let data = aes_kw::KwAes256::new(key.into()).unwrap_key(wrapped, &mut out).ok().map(<[u8]>::to_vec);
    (data, false)
}

fn wrap(key: &[u8; 32], data: &[u8]) -> Option<Vec<u8>> {
    use aes_kw::KeyInit as _;

    if let Ok(data) = <[u8; 32]>::try_from(data) {
        return key_wrap::<32, 40>(key, &data).ok().map(|wrapped| wrapped.to_vec());
    }
    if let Ok(data) = <[u8; 40]>::try_from(data) {
        return key_wrap::<40, 48>(key, &data).ok().map(|wrapped| wrapped.to_vec());
    }
    let mut out = vec![0; data.len() + 8];
    aes_kw::KwAes256::new(key.into()).wrap_key(data, &mut out).ok().map(<[u8]>::to_vec)
}

#[test]
fn rfc_3394() {
    let mut ran = 0;
    for case in cases("rfc-3394") {
        let (key, data, wrapped) = (hex_of(&case, "key"), hex_of(&case, "data"), hex_of(&case, "wrapped"));
        let key = key.try_into().unwrap();
        assert_eq!(wrap(&key, &data).as_ref(), Some(&wrapped), "{}", case["name"]);
        assert_eq!(unwrap(&key, &wrapped).0, Some(data), "{}", case["name"]);
        ran += 1;
    }
    assert_eq!(ran, 3);
}

#[test]
fn nist_key_wrap() {
    let (mut good, mut bad, mut by_product) = (0, 0, 0);
    for case in cases("nist-kw-ad-256") {
        let key = hex_of(&case, "key").try_into().unwrap();
        let (data, product) = unwrap(&key, &hex_of(&case, "wrapped"));
        by_product += usize::from(product);
        if case["data"].is_string() {
            assert_eq!(data, Some(hex_of(&case, "data")), "{}", case["name"]);
            good += 1;
        } else {
            assert_eq!(data, None, "{}", case["name"]);
            bad += 1;
        }
    }
    assert_eq!((good, bad, by_product), (16, 16, 24));
}

#[test]
fn wycheproof_key_wrap() {
    let set = wycheproof::keywrap::TestSet::load(wycheproof::keywrap::TestName::AesKeyWrap).unwrap();
    let (mut good, mut bad, mut by_product, mut too_short) = (0, 0, 0, 0);
    for test in set.test_groups.iter().filter(|group| group.key_size == 256).flat_map(|group| &group.tests) {
        let key = test.key.as_slice().try_into().unwrap();
        let (data, product) = unwrap(&key, &test.ct);
        by_product += usize::from(product);
        match test.result {
            TestResult::Valid => {
                assert_eq!(data.as_deref(), Some(test.pt.as_slice()), "{}", test.tc_id);
                assert_eq!(wrap(&key, &test.pt).as_deref(), Some(test.ct.as_slice()), "{}", test.tc_id);
                good += 1;
            }
            // The library opens wrapped keys of 8 and 16 bytes, which RFC 3394 does not have, and of the 8 bytes
            // a6a6a6a6a6a6a6a6 even under every key. The product's function cannot be asked to.
            TestResult::Invalid | TestResult::Acceptable if data.is_some() && !product && test.ct.len() <= 16 => {
                too_short += 1;
            }
            TestResult::Invalid | TestResult::Acceptable => {
                assert_eq!(data, None, "{}: {}", test.tc_id, test.comment);
                bad += 1;
            }
        }
    }
    assert_eq!((good, bad, by_product, too_short), (13, 53, 16, 2));
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn fill(prk: &Prk, info: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; length];
    prk.expand(&[info], Length(length)).and_then(|okm| okm.fill(&mut out)).ok()?;
    Some(out)
}

#[test]
fn rfc_5869_expand() {
    let mut ran = 0;
    for case in cases("rfc-5869") {
        let prk = Prk::new_less_safe(HKDF_SHA256, &hex_of(&case, "prk"));
        let length = usize::try_from(case["length"].as_u64().unwrap()).unwrap();
        assert_eq!(fill(&prk, &hex_of(&case, "info"), length), Some(hex_of(&case, "okm")), "{}", case["name"]);
        ran += 1;
    }
    assert_eq!(ran, 3);
}

#[test]
fn wycheproof_hkdf_sha256() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let (mut good, mut bad) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let prk = Salt::new(HKDF_SHA256, &test.salt).extract(&test.ikm);
        let out = fill(&prk, &test.info, test.size);
        if test.result.must_fail() {
            assert_eq!(out, None, "{}", test.tc_id);
            bad += 1;
        } else {
            assert_eq!(out.as_deref(), Some(test.okm.as_slice()), "{}", test.tc_id);
            good += 1;
        }
    }
    assert_eq!((good, bad), (83, 3));
}

#[test]
fn wycheproof_aes_256_gcm() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let (mut good, mut bad) = (0, 0);
    let groups = set.test_groups.iter().filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128));
    for test in groups.flat_map(|group| &group.tests) {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).unwrap());
        let nonce = || Nonce::assume_unique_for_key(test.nonce.as_slice().try_into().unwrap());
        let sealed = [test.ct.as_slice(), &test.tag].concat();
        let mut bytes = sealed.clone();
        let opened = cipher.open_in_place(nonce(), Aad::from(test.aad.as_slice()), &mut bytes).ok();
        if test.result.must_fail() {
            assert!(opened.is_none(), "{}", test.tc_id);
            bad += 1;
        } else {
            assert_eq!(opened.as_deref(), Some(test.pt.as_slice()), "{}", test.tc_id);
            let mut bytes = test.pt.to_vec();
            cipher.seal_in_place_append_tag(nonce(), Aad::from(test.aad.as_slice()), &mut bytes).unwrap();
            assert_eq!(bytes, sealed, "{}", test.tc_id);
            good += 1;
        }
    }
    assert_eq!((good, bad), (39, 27));
}

#[test]
fn wycheproof_rsa_oaep_sha256() {
    use wycheproof::rsa_oaep::{TestName, TestSet};

    let (mut good, mut bad, mut with_label) = (0, 0, 0);
    for name in
        [TestName::Rsa2048Sha256Mgf1Sha256, TestName::Rsa3072Sha256Mgf1Sha256, TestName::Rsa4096Sha256Mgf1Sha256]
    {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PrivateDecryptingKey::from_pkcs8(&group.pkcs8).unwrap();
            let key = OaepPrivateDecryptingKey::new(key).unwrap();
            for test in &group.tests {
                let mut out = vec![0; key.min_output_size()];
                let label = (!test.label.is_empty()).then_some(test.label.as_slice());
                with_label += usize::from(label.is_some());
                let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, &test.ct, &mut out, label).ok();
                if test.result.must_fail() {
                    assert!(opened.is_none(), "{}", test.tc_id);
                    bad += 1;
                } else {
                    assert_eq!(opened.as_deref(), Some(test.pt.as_slice()), "{}", test.tc_id);
                    good += 1;
                }
                // Nothing that others made opens under the label of a transfer key.
                let mut out = vec![0; key.min_output_size()];
                let ours = key.decrypt(&OAEP_SHA256_MGF1SHA256, &test.ct, &mut out, Some(TRANSFER_LABEL));
                assert!(ours.is_err(), "{}", test.tc_id);
            }
        }
    }
    assert_eq!((good, bad, with_label), (54, 57, 24));
}

#[test]
fn rfc_9180() {
    let mut ran = 0;
    for case in cases("rfc-9180") {
        let private = HpkePrivateKey::from(hex_of(&case, "recipient_private_key"));
        let enc = EncapsulatedSecret(hex_of(&case, "enc"));
        let (info, aad, ct) = (hex_of(&case, "info"), hex_of(&case, "aad"), hex_of(&case, "ct"));
        assert_eq!(HPKE.open(&enc, &info, &aad, &ct, &private).unwrap(), hex_of(&case, "pt"), "{}", case["name"]);
        assert!(HPKE.open(&enc, &info, &[], &ct, &private).is_err(), "{}", case["name"]);
        ran += 1;
    }
    assert_eq!(ran, 1);
}
