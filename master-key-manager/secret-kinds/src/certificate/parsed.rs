//! One certificate, read.

use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    VerificationAlgorithm,
};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

use crate::Refused;
use crate::key::{KeyAlgorithm, PublicKey};
use crate::pem::Block;

/// The most names that are listed.
const MOST_NAMES: usize = 64;

/// A certificate.
pub(super) struct Parsed {
    certificate: Certificate,
    /// Its bytes.
    pub(super) der: Vec<u8>,
    /// The signed part of them.
    signed: Vec<u8>,
    pub(super) key: PublicKey,
    pub(super) not_before: u64,
    pub(super) not_after: Option<u64>,
    pub(super) line: usize,
}

impl Parsed {
    pub(super) fn read(block: &Block<'_>) -> Result<Self, Refused> {
        let at = |reason| Refused::at_line(reason, block.line);
        // `openssl x509 -trustout` puts more behind the certificate.
        if block.label == "TRUSTED CERTIFICATE" {
            return Err(at("this is a certificate with settings of OpenSSL; write it with openssl x509"));
        }
        let certificate =
            Certificate::from_der(&block.der).map_err(|_| at("a certificate is not in the form of X.509"))?;
        if certificate.signature_algorithm != certificate.tbs_certificate.signature {
            return Err(at("a certificate names two different algorithms of its signature"));
        }
        let validity = certificate.tbs_certificate.validity;
        let [not_before, not_after] =
            [validity.not_before, validity.not_after].map(|time| time.to_unix_duration().as_secs());
        if not_after < not_before {
            return Err(at("a certificate ends before it begins"));
        }
        let spki = certificate.tbs_certificate.subject_public_key_info.to_der();
        let spki = spki.map_err(|_| at("a certificate is not in the form of X.509"))?;
        let key = PublicKey::from_spki(&spki).map_err(|refused| at(refused.reason()))?;
        let signed = signed_part(&block.der).ok_or(at("a certificate is not in the form of X.509"))?.to_vec();
        // RFC 5280 section 4.1.2.5: the last second of the year 9999 stands for no end.
        let not_after = (not_after < NO_END).then_some(not_after);
        Ok(Self { der: block.der.to_vec(), certificate, signed, key, not_before, not_after, line: block.line })
    }

    /// Whether the names say that the other one issued it.
    pub(super) fn names_as_issuer(&self, other: &Self) -> bool {
        self.certificate.tbs_certificate.issuer == other.certificate.tbs_certificate.subject
    }

    /// Whether its subject is its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.names_as_issuer(self)
    }

    /// Checks that the other one may issue certificates.
    pub(super) fn may_issue(&self) -> bool {
        let constraints = self.certificate.tbs_certificate.get::<BasicConstraints>();
        matches!(constraints, Ok(Some((_, BasicConstraints { ca: true, .. }))))
    }

    /// Whether the other one's key made its signature.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> bool {
        let oid = self.certificate.signature_algorithm.oid;
        let Some(signature) = self.certificate.signature.as_bytes() else { return false };
        verifiers(oid, issuer.key.algorithm).iter().any(|algorithm| {
            let key = ParsedPublicKey::new(*algorithm, &issuer.key.spki);
            key.is_ok_and(|key| key.verify_sig(&self.signed, signature).is_ok())
        })
    }

    /// Whether its signature is made in a way that can be checked here.
    pub(super) fn can_be_checked(&self) -> bool {
        let oid = self.certificate.signature_algorithm.oid;
        [RSA_SHA256, RSA_SHA384, RSA_SHA512, RSA_PSS, EC_SHA256, EC_SHA384, EC_SHA512, ED].contains(&oid)
    }

    pub(super) fn serial(&self) -> String {
        hex::encode(self.certificate.tbs_certificate.serial_number.as_bytes())
    }

    pub(super) fn common_name(&self) -> Option<String> {
        let names = self.certificate.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
        let name = names.into_iter().find(|name| name.oid == COMMON_NAME)?;
        text_of(&AnyRef::from(&name.value))
    }

    pub(super) fn names(&self) -> Vec<String> {
        let Ok(Some((_, SubjectAltName(names)))) = self.certificate.tbs_certificate.get() else { return Vec::new() };
        names.iter().filter_map(name).take(MOST_NAMES).collect()
    }
}

/// Texts of names have many types; those that are UTF-8 are read.
fn text_of(value: &AnyRef<'_>) -> Option<String> {
    let utf8 = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String].contains(&value.tag());
    let text = std::str::from_utf8(value.value()).ok().filter(|_| utf8)?;
    Some(text.chars().filter(|character| !character.is_control()).take(128).collect())
}

fn name(name: &GeneralName) -> Option<String> {
    let plain = |text: &str| text.chars().filter(|character| !character.is_control()).take(512).collect::<String>();
    if let GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) | GeneralName::UniformResourceIdentifier(name) =
        name
    {
        return Some(plain(name.as_str()));
    }
    let GeneralName::IpAddress(address) = name else { return None };
    if let Ok(bytes) = <[u8; 4]>::try_from(address.as_bytes()) {
        return Some(Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(address.as_bytes()).ok().map(|bytes| Ipv6Addr::from(bytes).to_string())
}

/// The bytes of the first element, as they are.
fn signed_part(certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = SliceReader::new(certificate).ok()?;
    let header = der::Header::decode(&mut outer).ok()?;
    let start = certificate.len().checked_sub(usize::try_from(header.length).ok()?)?;
    let mut inner = SliceReader::new(certificate.get(start..)?).ok()?;
    inner.tlv_bytes().ok()
}

fn verifiers(oid: ObjectIdentifier, key: KeyAlgorithm) -> &'static [&'static dyn VerificationAlgorithm] {
    match (oid, key) {
        (RSA_SHA256, KeyAlgorithm::Rsa) => &[&RSA_PKCS1_2048_8192_SHA256],
        (RSA_SHA384, KeyAlgorithm::Rsa) => &[&RSA_PKCS1_2048_8192_SHA384],
        (RSA_SHA512, KeyAlgorithm::Rsa) => &[&RSA_PKCS1_2048_8192_SHA512],
        // The hash is in the parameters; a signature that holds with one of these was made with it.
        (RSA_PSS, KeyAlgorithm::Rsa) => {
            &[&RSA_PSS_2048_8192_SHA256, &RSA_PSS_2048_8192_SHA384, &RSA_PSS_2048_8192_SHA512]
        }
        (EC_SHA256, KeyAlgorithm::EcP256) => &[&ECDSA_P256_SHA256_ASN1],
        (EC_SHA256, KeyAlgorithm::EcP384) => &[&ECDSA_P384_SHA256_ASN1],
        (EC_SHA256, KeyAlgorithm::EcP521) => &[&ECDSA_P521_SHA256_ASN1],
        (EC_SHA384, KeyAlgorithm::EcP256) => &[&ECDSA_P256_SHA384_ASN1],
        (EC_SHA384, KeyAlgorithm::EcP384) => &[&ECDSA_P384_SHA384_ASN1],
        (EC_SHA384, KeyAlgorithm::EcP521) => &[&ECDSA_P521_SHA384_ASN1],
        (EC_SHA512, KeyAlgorithm::EcP256) => &[&ECDSA_P256_SHA512_ASN1],
        (EC_SHA512, KeyAlgorithm::EcP384) => &[&ECDSA_P384_SHA512_ASN1],
        (EC_SHA512, KeyAlgorithm::EcP521) => &[&ECDSA_P521_SHA512_ASN1],
        (ED, KeyAlgorithm::Ed25519) => &[&ED25519],
        _ => &[],
    }
}

/// 9999-12-31T23:59:59Z.
const NO_END: u64 = 253_402_300_799;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const EC_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const ED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
